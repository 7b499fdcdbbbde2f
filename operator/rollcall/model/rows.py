"""The latest report of every pod of one service, as the rows of one matrix.

A REPORT is not decoded when it arrives: its body is copied into the pod's row, and the fold sums columns. Reports are
cumulative, so a row is always the whole truth of its pod, and a report that is lost or sent twice changes nothing.

Two sums go with the matrix. `retired` holds what pods that left have counted, so that totals never fall. `excluded` holds
what belongs to the totals but not to any live window: requests of before the operator knew the pod (its restart), and of
a time in which the pod was silent. They are counted, but never shown as traffic of this moment.
"""

from __future__ import annotations

import math
import struct
from enum import Enum
from typing import cast

import numpy as np
import numpy.typing as npt

from rollcall_agent.wire import report

from .states import SILENT_AFTER_S

LATE_S = SILENT_AFTER_S
"""A report that comes later than this after the one before (three intervals) does not count as traffic of now."""

_TYPES = {"Q": "<u8", "I": "<u4"}
REPORT_DTYPE = np.dtype(
    [(f.name, _TYPES[f.code], (f.size,)) if f.size > 1 else (f.name, _TYPES[f.code]) for f in report.FIELDS]
)
assert REPORT_DTYPE.itemsize == report.SIZE

_ORDER = struct.Struct("<QQQ")
"""`window_end_us`, `started`, `finished`: they stand side by side, and none of them ever goes back within an epoch."""
_ORDER_AT = report.offset("window_end_us")
assert [f.name for f in report.FIELDS[1:4]] == ["window_end_us", "started", "finished"]

COUNTERS = ("started", "finished", "errors", "duration_us", "lost")
Histogram = npt.NDArray[np.int64]


class Sums:
    """What one or many pods have counted: the scalar counters by name, responses by class, and the histogram."""

    __slots__ = ("histogram", "responses", "scalars")

    def __init__(self, scalars: dict[str, int] | None = None, histogram: Histogram | None = None) -> None:
        self.scalars: dict[str, int] = dict.fromkeys(COUNTERS, 0) | (scalars or {})
        self.responses: Histogram = np.zeros(5, dtype=np.int64)
        self.histogram: Histogram = (
            np.zeros(REPORT_DTYPE["histogram"].shape, dtype=np.int64) if histogram is None else histogram
        )

    @classmethod
    def of(cls, reports: npt.NDArray[np.void]) -> Sums:
        """The sum over an array of reports, shape (n,)."""
        sums = cls({name: int(reports[name].sum()) for name in COUNTERS}, reports["histogram"].sum(axis=0, dtype=np.int64))
        sums.responses = reports["responses"].sum(axis=0, dtype=np.int64)
        return sums

    def plus(self, other: Sums, sign: int = 1) -> Sums:
        """A new sum: this one plus (or, with sign -1, minus) another."""
        result = Sums(
            {name: value + sign * other.scalars[name] for name, value in self.scalars.items()},
            self.histogram + sign * other.histogram,
        )
        result.responses = self.responses + sign * other.responses
        return result

    def minus(self, other: Sums) -> Sums:
        """A new sum: this one minus another."""
        return self.plus(other, -1)


class Taken(Enum):
    """What `Rows.accept` did with a report."""

    LIVE = "what it adds is traffic of now"
    PAST = "what it adds counts, but in no window"
    LATE = "it is older than what is known, or counts less: ignored"


