"""Server-sent events: a picture per fold, and on request what happened since the reader last heard.

A reader has no queue. Each turn writes what is newest to all sockets whose buffers have room, one after the other and the same
bytes to all who were told the same before: a task that wakes up for each viewer would cost as much again as its TLS. A slow
reader gets fewer pictures and never holds up another. Seconds and points are told since the last that this reader got, so that
nothing is missing that is kept, and `Last-Event-ID` goes on from there after a broken connection.

Bytes are what viewers cost: to encrypt and send them. Who asks for a rate and takes gzip gets each turn as deflate blocks that
refer to nothing before them, so they are made once and fit into every stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NamedTuple

from aiohttp import HttpVersion11, web

from rollcall.serve.access import RefusedError
from rollcall.serve.publisher import RATES, Publisher, Scope

HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
PARTS = ("seconds", "points")
CHECK_S = 60.0
"""Whether a reader may still read is asked again so often."""
STALLED_S = 30.0
"""A reader that takes nothing for so long is left."""
MOST_BUFFERED = 65_536
"""Bytes that wait for a reader; then it gets none until they are gone."""
AT_ONCE = 50
_log = logging.getLogger(__name__)
GZIP_HEAD = bytes.fromhex("1f8b0800000000000003")
"""There is no sum at the end: a stream ends when its connection does."""
END = b"event: end\ndata: {}\n\n"


@dataclass(frozen=True)
class Wanted:
    """What a reader asked for beside pictures. `since` is Unix time: seconds and points later than that; None: than now."""

    rate: int | None = None
    parts: frozenset[str] = frozenset()
    since: float | None = None
    zipped: bool = False


def wanted_of(request: web.Request) -> Wanted:
    """From query and headers; raises RefusedError for what is not known."""
    query = request.query
    parts = frozenset(filter(None, query.get("with", "").split(",")))
    if not parts <= set(PARTS):
        raise RefusedError(400, f"with is a list of {' and '.join(PARTS)}")
    rate = query.get("rate")
    if rate is not None and rate not in map(str, RATES):
        raise RefusedError(400, f"rate is {' or '.join(map(str, RATES))}; without it there is a picture per fold")
    last = request.headers.get("Last-Event-ID", "")
    resumed = last.isdecimal() and len(last) < 16
    since = int(last) / 1000 if resumed else number_of(request, "since")
    accepted = {each.strip().partition(";")[0] for each in request.headers.get("Accept-Encoding", "").split(",")}
    return Wanted(int(rate) if rate else None, parts, since, rate is not None and "gzip" in accepted)


def number_of(request: web.Request, name: str) -> float | None:
    """A parameter that is a Unix time or a number of seconds; None when it is not given."""
    text = request.query.get(name)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < 1e11:
        raise RefusedError(400, f"{name} is a number of seconds")
    return value


def zipped(data: bytes) -> bytes:
    """Deflate blocks of their own, up to the last byte."""
    packing = zlib.compressobj(1, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packing.compress(data) + packing.flush(zlib.Z_SYNC_FLUSH)


class Told(NamedTuple):
    """What a reader has been told: of what, in which form, and seconds and points up to when. Who was told the same gets the
    same bytes next."""

    scope: Scope
    parts: frozenset[str]
    zipped: bool
    chunked: bool
    second: int
    point: float


class Turn:
    """What there is to write in one turn, made when the first reader gets it."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._number = -1
        self._made: dict[Told, tuple[bytes, Told] | None] = {}

    def first(self, scope: Scope, wanted: Wanted) -> Told:
        """How a reader begins, that has been told nothing of what comes from now on, or since when it asked for."""
        fleet = self._publisher.fleet(scope)
        now_s = fleet.last.unix_s if fleet is not None else 0.0
        point = now_s if wanted.since is None else wanted.since
        return Told(scope, wanted.parts, wanted.zipped, False, math.floor(point) - 1, point)

    def after(self, told: Told) -> tuple[bytes, Told] | None:
        """All events of this turn, and what their reader has been told then; the picture comes last and carries the id. None
        when there is no such service any more."""
        if self._number != self._publisher.number:
            self._number = self._publisher.number
            self._made.clear()
        if told in self._made:
            return self._made[told]
        found = self._made[told] = self._make(told)
        return found

    def _make(self, told: Told) -> tuple[bytes, Told] | None:
        publisher = self._publisher
        picture, fleet = publisher.body(told.scope), publisher.fleet(told.scope)
        if picture is None:
            return None
        parts, second, point = [], told.second, told.point
        if fleet is not None and told.parts:
            newest = fleet.history.newest
            if "seconds" in told.parts and newest is not None and newest > second:
                parts.append(b"event: seconds\ndata: " + publisher.seconds(fleet, second) + b"\n\n")
                second = newest
            if "points" in told.parts and fleet.last.unix_s > point:
                parts.append(b"event: points\ndata: " + publisher.points(fleet, point) + b"\n\n")
                point = fleet.last.unix_s
        at_s = fleet.last.unix_s if fleet is not None else time.time()
        parts.append(b"id: %d\ndata: %s\n\n" % (math.floor(at_s * 1000), picture))
        made = b"".join(parts)
        made = zipped(made) if told.zipped else made
        if told.chunked:  # what the response's own writer would do in three steps; it has sent the headers and sends the end
            made = b"%x\r\n%s\r\n" % (len(made), made)
        return made, told._replace(second=second, point=point)


