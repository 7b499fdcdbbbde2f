"""Whether a revision crashes more often than the one before it.

Crashes are rare and independent of each other, so their number in a time is Poisson distributed, with a mean in proportion to
the time for which pods of the revision reported, all pods together: its exposure t. With x₁ crashes in t₁ and x₂ in t₂, and if
both revisions crash at the same rate, each of the n = x₁ + x₂ crashes falls into the first with probability t₁ ÷ (t₁ + t₂), so
x₁ is binomial. When so many, or so few, as x₁ have a probability below `SURE`, the rates differ.

Source: J. Przyborowski and H. Wilenski, "Homogeneity of results in testing samples from Poisson series", Biometrika 31, 1940.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from .causes import RevisionChange, RevisionCrashes
from .states import PodFacts

SURE = 0.01
MOST = 32
"""Revisions of all workloads that are kept apart; place 0 is that of pods without one."""
LONGEST_STEP_S = 2.0
"""A fold that comes later than this after the one before says nothing of the time between."""


def chance(crashes: int, exposure_s: float, crashes_before: int, exposure_before_s: float) -> tuple[float, float]:
    """The probabilities of at least, and at most, so many crashes in the first exposure, if both rates were the same."""
    total, part = crashes + crashes_before, exposure_s / (exposure_s + exposure_before_s)
    terms = [_binomial(count, total, part) for count in range(total + 1)]
    return min(1.0, math.fsum(terms[crashes:])), min(1.0, math.fsum(terms[: crashes + 1]))


def _binomial(count: int, total: int, part: float) -> float:
    if part in (0.0, 1.0):
        return float(count == total * part)
    ways = math.lgamma(total + 1) - math.lgamma(count + 1) - math.lgamma(total - count + 1)
    return math.exp(ways + count * math.log(part) + (total - count) * math.log1p(-part))


def compare(workload: str, newest: RevisionCrashes, before: RevisionCrashes | None) -> RevisionChange:
    """What there is to say of the newest revision."""
    said = f"{_crashes(newest.crashes)} in {_span(newest.seconds)} since revision {newest.revision}"
    if before is None or newest.pod_seconds <= 0 or before.pod_seconds <= 0:
        return RevisionChange(workload, newest, before, None, None, said + "; no revision before it has been seen")
    many = min(1.0, 1000 / max(1, newest.crashes + before.crashes))  # beyond, the test is as sure with a part of them
    more, less = chance(
        round(newest.crashes * many), newest.pod_seconds, round(before.crashes * many), before.pod_seconds
    )  # fmt: skip
    differs = "higher" if more < SURE else "lower" if less < SURE else "no"
    said += f"; {_crashes(before.crashes, 'none')} in {_span(before.seconds)} of {before.revision}"
    if differs == "no":
        said += ", which is no proven difference"
    return RevisionChange(workload, newest, before, differs, more if differs != "lower" else less, said)


def _crashes(count: int, none: str = "no crash") -> str:
    return none if count == 0 else "1 crash" if count == 1 else f"{count} crashes"


def _span(seconds: float) -> str:
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            many = int(seconds // size)
            return f"{many} {unit}{'' if many == 1 else 's'}"
    return f"{int(seconds)} s"


@dataclass(slots=True)
class _Figures:
    """Of one revision; `created_at` is when its newest pod was created."""

    workload: str
    revision: str
    created_at: float
    crashes: int = 0


class KeptRevisions(msgspec.Struct, frozen=True, array_like=True):
    """Workload, revision, when its newest pod was created, crashes, seconds, pod seconds; and which workload crashed last."""

    revisions: list[tuple[str, str, float, int, float, float]]
    crashed: str | None


class Revisions:
    """Which revision the pod of each row is of, for how long each has reported, and how often it crashed."""

    def __init__(self) -> None:
        self._figures: dict[int, _Figures] = {}
        self._numbers: dict[tuple[str, str], int] = {}
        self._of_row = np.zeros(0, np.int16)
        self._seconds = np.zeros(MOST)
        self._pod_seconds = np.zeros(MOST)
        self._at_s: float | None = None
        self._crashed: str | None = None

    def seat(self, row: int, pod: PodFacts) -> None:
        """The pod of a row, also when its facts have changed."""
        if row >= len(self._of_row):
            self._of_row = np.concatenate([self._of_row, np.zeros(row + 1, np.int16)])
        self._of_row[row] = 0 if pod.revision is None else self._number(pod.workload, pod.revision, pod.created_at)

    def _number(self, workload: str, revision: str, created_at: float) -> int:
        number = self._numbers.get((workload, revision))
        if number is None:
            number = len(self._figures) + 1 if len(self._figures) < MOST - 1 else self._oldest()
            self._numbers[workload, revision] = number
            self._figures[number] = _Figures(workload, revision, created_at)
        figures = self._figures[number]
        figures.created_at = max(figures.created_at, created_at)
        return number

    def _oldest(self) -> int:
        number = min(self._figures, key=lambda each: self._figures[each].created_at)
        forgotten = self._figures.pop(number)
        del self._numbers[forgotten.workload, forgotten.revision]
        self._of_row[self._of_row == number] = 0
        self._seconds[number] = self._pod_seconds[number] = 0
        return number

    def update(self, fresh: npt.NDArray[np.bool_], now_s: float) -> None:
        """At each fold: the pods of these rows report. Nothing is remembered of a service that never crashed but its time."""
        step_s = 0.0 if self._at_s is None else now_s - self._at_s
        self._at_s = now_s
        if not 0 < step_s <= LONGEST_STEP_S:
            return
        size = min(len(fresh), len(self._of_row))
        pods = np.bincount(self._of_row[:size][fresh[:size]], minlength=MOST)
        self._pod_seconds += pods * step_s
        self._seconds += (pods > 0) * step_s

    def crashed(self, row: int, count: int) -> None:
        """Workers of a row's pod crashed."""
        figures = self._figures.get(int(self._of_row[row])) if row < len(self._of_row) else None
        if figures is not None:
            figures.crashes += count
            self._crashed = figures.workload

    def kept(self) -> KeptRevisions:
        """What must outlive this process."""
        return KeptRevisions(
            [
                (each.workload, each.revision, each.created_at, each.crashes, *self._spans(number))
                for number, each in self._figures.items()
            ],
            self._crashed,
        )

    def _spans(self, number: int) -> tuple[float, float]:
        return float(self._seconds[number]), float(self._pod_seconds[number])

    def restore(self, kept: KeptRevisions) -> None:
        """Go on from that."""
        for workload, revision, created_at, crashes, seconds, pod_seconds in kept.revisions:
            number = self._number(workload, revision, created_at)
            self._figures[number].crashes += crashes
            self._seconds[number] += seconds
            self._pod_seconds[number] += pod_seconds
        self._crashed = kept.crashed or self._crashed

    def picture(self) -> RevisionChange | None:
        """Of the workload that crashed last; None when none did."""
        if self._crashed is None:
            return None
        known = [number for number, figures in self._figures.items() if figures.workload == self._crashed]
        known.sort(key=lambda number: -self._figures[number].created_at)
        shown = [self._shown(number) for number in known if self._pod_seconds[number] > 0 or self._figures[number].crashes]
        return compare(self._crashed, shown[0], shown[1] if len(shown) > 1 else None) if shown else None

    def _shown(self, number: int) -> RevisionCrashes:
        figures = self._figures[number]
        return RevisionCrashes(figures.revision, figures.crashes, *self._spans(number))