class Rows:
    """The matrix: `take` and `release` rows, `accept` reports into them, read them as columns."""

    def __init__(self, capacity: int = 16) -> None:
        self._allocate(capacity)
        self._free = list(range(capacity - 1, -1, -1))
        self._used = 0  # rows from here on were never taken: they need not be summed
        self.retired = Sums()
        self.excluded = Sums()

    def _allocate(self, capacity: int) -> None:
        self.reports = np.zeros(capacity, dtype=REPORT_DTYPE)
        self.received_s = np.full(capacity, -np.inf)
        # Views for one row at a time: item access through numpy costs twice as much.
        self._memory = self.reports.view(np.uint8).data
        self._received = cast("memoryview[float]", self.received_s.data)

    def __len__(self) -> int:
        """Rows in use."""
        return len(self.reports) - len(self._free)

    def take(self) -> int:
        """A free row, all zero; the matrix doubles when it is full."""
        if not self._free:
            self._grow()
        row = self._free.pop()
        self._used = max(self._used, row + 1)
        return row

    def _grow(self) -> None:
        old_reports, old_received = self.reports, self.received_s
        size = len(old_reports)
        self._allocate(2 * size)
        self.reports[:size] = old_reports
        self.received_s[:size] = old_received
        self._free = list(range(2 * size - 1, size - 1, -1))

    def release(self, row: int) -> None:
        """Let go of a row: what it counted moves to `retired`, so no total and no window changes."""
        self.retired = self.retired.plus(self.sums(row))
        self.reports[row] = 0
        self.received_s[row] = -np.inf
        self._free.append(row)

    def restart(self, row: int) -> None:
        """The same pod begins to count anew (its agent's epoch changed): keep what it counted, empty its row."""
        self.retired = self.retired.plus(self.sums(row))
        self.reports[row] = 0
        self.received_s[row] = -np.inf

    def body(self, row: int) -> bytes:
        """A copy of the row as a report's body."""
        return bytes(self._memory[row * report.SIZE : (row + 1) * report.SIZE])

    def restore(self, row: int, body: bytes, received_s: float) -> None:
        """Undo a `release`: the counts come back out of `retired` into a row, so no total and no window changes."""
        self._copy(row, body)
        self.received_s[row] = received_s
        self.retired = self.retired.minus(self.sums(row))

    def sums(self, row: int) -> Sums:
        """What one row has counted."""
        return Sums.of(self.reports[row : row + 1])

    def accept(self, row: int, body: bytes, now_s: float, *, live: bool = True) -> Taken:
        """Copy the body of a REPORT (at least its first four fields) into a row.

        `live=False`, or a gap since the last report, excludes the difference from windows. A report that was overtaken
        by a newer one (over an older connection) is ignored, because sums must never fall.
        """
        end_us, started, finished = _ORDER.unpack_from(body, _ORDER_AT)
        end_before_us, started_before, finished_before = _ORDER.unpack_from(self._memory, row * report.SIZE + _ORDER_AT)
        if end_us < end_before_us or started < started_before or finished < finished_before:
            return Taken.LATE
        last_s = self._received[row]
        if live and (now_s - last_s <= LATE_S or last_s == -math.inf):
            self._copy(row, body)
            self._received[row] = now_s
            return Taken.LIVE
        before = self.sums(row)
        self._copy(row, body)
        self.received_s[row] = now_s
        self.excluded = self.excluded.plus(self.sums(row).minus(before))
        return Taken.PAST

    def _copy(self, row: int, body: bytes) -> None:
        at = row * report.SIZE
        size = len(body)
        if size >= report.SIZE:
            self._memory[at : at + report.SIZE] = body if size == report.SIZE else body[: report.SIZE]
        else:
            self._memory[at : at + size] = body
            self._memory[at + size : at + report.SIZE] = bytes(report.SIZE - size)

    def age_s(self, row: int | None, now_s: float) -> float | None:
        """Seconds since the last report in a row; None for no row, or one that has none."""
        if row is None or self._received[row] == -math.inf:
            return None
        return now_s - self._received[row]

    def total(self) -> Sums:
        """Everything ever counted: rows and retired pods."""
        return Sums.of(self.reports[: self._used]).plus(self.retired)

    def counted(self) -> dict[str, int]:
        """The scalars of `total` alone."""
        rows, retired = self.reports[: self._used], self.retired.scalars
        return {name: int(rows[name].sum()) + retired[name] for name in COUNTERS}
