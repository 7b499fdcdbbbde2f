"""One MonitoredService at work: its pods and workloads flow from informers into its fleet.

Workloads are matched by the labels of their pod template, so that `desired` is known before the first pod exists.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Mapping

from rollcall.api.durations import parse_duration_ms
from rollcall.api.monitoredservice import MonitoredService
from rollcall.api.percentages import parse_ratio
from rollcall.api.quantities import parse_quantity
from rollcall.api.spec import InjectionMode
from rollcall.control.autoscalers import KIND_PATH, Autoscaler, hints
from rollcall.control.breaker import Breaker
from rollcall.control.departing import Departing, NodeOf
from rollcall.control.findings import Finding
from rollcall.control.owners import Owners
from rollcall.control.takeback import TakeBack
from rollcall.inject.selectors import matches, to_query
from rollcall.kube.client import Client
from rollcall.kube.informer import Informer
from rollcall.kube.objects import Workload, unix
from rollcall.kube.pods import Pod
from rollcall.kube.terminations import Terminations
from rollcall.model.bursts import Bursts
from rollcall.model.departures import OwnerFacts
from rollcall.model.fleet import Fleet, FleetSettings
from rollcall.model.health import Objectives
from rollcall.model.kept import Parts, restore
from rollcall.model.labels import bounded
from rollcall.model.ledger import Ledger
from rollcall.model.picture import Totals
from rollcall.model.roll import Roll
from rollcall.model.states import ServiceFacts

_log = logging.getLogger(__name__)
WORKLOADS = ("deployments", "statefulsets", "daemonsets", "replicasets")
"""Those that ask for a number of pods; Jobs beside them are only looked at to know why their pods leave."""


def settings_of(service: MonitoredService, namespace_enabled: bool, visitor_key: str | None = None) -> FleetSettings:
    """What the model needs of a spec; `visitor_key` is in hex."""
    spec = service.spec
    visitors = spec.signals.visitors
    return FleetSettings(
        objectives=Objectives(
            p95_s=parse_duration_ms(spec.objectives.p95) / 1000 if spec.objectives.p95 else None,
            error_ratio=parse_ratio(spec.objectives.errors),
            minimum_coverage=parse_ratio(spec.minimum_coverage),
        ),
        bands_ms=tuple(parse_duration_ms(bound) for bound in spec.objectives.bands),
        facts=ServiceFacts(
            created_at=unix(service.metadata.creation_timestamp) or 0.0,
            namespace_enabled=namespace_enabled,
            injection_off=spec.injection.mode is InjectionMode.OFF,
        ),
        visitors=(visitors.origin, visitor_key) if visitors is not None and visitor_key is not None else None,
    )


def departed_of(service: MonitoredService) -> tuple[Totals, int]:
    """The totals of departed pods, and their number, that an earlier leader kept in the status."""
    kept = service.status.totals.departed if service.status.totals else None
    if kept is None:
        return Totals(), 0
    return Totals(kept.requests, kept.errors, kept.lost, kept.duration_microseconds), kept.pods


def floor_of(service: MonitoredService) -> Totals:
    """The totals that an earlier leader had shown in the status."""
    shown = service.status.totals
    return Totals(shown.requests, shown.errors, shown.lost) if shown else Totals()


def causes_of(service: MonitoredService) -> dict[str, int]:
    """How many pods have left for which cause, as the status says."""
    departures = service.status.departures
    return dict(departures.total or {}) if departures is not None else {}


class NamespaceWorkloads:
    """Everything in one namespace that asks for pods, shared by the services there."""

    def __init__(self, client: Client, namespace: str, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._informers = [
            Informer(
                client,
                f"/apis/apps/v1/namespaces/{namespace}/{plural}",
                Workload,
                on_change=self._changed,
                on_delete=self._changed,
            )
            for plural in WORKLOADS
        ]
        self._autoscalers = Informer(
            client, KIND_PATH.format(namespace=namespace), Autoscaler, on_change=_nothing, on_delete=_nothing
        )
        jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        self._jobs = Informer(client, jobs, Workload, on_change=_nothing, on_delete=_nothing)
        runs = [informer.run() for informer in (*self._informers, self._jobs)] + [self._autoscalers.run()]
        self._tasks = [asyncio.create_task(run) for run in runs]

    def _changed(self, _: Workload) -> None:
        self._on_change()

    @property
    def current(self) -> bool:
        """Whether what is known of owners is as of now."""
        return all(informer.following for informer in (*self._informers, self._jobs))

    def owner_of(self, pod: Pod, present: int) -> OwnerFacts | None:
        """What controls a pod; kinds that were not listed yet are not known."""
        kinds = zip((*WORKLOADS, "jobs"), (*self._informers, self._jobs), strict=True)
        return Owners({kind: informer.objects for kind, informer in kinds if informer.synced.is_set()}).of(pod, present)

    @property
    def synced(self) -> bool:
        """Whether every kind was listed once."""
        return all(informer.synced.is_set() for informer in self._informers)

    def desired(self, selector: dict[str, object]) -> int | None:
        """Pods that workloads with a matching template ask for; None without such. An owned ReplicaSet is its owner's."""
        wanted = [
            workload.desired()
            for informer in self._informers
            for workload in informer.objects.values()
            if not workload.metadata.owner_references and matches(selector, workload.spec.template.metadata.labels)
        ]
        return sum(wanted) if wanted else None

    def autoscalers(self) -> list[Autoscaler]:
        """The HorizontalPodAutoscalers of the namespace, as far as they may be read."""
        return list(self._autoscalers.objects.values())

    def reference(self, workload: str) -> dict[str, str] | None:
        """An object reference to a workload such as "Deployment/newsfeed", None for kinds that are not followed."""
        kind, _, name = workload.partition("/")
        plural = f"{kind.lower()}s"
        for followed, informer in zip(WORKLOADS, self._informers, strict=True):
            if followed == plural:
                for found in informer.objects.values():
                    if found.metadata.name == name:
                        meta = found.metadata
                        return {
                            "apiVersion": "apps/v1", "kind": kind, "namespace": meta.namespace, "name": name, "uid": meta.uid
                        }  # fmt: skip
        return None

    async def stop(self) -> None:
        """End the informers."""
        await _cancel(self._tasks)


