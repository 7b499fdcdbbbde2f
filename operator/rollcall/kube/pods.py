"""Pods as they are decoded, and what the model wants to know of them; everything else in them is skipped at full speed.

None of them is part of a cycle, so the garbage collector need not look at them (`gc=False`): with thousands of pods it would
hold up everything for a tenth of a second.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

import msgspec

from rollcall.api.quantities import QuantityError, parse_quantity
from rollcall.inject import names
from rollcall.inject.containers import Application, choose
from rollcall.inject.workloads import REVISION_LABELS, workload_name
from rollcall.kube.objects import Condition, Metadata, Owner, unix
from rollcall.kube.sharing import share
from rollcall.model.departures import ContainerEnd, PodEnd
from rollcall.model.labels import bounded
from rollcall.model.states import AgentContainer, PodFacts

OURS = (names.PROBES_CONTAINER, names.AGENT_CONTAINER)
MOST_MESSAGE = 200
"""Of a kubelet's message so many characters are kept."""
LOOP_RESTARTS = 2
LOOP_PAUSE_S = 330.0
"""A kubelet waits at most five minutes before it starts a container that crashes again."""
LOOP_WELL_S = 60.0
"""A container that ran for so long since is not crash-looping any more."""


class Running(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """`state.running` of a container."""

    started_at: str | None = None


class Terminated(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """`state.terminated` or `lastState.terminated`: how a life of a container ended."""

    exit_code: int = 0
    reason: str = ""
    started_at: str | None = None
    finished_at: str | None = None
    container_id: str = msgspec.field(name="containerID", default="")


class Waiting(msgspec.Struct, frozen=True, gc=False):
    """`state.waiting` of a container: why it does not run."""

    reason: str = ""
    message: str = ""


class ContainerState(msgspec.Struct, frozen=True, gc=False):
    """`state` and `lastState` of a container."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """One container as the kubelet sees it."""

    name: str = ""
    restart_count: int = 0
    ready: bool = False
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()

    def __post_init__(self) -> None:
        share(self, "last_state", self.last_state)
        share(self, "state", self.state)

    def terminations(self) -> Iterator[Terminated]:
        """The ends that can be seen at this moment, the older first."""
        for state in (self.last_state, self.state):
            if state.terminated is not None:
                yield state.terminated


class Resources(msgspec.Struct, frozen=True, gc=False):
    """Quantities by resource."""

    requests: dict[str, str | int | float] = {}
    limits: dict[str, str | int | float] = {}


class Container(msgspec.Struct, frozen=True, gc=False):
    """One container of the spec."""

    name: str = ""
    image: str = ""
    resources: Resources = Resources()

    @property
    def key(self) -> tuple[object, ...]:
        """All that is known of it."""
        resources = self.resources
        return self.name, self.image, tuple(resources.requests.items()), tuple(resources.limits.items())


class PodSpec(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Of the spec."""

    node_name: str | None = None
    host_network: bool = False
    restart_policy: str = "Always"
    containers: list[Container] = []
    init_containers: list[Container] = []

    def __post_init__(self) -> None:
        share(self, "containers", tuple(each.key for each in self.containers))
        share(self, "init_containers", tuple(each.key for each in self.init_containers))


class PodStatus(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Of the status."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    pod_ip: str | None = msgspec.field(name="podIP", default=None)
    conditions: list[Condition] = []
    init_container_statuses: list[ContainerStatus] = []
    container_statuses: list[ContainerStatus] = []

    def __post_init__(self) -> None:
        share(self, "conditions", tuple(self.conditions))


class Pod(msgspec.Struct, frozen=True, gc=False):
    """A pod."""

    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    def application(self, wanted: str | None) -> Application | None:
        """The application's container; `wanted` is the service's spec.container."""
        return choose([container.name for container in self.spec.containers], self.metadata.annotations, wanted)

    @property
    def workload(self) -> str:
        """What the pod belongs to, such as "Deployment/newsfeed"; a pod that nothing controls is its own."""
        owner = self.controller
        return workload_name(owner.kind, owner.name, self.metadata.labels) if owner else f"Pod/{self.metadata.name}"

    @property
    def revision(self) -> str | None:
        """The version of the template that the pod was made from."""
        labels = self.metadata.labels
        return next((labels[label] for label in REVISION_LABELS if label in labels), None)

    @property
    def agent_image(self) -> str | None:
        """The image of the agent in this pod; None in a pod without one."""
        for container in (*self.spec.init_containers, *self.spec.containers):
            if container.name == names.AGENT_CONTAINER:
                return container.image
        return None

    @property
    def agent(self) -> AgentContainer:
        """Our containers as the kubelet sees them: the probes' while it waits, else the agent's."""
        ours = {c.name: c for c in (*self.status.init_container_statuses, *self.status.container_statuses) if c.name in OURS}
        waiting = next((c.state.waiting for c in ours.values() if c.state.waiting is not None and c.state.waiting.reason), None)
        agent = ours.get(names.AGENT_CONTAINER)
        running, restarts = (agent.state.running, agent.restart_count) if agent is not None else (None, 0)
        return AgentContainer(
            running=running is not None,
            restarts=restarts,
            waiting=sys.intern(waiting.reason) if waiting is not None else None,
            message=waiting.message[:MOST_MESSAGE] if waiting is not None else "",
            restarted_at=unix(running.started_at) if running is not None and restarts else None,
        )

    @property
    def controller(self) -> Owner | None:
        """What made it and would replace it."""
        return next((owner for owner in self.metadata.owner_references if owner.controller), None)

    @property
    def finished(self) -> bool:
        """Whether none of its containers will run again."""
        return self.status.phase in ("Succeeded", "Failed")

    def end(self, *, asked_first: bool = False) -> PodEnd:
        """What is to be known of a pod that leaves; `asked_first` as in PodEnd."""
        meta, status = self.metadata, self.status
        deadline, grace_s = unix(meta.deletion_timestamp), meta.deletion_grace_period_seconds or 0
        if deadline is not None and self.finished and not grace_s:
            deadline = 0.0  # moved to the moment of the kubelet's own deletion: when it was asked for is not known any more
        disruption = next((c.reason for c in status.conditions if c.type == "DisruptionTarget" and c.status == "True"), None)
        return PodEnd(
            asked_at=None if deadline is None else deadline - grace_s,
            asked_first=asked_first,
            phase=status.phase,
            reason=status.reason,
            message=status.message[:MOST_MESSAGE],
            disruption=disruption,
            ends=tuple(_ends(status)),
            node=self.spec.node_name,
        )

    @property
    def looping_until(self) -> float | None:
        """Until when it counts as crash-looping: for ever while a container waits to be started again, and for a while after
        that was; None for a pod that does not."""
        return max((until for c in self.status.container_statuses if (until := _looping_until(c)) is not None), default=None)

    def facts(self, container: str | None = None, oom_kills: int = 0) -> PodFacts:
        """What the model wants to know. `container` is the service's spec.container; who watches counts `oom_kills`."""
        meta, containers = self.metadata, self.status.container_statuses
        starts = [unix(c.state.running.started_at) for c in containers if c.state.running is not None]
        chosen = self.application(container)
        resources = self.spec.containers[chosen.index].resources if chosen is not None else Resources()
        return PodFacts(
            uid=meta.uid,
            name=meta.name,
            namespace=meta.namespace,
            node=self.spec.node_name,
            created_at=unix(meta.creation_timestamp) or 0.0,
            running=self.status.phase == "Running",
            finished=self.finished,
            ready=any(c.type == "Ready" and c.status == "True" for c in self.status.conditions),
            leaving=meta.deletion_timestamp is not None,
            injected=names.INJECTED_ANNOTATION in meta.annotations,
            opted_out=meta.labels.get(names.OPT_LABEL) == names.OPTED_OUT,
            host_network=self.spec.host_network,
            skipped=meta.annotations.get(names.SKIPPED_ANNOTATION),
            started_at=min((start for start in starts if start is not None), default=None),
            restarts=sum(c.restart_count for c in containers),
            revision=self.revision,
            workload=sys.intern(self.workload),  # thousands of pods have the same
            image=sys.intern(self.spec.containers[chosen.index].image) if chosen is not None else None,
            cpu_request_millis=_amount(resources.requests, "cpu", 1000),
            cpu_limit_millis=_amount(resources.limits, "cpu", 1000),
            memory_limit_bytes=_amount(resources.limits, "memory", 1),
            oom_kills=oom_kills,
            looping_until=self.looping_until,
            ip=self.status.pod_ip,
            agent=self.agent,
            labels=bounded(meta.labels),
        )


def _ends(status: PodStatus) -> Iterator[ContainerEnd]:
    """How the application's containers ended, and init containers that failed; not ours."""
    for container in (*status.container_statuses, *status.init_container_statuses):
        ended = container.state.terminated or container.last_state.terminated
        initial = container in status.init_container_statuses
        if ended is not None and container.name not in OURS and not (initial and ended.exit_code == 0):
            yield ContainerEnd(container.name, ended.exit_code, ended.reason, unix(ended.finished_at))


def _looping_until(container: ContainerStatus) -> float | None:
    waiting, running, before = container.state.waiting, container.state.running, container.last_state.terminated
    if waiting is not None:
        return math.inf if waiting.reason == "CrashLoopBackOff" else None
    if running is None or before is None or container.restart_count < LOOP_RESTARTS or before.exit_code == 0:
        return None
    started_at, ended_at = unix(running.started_at), unix(before.finished_at)
    short = started_at is not None and ended_at is not None and started_at - ended_at <= LOOP_PAUSE_S
    return started_at + LOOP_WELL_S if short and started_at is not None else None


def _amount(quantities: dict[str, str | int | float], resource: str, scale: int) -> int | None:
    """A quantity in whole units of 1/`scale`, rounded up as Kubernetes does; None where there is none."""
    try:
        return math.ceil(parse_quantity(quantities[resource]) * scale) if resource in quantities else None
    except QuantityError:
        return None
