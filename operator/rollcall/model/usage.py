"""CPU of each row's application container, from the difference of its probe's last two readings; smoothed over seconds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rollcall_agent.wire.report import FLAG_RESOURCES

from .rows import Rows

SMOOTH_S = 3.0
GAP_S = 15.0
"""Two readings that are further apart have nothing to do with each other."""
MOST_US = 10**12
"""More than that nobody adds between two readings, whatever an agent claims; so sums stay in range."""
Floats = npt.NDArray[np.float64]


class Usage:
    """`millicores` and `throttled` (part of the time for which the CPU limit held the container back, 0..1) by row; NaN where
    there are no two readings."""

    def __init__(self) -> None:
        self._at_us = np.zeros(0, np.int64)
        self._cpu_us = np.zeros(0, np.int64)
        self._throttled_us = np.zeros(0, np.int64)
        self.millicores: Floats = np.zeros(0)
        self.throttled: Floats = np.zeros(0)
        self.added_us = 0
        """CPU time, all rows together, that the last update added."""

    def update(self, rows: Rows) -> None:
        """Take in the readings that came since the last call; a row without a new one keeps its figures."""
        reports = rows.reports
        self.added_us = 0
        self._fit(len(reports))
        has = (reports["flags"] & FLAG_RESOURCES) != 0
        at_us = np.where(has, reports["resources_at_us"].astype(np.int64), 0)
        (changed,) = np.nonzero(at_us != self._at_us)
        if not len(changed):
            return
        at_us = at_us[changed]
        cpu_us, throttled_us = (reports[name][changed].astype(np.int64) for name in ("cpu_us", "throttled_us"))
        span_us = at_us - self._at_us[changed]
        added_us, held_us = cpu_us - self._cpu_us[changed], throttled_us - self._throttled_us[changed]
        # A container that was started again counts from zero: its counters have fallen.
        follows = (self._at_us[changed] > 0) & (span_us > 0) & (span_us <= GAP_S * 1e6) & (added_us >= 0) & (held_us >= 0)
        self.added_us = int(np.minimum(added_us[follows], MOST_US).sum())
        safe_us = np.where(follows, span_us, 1)
        weight = 1 - np.exp(-safe_us / 1e6 / SMOOTH_S)
        for figures, now in (
            (self.millicores, 1000 * added_us / safe_us),
            (self.throttled, np.clip(held_us / safe_us, 0.0, 1.0)),
        ):
            before = figures[changed]
            smooth = np.where(np.isnan(before), now, before + weight * (now - before))
            figures[changed] = np.where(follows, smooth, np.nan)
        self._at_us[changed], self._cpu_us[changed], self._throttled_us[changed] = at_us, cpu_us, throttled_us

    def _fit(self, size: int) -> None:
        missing = size - len(self._at_us)
        if missing > 0:
            zeros, unknown = np.zeros(missing, np.int64), np.full(missing, np.nan)
            self._at_us, self._cpu_us, self._throttled_us = (
                np.concatenate([each, zeros]) for each in (self._at_us, self._cpu_us, self._throttled_us)
            )
            self.millicores, self.throttled = (np.concatenate([each, unknown]) for each in (self.millicores, self.throttled))
