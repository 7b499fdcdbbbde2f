"""The page in a real browser: Chromium of the system, against the operator's live API in this process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from aiohttp import web
from playwright.sync_api import Browser, Page

from rollcall.serve.access import Access
from rollcall.serve.live import make_live_app
from tests.harness.chromium import Tabs, chromium
from tests.web.world import STEP_S, World

TOKEN = "t-alice"
T = TypeVar("T")


class Site:
    """A world and its live API in a thread of their own; the world goes on by itself unless it is paused."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self._runner: web.AppRunner | None = None
        self.port = 0
        self.url = ""
        self.up()
        self._going = asyncio.run_coroutine_threadsafe(self._go_on(), self.loop)

    def do(self, call: Callable[[World], T]) -> T:
        """Call something in the world's own thread."""

        async def inside() -> T:
            return call(self.world)

        return asyncio.run_coroutine_threadsafe(inside(), self.loop).result(30)

    async def _go_on(self) -> None:
        while True:
            await asyncio.sleep(STEP_S / 2)
            if not self.world.paused:
                self.world.step()
                await asyncio.sleep(STEP_S / 2)
                self.world.publisher.turn()

    def up(self) -> None:
        """Serve, at the port of before if there was one."""

        async def listen() -> None:
            app = make_live_app(self.world.publisher, Access(self.world), dict, self.world.why)  # type: ignore[arg-type]
            self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await self._runner.setup()
            site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
            await site.start()
            self.port = self._runner.addresses[0][1]

        asyncio.run_coroutine_threadsafe(listen(), self.loop).result(10)
        self.url = f"http://127.0.0.1:{self.port}"

    def down(self) -> None:
        """The operator is gone."""
        assert self._runner is not None
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self.loop).result(10)

    def close(self) -> None:
        """End everything."""
        self._going.cancel()
        with contextlib.suppress(Exception):
            self.down()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Not for longer: while it is there, its event loop is this thread's."""
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """Three services with a history of a minute; with neighbours where pictures are made."""
    world = World()
    world.populate()
    if request.config.getoption("--images"):
        world.neighbours()
    world.past(75)
    found = Site(world)
    yield found
    found.close()


@pytest.fixture
def empty_site() -> Iterator[Site]:
    """An operator without any service."""
    found = Site(World())
    yield found
    found.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Open an address as somebody who is signed in; fails when the page logs an error or breaks its own policy."""
    tabs = Tabs(browser)
    yield lambda url, *, token=TOKEN, **options: tabs.open(url, token=token, **options)
    tabs.close()
    assert tabs.errors() == []
