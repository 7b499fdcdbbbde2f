"""One service: its pods as the Kubernetes API lists them, its rows as agents fill them, its windows, its picture.

Pods come and go by `upsert` and `remove` alone; a report never creates or removes one. `fold` runs four times a second
and is the only place that looks at all rows; everything else reads what it left.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from rollcall_agent.wire import bands, report

from .health import Health, HealthState, Objectives, SteadyHealth, Vitals, judge
from .pace import Generations, Pace
from .picture import Totals
from .rows import COUNTERS, Rows, Sums, Taken
from .sketch import quantiles
from .states import SILENT_AFTER_S, PodFacts, PodState, ServiceFacts
from .tally import Pod, Tally
from .windows import Ring, Window

MOST_AWAY = 1000
LINGER_S = 10.0
"""So long after a pod left the API its row still takes the last report of its agent."""
FRESH_AGENT_MS = 5000
"""Requests of an agent younger than this, when it first appears, are traffic of now; those of an older one are of the past."""


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """What the owner's spec says, as far as the model needs it."""

    objectives: Objectives = field(default_factory=Objectives)
    bands_ms: tuple[int, ...] = bands.DEFAULT_BOUNDS_MS
    facts: ServiceFacts = field(default_factory=ServiceFacts)
    visitors: tuple[str, str] | None = None
    """What visitors are known by (`cookie:sid`), and the key in hex that the probe hashes it with; None: not counted."""


@dataclass(frozen=True, slots=True)
class Away:
    """A pod that left the roll while its agent went on reporting: a label or the selector changed, and may change back."""

    epoch: str | None
    body: bytes
    received_s: float


STARTING = Health(HealthState.UNKNOWN, "Starting", "the operator has just begun to watch this service")


@dataclass(slots=True)
class Fold:
    """What the last fold found."""

    at_s: float = 0.0
    unix_s: float = 0.0
    pods: list[Pod] = field(default_factory=list)
    counts: Counter[PodState] = field(default_factory=Counter)
    bare: dict[str, int] = field(default_factory=dict)
    window: Window | None = None
    requests_per_second: float | None = None
    in_flight: tuple[int, list[int], float] | None = None
    ranks: list[float | None] = field(default_factory=lambda: [None, None, None])
    coverage: float | None = None
    health: Health = STARTING


