"""Counts, sums and histograms by name, over all pods of a service: what endpoints and dependencies have in common.

Totals go back to when counting began and keep what departed pods have counted; the rest is of the last 10 seconds.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from rollcall_agent.wire import facts, grid

from .names import Names
from .seconds import Seconds
from .sketch import quantile_of_each

MOST_ROWS = 50
RANKS = (0.5, 0.95, 0.99)
Counts = npt.NDArray[np.int64]
Integers = npt.NDArray[np.integer]


class KeptCounts(msgspec.Struct, frozen=True, array_like=True):
    """Names, and their totals as rows of int64."""

    names: list[str]
    totals: bytes


class Top(NamedTuple):
    """The first of a table, and what is left added up under the name `other`, if anything is: shapes (n, columns), and
    (n, BUCKETS) of the cells. `hidden` names are among the rest, `rest` is its totals."""

    names: list[str]
    totals: Counts
    counts: Counts
    cells: Counts
    hidden: int
    rest: Counts

    def quantiles(self) -> list[tuple[float | None, ...]]:
        """Of each row at `RANKS`, in seconds; None where nothing was counted."""
        if not self.names:
            return []
        columns = [quantile_of_each(self.cells, rank).tolist() for rank in RANKS]
        return [tuple(None if value != value else value for value in row) for row in zip(*columns, strict=True)]


class CountTable:
    """Add, then ask for the `top`. A number is that of `names`; what a column counts is up to who holds the table."""

    def __init__(self, other: str, columns: int) -> None:
        self.names = Names(other)
        self.heard = False
        self.version = 0
        """Grows with everything that is added."""
        self._columns = columns
        self._totals = np.zeros((facts.MAX_IDS, columns), np.int64)
        self._counts = Seconds((columns,), np.int64)
        self._cells = Seconds((grid.BUCKETS,), np.uint32)

    def add(self, numbers: Integers, columns: Integers | int, values: Integers, now_s: float, *, live: bool) -> None:
        """Values by name and column, shapes (n,); `live=False` adds to the totals alone."""
        self.heard = True
        self.version += 1
        size = len(self.names)
        places = numbers.astype(np.intp) * self._columns + columns
        added = np.bincount(places, values, size * self._columns).astype(np.int64).reshape(size, self._columns)
        self._totals[:size] += added
        if live:
            self._counts.add(now_s, added)

    def add_cells(self, numbers: Integers, buckets: Integers, values: Integers, now_s: float) -> None:
        """Counts by name and bucket (each below `grid.BUCKETS`), shapes (n,)."""
        self.version += 1
        size = len(self.names)
        cells = np.bincount(numbers.astype(np.intp) * grid.BUCKETS + buckets, values, size * grid.BUCKETS)
        self._cells.add(now_s, cells.reshape(size, grid.BUCKETS))

    def restore(self, kept: KeptCounts) -> None:
        """Go on from what `kept` returned, perhaps of a version with fewer columns."""
        values = np.frombuffer(kept.totals, np.int64).reshape(len(kept.names), -1)[:, : self._columns]
        for name, row in zip(kept.names, values, strict=True):
            self._totals[self.names.number_of(name), : len(row)] += row
        self.heard = self.heard or bool(values.any())
        self.version += 1

    def kept(self) -> KeptCounts:
        """What must outlive this process."""
        return KeptCounts(self.names.names, self.totals().tobytes())

    def totals(self) -> Counts:
        """Since counting began, by name and column, shape (names, columns); none of them ever falls."""
        return self._totals[: len(self.names)]

    def counts(self, now_s: float, seconds: int | None = None) -> Counts:
        """The same of the window that ends now, or of its last so many seconds."""
        return self._counts.total(now_s, len(self.names), seconds)

    def span_s(self, now_s: float, seconds: int | None = None) -> float:
        """How long that window is."""
        return self._counts.span_s(now_s, seconds)

    def top(self, now_s: float, by: int, then: int, elsewhere: int = 0) -> Top:
        """The `MOST_ROWS` names with most in column `by` of the window, then in column `then` of the totals; `elsewhere` names
        were added to `other` before they came here."""
        size = len(self.names)
        totals, counts, cells = self.totals(), self.counts(now_s), self._cells.total(now_s, size)
        order = np.lexsort((-totals[:, then], -counts[:, by])).tolist()
        order.remove(0)
        first, rest = order[:MOST_ROWS], [0, *order[MOST_ROWS:]]
        names = [self.names.names[number] for number in first]
        merged = totals[rest].sum(axis=0)
        hidden = len(rest) - 1 + self.names.folded + elsewhere
        if merged.any() or hidden:
            names.append(self.names.names[0])
            totals, counts, cells = (
                np.concatenate([each[first], each[rest].sum(axis=0, keepdims=True)]) for each in (totals, counts, cells)
            )
        else:
            totals, counts, cells = totals[first], counts[first], cells[first]
        return Top(names, totals, counts, cells, hidden, merged)
