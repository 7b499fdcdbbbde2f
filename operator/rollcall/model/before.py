"""What was counted before this leader began, as an earlier one kept it: of pods that left, and of pods that may still be there.

A pod that was kept *waits* until its agent reports: its row is cumulative and then stands for all of it, so what was kept of it
is taken out again. One that is not there any more has left while nobody looked; what was kept of it stays. So nothing is
counted twice, and at most what a pod did between the last writing and its end is lost.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import NamedTuple

from .picture import Totals
from .rows import Sums
from .totals import add, at_least, minus, plus


class Known(NamedTuple):
    """A pod as it was kept: its agent's epoch, up to which number its FACTS are in what was kept, and what it had counted."""

    epoch: str
    taken: int
    totals: Totals


class Before:
    """`counted` is of pods that left and of those that wait; `floor` is what was shown, below which no total may fall."""

    def __init__(self, departed: Totals | None = None, floor: Totals | None = None) -> None:
        self.counted = departed or Totals()
        self.floor = floor or Totals()
        self.facts_lost = 0
        """Frames of FACTS that their agents had let go of, and that were not kept."""
        self.waiting: dict[str, Known] = {}

    def restore(self, departed: Totals, floor: Totals, pods: Mapping[str, Known]) -> None:
        """Begin with what was kept."""
        self.counted = departed
        for known in pods.values():
            self.counted = plus(self.counted, known.totals)
        self.floor = at_least(self.floor, floor)
        self.waiting = dict(pods)

    def settle(self, listed: Container[str]) -> int:
        """The pods that are there are known: those that wait and are not among them have left. Returns how many."""
        gone = [uid for uid in self.waiting if uid not in listed]
        for uid in gone:
            del self.waiting[uid]
        return len(gone)

    def left(self, uid: str) -> bool:
        """A pod has left before its agent reported; whether it was one of those that were kept."""
        return self.waiting.pop(uid, None) is not None

    def attach(self, uid: str, epoch: str, facts_from: int | None) -> int:
        """An agent came: up to which number its FACTS are in what was kept. `facts_from` is the first one that it still has;
        what lies between is lost, and counted as that."""
        known = self.waiting.get(uid)
        if known is None:
            return 0
        if known.epoch != epoch:  # it lost its memory and counts anew
            del self.waiting[uid]
            return 0
        if known.taken > 0 and facts_from is not None and known.taken + 1 < facts_from:
            self.facts_lost += facts_from - 1 - known.taken
            return facts_from - 1
        return known.taken

    def reported(self, uid: str) -> None:
        """The row of a pod stands for all that it ever counted."""
        known = self.waiting.pop(uid, None)
        if known is not None:
            self.counted = minus(self.counted, known.totals)

    def departed(self, listed: Iterable[str], sums: Sums) -> Totals:
        """What no agent will tell again; `sums` is that of this term."""
        counted = self.counted
        for uid in listed if self.waiting else ():
            if uid in self.waiting:
                counted = minus(counted, self.waiting[uid].totals)
        return add(counted, sums.scalars)

    def totals(self, counted: Mapping[str, int]) -> Totals:
        """Over all pods that ever were; `counted` is that of this term, by counter."""
        return at_least(add(self.counted, counted), self.floor)
