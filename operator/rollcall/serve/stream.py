"""Server-sent events: a picture per fold, and on request what happened since the reader last heard.

A reader has no queue. Each turn writes what is newest and waits until the socket's buffer has room; a slow reader gets fewer
pictures and never holds up another. Seconds and points are told since the last that this reader got, so that nothing is
missing that is kept, and `Last-Event-ID` goes on from there after a broken connection.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from rollcall.model.fleet import Fleet
from rollcall.serve.access import RefusedError
from rollcall.serve.publisher import RATES, Publisher

Frame = Callable[[], bytes | None]
HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
PARTS = ("seconds", "points")
CHECK_S = 60.0
"""Whether a reader may still read is asked again so often."""
STALLED_S = 30.0
"""A reader that takes nothing for so long is left."""
END = b"event: end\ndata: {}\n\n"


@dataclass(frozen=True)
class Wanted:
    """What a reader asked for beside pictures. `since` is Unix time: seconds and points later than that; None: than now."""

    rate: int | None = None
    parts: frozenset[str] = frozenset()
    since: float | None = None


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
    if last.isdecimal() and len(last) < 16:
        return Wanted(int(rate) if rate else None, parts, int(last) / 1000)
    return Wanted(int(rate) if rate else None, parts, number_of(request, "since"))


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


class Reader:
    """What one reader has been told."""

    def __init__(self, publisher: Publisher, wanted: Wanted, fleet: Callable[[], Fleet | None]) -> None:
        self._publisher, self._wanted, self._fleet = publisher, wanted, fleet
        found = fleet()
        now_s = found.last.unix_s if found is not None else 0.0
        self._point = now_s if wanted.since is None else wanted.since
        self._second = math.floor(self._point) - 1

    def batch(self, picture: bytes) -> bytes:
        """All events of this turn; the picture comes last and carries the id."""
        parts = []
        fleet = self._fleet()
        if fleet is not None:
            newest = fleet.history.newest
            if "seconds" in self._wanted.parts and newest is not None and newest > self._second:
                parts.append(b"event: seconds\ndata: " + self._publisher.seconds(fleet, self._second) + b"\n\n")
                self._second = newest
            if "points" in self._wanted.parts and fleet.last.unix_s > self._point:
                parts.append(b"event: points\ndata: " + self._publisher.points(fleet, self._point) + b"\n\n")
                self._point = fleet.last.unix_s
        at_s = fleet.last.unix_s if fleet is not None else time.time()
        parts.append(b"id: %d\ndata: %s\n\n" % (math.floor(at_s * 1000), picture))
        return b"".join(parts)


async def stream(
    request: web.Request,
    publisher: Publisher,
    frame: Frame,
    reader: Reader,
    rate: int | None,
    check: Callable[[], Awaitable[object]],
) -> web.StreamResponse:
    """First frame at once, then one per fold until the reader goes or may read no more, the service is deleted or leadership
    ends."""
    response = web.StreamResponse(headers=HEADERS)
    await response.prepare(request)
    number, checked_s = publisher.number, time.monotonic()
    try:
        while publisher.leading and (body := frame()) is not None:
            async with asyncio.timeout(STALLED_S):
                await response.write(reader.batch(body))
            number = await publisher.after(number, rate)
            if time.monotonic() - checked_s > CHECK_S:
                await check()
                checked_s = time.monotonic()
        await response.write(END)
    except RefusedError:
        await response.write(END)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
    except (ConnectionResetError, asyncio.CancelledError):
        pass  # the reader went away
    return response
