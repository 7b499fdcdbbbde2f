"""One MonitoredService at work: its pods and workloads flow from informers into its fleet.

Workloads are matched by the labels of their pod template, so that `desired` is known before the first pod exists.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping

from rollcall.api.durations import parse_duration_ms
from rollcall.api.monitoredservice import MonitoredService
from rollcall.api.percentages import parse_ratio
from rollcall.api.spec import InjectionMode
from rollcall.control.takeback import TakeBack
from rollcall.inject.selectors import matches, to_query
from rollcall.kube.client import Client
from rollcall.kube.informer import Informer
from rollcall.kube.objects import Pod, Workload, unix
from rollcall.kube.terminations import Terminations
from rollcall.model.fleet import Fleet, FleetSettings
from rollcall.model.health import Objectives
from rollcall.model.picture import Totals
from rollcall.model.roll import Roll
from rollcall.model.states import ServiceFacts

WORKLOADS = ("deployments", "statefulsets", "daemonsets", "replicasets")


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
        self._tasks = [asyncio.create_task(informer.run()) for informer in self._informers]

    def _changed(self, _: Workload) -> None:
        self._on_change()

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

    async def stop(self) -> None:
        """End the informers."""
        await _cancel(self._tasks)


class ServiceWatch:
    """Follows one MonitoredService; `fleet` is what the model knows of it."""

    def __init__(
        self,
        client: Client,
        roll: Roll,
        service: MonitoredService,
        workloads: NamespaceWorkloads,
        visitor_key: str | None = None,
    ) -> None:
        self._client = client
        self._roll = roll
        self._workloads = workloads
        self.service = service
        self.namespace_enabled = True
        self._visitor_key = visitor_key
        self._terminations = Terminations()
        self.takeback = TakeBack(service.status.taken_back)
        self.fleet = self._new_fleet()
        self._informer, self._task = self._follow()

    def _new_fleet(self) -> Fleet:
        settings = settings_of(self.service, self.namespace_enabled, self._visitor_key)
        fleet = Fleet(self.service.namespace, self.service.name, settings, *departed_of(self.service), floor_of(self.service))
        self._roll.drop((fleet.namespace, fleet.name))
        self._roll.add(fleet)
        return fleet

    def begin_term(self) -> None:
        """This replica leads from now on: begin with the totals and verdicts that the last leader kept, and the pods that are
        known here. What crashed before is not judged: nobody knows with or without a probe."""
        self.fleet = self._new_fleet()
        self.takeback = TakeBack(self.service.status.taken_back)
        for pod in self._informer.objects.values():
            self._pod_changed(pod)
        self.workloads_changed()

    @property
    def pods(self) -> Mapping[str, Pod]:
        """The pods that match, by UID."""
        return self._informer.objects

    @property
    def synced(self) -> bool:
        """Whether pods and workloads were listed once."""
        return self._informer.synced.is_set() and self._workloads.synced

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
            for uid in {*self.pods, *self.fleet.pods}:
                self._forget(uid)
            self._informer, self._task = self._follow()
        elif service.spec.container != container:
            for pod in self.pods.values():
                self._pod_changed(pod)
        self.workloads_changed()

    def refresh(self) -> None:
        """Take over the settings, after the object or its namespace changed."""
        self.fleet.settings = settings_of(self.service, self.namespace_enabled, self._visitor_key)

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
        self.fleet.upsert(pod.facts(container, self._terminations.oom_kills(uid)))
        self._roll.pod_known(self.fleet, uid, time.monotonic())
        self.takeback.pod_changed(pod, ended, container, time.time())

    def _pod_deleted(self, pod: Pod) -> None:
        self._forget(pod.metadata.uid)

    def _forget(self, uid: str) -> None:
        self.fleet.remove(uid, time.monotonic())
        self._terminations.forget(uid)
        self.takeback.blame.gone(uid, time.time())

    def leave(self) -> None:
        """The object was deleted: forget the service. At once, because another may come under the same name."""
        self._task.cancel()
        self._roll.drop((self.service.namespace, self.service.name))

    async def stop(self) -> None:
        """Wait until nothing is left running."""
        await _cancel([self._task])


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task