class Fleet:
    """The live state of one MonitoredService. `now_s` is monotonic, `unix_s` is the wall clock, both in seconds."""

    def __init__(
        self,
        namespace: str,
        name: str,
        settings: FleetSettings | None = None,
        departed: Totals | None = None,
        departed_pods: int = 0,
        floor: Totals | None = None,
    ) -> None:
        self.namespace = namespace
        self.name = name
        self.settings = settings or FleetSettings()
        self.desired: int | None = None
        self.probe_off: set[str] = set()
        """UIDs of pods whose agents are told to disarm the probes: injection took itself back, or tries whether it must."""
        self.pods: dict[str, Pod] = {}
        self.rows = Rows()
        self.pace = Pace()
        self.generations = Generations()
        self.last = Fold()
        self._gone: dict[str, Pod] = {}
        self._away: dict[str, Away] = {}
        self._tally = Tally()
        self._ring = Ring()
        self._health = SteadyHealth()
        self._departed_before = departed or Totals()
        self._floor = floor or Totals()
        self.departed_pods = departed_pods

    # --- what the API says

    def upsert(self, facts: PodFacts) -> None:
        """A pod appeared or changed. Pods that have finished (Succeeded, Failed) are not on the roll."""
        if facts.finished:
            self.remove(facts.uid, self.last.at_s)
            return
        pod = self.pods.get(facts.uid)
        if pod is None:
            pod = self.pods[facts.uid] = self._returned(facts) or Pod(facts)
        pod.facts = facts
        self._tally.changed(facts.uid)

    def _returned(self, facts: PodFacts) -> Pod | None:
        """A pod that was here before, with what it had counted; None for a new one."""
        pod, away = self._gone.pop(facts.uid, None), self._away.pop(facts.uid, None)
        if pod is not None:
            pod.gone_since_s = None
        elif away is not None:
            pod = Pod(facts, self.rows.take(), away.epoch)
            assert pod.row is not None
            self._tally.seat(facts.uid, pod.row)
            self.rows.restore(pod.row, away.body, away.received_s)
            self.generations.reset(self.rows, pod.row)
        if pod is not None:
            self.departed_pods -= 1
        return pod

    def remove(self, uid: str, now_s: float) -> None:
        """A pod left the API. What it counted stays in the totals; its row lingers for a last report on its way."""
        pod = self.pods.pop(uid, None)
        if pod is None:
            return
        self._tally.left(pod)
        if pod.row is not None:
            pod.gone_since_s = now_s
            self._gone[uid] = pod
            self.departed_pods += 1

    # --- what agents say

    def knows(self, uid: str) -> bool:
        """Whether a report of this pod has a place here."""
        return uid in self.pods or uid in self._gone

    def attached(self, uid: str) -> bool:
        """Whether a report of this pod has a row."""
        pod = self.pods.get(uid) or self._gone.get(uid)
        return pod is not None and pod.row is not None

    def attach(self, uid: str, epoch: str, agent_age_ms: int) -> bool:
        """An agent of this pod connected; True when its first report is traffic of now, False when it is of the past."""
        pod = self.pods.get(uid) or self._gone[uid]
        if pod.row is None:
            pod.row = self.rows.take()
            self._tally.seat(uid, pod.row)
            self.generations.reset(self.rows, pod.row)
        elif pod.epoch != epoch:
            self.rows.restart(pod.row)
            self.generations.reset(self.rows, pod.row)
        elif self.rows.received_s[pod.row] != -np.inf:
            return True
        pod.epoch = epoch
        return agent_age_ms < FRESH_AGENT_MS

    def accept(self, uid: str, body: bytes, now_s: float, *, live: bool = True) -> None:
        """The newest report of an attached pod."""
        pod = self.pods.get(uid) or self._gone.get(uid)
        if pod is None or pod.row is None:
            return
        if self.rows.accept(pod.row, body, now_s, live=live) is Taken.PAST:
            self.generations.reset(self.rows, pod.row)

    def newest(self, uid: str) -> tuple[bytes, float] | None:
        """The newest report of a pod and when it came; None when there is none."""
        pod = self.pods.get(uid) or self._gone.get(uid)
        if pod is None or pod.row is None or self.rows.received_s[pod.row] == -np.inf:
            return None
        return self.rows.body(pod.row), float(self.rows.received_s[pod.row])

    # --- four times a second

    def fold(self, now_s: float, unix_s: float) -> None:
        """Bring everything that is derived up to date."""
        self._retire(now_s)
        self.pace.update(self.rows)
        self.generations.update(self.rows, now_s)
        self._ring.add(now_s, self.rows.total().minus(self.rows.excluded))
        window = self._ring.window()
        last = Fold(at_s=now_s, unix_s=unix_s, window=window, health=self.last.health)
        self._count_pods(last)
        self._sum_moment(last)
        if window is not None:
            last.ranks = quantiles(np.maximum(window.sums.histogram, 0), (0.5, 0.95, 0.99))
        last.health = self._health.update(judge(self._vitals(last), self.settings.objectives), now_s)
        self.last = last

    def _retire(self, now_s: float) -> None:
        for uid, pod in list(self._gone.items()):
            if pod.gone_since_s is not None and now_s - pod.gone_since_s >= LINGER_S and pod.row is not None:
                received_s = float(self.rows.received_s[pod.row])
                if now_s - received_s <= SILENT_AFTER_S and len(self._away) < MOST_AWAY:
                    self._away[uid] = Away(pod.epoch, self.rows.body(pod.row), received_s)
                self.rows.release(pod.row)
                self.generations.reset(self.rows, pod.row)
                del self._gone[uid]

    def report_age_s(self, pod: Pod, now_s: float) -> float | None:
        """Seconds since the last report of a pod, None when it never reported."""
        return self.rows.age_s(pod.row, now_s)

    def _count_pods(self, last: Fold) -> None:
        self._tally.update(self.pods, self.rows, self.settings.facts, last.at_s, last.unix_s)
        last.pods = list(self.pods.values())
        last.counts = self._tally.counts.copy()
        last.bare = {reason: count for reason, count in self._tally.bare.items() if count}
        reporting = last.counts[PodState.SERVING] + last.counts[PodState.UNREADY]
        should = reporting + last.counts[PodState.SILENT] + last.counts[PodState.BARE]
        last.coverage = reporting / should if should else None

    def _sum_moment(self, last: Fold) -> None:
        fresh = last.at_s - self.rows.received_s <= SILENT_AFTER_S
        gone = [pod.row for pod in self._gone.values() if pod.row is not None]
        fresh[gone] = False  # what is not on the roll does nothing now, also while its row waits for a last report
        if not fresh.any():
            return
        reports = self.rows.reports[fresh]
        paces = self.pace.requests_per_second[fresh]
        if not np.isnan(paces).all():
            last.requests_per_second = float(np.nansum(paces))
        if not (reports["flags"] & report.FLAG_NO_IN_FLIGHT).all():
            by_band = [int(n) for n in reports["bands"].sum(axis=0)]
            last.in_flight = (int(reports["in_flight"].sum()), by_band, float(reports["oldest_ms"].max()) / 1000)

    def _vitals(self, last: Fold) -> Vitals:
        return Vitals(
            pods=len(self.pods),
            serving=last.counts[PodState.SERVING],
            coverage=last.coverage,
            finished=last.window.finished if last.window else 0,
            error_ratio=last.window.error_ratio() if last.window else None,
            p95_s=last.ranks[1],
        )

    # --- totals

    def totals(self) -> Totals:
        """Everything counted, over all pods that ever were; never less than `floor`, what an earlier leader had counted, so
        that nobody sees a total fall while agents come over to this one."""
        counted, floor = _add(self._departed_before, self.rows.total()), self._floor
        return Totals(
            requests=max(counted.requests, floor.requests),
            errors=max(counted.errors, floor.errors),
            lost=max(counted.lost, floor.lost),
            duration_microseconds=max(counted.duration_microseconds, floor.duration_microseconds),
        )

    def departed(self) -> Totals:
        """The part of the totals that no agent will report again: what must be kept elsewhere to survive a restart."""
        sums = self.rows.retired
        for pod in self._gone.values():
            if pod.row is not None:
                sums = sums.plus(self.rows.sums(pod.row))
        return _add(self._departed_before, sums)


def _add(before: Totals, sums: Sums) -> Totals:
    _, finished, errors, duration_us, lost = (sums.scalars[name] for name in COUNTERS)
    return Totals(
        requests=before.requests + finished,
        errors=before.errors + errors,
        lost=before.lost + lost,
        duration_microseconds=before.duration_microseconds + duration_us,
    )
