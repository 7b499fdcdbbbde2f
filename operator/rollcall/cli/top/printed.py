"""Pictures as text: one of them, a line a second, or a table that moves twice a second for `--watch`."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from rollcall.cli import screen
from rollcall.cli.causes import bottleneck_line, dependencies_table, trouble_lines
from rollcall.cli.connection import Caller, ask
from rollcall.cli.departures import departures_line
from rollcall.cli.output import encode
from rollcall.cli.signals import endpoints_table, requests_table
from rollcall.cli.stream import Frame, frames

DRAW_S = 0.5
LINE_S = 1.0
HEAD_LINES = 11
"""What stands around the pods: figures, the table's head, the footer."""
TABLE_LINES = 3
MOST_BELOW = 10


def path_of(service: str | None, namespace: str | None, *, all_namespaces: bool) -> str:
    """The resource of the live API that a command is about."""
    if service is not None:
        return f"/v1/services/{namespace}/{service}"
    return "/v1/services" if all_namespaces else f"/v1/services?namespace={namespace}"


def stream_of(path: str) -> str:
    """The stream that belongs to a resource."""
    resource, question, query = path.partition("?")
    return f"{resource}/stream{question}{query}"


async def once(caller: Caller, path: str) -> dict[str, Any]:
    """One picture."""
    picture: dict[str, Any] = await ask(caller, lambda api: api.json(path))
    return picture


def render(picture: dict[str, Any], height: int) -> RenderableType:
    """A picture of one or of all services."""
    return screen.services_table(picture["services"]) if "services" in picture else service_screen(picture, height)


def service_screen(picture: dict[str, Any], height: int) -> RenderableType:
    """One service: its figures and its pods; below them, where there is room, longest requests, dependencies and endpoints."""
    troubles = trouble_lines(picture)
    if (left := departures_line(picture)) is not None:
        troubles.append(left)
    room = max(3, height - HEAD_LINES - len(troubles))
    shown: list[RenderableType] = [screen.head(picture), bottleneck_line(picture["bottleneck"]), *troubles, Text()]
    shown.append(screen.pods_table(picture, room))
    room -= len(picture["roll"] or []) + 2
    for title, rows, table in (
        ("longest requests in flight", picture["longest"], requests_table),
        ("dependencies", picture["dependencies"] and picture["dependencies"]["rows"], dependencies_table),
        ("endpoints", picture["endpoints"] and picture["endpoints"]["rows"], endpoints_table),
    ):
        fits = min(len(rows or []), MOST_BELOW, room - TABLE_LINES)
        if fits > 0:
            shown += [Text(), Text(title, style="bright_black"), table(picture, fits)]
            room -= fits + TABLE_LINES
    return Group(*shown)


class View(NamedTuple):
    """How pictures are shown: on a screen of so many lines, and as text in a log; without `render` always as text and nothing
    else, for programs."""

    render: Callable[[dict[str, Any], int], RenderableType] | None
    line: Callable[[dict[str, Any]], str]


async def show(newest: AsyncIterator[Frame], seconds: float | None, view: View) -> None:
    """The live screen until ctrl-c, or for so many seconds."""
    console = Console()
    try:
        if console.is_terminal and view.render is not None:
            await _draw(console, newest, seconds, view.render)
        else:
            await _print_lines(newest, seconds, view)
    finally:
        await newest.aclose()  # type: ignore[attr-defined]


async def _draw(
    console: Console,
    newest: AsyncIterator[Frame],
    seconds: float | None,
    render: Callable[[dict[str, Any], int], RenderableType],
) -> None:
    started_s, drawn_s = time.monotonic(), 0.0
    with Live(console=console, screen=True, auto_refresh=False) as live:
        async for frame in newest:
            now_s = time.monotonic()
            if now_s - drawn_s >= DRAW_S or frame.trouble:
                drawn_s = now_s
                body = render(frame.picture, console.height) if frame.picture else Text("connecting …", style="bright_black")
                live.update(Group(body, screen.footer(frame.at_s, frame.trouble)), refresh=True)
            if seconds is not None and now_s - started_s >= seconds:
                return


async def _print_lines(newest: AsyncIterator[Frame], seconds: float | None, view: View) -> None:
    started_s, printed_s = time.monotonic(), 0.0
    async for frame in newest:
        now_s = time.monotonic()
        if now_s - printed_s >= LINE_S or frame.trouble:
            printed_s = now_s
            if frame.trouble:
                out = sys.stdout if view.render is not None else sys.stderr
                print(f"{time.strftime('%H:%M:%S')} STALE {frame.trouble}", file=out, flush=True)
            elif frame.picture:
                for picture in frame.picture.get("services", [frame.picture]):
                    stamp = (time.strftime("%H:%M:%S"),) if view.render is not None else ()
                    print(*stamp, view.line(picture), flush=True)
        if seconds is not None and now_s - started_s >= seconds:
            return


def line(picture: dict[str, Any]) -> str:
    """A service on one line, for logs."""
    traffic, pods = picture["traffic"], picture["pods"]
    in_flight = traffic["inFlight"]
    parts = [
        f"{picture['namespace']}/{picture['name']:<14} {picture['health']['state']:<8} pods={pods['total']}/{pods['desired']}",
        *(f"{state}={pods[state]}" for state in ("pending", "serving", "unready", "silent", "bare", "leaving")),
        f"rps={screen.rate(traffic['requestsPerSecond'])} p95={screen.duration(traffic['responseTime']['p95'])}",
        f"errors={screen.ratio(traffic['errorRatio'])} inflight={'–' if in_flight is None else in_flight['bands']}",
    ]
    return " ".join(parts)


def wide_console() -> Console:
    """The terminal; where there is none, wide enough for every column, because nobody's lines are cut in a file."""
    console = Console()
    return console if console.is_terminal else Console(width=200)


def run_top(caller: Caller, path: str, *, single: bool, output: str, seconds: float | None) -> None:
    """Text, for programs and where there is no terminal to draw on."""
    if output != "table":
        print(encode(asyncio.run(once(caller, path)), output))
    elif single:
        console = wide_console()
        console.print(render(asyncio.run(once(caller, path)), 10_000))
    else:
        asyncio.run(show(frames(caller, stream_of(path)), seconds, View(render, line)))
