"""Where the time goes: response time, and waiting before the application, divided into classes that add up to the whole.

Of the requests that finished in the window, and in µs:

    R   all response times                          W_d  of that, waiting for dependency d (ΣW_d ≤ R, or it is scaled down)
    Q   waiting to be accepted, before R begins     O = R - ΣW_d  the application's own time

Little's law gives Q: with a mean of L connections that wait and λ of them accepted per second, each waits L ÷ λ, so the λ·T of
a window T wait L·T together, which is the integral of the listen queue over the window. Own time is divided where pods tell of
their CPU, a part m of R; the rest of it, (1 - m)·O, is `unknown`:

    cpu         the CPU time of their containers, but no more than m·O
    throttling  while the CPU limit holds a container back, all its requests that do not wait for a dependency stand still:
                Σ over pods of (held part of the time · response time) · O ÷ R, but no more than is left of m·O
    other       what is left of m·O: locks, sleep, waiting that no hook sees

The whole is R + Q. docs/bottleneck.md says what that cannot see.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from .causes import Bottleneck, DependencyShare, Shares, SlowRequests
from .points import UNKNOWN_CPU, Points

ANEW_S = 1.0
SHOWN_S = 5.0
"""A judgement is of a window of ten seconds; so long it is said again where nobody asked for another, as on a busy machine."""
FEW = 5
"""Slow requests; of fewer nothing is said, and the slowest tenth of all speaks for them."""
TENTH = 0.1
STAYS = 0.05
"""So much more another cause must take than the one that was named before it is named instead."""
MOST_DEPENDENCIES = 5
_OWN = ("cpu", "throttling", "other", "unknown")
Cause = tuple[str, str | None]
"""A class, and the dependency where it is one."""
Name = TypeVar("Name", str, Cause)


class Measured(NamedTuple):
    """What the window says. `told`: the part of the response time that comes from pods which tell of their CPU, 0..1;
    `held_us`: the sum over pods of response time times held part of the time."""

    response_us: float
    waited_us: Mapping[str, float]
    cpu_us: float
    held_us: float
    queued_us: float
    told: float


class Split(NamedTuple):
    """Parts of the whole, each at least 0, that add up to 1; `dependencies` are those of `shares.dependency`."""

    shares: Shares
    dependencies: dict[str, float]

    def causes(self, before: Cause | None) -> dict[Cause, float]:
        """Every class with its part; the dependencies stand under the one that takes most (or the one that was named before,
        while it takes nearly as much), with what all of them take."""
        classes = {name: getattr(self.shares, name) for name in ("cpu", "queue", *_OWN[1:])}
        causes: dict[Cause, float] = {(name, None): part for name, part in classes.items()}
        if self.dependencies:
            most = nearly_most(self.dependencies, before[1] if before is not None else None)
            causes["dependency", most] = self.shares.dependency
        return causes


def divide(measured: Measured) -> Split | None:
    """The parts of a window; None when nothing took any time."""
    response_us, queued_us = max(0.0, measured.response_us), max(0.0, measured.queued_us)
    whole_us = response_us + queued_us
    if whole_us <= 0:
        return None
    waited_us = {name: float(waited) for name, waited in measured.waited_us.items() if waited > 0}
    all_waited_us = sum(waited_us.values())
    if all_waited_us > response_us:
        waited_us = {name: waited * (response_us / all_waited_us) for name, waited in waited_us.items()}
        all_waited_us = response_us
    own_us = response_us - all_waited_us
    known_us = own_us * min(1.0, max(0.0, measured.told))
    cpu_us = min(max(0.0, measured.cpu_us), known_us)
    not_waiting = own_us / response_us if response_us > 0 else 0.0
    throttled_us = min(max(0.0, measured.held_us) * not_waiting, known_us - cpu_us)
    shares = Shares(
        cpu=cpu_us / whole_us,
        dependency=all_waited_us / whole_us,
        queue=queued_us / whole_us,
        throttling=throttled_us / whole_us,
        other=(known_us - cpu_us - throttled_us) / whole_us,
        unknown=(own_us - known_us) / whole_us,
    )
    return Split(shares, {name: waited / whole_us for name, waited in waited_us.items()})


def slow_of(points: Points, first_band_s: float) -> tuple[Points, float]:
    """The slow requests, and from which elapsed time on they are slow: from the first band's bound on, or the slowest tenth."""
    elapsed_us = points["elapsed_us"]
    found = points[elapsed_us >= first_band_s * 1e6]
    if len(found) >= FEW or not len(points):
        return found, first_band_s
    weights = points["weight"].astype(np.float64)
    order = np.argsort(-elapsed_us.astype(np.int64), kind="stable")
    so_far = np.cumsum(weights[order])
    last = int(np.searchsorted(so_far, TENTH * so_far[-1]))
    over_us = int(elapsed_us[order[min(last, len(order) - 1)]])
    return points[elapsed_us >= over_us], over_us / 1e6


