"""`rollcall top`: an app where there is a terminal, pictures as text where there is none.

    printed.py    one picture, a line a second, tables that move: for files, programs and `--watch`
    picture.py    what of the live API is read           cells.py      values as short texts with a role
    past.py       what was: seconds, pods, whole pictures filters.py    what `/` finds
    table.py      rows that can be filtered and sorted   parts.py      the tables of each part of a service
    charts.py     sparklines and the equalizer           session.py    what is shown, and what keys do to it
    feed.py       one stream per place, from the live API app.py        the terminal

Everything but feed and app is pure: time and pictures are passed in. The terminal shows lines of spans (text, role), which a
skin turns into colours; nothing but lines that changed is drawn.
"""

from __future__ import annotations

import asyncio
import os
import sys

from rollcall.cli.connection import Caller, live_api

from . import printed
from .printed import View, line, once, path_of, render, service_screen, show, stream_of, wide_console

__all__ = ["View", "line", "once", "path_of", "render", "run_top", "service_screen", "show", "stream_of", "wide_console"]


def run_top(
    caller: Caller,
    service: str | None,
    *,
    all_namespaces: bool = False,
    single: bool = False,
    output: str = "table",
    seconds: float | None = None,
    skin: str | None = None,
    at: int | None = None,
) -> None:
    """The command: the app where somebody looks, else text."""
    if single or output != "table" or at is not None or not _has_screen():
        path = path_of(service, caller.target.namespace, all_namespaces=all_namespaces)
        if at is not None:
            path += f"{'&' if '?' in path else '?'}at={at}"
        printed.run_top(caller, path, single=single or at is not None, output=output, seconds=seconds)
        return
    # only here, because textual takes a while and no other command needs it
    from .app import run_app
    from .session import Place, Session
    from .skins import preferred

    options = f"--context {caller.target.context}" if caller.target.context else ""
    place = Place(None if all_namespaces and service is None else caller.target.namespace, service or "")
    session = Session(place, skin=skin or preferred(), options=options)
    asyncio.run(run_app(session, lambda: live_api(caller), seconds))


def _has_screen() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
