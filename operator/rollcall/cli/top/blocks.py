"""What the screens of a service and of a pod are made of."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

from rollcall.cli import screen

from .cells import Cell
from .charts import Numbers, spark
from .lines import BLANK, Line, apart, line, rule
from .session import Session

ROOMY = 8
"""From so many rows on, what is cut of the row under the cursor is told below the table."""
SENTENCES = ("errors", "departures")
TALL = 36
"""From so many rows on, charts are higher and there is more beside the table."""


def table(session: Session, width: int, room: int) -> list[Line]:
    """The table in use, in so many rows."""
    room = max(2, room)
    session.page = room - 1
    if session.rows(session.part) is None:
        said = "waiting for the pods …" if session.moment is None else "nothing is kept of the pods at this moment"
        return [Line(), line(Cell(f" {said}", "dim")), *[BLANK] * (room - 2)]
    below = 0 if room < ROOMY else 2 if session.part in SENTENCES else 1
    session.page = room - below - 1
    scene = session.scene()
    found = session.listing.lines(width, room - below, scene)
    told = textwrap.wrap(session.listing.detail(width, scene), max(20, width - 4))[:below]
    detail = [line(Cell(f" {' ' if i else '└'} {text}", "dim")) for i, text in enumerate(told)]
    blank = [BLANK] * (room - below - len(found))
    return [*found, *blank, *detail, *[BLANK] * (below - len(told))]


def tabs(session: Session, width: int, note: str = "") -> Line:
    """The tables that there are, with how many rows each has."""
    spans = [Cell(" ")]
    for part in session.parts:
        name = "left" if part == "departures" else part
        found = session.rows(part)
        many = "" if not found else f" {len(found)}"
        spans.append(Cell(f" {name}{many} ", "tab" if part == session.part else "dim"))
    listing = session.listing
    sort = listing.table.columns[listing.sort].title.lower() if listing.sort is not None else ""
    said = "   ".join(filter(None, (f"by {sort}" if sort else "", note)))
    return apart(spans, [Cell(f"{said} ", "dim")] if said else [], width)


def chart(
    title: str,
    values: Numbers,
    height: int,
    of: Callable[[float | None], Cell],
    span_s: int,
    place: int | None = None,
) -> list[Line]:
    """A sparkline under its heading, as wide as there are values; `place` is the column of the moment that is looked at."""
    wide = len(values)
    known = [value for value in values if value is not None]
    top = max(known, default=None)
    known_of = "nothing kept yet " if top is None else f"highest {of(top).text} in {screen.age(span_s)} "
    rows = spark(values, height, top)
    return [Line((Cell(" "), *rule(title, wide, Cell(known_of, "dim")).spans)), *(_with_mark(row, place) for row in rows)]


def _with_mark(row: str, place: int | None) -> Line:
    """A row of a chart, with the column of the moment that is looked at."""
    if place is None or not 0 <= place < len(row):
        return line(" ", Cell(row, "line"))
    return line(" ", Cell(row[:place], "line"), Cell(row[place], "here"), Cell(row[place + 1 :], "line"))
