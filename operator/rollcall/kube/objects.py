"""The parts of Kubernetes objects that are decoded; everything else in them is skipped at full speed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from rollcall.kube.sharing import share
from rollcall.model.departures import NodeFacts


class Owner(msgspec.Struct, frozen=True, gc=False):
    """An owner reference."""

    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False


class Metadata(msgspec.Struct, frozen=True, gc=False, rename="camel"):
    """Common metadata; times are RFC 3339 texts."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: list[Owner] = []

    def __post_init__(self) -> None:
        share(self, "labels", tuple(self.labels.items()))
        share(self, "annotations", tuple(self.annotations.items()))
        if self.owner_references:
            share(self, "owner_references", tuple(self.owner_references))


class Condition(msgspec.Struct, frozen=True, gc=False):
    """A condition of a pod, node or job."""

    type: str = ""
    status: str = ""
    reason: str | None = None


class PodTemplate(msgspec.Struct, frozen=True):
    """The template of a workload."""

    metadata: Metadata = Metadata()


class Ordinals(msgspec.Struct, frozen=True):
    """With which ordinal a StatefulSet begins."""

    start: int = 0


class RollingUpdate(msgspec.Struct, frozen=True):
    """Pods of a StatefulSet below `partition` stay as they are. (Other workloads have other fields here.)"""

    partition: int = 0


class UpdateStrategy(msgspec.Struct, frozen=True, rename="camel"):
    """How a StatefulSet rolls."""

    rolling_update: RollingUpdate = RollingUpdate()


class WorkloadSpec(msgspec.Struct, frozen=True, rename="camel"):
    """Of the spec."""

    replicas: int | None = None
    template: PodTemplate = PodTemplate()
    ordinals: Ordinals = Ordinals()
    update_strategy: UpdateStrategy = UpdateStrategy()
    parallelism: int | None = None
    suspend: bool = False


class WorkloadStatus(msgspec.Struct, frozen=True, rename="camel"):
    """Of the status."""

    desired_number_scheduled: int | None = None
    update_revision: str = ""
    conditions: list[Condition] = []


class Workload(msgspec.Struct, frozen=True):
    """A Deployment, StatefulSet, ReplicaSet, DaemonSet or Job."""

    metadata: Metadata
    spec: WorkloadSpec = WorkloadSpec()
    status: WorkloadStatus = WorkloadStatus()

    def desired(self) -> int:
        """How many pods it asks for."""
        if self.status.desired_number_scheduled is not None:
            return self.status.desired_number_scheduled
        return 1 if self.spec.replicas is None else self.spec.replicas

    def desired_at_once(self) -> int:
        """How many pods a Job may have at the same time."""
        if self.spec.suspend:
            return 0
        return 1 if self.spec.parallelism is None else self.spec.parallelism

    def condition(self, *types: str) -> Condition | None:
        """The first condition of one of these types that is true."""
        return next((c for c in self.status.conditions if c.type in types and c.status == "True"), None)

    @property
    def controller(self) -> Owner | None:
        """What made it, such as the Deployment of a ReplicaSet."""
        return next((owner for owner in self.metadata.owner_references if owner.controller), None)


class Taint(msgspec.Struct, frozen=True):
    """A taint of a node."""

    key: str = ""
    effect: str = ""


class NodeSpec(msgspec.Struct, frozen=True):
    """Of the spec."""

    taints: list[Taint] = []
    unschedulable: bool = False


class NodeStatus(msgspec.Struct, frozen=True):
    """Of the status."""

    conditions: list[Condition] = []


class Node(msgspec.Struct, frozen=True):
    """A node: whether it is there and ready."""

    metadata: Metadata
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()

    def facts(self) -> NodeFacts:
        """What the model wants to know."""
        return NodeFacts(
            name=self.metadata.name,
            exists=self.metadata.deletion_timestamp is None,
            ready=all(c.status == "True" for c in self.status.conditions if c.type == "Ready"),
            unschedulable=self.spec.unschedulable,
            taints=tuple(taint.key for taint in self.spec.taints if taint.effect == "NoExecute"),
        )


class Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """Any object, whole as far as its own type reads it; `msgspec.to_builtins` gives back the JSON."""

    metadata: Metadata
    api_version: str = ""
    kind: str = ""
    spec: Any = None
    status: Any = None


class Namespace(msgspec.Struct, frozen=True):
    """A namespace."""

    metadata: Metadata


def unix(timestamp: str | None) -> float | None:
    """Unix seconds of an RFC 3339 text."""
    return datetime.fromisoformat(timestamp).timestamp() if timestamp else None
