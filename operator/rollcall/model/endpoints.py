"""Endpoints of one service, over all its pods: how often, how fast, how much of the time.

Totals go back to when counting began and keep what departed pods have counted; everything else is of the last 10 seconds.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rollcall_agent.wire import facts, grid

from .names import Names
from .picture import EndpointRow, Endpoints, Folded
from .seconds import Seconds
from .sketch import quantile_of_each

MOST_ROWS = 50
RANKS = (0.5, 0.95, 0.99)
_REQUESTS, _FAILURES, _DURATION = range(3)
_COLUMN = {facts.REQUESTS: _REQUESTS, facts.FAILURES: _FAILURES, facts.DURATION: _DURATION}
Counts = npt.NDArray[np.int64]
Integers = npt.NDArray[np.integer]


class EndpointTable:
    """Add records, then ask for the picture. A number is that of `names`."""

    def __init__(self) -> None:
        self.names = Names(facts.OTHER_ENDPOINT)
        self.heard = False
        self.most_folded = 0
        """The largest number of names that one pod folded itself."""
        self._totals = np.zeros((facts.MAX_IDS, 3), np.int64)
        self._counts = Seconds((3,), np.int64)
        self._cells = Seconds((grid.BUCKETS,), np.uint32)
        self._shown: tuple[float, bool, Endpoints | None] | None = None

    def add(self, kind: int, numbers: Integers, values: Integers, now_s: float, *, live: bool) -> None:
        """Requests, failures or durations (µs) of endpoints, shapes (n,); `live=False` adds to the totals alone."""
        self.heard = True
        self._shown = None
        added = np.zeros((len(self.names), 3), np.int64)
        added[:, _COLUMN[kind]] = np.bincount(numbers, values, len(self.names))
        self._totals[: len(added)] += added
        if live:
            self._counts.add(now_s, added)

    def add_cells(self, numbers: Integers, buckets: Integers, values: Integers, now_s: float) -> None:
        """Requests by endpoint and bucket (each below `grid.BUCKETS`), shapes (n,)."""
        self._shown = None
        size = len(self.names)
        cells = np.bincount(numbers.astype(np.intp) * grid.BUCKETS + buckets, values, size * grid.BUCKETS)
        self._cells.add(now_s, cells.reshape(size, grid.BUCKETS))

    def totals(self) -> dict[str, tuple[int, int]]:
        """Requests and errors of each endpoint since counting began; none of them ever falls."""
        rows = self._totals[: len(self.names), : _FAILURES + 1].tolist()
        return {name: (requests, errors) for name, (requests, errors) in zip(self.names.names, rows, strict=True) if requests}

    def picture(self, now_s: float, *, live: bool) -> Endpoints | None:
        """The endpoints as of now; None when nothing was ever told of them. `live=False`: no pod tells now, so nothing is
        known of the window."""
        if self._shown is None or self._shown[:2] != (now_s, live):
            self._shown = now_s, live, self._picture(now_s, live) if self.heard else None
        return self._shown[2]

    def _picture(self, now_s: float, live: bool) -> Endpoints:
        size = len(self.names)
        totals, counts, cells = self._totals[:size], self._counts.total(now_s, size), self._cells.total(now_s, size)
        order = np.lexsort((-totals[:, _REQUESTS], -counts[:, _DURATION])).tolist()
        order.remove(0)
        top, rest = order[:MOST_ROWS], [0, *order[MOST_ROWS:]]
        names = [self.names.names[number] for number in top]
        merged = totals[rest].sum(axis=0)
        hidden = len(rest) - 1 + self.names.folded + self.most_folded
        if merged[_REQUESTS] or hidden:
            names.append(facts.OTHER_ENDPOINT)
            totals, counts, cells = (
                np.concatenate([each[top], each[rest].sum(axis=0, keepdims=True)]) for each in (totals, counts, cells)
            )
        else:
            totals, counts, cells = totals[top], counts[top], cells[top]
        rows = _rows(names, totals, counts, cells, self._counts.span_s(now_s) if live else None)
        return Endpoints(rows, Folded(hidden, int(merged[_REQUESTS])))


def _rows(names: list[str], totals: Counts, counts: Counts, cells: Counts, span_s: float | None) -> list[EndpointRow]:
    """`span_s` None: nothing is known of the window."""
    columns = [_known(quantile_of_each(cells, rank)) for rank in RANKS] if names else [[], [], []]
    all_us = int(counts[:, _DURATION].sum())
    rows = []
    for name, total, window, p50, p95, p99 in zip(names, totals.tolist(), counts.tolist(), *columns, strict=True):
        requests, failures, duration_us = window
        seen = requests > 0 and span_s is not None
        rows.append(
            EndpointRow(
                endpoint=name,
                requests_per_second=requests / span_s if span_s else None,
                error_ratio=failures / requests if seen else None,
                mean=duration_us / requests / 1e6 if seen else None,
                p50=p50 if seen else None,
                p95=p95 if seen else None,
                p99=p99 if seen else None,
                share=duration_us / all_us if all_us > 0 and span_s else None,
                requests=total[_REQUESTS],
                errors=total[_FAILURES],
            )
        )
    return rows


def _known(values: npt.NDArray[np.float64]) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]