def _nothing(_: object) -> None:
    """The list is all that matters."""


class ServiceWatch:
    """Follows one MonitoredService; `fleet` is what the model knows of it."""

    def __init__(
        self,
        client: Client,
        roll: Roll,
        service: MonitoredService,
        workloads: NamespaceWorkloads,
        visitor_key: str | None = None,
        breaker: Breaker | None = None,
        node_of: NodeOf = lambda name: None,
    ) -> None:
        self._client = client
        self._roll = roll
        self._workloads = workloads
        self.service = service
        self.ledger = Ledger(time.time())
        self.ledger.kept(causes_of(service))
        self.departing = Departing(client, self.ledger, workloads.owner_of, node_of, lambda: workloads.current)
        self.namespace_enabled = True
        self._visitor_key = visitor_key
        self._terminations = Terminations()
        self._breaker = breaker or Breaker("")
        self.findings: dict[str, Finding] = {}
        """Conditions that whoever looks after something keeps here, by type."""
        self.takeback = TakeBack(service.status.taken_back)
        self.fleet = self._new_fleet()
        self._settled = True
        self._informer, self._task = self._follow()

    def _new_fleet(self) -> Fleet:
        settings = settings_of(self.service, self.namespace_enabled, self._visitor_key)
        departed, pods = departed_of(self.service)
        fleet = Fleet(self.service.namespace, self.service.name, settings, departed, pods, floor_of(self.service), self.ledger)
        fleet.verdict_of = self.departing.verdict
        fleet.labels = bounded(self.service.metadata.labels)
        self._roll.drop((fleet.namespace, fleet.name))
        self._roll.add(fleet)
        return fleet

    def begin_term(self, kept: Parts | None = None) -> None:
        """This replica leads from now on: begin with the totals and verdicts that the last leader kept, and the pods that are
        known here. What crashed before is not judged: nobody knows with or without a probe."""
        self.fleet = self._new_fleet()
        self.ledger.kept(causes_of(self.service))
        if kept is not None:
            try:
                restore(self.fleet, kept, time.monotonic(), time.time())
            except ValueError as error:
                _log.error("what was kept of %s/%s cannot be read: %s", self.fleet.namespace, self.fleet.name, error)
                self.fleet = self._new_fleet()
        self._settled = False
        self.takeback = TakeBack(self.service.status.taken_back)
        self.departing.bursts = Bursts()
        for pod in self._informer.objects.values():
            self._pod_changed(pod)
        self.workloads_changed()

    def settle(self) -> None:
        """When it is known which pods are there: those that were kept and are not have left."""
        if not self._settled and self.synced:
            self._settled = True
            self.fleet.departed_pods += self.fleet.before.settle(self.fleet.pods)

    @property
    def pods(self) -> Mapping[str, Pod]:
        """The pods that match, by UID."""
        return self._informer.objects

    @property
    def synced(self) -> bool:
        """Whether pods and workloads were listed once."""
        return self._informer.synced.is_set() and self._workloads.synced

    @property
    def age_key(self) -> tuple[str, str]:
        """What orders services that select the same pod: the first injects it."""
        return self.service.metadata.creation_timestamp, self.service.name

    @property
    def selector(self) -> dict[str, object]:
        """The selector as a manifest has it."""
        return self.service.spec.selector.model_dump(by_alias=True, mode="json", exclude_none=True)

    def update(self, service: MonitoredService) -> None:
        """The object changed: settings take effect at once, another selector lists anew."""
        before, container = self.selector, self.service.spec.container
        self.service = service
        self.refresh()
        if self.selector != before:
            self._task.cancel()
            self.fleet.slots.close()
            self.departing.since = time.time()
            for uid in {*self.pods, *self.fleet.pods}:
                self._forget(uid)
                self.departing.forget(uid)
            self._informer, self._task = self._follow()
        elif service.spec.container != container:
            for pod in self.pods.values():
                self._pod_changed(pod)
        self.workloads_changed()

    def seen(self, service: MonitoredService) -> None:
        """Something of the object changed, but not its spec."""
        self.service = service
        self.fleet.labels = bounded(service.metadata.labels)

    def refresh(self) -> None:
        """Take over the settings, after the object or its namespace changed."""
        self.fleet.settings = settings_of(self.service, self.namespace_enabled, self._visitor_key)
        self.fleet.labels = bounded(self.service.metadata.labels)

    def workloads_changed(self) -> None:
        """Count again what is asked for."""
        self.fleet.desired = self._workloads.desired(self.selector)

    def _follow(self) -> tuple[Informer[Pod], asyncio.Task[None]]:
        informer = Informer(
            self._client,
            f"/api/v1/namespaces/{self.service.namespace}/pods",
            Pod,
            on_change=self._pod_changed,
            on_delete=self._pod_deleted,
            selector=to_query(self.selector),
        )
        return informer, asyncio.create_task(informer.run())

    def _pod_changed(self, pod: Pod) -> None:
        uid, container = pod.metadata.uid, self.service.spec.container
        ended = self._terminations.note(pod)
        self.departing.changed(pod)
        self.fleet.upsert(pod.facts(container, self._terminations.oom_kills(uid)))
        self._roll.pod_known(self.fleet, uid, time.monotonic())
        self.takeback.pod_changed(pod, ended, container, time.time())

    def _pod_deleted(self, pod: Pod) -> None:
        self.departing.deleted(pod, missed=self._informer.catching_up)
        self._forget(pod.metadata.uid)

    def _forget(self, uid: str) -> None:
        self.fleet.remove(uid, time.monotonic())
        self._terminations.forget(uid)
        self.takeback.blame.gone(uid, time.time())

    def injecting(self) -> tuple[bool, str, str]:
        """Whether new pods get the agent, the reason in a word, and a sentence."""
        if self.service.spec.injection.mode is InjectionMode.OFF:
            return False, "InjectionOff", "spec.injection.mode is Off; new pods stay bare"
        if not self.namespace_enabled:
            label = f"kubectl label namespace {self.service.namespace} rollcall.dev/inject=enabled"
            return False, "NamespaceNotEnabled", f"{label} lets new pods be injected"
        if self._breaker.open:
            waiting = f"{self._breaker.waiting} pods wait for the image {self._breaker.image}"
            return (
                False,
                "ImagePull",
                f"{waiting}, which cannot be pulled; new pods start without the agent until it can"[:1024],
            )
        if taken_back := self.takeback.entries:
            names = ", ".join(sorted(taken_back))
            reasons = "; ".join(entry.reason for entry in taken_back.values())
            return False, "TakenBack", f"not injected any more, because the probe made pods crash: {names}: {reasons}"[:1024]
        if trying := self.takeback.blame.trying:
            where = ", ".join(f"{count} of {workload}" for workload, count in sorted(trying.items()))
            return True, "Trying", f"pods crash; it is being tried without the probe in {where}"[:1024]
        return True, "Enabled", "new pods are injected"

    def autoscaler_hints(self) -> list[str]:
        """What is to be said of autoscalers that measure injected pods as a whole."""
        scalers = self._workloads.autoscalers()
        if not scalers:
            return []
        workloads: dict[str, tuple[str, int | None]] = {}
        for uid, pod in self.pods.items():
            listed = self.fleet.pods.get(uid)
            if listed is None or not listed.facts.injected or listed.facts.workload in workloads:
                continue  # one pod tells of its workload
            chosen = pod.application(self.service.spec.container)
            if chosen is not None:
                workloads[listed.facts.workload] = chosen.name, listed.facts.cpu_request_millis
        agent = math.ceil(parse_quantity(self.service.spec.injection.resources.requests.cpu) * 1000)
        return hints(scalers, workloads, agent)

    def reference(self, workload: str) -> dict[str, str] | None:
        """An object reference to a workload of the namespace, None where it is not followed."""
        return self._workloads.reference(workload)

    def leave(self) -> None:
        """The object was deleted: forget the service. At once, because another may come under the same name."""
        self._task.cancel()
        self._roll.drop((self.service.namespace, self.service.name))

    async def stop(self) -> None:
        """Wait until nothing is left running."""
        await self.departing.stop()
        await _cancel([self._task])


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task
