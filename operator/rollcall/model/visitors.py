"""Visitors of one service: how many different ones, and how many at the same time.

Distinct visitors are counted by HyperLogLog: pods send registers of keyed hashes, merging is the maximum, so a visitor on five
pods counts once and a pod that leaves subtracts nothing. Three windows: the last five minutes, and the hour and the day that
UTC is in. Concurrent users follow from Little's law, N = X · (R + Z): requests per second times the mean time between two
requests of the same visitor, which is known from the sightings of one visitor in 16.

Source of the estimator: O. Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", 2017, algorithm 6: no
thresholds, no tables of bias, and a relative standard error of 1.04 / sqrt(2**15) = 0.6 % at any size.
"""

from __future__ import annotations

import math
from collections import deque

import msgspec
import numpy as np
import numpy.typing as npt

from rollcall_agent.wire import facts

from .picture import Visitors

PART_S = 30.0
PARTS = 11
"""Five minutes are the current half-minute and the ten before it."""
LONGEST_GAP_S = 300.0
"""A visitor who was away for longer has left, and comes anew."""
MOST_SIGHTED = 65_536
MOST = float(2**48)
MOST_RANK = 64 - facts.HLL_BITS + 1
Registers = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.integer]


def estimate(registers: Registers) -> float:
    """How many different hashes the registers (2**15 of uint8) have seen; at most `MOST`."""
    size = len(registers)
    counts = np.bincount(registers, minlength=MOST_RANK + 1).tolist()
    if counts[0] == size:
        return 0.0
    z = size * _tau(1 - counts[MOST_RANK] / size)
    for count in counts[MOST_RANK - 1 : 0 : -1]:
        z = 0.5 * (z + count)
    z += size * _sigma(counts[0] / size)
    return min(size * size / (2 * math.log(2) * z), MOST) if z > 0 else MOST


def _sigma(x: float) -> float:
    """x + the sum over k of x**(2**k) · 2**(k-1): what registers that are still zero contribute."""
    y, z, before = 1.0, x, -1.0
    while z != before:
        x *= x
        before, z = z, z + x * y
        y += y
    return z


def _tau(x: float) -> float:
    """The same for registers that are full."""
    if x in (0.0, 1.0):
        return 0.0
    y, z, before = 1.0, 1 - x, -1.0
    while z != before:
        x = math.sqrt(x)
        before = z
        y *= 0.5
        z -= (1 - x) ** 2 * y
    return z / 3


class KeptVisitors(msgspec.Struct, frozen=True, array_like=True):
    """Since when visitors are counted (Unix seconds), and the registers of an hour and of a day."""

    since: float
    hour: int
    of_hour: bytes
    day: int
    of_day: bytes


