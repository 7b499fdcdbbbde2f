"""A line of the screen: spans of text with roles, and what lies behind them all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from rich.cells import cell_len

from .cells import Cell, fit

GAP = Cell("  ")


class Line(NamedTuple):
    """Spans from left to right. `back` is the role of what is behind them, for a line that is marked."""

    spans: tuple[Cell, ...] = ()
    back: str = ""

    @property
    def text(self) -> str:
        """What is read."""
        return "".join(span.text for span in self.spans)


BLANK = Line()


def line(*spans: Cell | str, back: str = "") -> Line:
    """A line of spans; a bare text has no role."""
    return Line(tuple(span if isinstance(span, Cell) else Cell(span) for span in spans), back)


def labelled(pairs: Iterable[tuple[str, Cell]]) -> list[Cell]:
    """`requests/s 120  p95 87ms`: names are quiet, values are not."""
    spans: list[Cell] = []
    for name, value in pairs:
        spans += [GAP] if spans else []
        spans += [Cell(f"{name} ", "dim"), value]
    return spans


def apart(left: Iterable[Cell], right: Iterable[Cell], width: int) -> Line:
    """Spans at both ends of a line; where they do not fit, the left ones are cut."""
    ends = tuple(right)
    room = width - sum(_size(span) for span in ends)
    begin = cut(left, max(0, room - 2) if ends else room)
    return Line((*begin, Cell(" " * max(0, room - sum(_size(span) for span in begin))), *ends))


def cut(spans: Iterable[Cell], width: int) -> tuple[Cell, ...]:
    """Spans that take at most so many columns."""
    kept: list[Cell] = []
    for span in spans:
        size = _size(span)
        if size > width:
            return (*kept, Cell(fit(span.text, width), span.role)) if width > 0 else tuple(kept)
        kept.append(span)
        width -= size
    return tuple(kept)


def padded(spans: Iterable[Cell], width: int) -> tuple[Cell, ...]:
    """Spans that take exactly so many columns."""
    kept = cut(spans, width)
    rest = width - sum(_size(span) for span in kept)
    return (*kept, Cell(" " * rest)) if rest > 0 else kept


def beside(left: list[Line], right: list[Line], width: int, gap: int = 2) -> list[Line]:
    """Two blocks next to each other; the left one takes `width`."""
    height = max(len(left), len(right))
    both = []
    for place in range(height):
        one = left[place] if place < len(left) else BLANK
        other = right[place] if place < len(right) else BLANK
        both.append(Line((*padded(one.spans, width), Cell(" " * gap), *other.spans)))
    return both


def rule(title: str, width: int, *more: Cell) -> Line:
    """A quiet heading over what follows, as wide as that."""
    spans = (Cell("─ ", "rule"), Cell(title, "title"), Cell(" "), *more)
    size = sum(_size(span) for span in spans)
    return Line((*cut(spans, width), Cell("─" * max(0, width - size), "rule")))


def _size(span: Cell) -> int:
    return len(span.text) if span.text.isascii() else cell_len(span.text)
