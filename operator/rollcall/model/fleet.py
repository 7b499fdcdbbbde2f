"""One service: its pods as the Kubernetes API lists them, its rows as agents fill them, its windows, its picture.

Pods come and go by `upsert` and `remove` alone; a report never creates or removes one. `fold` runs four to ten times a second
and is the only place that looks at all rows; everything else reads what it left.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import numpy.typing as npt

from rollcall_agent.wire import report

from .album import Album
from .before import Before
from .bottleneck import Bottlenecks
from .departures import Verdict
from .fold import Fold, vitals_of
from .health import SteadyHealth
from .history import HistoryRing
from .labels import Labels
from .ledger import Ledger, last_traffic
from .moment import sum_moment
from .pace import Generations, Pace
from .picture import Totals
from .points import per_frame
from .revisions import Revisions
from .rows import LATE_S, Rows, Taken
from .settings import FleetSettings as FleetSettings
from .signals import Signals
from .sketch import quantiles
from .slots import Slots
from .sources import Sources
from .spent import Spent
from .states import SILENT_AFTER_S, PodFacts, PodState
from .stuck import StuckSince
from .tally import Away, KubeletFigures, Pod, Tally
from .usage import Usage
from .windows import Ring

MOST_AWAY = 1000
MOST_REQUESTS_BYTES = 16_384
"""A list of requests in flight that is longer is not kept."""
EMPTY_BYTES = 32
"""One that is shorter has nothing in it."""
LINGER_S = 10.0
"""So long after a pod left the API its row still takes the last report of its agent."""
FRESH_AGENT_MS = 5000
"""Requests of an agent younger than this, when it first appears, are traffic of now; those of an older one are of the past."""


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
        ledger: Ledger | None = None,
    ) -> None:
        self.namespace = namespace
        self.name = name
        self.settings = settings or FleetSettings()
        self.labels: Labels = {}
        """Of the MonitoredService."""
        self.desired: int | None = None
        self.probe_off: set[str] = set()
        """UIDs of pods whose agents are told to disarm the probes: injection took itself back, or tries whether it must."""
        self.pods: dict[str, Pod] = {}
        self.gaps: dict[str, int] = {}
        """How many pods have which gap in their coverage; looked at once a second."""
        self.slots = Slots(name)
        self.ledger = ledger or Ledger()
        self.verdict_of: Callable[[str], Verdict | None] = lambda uid: None
        """Why a pod leaves, as far as is known."""
        self.rows = Rows()
        self.pace = Pace()
        self.generations = Generations()
        self.usage = Usage()
        self.spent = Spent()
        self.bottlenecks = Bottlenecks()
        self.revisions = Revisions()
        self.sources = Sources()
        self.signals = Signals()
        self.dropped: Counter[str] = Counter()
        """What pods sent and nobody could read, by kind: `requests`, `event`."""
        self.last = Fold()
        self.history = HistoryRing()
        self.album = Album()
        self._gone: dict[str, Pod] = {}
        self._away: dict[str, Away] = {}
        self._asked_kubelets = False
        self._tally = Tally()
        self._ring = Ring()
        self._stuck = StuckSince()
        self._health = SteadyHealth()
        self.before = Before(departed, floor)
        self.departed_pods = departed_pods
        self.keeping = False
        """Whether what is counted is kept elsewhere: only then are agents told that their FACTS are there."""

    # --- what the API says

    def upsert(self, facts: PodFacts) -> None:
        """A pod appeared or changed. Pods that have finished (Succeeded, Failed) are not on the roll."""
        if facts.finished:
            self.remove(facts.uid, self.last.at_s)
            return
        pod = self.pods.get(facts.uid)
        if pod is None:
            pod = self.pods[facts.uid] = self._returned(facts) or Pod(facts)
            self.slots.want(facts.uid, facts.created_at)
        if facts.leaving and pod.traffic is None:
            pod.traffic = last_traffic(self.rows, self.pace, self.generations, pod.row)
        pod.facts = facts
        if pod.row is not None:
            self.revisions.seat(pod.row, facts)
        self._tally.changed(facts.uid)

    def _returned(self, facts: PodFacts) -> Pod | None:
        """A pod that was here before, with what it had counted; None for a new one."""
        pod, away = self._gone.pop(facts.uid, None), self._away.pop(facts.uid, None)
        if pod is not None:
            pod.gone_since_s = None
        elif away is not None:
            pod = Pod(facts, self.rows.take(), away.epoch, taken=away.taken)
            assert pod.row is not None
            self._tally.seat(facts.uid, pod.row)
            self.rows.restore(pod.row, away.body, away.received_s)
            self.generations.reset(self.rows, pod.row)
            self.sources.seat(pod.row, 0)
        if pod is not None:
            self.departed_pods -= 1
        return pod

    def remove(self, uid: str, now_s: float) -> None:
        """A pod left the API. What it counted stays in the totals; its row lingers for a last report on its way."""
        pod = self.pods.pop(uid, None)
        if pod is None:
            return
        self._tally.left(pod)
        self.ledger.parted(pod, self.slot_of(uid), last_traffic(self.rows, self.pace, self.generations, pod.row))
        self.slots.release(uid)
        if pod.row is not None:
            self.ledger.last_report(uid, self.rows, pod.row)
            pod.gone_since_s = now_s
            self._gone[uid] = pod
            self.departed_pods += 1
        else:
            self.departed_pods += self.before.left(uid)

    def slot_of(self, uid: str) -> str | None:
        """The name that successive pods reuse."""
        return self.slots.name(uid)

    # --- what agents say

    def knows(self, uid: str) -> bool:
        """Whether a report of this pod has a place here."""
        return uid in self.pods or uid in self._gone

    def attached(self, uid: str) -> bool:
        """Whether a report of this pod has a row."""
        pod = self.pods.get(uid) or self._gone.get(uid)
        return pod is not None and pod.row is not None

    def bound(self, uid: str) -> bool:
        """Whether a pod has a row that goes by the names of a connection."""
        pod = self._heard(uid)
        return pod is not None and pod.bound

    def attach(self, uid: str, epoch: str, agent_age_ms: int, facts_from: int | None = None) -> bool:
        """An agent of this pod connected, with its FACTS from this number on; True when its first report is traffic of now."""
        pod = self.pods.get(uid) or self._gone[uid]
        if pod.row is None:
            pod.row = self.rows.take()
            self._tally.seat(uid, pod.row)
            self.generations.reset(self.rows, pod.row)
            self.revisions.seat(pod.row, pod.facts)
            self.sources.seat(pod.row, 0)
            pod.taken = pod.kept = self.before.attach(uid, epoch, facts_from)
        elif pod.epoch != epoch:
            self.rows.restart(pod.row)
            self.generations.reset(self.rows, pod.row)
            pod.taken = pod.kept = 0
        elif self.rows.received_s[pod.row] != -np.inf:
            return True
        pod.epoch = epoch
        return agent_age_ms < FRESH_AGENT_MS

    def accept(self, uid: str, body: bytes, now_s: float, *, live: bool = True) -> None:
        """The newest report of an attached pod."""
        pod = self.pods.get(uid) or self._gone.get(uid)
        if pod is None or pod.row is None:
            return
        if self.before.waiting:
            self.before.reported(uid)
        if self.rows.accept(pod.row, body, now_s, live=live) is Taken.PAST:
            self.generations.reset(self.rows, pod.row)

    def newest(self, uid: str) -> tuple[bytes, float] | None:
        """The newest report of a pod and when it came; None when there is none."""
        pod = self.pods.get(uid) or self._gone.get(uid)
        if pod is None or pod.row is None or self.rows.received_s[pod.row] == -np.inf:
            return None
        return self.rows.body(pod.row), float(self.rows.received_s[pod.row])

    # --- what agents tell beside reports; nothing is decoded that can wait

    def _heard(self, uid: str) -> Pod | None:
        pod = self.pods.get(uid) or self._gone.get(uid)
        return pod if pod is not None and pod.row is not None else None

    def taken(self, uid: str) -> int:
        """The highest number of a pod's FACTS that was taken in; 0 when nothing is known of its epoch."""
        return self.taken_of(uid) or 0

    def kept_of(self, uid: str) -> int | None:
        """The highest number of a pod's FACTS that will outlive this process; None when the pod has no row."""
        pod = self._heard(uid)
        return None if pod is None else pod.kept if self.keeping else pod.taken

    def taken_of(self, uid: str) -> int | None:
        """The same; None when the pod has no row."""
        pod = self.pods.get(uid) or self._gone.get(uid)
        return pod.taken if pod is not None and pod.row is not None else None

    def bind(self, uid: str, defined: Iterable[tuple[int, int, str]], taken: int, now_s: float) -> None:
        """A connection speaks for an attached pod: its names, and the number up to which another service has its facts."""
        pod = self._heard(uid)
        if pod is not None and pod.row is not None:
            pod.taken = max(pod.taken, taken)
            pod.bound = True
            self.signals.bind(pod.row, defined, now_s)

    def define(self, uid: str, table: int, index: int, name: str) -> None:
        """A connection named one of its ids."""
        pod = self._heard(uid)
        if pod is not None and pod.row is not None:
            self.signals.define(pod.row, table, index, name)

    def accept_facts(self, uid: str, number: int, records: bytes, now_s: float, *, live: bool) -> int | None:
        """The records of one FACTS; returns up to which number they are taken now, None when the pod is not known here.

        What was taken before is ignored; what comes without those before it is left. Facts come before the report that they go
        with: those of a pod that did not report lately are of the past.
        """
        pod = self.pods.get(uid) or self._gone.get(uid)
        if pod is None or pod.row is None:
            return None
        if number != pod.taken + 1:
            return pod.taken
        pod.taken = number
        age_s = self.rows.age_s(pod.row, now_s)
        recent = uid not in self.before.waiting if age_s is None else age_s <= LATE_S
        self.signals.push(pod.row, records, now_s, live=live and recent)
        return number

    def accept_requests(self, uid: str, body: bytes, now_s: float) -> None:
        """The longest requests in flight of a pod, as JSON."""
        pod = self._heard(uid)
        if pod is None:
            return
        if len(body) > MOST_REQUESTS_BYTES:
            self.dropped["requests"] += 1
            body = b""
        pod.requests = (now_s, body) if len(body) > EMPTY_BYTES else None

    def accept_points(self, uid: str, body: bytes, now_s: float) -> None:
        """Finished requests of a pod, one by one."""
        pod = self._heard(uid)
        if pod is not None and pod.row is not None:
            self.signals.push_points(pod.row, pod.facts.name, body, now_s)

    def accept_event(self, uid: str, event: Mapping[str, object], now_s: float) -> None:
        """Something rare: a sample of an error, the death of a worker. Other types are of later versions: skipped."""
        pod = self._heard(uid)
        if pod is None:
            return
        if event.get("type") == "error":
            self.signals.errors.sample(event, pod.facts.name, pod.facts.revision, now_s)
        elif event.get("type") == "death":
            leaving = pod.facts.leaving or pod.gone_since_s is not None
            self.signals.crashes.sample(event, pod.facts, now_s, leaving=leaving)

    def accept_sources(self, uid: str, sources: int) -> None:
        """What the agent of a pod tells from, as `sources.packed`."""
        pod = self._heard(uid)
        if pod is not None and pod.row is not None:
            self.sources.seat(pod.row, sources)

    def points_per_frame(self, uid: str) -> int:
        """How many points a pod may tell in a frame, so that all of them together tell no more than a service takes."""
        return per_frame(len(self.pods), zlib.crc32(uid.encode()))

    def kubelet(self, uid: str, cpu_millicores: float, memory_bytes: int, at_s: float) -> None:
        """What a kubelet told of a pod's application container; shown, with its age, while no probe reports resources."""
        pod = self.pods.get(uid)
        if pod is not None:
            self._asked_kubelets = True
            pod.kubelet = KubeletFigures(at_s, cpu_millicores, memory_bytes)

    def kubelet_pods(self) -> Iterable[Pod]:
        """Pods on the roll that a kubelet told of."""
        return (pod for pod in self.pods.values() if pod.kubelet is not None) if self._asked_kubelets else ()

    # --- at each fold

    def fold(self, now_s: float, unix_s: float) -> None:
        """Bring everything that is derived up to date."""
        self.slots.settle()
        self.signals.fold(now_s, unix_s)
        for row, workers in self.signals.crashes.take():
            self.revisions.crashed(row, workers)
        self._retire(now_s)
        self.pace.update(self.rows)
        self.usage.update(self.rows)
        self.spent.update(self.rows, self.usage, now_s)
        self.generations.update(self.rows, now_s)
        total = self.rows.total()
        sums = total.minus(self.rows.excluded)
        self._ring.add(now_s, sums)
        window = self._ring.window()
        last = Fold(at_s=now_s, unix_s=unix_s, window=window, health=self.last.health, totals=self.before.totals(total.scalars))
        self._count_pods(last)
        sum_moment(last, self.rows, self.pace, [pod.row for pod in self._gone.values() if pod.row is not None])
        self.revisions.update(last.fresh, now_s)
        if window is not None and last.tells:
            last.ranks = quantiles(np.maximum(window.sums.histogram, 0), (0.5, 0.95, 0.99))
        stuck = self._stuck.update(now_s, last.in_flight, last.window, waiting=last.waiting)
        vitals = vitals_of(last, len(self.pods), self.settings.bands_ms[-1] / 1000, stuck)
        last.health = self._health.judge(vitals, self.settings.objectives, now_s)
        self.last = last
        self.history.observe(self, sums)

    def _retire(self, now_s: float) -> None:
        for uid, pod in list(self._gone.items()):
            if pod.gone_since_s is not None and now_s - pod.gone_since_s >= LINGER_S and pod.row is not None:
                self.ledger.last_report(uid, self.rows, pod.row)
                received_s = float(self.rows.received_s[pod.row])
                if now_s - received_s <= SILENT_AFTER_S and len(self._away) < MOST_AWAY:
                    self._away[uid] = Away(pod.epoch, self.rows.body(pod.row), received_s, pod.taken)
                self.rows.release(pod.row)
                self.generations.reset(self.rows, pod.row)
                self.before.left(uid)
                del self._gone[uid]

    def probed(self, pod: Pod) -> bool:
        """Whether a probe has attached in a pod, as of its last report."""
        return pod.row is not None and bool(self.rows.reports["flags"][pod.row] & report.FLAG_PROBE)

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

    @property
    def serving(self) -> npt.NDArray[np.bool_]:
        """By row: whether its pod serves, as of the last fold."""
        return self._tally.serving

    def name_of(self, row: int) -> str:
        """The name of the pod that a row belongs to; empty when it belongs to none."""
        pod = self.pods.get(self._tally.uid_of(row))
        return pod.facts.name if pod is not None else ""

    # --- totals

    def totals(self) -> Totals:
        """Everything counted, over all pods that ever were; never less than `floor`, what an earlier leader had counted, so
        that nobody sees a total fall while agents come over to this one."""
        return self.before.totals(self.rows.counted())

    def departed(self) -> Totals:
        """The part of the totals that no agent will report again: what must be kept elsewhere to survive a restart."""
        sums = self.rows.retired
        for pod in self._gone.values():
            if pod.row is not None:
                sums = sums.plus(self.rows.sums(pod.row))
        return self.before.departed(self.pods, sums)
