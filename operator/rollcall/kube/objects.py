"""The parts of Kubernetes objects that are decoded; everything else in them is skipped at full speed."""

from __future__ import annotations

from datetime import datetime

import msgspec

from rollcall.inject import names
from rollcall.model.states import PodFacts


class Owner(msgspec.Struct, frozen=True):
    """An owner reference."""

    kind: str = ""
    name: str = ""
    uid: str = ""


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """Common metadata; times are RFC 3339 texts."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: list[Owner] = []


class Running(msgspec.Struct, frozen=True, rename="camel"):
    """`state.running` of a container."""

    started_at: str | None = None


class ContainerState(msgspec.Struct, frozen=True):
    """`state` of a container."""

    running: Running | None = None


class ContainerStatus(msgspec.Struct, frozen=True, rename="camel"):
    """One container as the kubelet sees it."""

    name: str = ""
    restart_count: int = 0
    state: ContainerState = ContainerState()


class Condition(msgspec.Struct, frozen=True):
    """A condition of a pod."""

    type: str = ""
    status: str = ""


class PodSpec(msgspec.Struct, frozen=True, rename="camel"):
    """Of the spec."""

    node_name: str | None = None
    host_network: bool = False


class PodStatus(msgspec.Struct, frozen=True, rename="camel"):
    """Of the status."""

    phase: str = ""
    conditions: list[Condition] = []
    container_statuses: list[ContainerStatus] = []


class Pod(msgspec.Struct, frozen=True):
    """A pod."""

    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    def facts(self) -> PodFacts:
        """What the model wants to know."""
        meta, containers = self.metadata, self.status.container_statuses
        starts = [unix(c.state.running.started_at) for c in containers if c.state.running is not None]
        return PodFacts(
            uid=meta.uid,
            name=meta.name,
            namespace=meta.namespace,
            node=self.spec.node_name,
            created_at=unix(meta.creation_timestamp) or 0.0,
            running=self.status.phase == "Running",
            finished=self.status.phase in ("Succeeded", "Failed"),
            ready=any(c.type == "Ready" and c.status == "True" for c in self.status.conditions),
            leaving=meta.deletion_timestamp is not None,
            injected=names.INJECTED_ANNOTATION in meta.annotations,
            opted_out=meta.labels.get(names.OPT_LABEL) == names.OPTED_OUT,
            host_network=self.spec.host_network,
            skipped=meta.annotations.get(names.SKIPPED_ANNOTATION),
            started_at=min((start for start in starts if start is not None), default=None),
            restarts=sum(c.restart_count for c in containers),
        )


class PodTemplate(msgspec.Struct, frozen=True):
    """The template of a workload."""

    metadata: Metadata = Metadata()


class WorkloadSpec(msgspec.Struct, frozen=True):
    """Of the spec."""

    replicas: int | None = None
    template: PodTemplate = PodTemplate()


class WorkloadStatus(msgspec.Struct, frozen=True, rename="camel"):
    """Of the status."""

    desired_number_scheduled: int | None = None


class Workload(msgspec.Struct, frozen=True):
    """A Deployment, StatefulSet, ReplicaSet or DaemonSet."""

    metadata: Metadata
    spec: WorkloadSpec = WorkloadSpec()
    status: WorkloadStatus = WorkloadStatus()

    def desired(self) -> int:
        """How many pods it asks for."""
        if self.status.desired_number_scheduled is not None:
            return self.status.desired_number_scheduled
        return 1 if self.spec.replicas is None else self.spec.replicas


class Namespace(msgspec.Struct, frozen=True):
    """A namespace."""

    metadata: Metadata


def unix(timestamp: str | None) -> float | None:
    """Unix seconds of an RFC 3339 text."""
    return datetime.fromisoformat(timestamp).timestamp() if timestamp else None
