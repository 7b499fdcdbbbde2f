"""What the time of a service went into, as far as reports tell it: added up row by row, for the window of the last 10 seconds.

Response times by endpoint and waiting by dependency come as FACTS; this is the rest of what `bottleneck` needs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rollcall_agent.wire.report import FLAG_LISTEN_QUEUE, FLAG_RESOURCES

from .rows import LATE_S, Rows
from .seconds import Seconds
from .usage import MOST_US, Usage

MOST_WAITING = 10**6


class Spending(NamedTuple):
    """Of the window: all response times, those of pods that tell of their CPU, and of their listen queue; CPU time; response
    time times the part of the time for which the CPU limit held its pod back; time for which connections waited to be
    accepted, all of them together. In µs."""

    response_us: int
    measured_us: int
    listening_us: int
    cpu_us: int
    held_us: int
    queued_us: int


class Spent:
    """Call `update` at each fold, after that of `Usage`."""

    def __init__(self) -> None:
        self._end_us = np.zeros(0, np.int64)
        self._duration_us = np.zeros(0, np.int64)
        self._sums = Seconds((len(Spending._fields),), np.int64)

    def update(self, rows: Rows, usage: Usage, now_s: float) -> None:
        """Take in the reports that came since the last call."""
        reports = rows.reports
        missing = len(reports) - len(self._end_us)
        if missing > 0:
            zeros = np.zeros(missing, np.int64)
            self._end_us, self._duration_us = (np.concatenate([each, zeros]) for each in (self._end_us, self._duration_us))
        end_us = reports["window_end_us"].astype(np.int64)
        (changed,) = np.nonzero(end_us != self._end_us)
        if not len(changed):
            return
        duration_us = reports["duration_us"][changed].astype(np.int64)
        span_us, added_us = end_us[changed] - self._end_us[changed], duration_us - self._duration_us[changed]
        # A row that was taken over, or whose pod was silent: the difference is no time of now.
        follows = (self._end_us[changed] > 0) & (span_us > 0) & (span_us <= LATE_S * 1e6) & (added_us >= 0)
        self._end_us[changed], self._duration_us[changed] = end_us[changed], duration_us
        seen, span_us, added_us = changed[follows], span_us[follows], np.minimum(added_us[follows], MOST_US)
        flags = reports["flags"][seen]
        measured = (flags & FLAG_RESOURCES) != 0
        # Before its first request a pod starts: what waits then are probes of its readiness, and no requests.
        listening = ((flags & FLAG_LISTEN_QUEUE) != 0) & (reports["finished"][seen] > 0)
        waiting = np.minimum(reports["listen_queue"][seen], MOST_WAITING).astype(np.int64)
        sums = Spending(
            response_us=int(added_us.sum()),
            measured_us=int(added_us[measured].sum()),
            listening_us=int(added_us[listening].sum()),
            cpu_us=usage.added_us,
            held_us=int((added_us * np.nan_to_num(usage.throttled[seen]))[measured].sum()),
            queued_us=int((waiting * span_us)[listening].sum()),
        )
        self._sums.add(now_s, np.array([sums], np.int64))

    def window(self, now_s: float) -> Spending:
        """Of the window that ends now."""
        return Spending(*self._sums.total(now_s, 1)[0].tolist())
