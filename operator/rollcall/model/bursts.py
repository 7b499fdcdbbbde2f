"""Departures as people are told of them: fifty pods that go for one cause are one piece of news.

A burst begins with the first pod whose cause is decided and ends when for a while no other goes for that cause: soon where
somebody should look, later where all is as it was asked for, because a rollout goes on for minutes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from .departures import ABNORMAL, Cause, Verdict

QUIET_S = {True: 2.0, False: 10.0}
"""So long nothing more, for abnormal causes and for others."""
LONGEST_S = {True: 10.0, False: 120.0}
MOST_NAMED = 5
"""Pods of an abnormal burst that are named."""


@dataclass(slots=True)
class _Burst:
    began_s: float
    last_s: float
    workloads: Counter[str] = field(default_factory=Counter)
    names: list[str] = field(default_factory=list)
    evidence: str = ""


class Bursts:
    """Of one service: `add` what is decided, `over` says what to tell."""

    def __init__(self) -> None:
        self._open: dict[Cause, _Burst] = {}

    def add(self, name: str, workload: str, verdict: Verdict, now_s: float) -> None:
        """A pod leaves for this cause."""
        burst = self._open.setdefault(verdict.cause, _Burst(now_s, now_s))
        burst.last_s, burst.evidence = now_s, verdict.evidence
        burst.workloads[workload] += 1
        if len(burst.names) < MOST_NAMED:
            burst.names.append(name)

    def over(self, now_s: float) -> list[tuple[Cause, str]]:
        """Bursts that have ended, each as a sentence: `45 pods left: ScaleIn: Deployment/newsfeed wants 5 pods, and had 6`."""
        found = []
        for cause, burst in list(self._open.items()):
            abnormal = cause in ABNORMAL
            if now_s - burst.last_s >= QUIET_S[abnormal] or now_s - burst.began_s >= LONGEST_S[abnormal]:
                del self._open[cause]
                found.append((cause, _sentence(cause, burst)))
        return found


def _sentence(cause: Cause, burst: _Burst) -> str:
    many = burst.workloads.total()
    said = f"{many} pod{'' if many == 1 else 's'} left: {cause}: {burst.evidence}"
    if len(burst.workloads) > 1:
        said += "; " + ", ".join(f"{count} of {workload}" for workload, count in burst.workloads.most_common(MOST_NAMED))
    if cause in ABNORMAL:
        rest = many - len(burst.names)
        said += f" ({', '.join(burst.names)}{f' and {rest} more' if rest else ''})"
    return said
