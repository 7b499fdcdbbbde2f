"""Dependencies of one service, over all its pods: how often they are called, how fast they are, how they fail, and which part
of the response time goes by waiting for them."""

from __future__ import annotations

import numpy as np

from rollcall_agent.wire import facts

from .causes import Dependencies, DependencyRow, FoldedDependencies
from .table import Counts, CountTable, Integers, KeptCounts, Top

_CALLS, _DURATION, _WAITED, _FAILED = range(4)
_COLUMN = {facts.CALLS: _CALLS, facts.CALL_DURATION: _DURATION, facts.WAITED: _WAITED}
REASONS = facts.REASONS


class DependencyTable:
    """Add records, then ask for the picture. A number is that of `names`."""

    def __init__(self) -> None:
        self._table = CountTable(facts.OTHER_DEPENDENCY, _FAILED + len(REASONS))
        self.names = self._table.names
        self.failed_s = -np.inf
        """When a call was last told that failed because there is too little of the dependency."""
        self._shown: tuple[tuple[float, int, int | None], Dependencies] | None = None

    def add(self, kind: int, numbers: Integers, values: Integers, now_s: float, *, live: bool) -> None:
        """Calls, their durations, or what was waited for them (µs), shapes (n,); `live=False` adds to the totals alone."""
        self._table.add(numbers, _COLUMN[kind], values, now_s, live=live)

    def add_failures(self, numbers: Integers, reasons: Integers, values: Integers, now_s: float, *, live: bool) -> None:
        """Calls that failed, by reason, shapes (n,); a reason of a later version is an error as any other."""
        known = np.where(reasons < len(REASONS), reasons, 0)
        self._table.add(numbers, _FAILED + known.astype(np.intp), values, now_s, live=live)
        if live and np.isin(known, facts.THROTTLES).any():
            self.failed_s = now_s

    def add_cells(self, numbers: Integers, buckets: Integers, values: Integers, now_s: float) -> None:
        """Calls by dependency and bucket (each below `grid.BUCKETS`), shapes (n,)."""
        self._table.add_cells(numbers, buckets, values, now_s)

    def totals(self) -> dict[str, tuple[int, dict[str, int]]]:
        """Calls, and failures by reason, of each dependency since counting began; none of them ever falls."""
        return {
            name: (row[_CALLS], {reason: count for reason, count in zip(REASONS, row[_FAILED:], strict=True) if count})
            for name, row in zip(self.names.names, self._table.totals().tolist(), strict=True)
            if row[_CALLS] or any(row[_FAILED:])
        }

    def waited_us(self, now_s: float) -> dict[str, int]:
        """How long requests of the window waited for each dependency."""
        column = self._table.counts(now_s)[:, _WAITED].tolist() if self._table.heard else []
        return {name: waited for name, waited in zip(self.names.names, column, strict=False) if waited}

    def failures(self, now_s: float, seconds: int | None = None) -> tuple[Counts, Counts, float]:
        """Calls, shape (names,), failures, shape (names, reasons), and how long the window is (or its last so many seconds)."""
        counts = self._table.counts(now_s, seconds)
        return counts[:, _CALLS], counts[:, _FAILED:], self._table.span_s(now_s, seconds)

    def kept(self) -> KeptCounts:
        """What must outlive this process."""
        return self._table.kept()

    def restore(self, kept: KeptCounts) -> None:
        """Go on from that."""
        self._table.restore(kept)

    def picture(self, now_s: float, response_us: int | None) -> Dependencies | None:
        """The dependencies as of now; None when nothing was ever told of one. `response_us` is the sum of all response times of
        the window, None when no pod tells now, so that nothing is known of it."""
        if not self._table.heard:
            return None
        key = (now_s, self._table.version, response_us)
        if self._shown is None or self._shown[0] != key:
            top = self._table.top(now_s, _WAITED, _CALLS)
            rows = _rows(top, self._table.span_s(now_s) if response_us is not None else None, response_us or 0)
            self._shown = key, Dependencies(rows, FoldedDependencies(top.hidden, int(top.rest[_CALLS])))
        return self._shown[1]


def _rows(top: Top, span_s: float | None, response_us: int) -> list[DependencyRow]:
    """`span_s` None: nothing is known of the window."""
    rows = []
    for name, total, window, ranks in zip(top.names, top.totals.tolist(), top.counts.tolist(), top.quantiles(), strict=True):
        calls, duration_us, waited_us, failures = window[_CALLS], window[_DURATION], window[_WAITED], window[_FAILED:]
        seen = calls > 0 and span_s is not None
        p50, p95, p99 = ranks if seen else (None, None, None)
        rows.append(
            DependencyRow(
                dependency=name,
                calls_per_second=calls / span_s if span_s else None,
                failure_ratio=min(1.0, sum(failures) / calls) if seen else None,
                failures={reason: count / span_s for reason, count in zip(REASONS, failures, strict=True) if count and span_s},
                mean=duration_us / calls / 1e6 if seen else None,
                p50=p50,
                p95=p95,
                p99=p99,
                # Little's law: the mean number of calls at the same time is their rate times their mean duration.
                concurrency=duration_us / 1e6 / span_s if span_s else None,
                share=min(1.0, waited_us / response_us) if span_s and response_us > 0 else None,
                calls=total[_CALLS],
                failed=sum(total[_FAILED:]),
            )
        )
    return rows
