"""Events on workloads whose pods do not report: one per workload and reason when it has lasted, not again for ten minutes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

from rollcall.control.why import REMEDIES
from rollcall.inject.decide import Reason
from rollcall.model.coverage import Gap
from rollcall.model.states import BareReason
from rollcall.model.tally import Pod

LASTED_S = 10.0
MOST_WORKLOADS = 5
"""Of more workloads with the same trouble at the same time only the service tells: five thousand Jobs are no reason for as many
Events."""
AGAIN_S = 600.0
_WANTED = frozenset(
    {
        BareReason.OPTED_OUT.value,
        BareReason.INJECTION_OFF.value,
        Reason.HOST_NETWORK.value,
        Reason.WINDOWS.value,
        Reason.MIRROR_POD.value,
        Reason.NEVER_FINISHES.value,
        Reason.TAKEN_BACK.value,
    }
)
"""What somebody chose, or was told of already, is no news."""


class Group(NamedTuple):
    """The pods of a workload that do not report for the same reason, or are bare for it."""

    workload: str
    bare: bool
    reason: str


class News(NamedTuple):
    """One event: on which workload (empty: on the service), of which type, and what it says."""

    workload: str
    kind: str
    reason: str
    message: str


@dataclass
class GapNews:
    """What was told of one service."""

    since_s: dict[Group, float] = field(default_factory=dict)
    told_s: dict[Group, float] = field(default_factory=dict)

    def take(self, pods: Mapping[str, Pod], now_s: float) -> list[News]:
        """What is to be told now."""
        groups: Counter[Group] = Counter()
        for pod in pods.values():
            reason = pod.reason or pod.gap
            if reason is not None and reason not in _WANTED:
                groups[Group(pod.facts.workload, pod.reason is not None, str(reason))] += 1
        self.since_s = {group: self.since_s.get(group, now_s) for group in groups}
        self.told_s = {group: at_s for group, at_s in self.told_s.items() if now_s - at_s < AGAIN_S}
        due = [group for group in groups if now_s - self.since_s[group] >= LASTED_S and group not in self.told_s]
        self.told_s |= dict.fromkeys(due, now_s)
        sizes = Counter(pod.facts.workload for pod in pods.values()) if due else Counter()
        return [*_together(due, groups, sizes)]


def _trouble(group: Group) -> tuple[bool, str]:
    return group.bare, group.reason


def _together(due: list[Group], groups: Counter[Group], sizes: Counter[str]) -> Iterator[News]:
    """One for each group, or one of the service for many with the same trouble."""
    for (bare, reason), alike in groupby(sorted(due, key=_trouble), key=_trouble):
        few = list(alike)
        if len(few) <= MOST_WORKLOADS:
            yield from (_news(group, groups[group], sizes[group.workload]) for group in sorted(few))
        else:
            pods, of = sum(groups[group] for group in few), sum(sizes[group.workload] for group in few)
            yield _news(Group("", bare, reason), pods, of, f" of {len(few)} workloads")


def _news(group: Group, count: int, of: int, where: str = "") -> News:
    what = "run without an agent" if group.bare else "do not report"
    remedy = REMEDIES.get(group.reason, "`rollcall why POD` says more")
    # PHP that had no request yet looks like an application without a probe: that is worth saying, but nothing to warn of.
    kind = "Normal" if group.reason == Gap.PROBE_INACTIVE else "Warning"
    reason = "PodsBare" if group.bare else "PodsNotReporting"
    return News(group.workload, kind, reason, f"{count} of {of} pods{where} {what}: {group.reason}; {remedy}")
