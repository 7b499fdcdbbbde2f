"""What happens in each row right now: requests per second from its last two reports, and its recent histogram."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rollcall_agent.wire import grid

from .rows import LATE_S, Rows

GENERATION_S = 5.0
IN_FLIGHT_S = 5.0


class Pace:
    """Requests per second and agent CPU of every row, from the difference of its last two reports, by the agent's clock; NaN
    where there are no two reports in a row. `in_flight` is smoothed over some seconds, so that pods can be compared by it."""

    def __init__(self) -> None:
        self._end_us = np.zeros(0, dtype=np.int64)
        self._finished = np.zeros(0, dtype=np.int64)
        self._cpu_us = np.zeros(0, dtype=np.int64)
        self.requests_per_second = np.full(0, np.nan)
        self.agent_millicores = np.full(0, np.nan)
        self.in_flight = np.zeros(0)

    def update(self, rows: Rows) -> None:
        """Take in the reports that came since the last call; a row that did not change keeps its pace."""
        reports = rows.reports
        self._fit(len(reports))
        end_us = reports["window_end_us"].astype(np.int64)
        finished = reports["finished"].astype(np.int64)
        cpu_us = reports["agent_cpu_us"].astype(np.int64)
        span_s = (end_us - self._end_us) / 1e6
        changed = end_us != self._end_us
        follows = changed & (self._end_us > 0) & (span_s > 0) & (span_s <= LATE_S) & (finished >= self._finished)
        safe_span = np.where(follows, span_s, 1.0)
        self.requests_per_second = np.where(
            changed, np.where(follows, (finished - self._finished) / safe_span, np.nan), self.requests_per_second
        )
        # A restarted agent may have forgotten its last seconds of CPU.
        millicores = np.maximum(cpu_us - self._cpu_us, 0) / 1e3 / safe_span
        smoothed = np.where(np.isnan(self.agent_millicores), millicores, 0.9 * self.agent_millicores + 0.1 * millicores)
        self.agent_millicores = np.where(changed, np.where(follows, smoothed, np.nan), self.agent_millicores)
        # A row that was empty begins with what it is.
        weight = np.where(self._end_us == 0, 1.0, 1 - np.exp(-np.clip(span_s, 0.0, LATE_S) / IN_FLIGHT_S))
        self.in_flight += weight * (reports["in_flight"] - self.in_flight)
        self._end_us, self._finished, self._cpu_us = end_us, finished, cpu_us

    def _fit(self, size: int) -> None:
        missing = size - len(self._end_us)
        if missing > 0:
            zeros = np.zeros(missing, dtype=np.int64)
            self._end_us = np.concatenate([self._end_us, zeros])
            self._finished = np.concatenate([self._finished, zeros])
            self._cpu_us = np.concatenate([self._cpu_us, zeros])
            self.requests_per_second = np.concatenate([self.requests_per_second, np.full(missing, np.nan)])
            self.agent_millicores = np.concatenate([self.agent_millicores, np.full(missing, np.nan)])
            self.in_flight = np.concatenate([self.in_flight, np.zeros(missing)])


class Generations:
    """Two older copies of the cumulative counts of every row, so that each pod has a window of 5 to 10 seconds of its own.

    The alternative, a ring of matrices as for the service, would cost 80 KiB per pod; this costs 3.4 KiB.
    """

    def __init__(self) -> None:
        self._older = self._newer = _Copy(0)
        self._since_s = -np.inf

    def update(self, rows: Rows, now_s: float) -> None:
        """Begin a new generation when it is time."""
        if now_s - self._since_s >= GENERATION_S:
            self._older, self._newer, self._since_s = self._newer, _Copy.of(rows), now_s

    def reset(self, rows: Rows, row: int) -> None:
        """Make a row's window start now: it was taken over or released, or its counts jumped for reasons of the past."""
        for copy in (self._older, self._newer):
            copy.fit(len(rows.reports))
            copy.take_row(rows, row)

    def finished(self, rows: Rows, of: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
        """Requests of these rows since the older generation, shape (n,)."""
        self._older.fit(len(rows.reports))
        return rows.reports["finished"][of].astype(np.int64) - self._older.finished[of]

    def window(self, rows: Rows) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(histograms, ended, failed) of every row since the older generation, shapes (n, BUCKETS), (n,), (n,): a request that
        was never answered has ended and failed, and is in no histogram."""
        older = self._older
        older.fit(len(rows.reports))
        histograms = rows.reports["histogram"]
        lost = rows.reports["lost"].astype(np.int64) - older.lost
        return (
            # Half the bytes of a signed difference, and five times its speed.
            np.where(histograms > older.histogram, histograms - older.histogram, 0),
            rows.reports["finished"].astype(np.int64) - older.finished + lost,
            rows.reports["errors"].astype(np.int64) - older.errors + lost,
        )

    def window_of(self, rows: Rows, row: int) -> tuple[npt.NDArray[np.int64], int, int]:
        """The same of one row: (histogram, ended, failed)."""
        older, report = self._older, rows.reports[row]
        older.fit(len(rows.reports))
        lost = int(report["lost"]) - int(older.lost[row])
        return (
            np.maximum(report["histogram"].astype(np.int64) - older.histogram[row], 0),
            int(report["finished"]) - int(older.finished[row]) + lost,
            int(report["errors"]) - int(older.errors[row]) + lost,
        )


class _Copy:
    """Counts of all rows at one moment."""

    def __init__(self, size: int) -> None:
        self.histogram: npt.NDArray[np.uint32] = np.zeros((size, grid.BUCKETS), dtype=np.uint32)
        self.finished = np.zeros(size, dtype=np.int64)
        self.errors = np.zeros(size, dtype=np.int64)
        self.lost = np.zeros(size, dtype=np.int64)

    @classmethod
    def of(cls, rows: Rows) -> _Copy:
        copy = cls(0)
        copy.histogram = rows.reports["histogram"].copy()
        copy.finished = rows.reports["finished"].astype(np.int64)
        copy.errors = rows.reports["errors"].astype(np.int64)
        copy.lost = rows.reports["lost"].astype(np.int64)
        return copy

    def fit(self, size: int) -> None:
        missing = size - len(self.finished)
        if missing > 0:
            self.histogram = np.concatenate([self.histogram, np.zeros((missing, self.histogram.shape[1]), dtype=np.uint32)])
            self.finished = np.concatenate([self.finished, np.zeros(missing, dtype=np.int64)])
            self.errors = np.concatenate([self.errors, np.zeros(missing, dtype=np.int64)])
            self.lost = np.concatenate([self.lost, np.zeros(missing, dtype=np.int64)])

    def take_row(self, rows: Rows, row: int) -> None:
        # An agent may claim more than 63 bits hold: `astype` wraps, assigning would raise.
        self.histogram[row] = rows.reports["histogram"][row]
        self.finished[row] = rows.reports["finished"][row].astype(np.int64)
        self.errors[row] = rows.reports["errors"][row].astype(np.int64)
        self.lost[row] = rows.reports["lost"][row].astype(np.int64)
