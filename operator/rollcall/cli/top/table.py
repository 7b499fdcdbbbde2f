"""Rows that can be filtered, sorted and walked through. Only those that are seen are made into text, so 5,000 cost what 40 do.

Rows do not jump: an order by a value that changes is renewed every two seconds, and the cursor stays on what it is on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .cells import NONE, Cell, fit
from .filters import Fields, Filter, parse
from .lines import Line, line, padded

SORT_EVERY_S = 2.0
GAP = 2


@dataclass(frozen=True)
class Scene:
    """What cells need beside their row: the time of the picture, the bounds of the bands, and what was before."""

    at: float
    bands_ms: list[int] = field(default_factory=list)
    trend: Callable[[str], list[float | None]] = lambda _: []


@dataclass(frozen=True)
class Column:
    """One column. `key` is what rows are sorted by (None: not by this); what is `spare` goes first where there is no room,
    the highest first; a column that `grows` takes the room that is left."""

    title: str
    width: int
    cell: Callable[[Any, Scene], Cell]
    key: Callable[[Any], Any] | None = None
    right: bool = False
    spare: int = 0
    grows: bool = False
    most: int = 60
    draw: Callable[[Any, Scene, int], list[Cell]] | None = None
    """Several spans instead of a text, in so many columns."""


@dataclass(frozen=True)
class Table:
    """The columns of one kind of row, and what is found in it."""

    title: str
    columns: tuple[Column, ...]
    name: Callable[[Any], str]
    """What a row is known by, from picture to picture."""
    words: Callable[[Any], str]
    fields: Callable[[Any], Fields]
    known: tuple[str, ...]
    empty: str
    labels: Callable[[Any], Fields] | None = None
    """Those of Kubernetes, where rows are pods or services."""


def _none(_: Any) -> Fields:
    return {}


class Listing:
    """A table as somebody looks at it: filter, order, cursor and how far it is scrolled."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.filter: Filter | None = None
        self.sort: int | None = None
        """A column; None: the order of the picture."""
        self.reverse = False
        self.items: Sequence[Any] = ()
        self.shown: list[Any] = []
        self.cursor = 0
        self.top = 0
        self._name: str | None = None
        self._places: dict[str, int] = {}
        self._sorted_s = float("-inf")
        self._needed = [column.width for column in table.columns]
        """How wide columns had to be until now; they never shrink, so that nothing moves sideways."""

    # --- rows

    def take(self, items: Sequence[Any], now_s: float) -> None:
        """Newer rows."""
        self.items = items
        self._arrange(now_s)

    def look_for(self, text: str, now_s: float) -> str:
        """Another filter, as it is written after `/`; none for an empty text. Returns what is wrong with it."""
        self.filter = parse(text, self.table.known, self._label_names(), rows=bool(self.items))
        self._arrange(now_s)
        return "" if self.filter is None else self.filter.problem

    def _label_names(self) -> set[str] | None:
        """The labels that some row has; rows of a kind that has them share a few sets."""
        of = self.table.labels
        if of is None:
            return None
        sets = {id(found): found for item in self.items for found in (of(item),)}
        return {name for found in sets.values() for name in found}

    def sort_by(self, column: int | None, now_s: float, *, reverse: bool | None = None) -> None:
        """Another order: numbers with the largest first, names from a to z."""
        self.sort = column
        right = column is not None and self.table.columns[column].right
        self.reverse = right if reverse is None else reverse
        self._sorted_s = float("-inf")
        self._arrange(now_s)

    def next_sort(self, step: int, now_s: float) -> None:
        """By the next column that can be sorted by; after the last one, as the picture has them."""
        able: list[int | None] = [None, *(i for i, column in enumerate(self.table.columns) if column.key is not None)]
        self.sort_by(able[(able.index(self.sort) + step) % len(able)], now_s)

    def _arrange(self, now_s: float) -> None:
        found, name = self.filter, self.table.name
        shown = list(self.items)
        if found is not None:
            words, fields, labels = self.table.words, self.table.fields, self.table.labels or _none
            shown = [
                item for item in shown if found.matches(partial(words, item), partial(fields, item), partial(labels, item))
            ]
        if self.sort is not None:
            if now_s - self._sorted_s >= SORT_EVERY_S:
                self._sort(shown)
                self._sorted_s = now_s
                self._places = {name(item): place for place, item in enumerate(shown)}
            else:
                places, last = self._places, len(self._places)
                shown.sort(key=lambda item: places.get(name(item), last))
        self.shown = shown
        self._follow()

    def _sort(self, shown: list[Any]) -> None:
        assert self.sort is not None
        key = self.table.columns[self.sort].key
        assert key is not None
        known = [(value, item) for item in shown if (value := key(item)) is not None]
        rest = [item for item in shown if key(item) is None]
        known.sort(key=lambda pair: pair[0], reverse=self.reverse)
        shown[:] = [*(item for _, item in known), *rest]

    # --- the cursor

    def _follow(self) -> None:
        """Stay on the same row; where it is gone, on the one that took its place."""
        last = len(self.shown) - 1
        here = self.shown[self.cursor] if 0 <= self.cursor <= last else None
        if self._name is not None and (here is None or self.table.name(here) != self._name):
            name = self.table.name
            self.cursor = next((i for i, item in enumerate(self.shown) if name(item) == self._name), self.cursor)
        self.go(self.cursor, by_hand=False)

    def go(self, place: int, *, by_hand: bool = True) -> None:
        """To a row by its place, as near as there is one. Who never moved stays at the top, whatever is there."""
        self.cursor = max(0, min(place, len(self.shown) - 1))
        if by_hand and self.shown:
            self._name = self.table.name(self.shown[self.cursor]) if self.cursor else None

    def find(self, name: str) -> bool:
        """To a row by its name."""
        place = next((i for i, item in enumerate(self.shown) if self.table.name(item) == name), None)
        if place is not None:
            self.go(place)
        return place is not None

    @property
    def here(self) -> Any | None:
        """The row under the cursor."""
        return self.shown[self.cursor] if 0 <= self.cursor < len(self.shown) else None

    # --- lines

    def lines(self, width: int, height: int, scene: Scene) -> list[Line]:
        """The head and as many rows as fit; where there are none, a sentence that says so."""
        room = max(1, height - 1)
        self.top = max(0, min(self.top, len(self.shown) - room, self.cursor))
        if self.cursor >= self.top + room:
            self.top = self.cursor - room + 1
        seen = self.shown[self.top : self.top + room]
        columns = self._fitting(width, seen, scene)
        titles = (fit(self._title(i), size, right=self.table.columns[i].right) for i, size in columns)
        head = line(Cell(" " + (" " * GAP).join(titles), "head"))
        if not self.shown:
            said = self.table.empty if not self.items else "nothing has this; esc shows all"
            return [head, Line((Cell(f" {said}", "dim"),))]
        return [head, *(self._row(item, self.top + i, columns, scene) for i, item in enumerate(seen))]

    def detail(self, width: int, scene: Scene) -> str:
        """The names and sentences of the row under the cursor, when the table has not room for all of them."""
        if self.here is None:
            return ""
        fitting = dict(self._fitting(width, [], scene))
        told, cut = [], False
        for i, column in enumerate(self.table.columns):
            if column.grows and (text := column.cell(self.here, scene).text) not in ("", NONE.text):
                told.append(text)
                cut = cut or len(text) > fitting.get(i, 0)
        return "  ".join(dict.fromkeys(told)) if cut else ""

    def _row(self, item: Any, place: int, columns: list[tuple[int, int]], scene: Scene) -> Line:
        spans: list[Cell] = []
        for i, width in columns:
            column = self.table.columns[i]
            spans.append(Cell(" " * GAP if spans else " "))
            if column.draw is not None:
                spans += padded(column.draw(item, scene, width), width)
            else:
                cell = column.cell(item, scene)
                spans.append(Cell(fit(cell.text, width, right=column.right), cell.role))
        return Line(tuple(spans), "cursor" if place == self.cursor else "")

    def _title(self, column: int) -> str:
        title = self.table.columns[column].title
        return title + ("▼" if self.reverse else "▲") if column == self.sort else title

    def _fitting(self, width: int, seen: list[Any], scene: Scene) -> list[tuple[int, int]]:
        """Columns that have room, with their widths; those that grow, as far as their texts need it."""
        columns = self.table.columns
        kept = list(range(len(columns)))
        while kept and sum(columns[i].width + GAP for i in kept) - GAP + 2 > width:
            spare = max(kept, key=lambda i: columns[i].spare)
            if columns[spare].spare == 0:
                break
            kept.remove(spare)
        left = width - 2 + GAP - sum(columns[i].width + GAP for i in kept)
        widths = {i: columns[i].width for i in kept}
        for i in (i for i in kept if columns[i].grows):
            longest = max((len(columns[i].cell(item, scene).text) for item in seen), default=0)
            self._needed[i] = max(self._needed[i], min(longest, columns[i].most))
        growing = sorted((i for i in kept if columns[i].grows), key=lambda i: self._needed[i] - widths[i])
        for place, i in enumerate(growing):
            more = max(0, min(left // (len(growing) - place), self._needed[i] - widths[i]))
            widths[i] += more
            left -= more
        return [(i, widths[i]) for i in kept]