def divide_points(points: Points, names: list[str], whole: Split | None) -> Split | None:
    """The parts of requests that are told one by one, each by its weight. Of their own time a point tells the CPU of its thread
    at most; how the rest is divided into throttling and other, and all of it where the CPU is not known, is taken from `whole`,
    the split of all requests."""
    weight = points["weight"].astype(np.float64)
    elapsed, waited = points["elapsed_us"].astype(np.float64), points["waited_us"].astype(np.float64)
    total = float((weight * elapsed).sum())
    if total <= 0:
        return None
    own = elapsed - waited
    known = points["cpu_us"] != UNKNOWN_CPU
    cpu = np.minimum(points["cpu_us"], own) * known
    rest, blind = float((weight * (own - cpu) * known).sum()), float((weight * own * ~known).sum())
    held = _part(whole, ("throttling",), ("throttling", "other"))
    own_parts = {name: _part(whole, (name,), _OWN) for name in _OWN}
    if whole is None or not any(own_parts.values()):
        own_parts = dict.fromkeys(_OWN, 0.0) | {"unknown": 1.0}
    waited_for = _by_dependency(points["dependency"], weight * waited, names)
    shares = Shares(
        cpu=(float((weight * cpu).sum()) + blind * own_parts["cpu"]) / total,
        dependency=sum(waited_for.values()) / total,
        queue=0.0,
        throttling=(rest * held + blind * own_parts["throttling"]) / total,
        other=(rest * (1 - held) + blind * own_parts["other"]) / total,
        unknown=blind * own_parts["unknown"] / total,
    )
    return Split(shares, {name: part / total for name, part in waited_for.items()})


def _part(whole: Split | None, of: tuple[str, ...], among: tuple[str, ...]) -> float:
    if whole is None:
        return 0.0
    total: float = sum(getattr(whole.shares, name) for name in among)
    return sum(getattr(whole.shares, name) for name in of) / total if total > 0 else 0.0


def _by_dependency(numbers: npt.NDArray[np.int16], waited: npt.NDArray[np.float64], names: list[str]) -> dict[str, float]:
    sums = np.bincount(np.maximum(numbers, 0), waited, minlength=1).tolist()
    return {names[number]: part for number, part in enumerate(sums) if part > 0}


def nearly_most(parts: Mapping[Name, float], before: Name | None) -> Name:
    """What takes most; what was named before, while it takes nearly as much."""
    most = max(parts, key=lambda name: parts[name])
    return before if before is not None and before in parts and parts[before] >= parts[most] - STAYS else most


def named(split: Split, before: Cause | None) -> tuple[Cause, float]:
    """The cause that takes most, with its own part: that of the one dependency, not of all."""
    cause = nearly_most(split.causes(before), before)
    kind, dependency = cause
    return cause, split.dependencies[dependency] if dependency is not None else float(getattr(split.shares, kind))


class Bottlenecks:
    """Follows one service from window to window, so that the cause that is named does not flap."""

    def __init__(self) -> None:
        self._before: Cause | None = None
        self._slow_before: Cause | None = None
        self._judged: tuple[float, Bottleneck | None] | None = None

    def at(self, now_s: float, judge: Callable[[], Bottleneck | None]) -> Bottleneck | None:
        """What `judge` says, asked once in `ANEW_S`: the window is ten times as long, and a thousand points are looked at."""
        if self._judged is None or not 0 <= now_s - self._judged[0] < ANEW_S:
            self._judged = now_s, judge()
        return self._judged[1]

    def last(self, now_s: float) -> Bottleneck | None:
        """What `at` said last; None when nobody has asked for seconds."""
        return self._judged[1] if self._judged is not None and 0 <= now_s - self._judged[0] <= SHOWN_S else None

    def judge(
        self, measured: Measured, points: Points, names: list[str], first_band_s: float, listening: float, window_s: float
    ) -> Bottleneck | None:
        """What to show; `listening` is the part of the response time that comes from pods which tell of their listen queue.

        Requests that wait to be accepted are slow whatever they do later, and no point knows of it: so a queue that takes the
        most is named. Else it is what explains the slow requests, or all of them when none is told one by one."""
        whole = divide(measured)
        if whole is None:
            self._before = self._slow_before = None
            return None
        slow = self._slow(whole, points, names, first_band_s)
        cause, share = named(whole, self._before)
        self._before = cause
        if slow is not None and cause[0] != "queue":
            cause, share = (slow.kind, slow.dependency), slow.share
        ranked = sorted(whole.dependencies.items(), key=lambda item: (-item[1], item[0]))
        return Bottleneck(
            kind=cause[0],
            dependency=cause[1],
            share=share,
            shares=whole.shares,
            dependencies=[DependencyShare(name, part) for name, part in ranked[:MOST_DEPENDENCIES]],
            slow=slow,
            coverage=min(1.0, max(0.0, measured.told)),
            queue_coverage=listening,
            window_seconds=window_s,
        )

    def _slow(self, whole: Split, points: Points, names: list[str], first_band_s: float) -> SlowRequests | None:
        found, over_s = slow_of(points, first_band_s)
        split = divide_points(found, names, whole) if len(found) else None
        if split is None:
            self._slow_before = None
            return None
        cause, share = named(split, self._slow_before)
        self._slow_before = cause
        return SlowRequests(*cause, share, int(found["weight"].sum(dtype=np.int64)), over_s, split.shares)
