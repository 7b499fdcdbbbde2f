"""The real live API over a simulated world, in this process, and an app that looks at it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from rollcall.cli.connection import CliError, LiveApi
from rollcall.cli.top.app import TopApp
from rollcall.cli.top.session import Place, Session
from rollcall.serve.access import Access
from rollcall.serve.live import make_live_app
from tests.web.world import World

CALLER = SimpleNamespace(
    target=SimpleNamespace(server_name="rollcall-api"), tls=False, headers={"Authorization": "Bearer t-alice"}
)


class Operator:
    """A world behind the live API. It stands still until `step`; `down` is a pod that was killed."""

    def __init__(self) -> None:
        self.world = World()
        self.paths: list[str] = []
        self.connections = 0
        self._runner: web.AppRunner | None = None
        self._port = 0

    async def up(self) -> None:
        """Serve, at the port of before if there was one."""

        @web.middleware
        async def note(request: web.Request, handler: Callable[[web.Request], Any]) -> Any:
            self.paths.append(request.path_qs)
            return await handler(request)

        app = make_live_app(self.world.publisher, Access(self.world), dict, self.world.why)  # type: ignore[arg-type]
        app.middlewares.append(note)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port, reuse_address=True).start()
        self._port = self._runner.addresses[0][1]

    async def down(self) -> None:
        """Nothing answers any more."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[LiveApi]:
        """As a port-forward does: it cannot be opened when nothing is behind it."""
        if self._runner is None:
            raise CliError("the operator cannot be reached: no pods")
        self.connections += 1
        async with aiohttp.ClientSession() as session:
            yield LiveApi(session, f"http://127.0.0.1:{self._port}", CALLER)  # type: ignore[arg-type]

    def step(self) -> None:
        """Half a second of the world, told to all who look."""
        self.world.step()
        for _ in range(4):
            self.world.publisher.turn()


@pytest.fixture
async def operator() -> AsyncIterator[Operator]:
    """Three services with half a minute of history."""
    found = Operator()
    found.world.populate()
    found.world.past(30)
    await found.up()
    yield found
    await found.down()


@asynccontextmanager
async def looking(operator: Operator, place: Place | None = None, size: tuple[int, int] = (100, 30)) -> AsyncIterator[Any]:
    """The app with its pilot."""
    app = TopApp(Session(place or Place()), operator.connect)
    async with app.run_test(size=size) as pilot:
        yield Looker(app, pilot)
    if app.broken is not None:
        raise app.broken


class Looker:
    """Somebody at the terminal."""

    def __init__(self, app: TopApp, pilot: Any) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def screen(self) -> str:
        """What textual has drawn."""
        height = self.app.size.height
        return "\n".join(self.app.board.render_line(y).text for y in range(height))

    async def until(self, words: str, within_s: float = 30.0) -> str:
        """Wait until words are on the screen."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while words not in self.screen:
                    await asyncio.sleep(0.02)
        assert words in self.screen, f"{words!r} is not on the screen:\n{self.screen}"
        return self.screen

    async def press(self, *names: str) -> None:
        """Keys, as textual calls them."""
        await self.pilot.press(*names)
