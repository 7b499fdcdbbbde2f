"""Endpoints of one service, over all its pods: how often, how fast, how much of the time.

A request that never answered, because its worker ended, is a failure and no finished request: it has no response time.
"""

from __future__ import annotations

from rollcall_agent.wire import facts

from .picture import EndpointRow, Endpoints, Folded
from .table import CountTable, Integers, KeptCounts, Top

_REQUESTS, _FAILURES, _DURATION, _UNANSWERED = range(4)
_COLUMN = {
    facts.REQUESTS: _REQUESTS,
    facts.FAILURES: _FAILURES,
    facts.DURATION: _DURATION,
    facts.UNANSWERED: _UNANSWERED,
}


class EndpointTable:
    """Add records, then ask for the picture. A number is that of `names`."""

    def __init__(self) -> None:
        self._table = CountTable(facts.OTHER_ENDPOINT, len(_COLUMN))
        self.names = self._table.names
        self.most_folded = 0
        """The largest number of names that one pod folded itself."""
        self._shown: tuple[tuple[float, bool, int, int], Endpoints] | None = None

    def add(self, kind: int, numbers: Integers, values: Integers, now_s: float, *, live: bool) -> None:
        """Requests, failures, durations (µs) or unanswered requests of endpoints, shapes (n,); `live=False` adds to the totals
        alone."""
        self._table.add(numbers, _COLUMN[kind], values, now_s, live=live)

    def add_cells(self, numbers: Integers, buckets: Integers, values: Integers, now_s: float) -> None:
        """Requests by endpoint and bucket (each below `grid.BUCKETS`), shapes (n,)."""
        self._table.add_cells(numbers, buckets, values, now_s)

    def totals(self) -> dict[str, tuple[int, int]]:
        """Requests and errors of each endpoint since counting began; none of them ever falls."""
        rows = self._table.totals().tolist()
        return {
            name: (row[_REQUESTS], row[_FAILURES]) for name, row in zip(self.names.names, rows, strict=True) if row[_REQUESTS]
        }

    def unanswered(self) -> dict[str, int]:
        """Requests of each endpoint that never answered, since counting began."""
        column = self._table.totals()[:, _UNANSWERED].tolist()
        return {name: count for name, count in zip(self.names.names, column, strict=True) if count}

    def response_us(self, now_s: float) -> int:
        """All response times of the window together."""
        return int(self._table.counts(now_s)[:, _DURATION].sum())

    def kept(self) -> KeptCounts:
        """What must outlive this process."""
        return self._table.kept()

    def restore(self, kept: KeptCounts) -> None:
        """Go on from that."""
        self._table.restore(kept)

    def picture(self, now_s: float, *, live: bool) -> Endpoints | None:
        """The endpoints as of now; None when nothing was ever told of them. `live=False`: no pod tells now, so nothing is
        known of the window."""
        if not self._table.heard:
            return None
        key = (now_s, live, self._table.version, self.most_folded)
        if self._shown is None or self._shown[0] != key:
            top = self._table.top(now_s, _DURATION, _REQUESTS, self.most_folded)
            rows = _rows(top, self._table.span_s(now_s) if live else None)
            self._shown = key, Endpoints(rows, Folded(top.hidden, int(top.rest[_REQUESTS])))
        return self._shown[1]


def _rows(top: Top, span_s: float | None) -> list[EndpointRow]:
    """`span_s` None: nothing is known of the window."""
    all_us = int(top.counts[:, _DURATION].sum())
    rows = []
    timed = top.cells.sum(axis=1).tolist()  # a log that tells no times has its requests in no bucket
    columns = top.names, top.totals.tolist(), top.counts.tolist(), top.quantiles(), timed
    for name, total, window, ranks, known in zip(*columns, strict=True):
        requests, failures, duration_us, unanswered = window
        seen, ended = requests > 0 and span_s is not None, requests + unanswered
        p50, p95, p99 = ranks if seen else (None, None, None)
        rows.append(
            EndpointRow(
                endpoint=name,
                requests_per_second=requests / span_s if span_s else None,
                error_ratio=(failures + unanswered) / ended if ended > 0 and span_s is not None else None,
                mean=duration_us / known / 1e6 if seen and known else None,
                p50=p50,
                p95=p95,
                p99=p99,
                share=duration_us / all_us if all_us > 0 and span_s else None,
                requests=total[_REQUESTS],
                errors=total[_FAILURES],
                unanswered=total[_UNANSWERED],
            )
        )
    return rows
