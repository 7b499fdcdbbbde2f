"""Whole pictures of the last 15 minutes, for a moment that somebody looks back at: every pod, list and reason as it was then.

The history has each second, but of the service alone; a picture has everything. One is kept every five seconds, packed, as the
live API told it. Of a service with many pods fewer are kept, so that it costs no more than `MOST` and `MOST_PER_POD` bytes.
"""

from __future__ import annotations

import zlib
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from .history import SECONDS

STEPS_S = (5, 10, 15, 20, 30, 60)
"""How far pictures are apart: the first of these with which they fit."""
MOST = 512 * 1024
MOST_PER_POD = 3 * 1024
_LEVEL = 6
"""A sixth less than with 3, for twice the time: 1.3 ms for 250 pods."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A picture as JSON, packed, with its pods and without; so long after it the next one came or comes."""

    at: float
    step_s: int
    whole: bytes
    summary: bytes


class Album:
    """The pictures of one service, in order of time."""

    def __init__(self) -> None:
        self._kept: list[Kept] = []
        self._bytes = 0
        self._step_s = STEPS_S[0]

    def __iter__(self) -> Iterator[Kept]:
        return iter(self._kept)

    def overdue_s(self, unix_s: float) -> float:
        """For how long another picture is due; below 0 it is not yet."""
        return unix_s - self._kept[-1].at - self._step_s if self._kept else float(SECONDS)

    def keep(self, unix_s: float, whole: bytes, summary: bytes, pods: int) -> None:
        """Another picture, later than all others."""
        if self._kept and unix_s <= self._kept[-1].at:
            return  # the clock was set back: nothing until it is later again
        packed, short = zlib.compress(whole, _LEVEL), zlib.compress(summary, _LEVEL)
        size, most = len(packed) + len(short), MOST + MOST_PER_POD * pods
        self._step_s = next((step_s for step_s in STEPS_S if size * SECONDS <= most * step_s), STEPS_S[-1])
        self._kept.append(Kept(unix_s, self._step_s, packed, short))
        self._bytes += size
        gone = 0
        while self._kept[gone].at < unix_s - SECONDS or (self._bytes > most and gone < len(self._kept) - 1):
            self._bytes -= len(self._kept[gone].whole) + len(self._kept[gone].summary)
            gone += 1
        del self._kept[:gone]

    def at(self, unix_s: float) -> Kept | None:
        """The last picture until that time; None when none is kept that was not followed by another one since."""
        place = bisect_right(self._kept, unix_s, key=lambda kept: kept.at)
        found = self._kept[place - 1] if place else None
        return found if found is not None and unix_s - found.at <= 2 * found.step_s else None
