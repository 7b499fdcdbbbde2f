"""One word for a service, with a reason a person understands.

Issue order matters: what is not seen cannot be judged (`Unknown`), what serves nothing is `Down`, what misses an objective is
`Degraded`. A new word must hold for `HOLD_S` before it is taken, so that one slow half-second does not flap it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

HOLD_S = 2.0
DOWN_ERROR_RATIO = 0.5
ENOUGH_REQUESTS = 10
"""Fewer finished requests than this in the window do not prove that a service is down."""


class HealthState(StrEnum):
    """The four words."""

    HEALTHY = "Healthy"
    DEGRADED = "Degraded"
    DOWN = "Down"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Objectives:
    """What the owner expects: 95th percentile in seconds, error ratio 0..1, coverage 0..1; None where nothing is expected."""

    p95_s: float | None = None
    error_ratio: float | None = None
    minimum_coverage: float = 0.8


@dataclass(frozen=True, slots=True)
class Vitals:
    """The figures that health is judged by; None where there is no data, which is not 0."""

    pods: int
    serving: int
    coverage: float | None
    finished: int
    error_ratio: float | None
    p95_s: float | None


@dataclass(frozen=True, slots=True)
class Health:
    """State, CamelCase reason, and a sentence."""

    state: HealthState
    reason: str
    message: str


def judge(vitals: Vitals, objectives: Objectives) -> Health:
    """Health at one moment, without memory."""
    if vitals.pods == 0:
        return Health(HealthState.UNKNOWN, "NoPods", "no pod matches the selector")
    if vitals.coverage is None:
        return Health(HealthState.UNKNOWN, "NothingToReport", "no pod is running yet")
    if vitals.coverage < objectives.minimum_coverage:
        seen, wanted = f"{vitals.coverage:.0%}", f"{objectives.minimum_coverage:.0%}"
        return Health(HealthState.UNKNOWN, "LowCoverage", f"{seen} of the running pods report, at least {wanted} must")
    if vitals.serving == 0:
        return Health(HealthState.DOWN, "NoServingPod", "no pod is ready to serve")
    return _judge_requests(vitals, objectives)


def _judge_requests(vitals: Vitals, objectives: Objectives) -> Health:
    ratio, p95_s = vitals.error_ratio, vitals.p95_s
    if ratio is not None and ratio >= DOWN_ERROR_RATIO and vitals.finished >= ENOUGH_REQUESTS:
        return Health(HealthState.DOWN, "MostRequestsFail", f"{ratio:.1%} of requests fail")
    if ratio is not None and objectives.error_ratio is not None and ratio > objectives.error_ratio:
        return Health(
            HealthState.DEGRADED,
            "ErrorsAboveObjective",
            f"{ratio:.1%} of requests fail, the objective is {objectives.error_ratio:.1%}",
        )
    if p95_s is not None and objectives.p95_s is not None and p95_s > objectives.p95_s:
        return Health(
            HealthState.DEGRADED,
            "SlowerThanObjective",
            f"p95 is {p95_s * 1000:.0f} ms, the objective is {objectives.p95_s * 1000:.0f} ms",
        )
    return Health(HealthState.HEALTHY, "AsExpected", "pods serve and objectives are met")


class SteadyHealth:
    """Health with memory: another state is taken only after it was judged for `HOLD_S` without a break."""

    def __init__(self) -> None:
        self._current: Health | None = None
        self._candidate: HealthState | None = None
        self._since_s = 0.0

    def update(self, judged: Health, now_s: float) -> Health:
        """The health to show at `now_s`."""
        if self._current is None or judged.state == self._current.state:
            self._current, self._candidate = judged, None
        elif self._candidate != judged.state:
            self._candidate, self._since_s = judged.state, now_s
        elif now_s - self._since_s >= HOLD_S:
            self._current, self._candidate = judged, None
        return self._current