class _Viewer:
    """One open response; `done` is set when nothing more comes."""

    __slots__ = ("done", "full_since_s", "told", "transport")

    def __init__(self, transport: asyncio.Transport, told: Told) -> None:
        self.done = asyncio.Event()
        self.transport = transport
        self.told = told
        self.full_since_s: float | None = None

    def wait(self) -> None:
        """Its buffers are full; one that takes nothing for long is left."""
        now_s = time.monotonic()
        self.full_since_s = self.full_since_s or now_s
        if now_s - self.full_since_s > STALLED_S:
            self.transport.abort()
            self.done.set()


class Streams:
    """All open streams of the live API."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._turn = Turn(publisher)
        self._viewers: dict[int | None, set[_Viewer]] = {}
        self._writing: dict[int | None, asyncio.Task[None]] = {}

    async def serve(
        self, request: web.Request, scope: Scope, wanted: Wanted, check: Callable[[], Awaitable[object]]
    ) -> web.StreamResponse:
        """First frame at once, then one per fold until the reader goes or may read no more, the service is deleted or this
        replica does not lead any more."""
        response = web.StreamResponse(headers=HEADERS | ({"Content-Encoding": "gzip"} if wanted.zipped else {}))
        await response.prepare(request)
        try:
            found = self._turn.after(self._turn.first(scope, wanted))
            if found is not None and request.transport is not None:
                made, told = found
                await response.write((GZIP_HEAD if wanted.zipped else b"") + made)
                viewer = _Viewer(request.transport, told._replace(chunked=request.version >= HttpVersion11))
                await self._follow(viewer, wanted.rate, check)
            await response.write(zipped(END) if wanted.zipped else END)
        except (ConnectionError, asyncio.CancelledError):
            pass  # the reader went away
        return response

    async def _follow(self, viewer: _Viewer, rate: int | None, check: Callable[[], Awaitable[object]]) -> None:
        others = self._viewers.setdefault(rate, set())
        others.add(viewer)
        if rate not in self._writing or self._writing[rate].done():
            self._writing[rate] = asyncio.create_task(self._write(rate, self._publisher.number))
        try:
            while self._publisher.leading and not viewer.done.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(viewer.done.wait(), CHECK_S)
                    break
                await check()
        except RefusedError:
            pass  # it is told the end
        finally:
            others.discard(viewer)

    async def _write(self, rate: int | None, number: int) -> None:
        """To all viewers of a rate, as long as there are any."""
        viewers = self._viewers[rate]
        while viewers:
            number = await self._publisher.after(number, rate)
            all_of_them = list(viewers)
            for place in range(0, len(all_of_them), AT_ONCE):
                self._tell(all_of_them[place : place + AT_ONCE])
                await asyncio.sleep(0)  # reports and probes of the kubelet come in between

    def _tell(self, viewers: list[_Viewer]) -> None:
        after, leading = self._turn.after, self._publisher.leading
        for viewer in viewers:
            transport = viewer.transport
            try:
                if transport.get_write_buffer_size() > MOST_BUFFERED and leading and not transport.is_closing():
                    viewer.wait()
                    continue
                found = after(viewer.told) if leading else None
                if found is None or transport.is_closing():
                    viewer.done.set()
                    continue
                made, viewer.told = found
                viewer.full_since_s = None
                transport.write(made)
            except Exception:  # what goes wrong for one must not keep pictures from all
                _log.exception("a stream ends")
                viewer.done.set()
