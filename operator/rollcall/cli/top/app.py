"""The terminal: keys go to the session, lines come from it, and those that changed are drawn.

One widget draws by lines. A table of 5,000 widgets would have to be laid out and compared four times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import time
from collections.abc import Coroutine, Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any, ClassVar

import msgspec
from rich.segment import Segment
from textual import events
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from rollcall.cli.connection import CliError

from . import keys
from .feed import Connect, Link, Told, follow
from .lines import BLANK, Line
from .paint import paint
from .past import pack
from .picture import Service, Shown, decode
from .session import Ask, Copy, End, Follow, Recall, Session
from .skins import SKINS, style

FRAME_S = 0.25
SHARE = 0.2
"""Decoding a picture may take this part of the time; a fleet of thousands is shown less often instead of keys later."""
SEEDED = 40
"""Services whose last minutes are asked for, once, those on top."""


class Board(Widget, can_focus=True):
    """The whole screen."""

    DEFAULT_CSS = "Board { width: 100%; height: 100%; }"

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._lines: list[Line] = []
        self._skin = ""

    @property
    def skin(self) -> str:
        """The skin in use; without colours there is only one."""
        return "plain" if self.session.shaded else self.session.skin

    def draw(self) -> None:
        """Paint, and have those lines drawn that changed."""
        width, height = self.size
        if not width or not height:
            return
        lines = paint(self.session, width, height)
        before = self._lines
        self._lines = lines
        if len(before) != len(lines) or self._skin != self.skin:
            self._skin = self.skin
            self.refresh()
            return
        changed = [Region(0, y, width, 1) for y, line in enumerate(lines) if line != before[y]]
        if changed:
            self.refresh(*changed)

    def render_line(self, y: int) -> Strip:
        """A line as textual draws it."""
        line, skin, width = self._lines[y] if y < len(self._lines) else BLANK, self.skin, self.size.width
        segments = [
            Segment("".join(span.text for span in run), style(skin, role, line.back))
            for role, run in groupby((span for span in line.spans if span.text), key=attrgetter("role"))
        ]
        return Strip(segments).adjust_cell_length(width, style(skin, "", line.back))

    def on_resize(self) -> None:
        """Another size of the terminal."""
        self._lines = []
        self.draw()

    def on_click(self, event: events.Click) -> None:
        """A row, to go to it; once more, to open it."""
        listing = self.session.listing
        head = next((y for y, line in enumerate(self._lines) if line.spans and line.spans[0].role == "head"), None)
        if head is None or event.y <= head or event.y > head + self.session.page:
            return
        place = listing.top + event.y - head - 1
        if place == listing.cursor:
            self.session.open()
        elif place < len(listing.shown):
            listing.go(place)
        self.app.call_next(self._serve)

    def on_mouse_scroll_down(self) -> None:
        """Rows on."""
        self.session.listing.go(self.session.listing.cursor + 3)
        self.draw()

    def on_mouse_scroll_up(self) -> None:
        """Rows back."""
        self.session.listing.go(self.session.listing.cursor - 3)
        self.draw()

    def _serve(self) -> None:
        assert isinstance(self.app, TopApp)
        self.app.serve()


class TopApp(App[None]):
    """`rollcall top`. `connect` opens the live API, `seconds` ends the app by itself."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = []
    CSS = "Screen { overflow: hidden; }"

    def __init__(self, session: Session, connect: Connect, seconds: float | None = None) -> None:
        session.shaded = session.shaded or "NO_COLOR" in os.environ
        super().__init__(ansi_color=session.shaded)
        self.session = session
        self.board = Board(session)
        self._link = Link(connect)
        self._seconds = seconds
        self._feed: asyncio.Task[None] | None = None
        self._asked: set[asyncio.Task[None]] = set()
        self._next_s = 0.0
        self._waiting: bytes | None = None
        self._taking = False
        self._seeded: set[str] = set()
        self._wanted: Recall | None = None
        self._recalling: asyncio.Task[None] | None = None
        self.broken: BaseException | None = None
        """What ended the app and should not have."""

    def compose(self) -> ComposeResult:
        """The one widget."""
        yield self.board

    def on_mount(self) -> None:
        """Begin."""
        gc.freeze()  # all that was imported is there to stay: to look through it again takes longer than a key may
        self.board.focus()
        self.set_interval(FRAME_S, self._tick)
        if self._seconds is not None:
            self.set_timer(self._seconds, self.exit)
        self._follow(self.session.place.path)

    async def on_unmount(self) -> None:
        """Leave nothing open."""
        tasks = list(self._asked)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._link.close()

    async def on_event(self, event: events.Event) -> None:
        """Every key goes to the session; none of textual's own is in the way."""
        if isinstance(event, events.Key):
            event.stop()
            event.prevent_default()
            if event.key == "ctrl+z":
                self.action_suspend_process()
            elif keys.press(self.session, event.key, event.character):
                self.serve()
            return
        await super().on_event(event)

    def serve(self) -> None:
        """Do what the session wants, and draw."""
        wants, self.session.wants = self.session.wants, []
        for want in wants:
            match want:
                case Follow(path):
                    self._follow(path)
                case Copy(text):
                    self.copy_to_clipboard(text)
                case Ask(namespace, pod, service):
                    self._soon(self._ask_why(namespace, pod))
                    self._soon(self._ask_past(namespace, service, pod, self.session.place.pod))
                case Recall():
                    self._wanted = want
                    if self._recalling is None or self._recalling.done():
                        self._recalling = self._soon(self._recall())
                case End():
                    self.exit()
        self.board.draw()

    # --- the stream

    def _follow(self, path: str) -> None:
        if self._feed is not None:
            self._feed.cancel()
        self._waiting, self._next_s = None, 0.0
        self._feed = self._soon(self._read(path))

    async def _read(self, path: str) -> None:
        async for told in follow(self._link, path):
            await self._hear(told)

    async def _hear(self, told: Told) -> None:
        session = self.session
        if told.kind == "trouble":
            session.fail(told.sentence, final=told.final)
        elif told.kind == "seconds":
            with self._reading():
                session.past.take(told.data)
        elif told.kind == "message":
            self._waiting = told.data
            if time.monotonic() >= self._next_s:
                await self._take()
            return
        self.board.draw()

    async def _take(self) -> None:
        """Read the newest picture that came, in steps between which a key is answered: of thousands of pods each step takes a
        part of the time that a key may."""
        if self._taking or self._waiting is None:
            return
        data, self._waiting, self._taking = self._waiting, None, True
        try:
            began_s = time.monotonic()
            shown = None
            with self._reading():
                shown = decode(data)
            self._next_s = began_s + (time.monotonic() - began_s) / SHARE
            if shown is not None:
                await asyncio.sleep(0)
                self.session.take(shown)
                self._remember(shown, data)
            await asyncio.sleep(0)
            self.board.draw()
        finally:
            self._taking = False

    def _remember(self, shown: Shown, data: bytes) -> None:
        """What was seen, for who looks back."""
        if isinstance(shown, Service):
            if shown is self.session.newest and self.session.kept.wants(int(shown.at)):
                self._soon(self._keep(int(shown.at), data))
            return
        top = [service for service in shown.services if "/".join(service.key) not in self._seeded][:SEEDED]
        if top and len(self._seeded) < SEEDED:
            self._seeded |= {"/".join(service.key) for service in top}
            self._soon(self._seed(top))

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """What cannot be read is said, and what was there stays."""
        try:
            yield
        except msgspec.DecodeError as error:
            self.session.fail(f"the operator is of another version than this command: {error}")

    def _tick(self) -> None:
        """Four times a second, whether anything came or not: ages grow, notices go."""
        if self._waiting is not None and time.monotonic() >= self._next_s:
            self._soon(self._take())
        self.board.draw()

    # --- beside it

    def _soon(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._asked.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._asked.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.broken = error
            self.exit()

    async def _keep(self, second: int, data: bytes) -> None:
        kept = self.session.kept
        packed = await asyncio.to_thread(pack, data)
        if kept is self.session.kept:
            kept.keep(second, packed)

    async def _seed(self, services: list[Service]) -> None:
        for service in services:
            told = await self._link.ask(f"/v1/services/{service.namespace}/{service.name}/history?seconds=120")
            if told is not None:
                self.session.wall.seed("/".join(service.key), told)

    async def _ask_why(self, namespace: str, pod: str) -> None:
        found = await self._link.ask(f"/v1/why/{namespace}/{pod}")
        if self.session.pod is not None and self.session.pod.name == pod:
            self.session.why = found
            self.board.draw()

    async def _ask_past(self, namespace: str, service: str, pod: str, uid: str) -> None:
        found = await self._link.ask(f"/v1/services/{namespace}/{service}/pods/{pod}/history")
        if found is not None and self.session.place.pod == uid:
            self.session.trends.seed(uid, found)
            self.board.draw()

    async def _recall(self) -> None:
        """One moment after the other; who goes through many gets the one that was stopped at."""
        while (wanted := self._wanted) is not None:
            self._wanted = None
            data = await self._link.read(wanted.path)
            if data is not None and self._wanted is None:
                with self._reading():
                    self.session.recall(decode(data), wanted.moment)
                self.board.draw()


async def run_app(session: Session, connect: Connect, seconds: float | None = None) -> None:
    """The app until it is ended."""
    assert session.skin in SKINS
    app = TopApp(session, connect, seconds)
    await app.run_async()
    if app.broken is not None:
        raise CliError(f"the screen was ended by a defect of it: {app.broken!r}")
