"""Who should report and does not, and why: looked at once a second by the leader, because only it hears agents."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from rollcall.control.findings import Finding
from rollcall.control.gap_events import GapNews
from rollcall.control.telling import tell_of
from rollcall.ingest.strangers import LEFT, Strangers
from rollcall.kube.client import Client
from rollcall.model.coverage import Heard, gap_of
from rollcall.model.fleet import Fleet
from rollcall.model.roll import Roll
from rollcall.model.states import PodState
from rollcall.model.tally import Pod

if TYPE_CHECKING:
    from rollcall.control.services import Services
    from rollcall.control.watch import ServiceWatch

LOOK_S = 1.0
SETTLE_S = 15.0
"""After leadership begins agents need so long to come over; until then their absence says nothing."""


class Coverage:
    """Run it while this replica leads."""

    def __init__(
        self,
        client: Client,
        services: Services,
        roll: Roll,
        strangers: Strangers,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._news: dict[str, GapNews] = {}
        self._services = services
        self._roll = roll
        self._strangers = strangers
        self._clock = clock

    async def run(self) -> None:
        """Look at all pods until cancelled."""
        await asyncio.sleep(SETTLE_S)
        while True:
            self.round(time.time())
            await self._tell()
            await asyncio.sleep(LOOK_S)

    async def _tell(self) -> None:
        """Events on workloads whose pods do not report."""
        now_s = self._clock()
        watches = {watch.service.metadata.uid: watch for watch in self._services}
        self._news = {uid: self._news.get(uid) or GapNews() for uid in watches}
        for uid, watch in watches.items():
            for workload, kind, reason, message in self._news[uid].take(watch.fleet.pods, now_s):
                await tell_of(self._client, watch.service, kind, reason, message, about=watch.reference(workload))

    def round(self, unix_s: float) -> None:
        """One look at everything."""
        for watch in self._services:
            self._note(watch, "AutoscalerMisled", "WholePodMeasured", "; ".join(watch.autoscaler_hints()))
            self._note(watch, "Overlapping", "PodsShared", self._shared(watch))
            counts: Counter[str] = Counter()
            probed = watch.fleet.last.probed.tolist()
            for pod in watch.fleet.pods.values():
                if pod.state is PodState.SERVING and pod.row is not None and pod.row < len(probed) and probed[pod.row]:
                    pod.gap = None  # nearly all of them, and nothing need be found out
                    continue
                pod.gap = gap_of(pod.facts, pod.state, self.heard(watch.fleet, pod), unix_s) if pod.facts.injected else None
                if pod.gap is not None:
                    counts[pod.gap.value] += 1
            watch.fleet.gaps = dict(counts)

    @staticmethod
    def _note(watch: ServiceWatch, kind: str, reason: str, message: str) -> None:
        """A condition that is there while there is something to say."""
        if message:
            watch.findings[kind] = Finding("True", reason, message[:1024])
        else:
            watch.findings.pop(kind, None)

    def _shared(self, watch: ServiceWatch) -> str:
        """What is to be said of pods that other services list as well."""
        mine, found = watch.fleet.pods.keys(), []
        for other in self._services:
            if other is not watch and other.service.namespace == watch.service.namespace:
                count = len(mine & other.fleet.pods.keys())
                if count:
                    oldest = min(watch, other, key=lambda each: each.age_key).service.name
                    found.append(f"{count} pods are in {other.service.name} as well ({oldest} is the older, and injects them)")
        return f"{', '.join(found)}; each service shows them, and a sum over services counts them twice" if found else ""

    def heard(self, fleet: Fleet, pod: Pod) -> Heard:
        """What is known of a pod's agent at this moment."""
        noted = self._strangers.code(pod.facts.ip)
        return Heard(
            connected=pod.facts.uid in self._roll.sessions,
            report_age_s=fleet.report_age_s(pod, self._clock()),
            refused=None if noted == LEFT else noted,
            tells=fleet.probed(pod) or fleet.sources.any(pod.row),
            left=noted == LEFT,
        )
