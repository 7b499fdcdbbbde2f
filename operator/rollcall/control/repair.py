"""`spec.coverage.repair: Restart`: bare pods are restarted through the eviction API, one by one, until all are covered.

Slowly and carefully: one pod, then nothing until every pod of the service is settled again; PodDisruptionBudgets are obeyed,
because the API server obeys them; and when a new pod comes up bare as well, its workload is left alone. Pods that nothing would
make anew, and pods that are bare because somebody wanted it, are never touched.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp

from rollcall.api.spec import RepairMode
from rollcall.control.findings import Finding
from rollcall.control.telling import tell_of
from rollcall.inject.decide import Reason
from rollcall.kube.client import Client, KubeError
from rollcall.model.states import BareReason, PodFacts, PodState
from rollcall.model.tally import Pod

if TYPE_CHECKING:
    from rollcall.control.services import Services
    from rollcall.control.watch import ServiceWatch

CONDITION = "Repairing"
LOOK_S = 1.0
EVERY_S = 10.0
BUDGET_WAIT_S = 10.0
MADE_ANEW = ("Deployment/", "ReplicaSet/", "StatefulSet/", "DaemonSet/", "Rollout/")
"""Workloads that make another pod for one that was evicted."""
REPAIRABLE = frozenset({BareReason.CREATED_BEFORE.value, BareReason.WEBHOOK_UNAVAILABLE.value, Reason.IMAGE_PULL.value})
"""Reasons that another pod would not have."""
_TOO_MANY, _FORBIDDEN, _NOT_FOUND, _CONFLICT = 429, 403, 404, 409
_log = logging.getLogger(__name__)


@dataclass
class Past:
    """What was done for one service."""

    last_s: float = float("-inf")
    not_before_s: float = float("-inf")
    why: Finding | None = None
    """Why it waits until `not_before_s`."""
    evicted: dict[str, float] = field(default_factory=dict)
    """Unix time of the newest eviction, by workload."""


def plan(pods: Mapping[str, Pod], injecting: bool, past: Past, now_s: float, unix_s: float) -> tuple[PodFacts | None, Finding]:
    """The pod to restart now, if any, and what the condition says. `unix_s` is the wall clock, `now_s` monotonic."""
    bare = sorted(
        (
            pod.facts
            for pod in pods.values()
            if pod.state is PodState.BARE and pod.reason in REPAIRABLE and pod.facts.workload.startswith(MADE_ANEW)
        ),
        key=lambda facts: (facts.workload, facts.created_at, facts.name),
    )
    if not bare:
        return None, Finding("False", "NothingToRepair", "no bare pod is left that a restart would cover")
    stubborn = sorted({pod.workload for pod in bare if pod.created_at >= past.evicted.get(pod.workload, unix_s) // 1})
    bare = [pod for pod in bare if pod.workload not in stubborn]
    if not bare:
        names = ", ".join(stubborn)
        return None, Finding("False", "StillBare", f"new pods of {names} came up bare as well; they are left alone")
    left = f"{len(bare)} bare pods are left"
    if not injecting:
        return None, Finding("False", "NotInjecting", f"{left}, but new pods would not be injected either")
    if now_s < past.not_before_s and past.why is not None:
        return None, past.why
    unsettled = sum(not (pod.facts.ready and pod.state in (PodState.SERVING, PodState.BARE)) for pod in pods.values())
    if unsettled:
        return None, Finding("True", "Waiting", f"{left}; waiting until {unsettled} other pods are ready and report")
    if now_s - past.last_s < EVERY_S:
        return None, Finding("True", "Restarting", f"{left}; one is restarted every {EVERY_S:.0f} s at most")
    return bare[0], Finding("True", "Restarting", f"{left}; restarting {bare[0].name}")


class Repairer:
    """Run it while this replica leads."""

    def __init__(self, client: Client, services: Services, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._services = services
        self._clock = clock
        self._past: dict[str, Past] = {}

    async def run(self) -> None:
        """Look at all services that want it until cancelled."""
        while True:
            await self.round(time.time())
            await asyncio.sleep(LOOK_S)

    async def round(self, unix_s: float) -> None:
        """One look at everything."""
        for watch in list(self._services):
            if watch.service.spec.coverage.repair is RepairMode.OFF:
                watch.findings.pop(CONDITION, None)
                self._past.pop(watch.service.metadata.uid, None)
            elif watch.synced and watch.fleet.last.at_s:
                await self._look(watch, unix_s)

    async def _look(self, watch: ServiceWatch, unix_s: float) -> None:
        past, now_s = self._past.setdefault(watch.service.metadata.uid, Past()), self._clock()
        pod, finding = plan(watch.fleet.pods, watch.injecting()[0], past, now_s, unix_s)
        watch.findings[CONDITION] = finding
        if pod is None:
            return
        try:
            await self._evict(pod)
        except KubeError as error:
            self._refused(past, error, pod, now_s)
            return
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            _log.warning("%s/%s was not restarted: %s", pod.namespace, pod.name, error or type(error).__name__)
            return
        past.last_s = now_s
        past.evicted[pod.workload] = unix_s
        message = f"bare pod {pod.name} is restarted, so that it is covered"
        await tell_of(self._client, watch.service, "Normal", "BarePodRestarted", message)

    async def _evict(self, pod: PodFacts) -> None:
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod.name, "namespace": pod.namespace},
            "deleteOptions": {"preconditions": {"uid": pod.uid}},
        }
        await self._client.request("POST", f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}/eviction", body)

    @staticmethod
    def _refused(past: Past, error: KubeError, pod: PodFacts, now_s: float) -> None:
        """The API server said no: what is to be said of it, and for how long nothing is tried."""
        if error.status == _TOO_MANY:
            past.why = Finding("True", "Waiting", f"a PodDisruptionBudget does not allow {pod.name} to be restarted now")
        elif error.status == _FORBIDDEN:
            message = "the operator may not create pods/eviction: set repair.enabled=true in the values of the chart"
            past.why = Finding("False", "Forbidden", message)
        elif error.status in (_NOT_FOUND, _CONFLICT):
            return  # it has gone meanwhile, or another came under its name
        else:
            past.why = Finding("True", "Waiting", f"{pod.name} could not be restarted: {error.message}"[:1024])
        past.not_before_s = now_s + BUDGET_WAIT_S
