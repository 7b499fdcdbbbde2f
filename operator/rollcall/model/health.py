"""One word for a service, with a reason a person understands.

Issue order matters: what is not seen cannot be judged (`Unknown`), what serves nothing is `Down`, what misses an objective is
`Degraded`. So that a word does not flap, it must hold before it is taken: `WORSE_S` on the way down, `BETTER_S` on the way up;
and an objective that was missed counts as met again only when there is some room below it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

WORSE_S = 2.0
BETTER_S = 5.0
MET_AGAIN = 0.9
"""An objective that was missed for `WORSE_S` is met again below this part of it."""
DOWN_ERROR_RATIO = 0.5
ENOUGH_REQUESTS = 10
"""Fewer ended requests than this in the window do not prove that a service is down."""


class HealthState(StrEnum):
    """The four words."""

    HEALTHY = "Healthy"
    DEGRADED = "Degraded"
    DOWN = "Down"
    UNKNOWN = "Unknown"


_BADNESS = {HealthState.HEALTHY: 0, HealthState.DEGRADED: 1, HealthState.DOWN: 2}


@dataclass(frozen=True, slots=True)
class Objectives:
    """What the owner expects: 95th percentile in seconds, error ratio 0..1, coverage 0..1; None where nothing is expected."""

    p95_s: float | None = None
    error_ratio: float | None = None
    minimum_coverage: float = 0.8


@dataclass(frozen=True, slots=True)
class Vitals:
    """The figures that health is judged by; None where there is no data, which is not 0. `stuck` requests have been in
    flight for longer than `stuck_after_s`, the bound of the last band."""

    pods: int
    serving: int
    coverage: float | None
    ended: int
    error_ratio: float | None
    p95_s: float | None
    stuck: int = 0
    stuck_after_s: float = 0.0
    oldest_s: float = 0.0
    nothing_finishes: bool = False


@dataclass(frozen=True, slots=True)
class Health:
    """State, CamelCase reason, and a sentence."""

    state: HealthState
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Missed:
    """Objectives that were missed, and not met again since."""

    p95: bool = False
    errors: bool = False


NONE_MISSED = Missed()


def judge(vitals: Vitals, objectives: Objectives, missed: Missed = NONE_MISSED) -> Health:
    """Health at one moment; `missed` are the objectives that were missed before."""
    if vitals.pods == 0:
        return Health(HealthState.UNKNOWN, "NoPods", "no pod matches the selector")
    if vitals.coverage is None:
        return Health(HealthState.UNKNOWN, "NothingToReport", "no pod is running yet")
    if vitals.coverage < objectives.minimum_coverage:
        seen, wanted = f"{vitals.coverage:.0%}", f"{objectives.minimum_coverage:.0%}"
        return Health(HealthState.UNKNOWN, "LowCoverage", f"{seen} of the running pods report, at least {wanted} must")
    if vitals.serving == 0:
        return Health(HealthState.DOWN, "NoServingPod", "no pod is ready to serve")
    return _judge_requests(vitals, objectives, missed)


def _judge_requests(vitals: Vitals, objectives: Objectives, missed: Missed) -> Health:
    ratio, p95_s = vitals.error_ratio, vitals.p95_s
    if ratio is not None and ratio >= DOWN_ERROR_RATIO and vitals.ended >= ENOUGH_REQUESTS:
        return Health(HealthState.DOWN, "MostRequestsFail", f"{ratio:.1%} of requests fail")
    if vitals.nothing_finishes:
        return Health(HealthState.DOWN, "NothingFinishes", f"no request finishes any more; {_stuck(vitals)}")
    if ratio is not None and objectives.error_ratio is not None and above(ratio, objectives.error_ratio, missed.errors):
        said = f"{ratio:.1%} of requests fail, the objective is {objectives.error_ratio:.1%}"
        return Health(HealthState.DEGRADED, "ErrorsAboveObjective", said + _nearly(ratio, objectives.error_ratio))
    if vitals.stuck:
        return Health(HealthState.DEGRADED, "RequestsStuck", _stuck(vitals))
    if p95_s is not None and objectives.p95_s is not None and above(p95_s, objectives.p95_s, missed.p95):
        said = f"p95 is {p95_s * 1000:.0f} ms, the objective is {objectives.p95_s * 1000:.0f} ms"
        return Health(HealthState.DEGRADED, "SlowerThanObjective", said + _nearly(p95_s, objectives.p95_s))
    return Health(HealthState.HEALTHY, "AsExpected", "pods serve and objectives are met")


def _stuck(vitals: Vitals) -> str:
    many = "1 request has" if vitals.stuck == 1 else f"{vitals.stuck} requests have"
    return f"{many} been in flight for longer than {vitals.stuck_after_s:g} s, the oldest for {vitals.oldest_s:.0f} s"


def above(value: float, objective: float, missed: bool) -> bool:
    """Whether an objective is not met; one that was missed is harder to meet."""
    return value > objective or (missed and value > MET_AGAIN * objective)


def _nearly(value: float, objective: float) -> str:
    return "" if value > objective else f"; it was missed, and is met again below {MET_AGAIN:.0%} of it"


class _Memory:
    """Whether one objective has been missed for so long that it takes more to meet it."""

    def __init__(self) -> None:
        self.missed = False
        self._since_s: float | None = None

    def update(self, value: float | None, objective: float | None, now_s: float) -> bool:
        if value is None or objective is None or not above(value, objective, missed=True):
            self._since_s, self.missed = None, False
        elif value <= objective:
            self._since_s = None
        else:
            self._since_s = now_s if self._since_s is None else self._since_s
            self.missed = self.missed or now_s - self._since_s >= WORSE_S
        return self.missed


class SteadyHealth:
    """Health with memory: another state is taken only after it was judged for long enough without a break."""

    def __init__(self) -> None:
        self._current: Health | None = None
        self._candidate: HealthState | None = None
        self._since_s = 0.0
        self._p95, self._errors = _Memory(), _Memory()

    def judge(self, vitals: Vitals, objectives: Objectives, now_s: float) -> Health:
        """The health to show at `now_s`."""
        missed = Missed(
            p95=self._p95.update(vitals.p95_s, objectives.p95_s, now_s),
            errors=self._errors.update(vitals.error_ratio, objectives.error_ratio, now_s),
        )
        return self.update(judge(vitals, objectives, missed), now_s)

    def update(self, judged: Health, now_s: float) -> Health:
        """The health to show at `now_s`, when this is what was judged."""
        if self._current is None or judged.state == self._current.state:
            self._current, self._candidate = judged, None
        elif self._candidate != judged.state:
            self._candidate, self._since_s = judged.state, now_s
        elif now_s - self._since_s >= hold_s(self._current.state, judged.state):
            self._current, self._candidate = judged, None
        return self._current


def hold_s(before: HealthState, after: HealthState) -> float:
    """How long another word must hold. What is not seen any more, and what is seen again, is told as fast as what is worse."""
    better = before in _BADNESS and after in _BADNESS and _BADNESS[after] < _BADNESS[before]
    return BETTER_S if better else WORSE_S