class VisitorCount:
    """Add registers and sightings, then ask for the picture; nothing is allocated before the first visitor."""

    def __init__(self) -> None:
        self._since_unix_s: float | None = None
        self._parts: deque[tuple[int, Registers]] = deque()
        self._hour = self._day = (-1, np.zeros(0, np.uint8))
        self._last_seen_s: dict[int, float] = {}
        self._gaps: deque[tuple[int, list[float]]] = deque()
        self._estimated: tuple[float, tuple[int, int, int]] | None = None

    def add(self, arguments: Integers, now_s: float, unix_s: float, *, live: bool = True) -> None:
        """Registers and ranks (register << 8 | rank), shape (n,); impossible ones are dropped. `live=False`: not of the last
        five minutes."""
        register, rank = arguments >> 8, arguments & 0xFF
        good = (register < facts.HLL_REGISTERS) & (rank >= 1) & (rank <= MOST_RANK)
        register, ranks = register[good].astype(np.intp), rank[good].astype(np.uint8)
        if not len(register):
            return
        if self._since_unix_s is None:
            self._since_unix_s = unix_s
        for registers in self._current(now_s, unix_s)[0 if live else 1 :]:
            np.maximum.at(registers, register, ranks)

    def _current(self, now_s: float, unix_s: float) -> tuple[Registers, Registers, Registers]:
        part, hour, day = math.floor(now_s / PART_S), math.floor(unix_s / 3600), math.floor(unix_s / 86400)
        if not self._parts or self._parts[-1][0] < part:
            self._parts.append((part, _empty()))
        self._forget(part)
        if self._hour[0] != hour:
            self._hour = hour, _empty()
        if self._day[0] != day:
            self._day = day, _empty()
        return self._parts[-1][1], self._hour[1], self._day[1]

    def kept(self) -> KeptVisitors | None:
        """What must outlive this process; None while there is nothing."""
        if self._since_unix_s is None:
            return None
        (hour, of_hour), (day, of_day) = self._hour, self._day
        return KeptVisitors(self._since_unix_s, hour, of_hour.tobytes(), day, of_day.tobytes())

    def restore(self, kept: KeptVisitors) -> None:
        """Go on from that; an hour or a day that is over is forgotten when the next visitor comes."""
        self._since_unix_s = kept.since
        self._hour = kept.hour, np.frombuffer(kept.of_hour, np.uint8).copy()
        self._day = kept.day, np.frombuffer(kept.of_day, np.uint8).copy()

    def see(self, visitors: Integers, ages_ms: Integers, now_s: float) -> None:
        """Requests of sighted visitors: the low half of each hash and how long ago its request was, shapes (n,)."""
        part = math.floor(now_s / PART_S)
        if not self._gaps or self._gaps[-1][0] < part:
            self._gaps.append((part, [0.0, 0.0]))
        self._forget(part)
        sums, last_seen_s = self._gaps[-1][1], self._last_seen_s
        order = np.argsort(ages_ms, kind="stable")[::-1]
        for visitor, age_ms in zip(visitors[order].tolist(), ages_ms[order].tolist(), strict=True):
            at_s = now_s - age_ms / 1000
            before_s = last_seen_s.pop(visitor, None)
            if before_s is not None and at_s < before_s:
                last_seen_s[visitor] = before_s
                continue
            last_seen_s[visitor] = at_s
            if before_s is not None and at_s - before_s <= LONGEST_GAP_S:
                sums[0] += at_s - before_s
                sums[1] += 1
        while len(last_seen_s) > MOST_SIGHTED:
            del last_seen_s[next(iter(last_seen_s))]

    def _forget(self, part: int) -> None:
        for kept in (self._parts, self._gaps):
            while kept and kept[0][0] <= part - PARTS:
                kept.popleft()

    def picture(
        self, now_s: float, unix_s: float, requests_per_second: float | None, response_s: float | None
    ) -> Visitors | None:
        """As of now; None when no visitor was ever told of. The two arguments are X and R of Little's law."""
        if self._since_unix_s is None:
            return None
        self._forget(math.floor(now_s / PART_S))
        between_s = self._between_s()
        known = between_s is not None and requests_per_second is not None
        return Visitors(
            requests_per_second * between_s if known else None,  # type: ignore[operator]
            max(0.0, between_s - (response_s or 0.0)) if between_s is not None else None,
            *self._distinct(now_s, unix_s),
            self._since_unix_s,
        )

    def lately(self, now_s: float, unix_s: float) -> int | None:
        """Different ones in five minutes; None when no visitor was ever told of."""
        if self._since_unix_s is None:
            return None
        self._forget(math.floor(now_s / PART_S))
        return self._distinct(now_s, unix_s)[0]

    def concurrent_users(self, requests_per_second: float) -> float | None:
        """How many are there at the same time, by Little's law; None when no visitor came again."""
        between_s = self._between_s()
        return None if between_s is None else requests_per_second * between_s

    def _between_s(self) -> float | None:
        """The mean time between two requests of the same visitor, over the gaps that ended in the last five minutes."""
        total_s, count = (
            (sum(column) for column in zip(*(sums for _, sums in self._gaps), strict=True)) if self._gaps else (0, 0)
        )
        return total_s / count if count else None

    def _distinct(self, now_s: float, unix_s: float) -> tuple[int, int, int]:
        """In five minutes, hour and day; estimated at most once a second."""
        if self._estimated is None or not 0 <= now_s - self._estimated[0] < 1:
            parts = [registers for _, registers in self._parts]
            merged = np.maximum.reduce(parts) if parts else _empty()
            hour = self._hour[1] if self._hour[0] == math.floor(unix_s / 3600) else _empty()
            day = self._day[1] if self._day[0] == math.floor(unix_s / 86400) else _empty()
            self._estimated = now_s, (round(estimate(merged)), round(estimate(hour)), round(estimate(day)))
        return self._estimated[1]


def _empty() -> Registers:
    return np.zeros(facts.HLL_REGISTERS, np.uint8)
