"""Whether there is too little of a dependency: it refuses connections, says that calls are too many, or the application's own
pool of connections has none left.

A single such failure is no shortage, and a shortage that pauses is still the same. So it begins with `BEGINS` failures of one
reason, within `AT_ONCE_S` seconds, or within the window when they are at least `PART` of the dependency's calls (a service that
calls once a second is told after three calls). It is over when the window (10 s) has had less than `BEGINS` for `QUIET_S`: at
most 21 s after the last failure.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rollcall_agent.wire import facts

from .causes import Throttled
from .dependencies import REASONS, DependencyTable
from .windows import WINDOW_S

BEGINS = 3
AT_ONCE_S = 3
"""The current second and the two before it."""
PART = 0.01
QUIET_S = 10.0
MOST = 20


class _Shortage(NamedTuple):
    """One that lasts: when its first failure was told, and since when it has been quiet."""

    since_s: float
    quiet_s: float | None


class Throttles:
    """Call `update` at each fold, then ask for the `picture`."""

    def __init__(self) -> None:
        self._first_s: dict[tuple[int, int], float] = {}
        self._lasting: dict[tuple[int, int], _Shortage] = {}

    def update(self, table: DependencyTable, now_s: float) -> None:
        """Look at the failures of the window that ends now."""
        if not self._first_s and not self._lasting and now_s - table.failed_s > WINDOW_S:
            return  # nearly always
        calls, failures, _ = table.failures(now_s)
        _, recent, _ = table.failures(now_s, AT_ONCE_S)
        found = {
            (int(number), reason): int(failures[number, reason])
            for reason in facts.THROTTLES
            for number in np.flatnonzero(failures[:, reason])
        }
        self._first_s = {key: self._first_s.get(key, now_s) for key in found}
        for (number, reason), count in found.items():
            begins = recent[number, reason] >= BEGINS or (count >= BEGINS and count >= PART * calls[number])
            if begins and (number, reason) not in self._lasting:
                self._lasting[number, reason] = _Shortage(self._first_s[number, reason], None)
        for key, shortage in list(self._lasting.items()):
            self._lasting[key] = still = _still(shortage, found.get(key, 0), now_s)
            if still.quiet_s is not None and now_s - still.quiet_s >= QUIET_S:
                del self._lasting[key]

    def picture(self, table: DependencyTable, now_s: float, wall_s: float) -> list[Throttled]:
        """Shortages that last, those with most failures first; `wall_s` is the wall clock less the monotonic one."""
        if not self._lasting:
            return []
        window, recent = table.failures(now_s), table.failures(now_s, AT_ONCE_S)
        rows = []
        for (number, reason), shortage in self._lasting.items():
            # A young shortage is not diluted by the time before it.
            calls, failures, span_s = window if now_s - shortage.since_s >= WINDOW_S else recent
            failed, called = int(failures[number, reason]), int(calls[number])
            ratio = min(1.0, failed / called) if called else None
            name = table.names.names[number]
            rows.append(Throttled(name, REASONS[reason], failed / span_s, ratio, shortage.since_s + wall_s))
        rows.sort(key=lambda row: (-row.per_second, row.dependency, row.reason))
        return rows[:MOST]


def _still(shortage: _Shortage, count: int, now_s: float) -> _Shortage:
    if count >= BEGINS:
        return shortage._replace(quiet_s=None)
    return shortage if shortage.quiet_s is not None else shortage._replace(quiet_s=now_s)
