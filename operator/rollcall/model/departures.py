"""Why a pod left: exactly one cause, with the evidence for it. A pure function with a truth table; who asks when is `leavers`.

The API says four things of it, and the first that says something decides: who disrupted the pod (the condition DisruptionTarget
names them), how its containers ended before anybody asked for its deletion, what its owner wants now, and how its node is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class Cause(StrEnum):
    """Every pod that left has exactly one."""

    SCALE_IN = "ScaleIn"
    ROLLOUT = "Rollout"
    EVICTION = "Eviction"
    PREEMPTION = "Preemption"
    NODE_LOST = "NodeLost"
    OOM_KILLED = "OOMKilled"
    CRASHED = "Crashed"
    COMPLETED = "Completed"
    DELETED = "Deleted"


ABNORMAL = frozenset({Cause.NODE_LOST, Cause.OOM_KILLED, Cause.CRASHED})
"""Causes that nobody asked for."""
OOM_KILLED = "OOMKilled"
_LOST_TAINTS = frozenset(f"node.kubernetes.io/{word}" for word in ("not-ready", "unreachable", "out-of-service")) | {
    "node.cloudprovider.kubernetes.io/shutdown"
}
_SHUTDOWN = ("Terminated", "NodeShutdown", "NodeLost", "Shutdown")
_ITSELF = ("StatefulSet", "DaemonSet")
"""Workloads that delete the pods of an old revision themselves, one by one; others do it by a second ReplicaSet."""


@dataclass(frozen=True, slots=True)
class ContainerEnd:
    """How a container of the application ended; `finished_at` is Unix seconds."""

    container: str
    exit_code: int
    reason: str = ""
    finished_at: float | None = None


@dataclass(frozen=True, slots=True)
class PodEnd:
    """What the API said last of a pod."""

    asked_at: float | None = None
    """When its deletion was asked for: the deletionTimestamp less the grace; None when it was not. The API server moves it
    when the kubelet has done its work, so it is only right in what was seen of the pod before; 0 is long ago."""
    asked_first: bool = False
    """Whether its deletion was asked for before it had finished, by what was seen of it first."""
    phase: str = "Running"
    reason: str = ""
    """Of the status: the kubelet's word for why it failed."""
    message: str = ""
    disruption: str | None = None
    """The reason of the condition DisruptionTarget, while that is true."""
    ends: Sequence[ContainerEnd] = ()
    node: str | None = None


@dataclass(frozen=True, slots=True)
class OwnerFacts:
    """What controls the pod, as of now."""

    kind: str
    name: str
    workload: str
    """What people know it by: "Deployment/newsfeed" of one of its ReplicaSets."""
    followed: bool = True
    """False: of a kind that we do not watch; then nothing below is known."""
    exists: bool = True
    wanted: int | None = None
    present: int = 0
    """Its pods that stayed when this one began to leave, with it."""
    surplus: bool = False
    """Whether this pod was one more than is wanted."""
    outdated: bool = False
    """Whether there is a newer revision than the pod's."""
    recreated: bool = False
    """Whether nothing of this revision is wanted, although the workload wants pods."""
    ended: str | None = None
    """Of a Job: Complete, Failed or Suspended."""
    ended_reason: str = ""


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """The pod's node, as of now."""

    name: str
    exists: bool = True
    ready: bool = True
    unschedulable: bool = False
    taints: Sequence[str] = ()
    """Keys of those with the effect NoExecute."""

    @property
    def lost(self) -> bool:
        """Whether it is not there, or not heard of."""
        return not self.exists or not self.ready or any(taint in _LOST_TAINTS for taint in self.taints)


class Verdict(NamedTuple):
    """A cause, the evidence as a sentence, and whether later news cannot change it."""

    cause: Cause
    evidence: str
    sure: bool


def cause_of(pod: PodEnd, owner: OwnerFacts | None, node: NodeFacts | None) -> Verdict:
    """Why this pod leaves, or left. `owner` is None where nothing controls the pod, `node` where nothing is known of it."""
    return _by_disruption(pod, node) or _by_its_end(pod) or _by_owner(pod, owner, node)


def asked_before_end(pod: PodEnd) -> bool:
    """Whether the deletion of a pod was asked for before it had finished, as far as its times tell."""
    if pod.asked_at is None or pod.phase not in ("Succeeded", "Failed"):
        return pod.asked_at is not None
    finished_at = max((end.finished_at for end in pod.ends if end.finished_at is not None), default=None)
    return finished_at is None or finished_at >= pod.asked_at


def _by_disruption(pod: PodEnd, node: NodeFacts | None) -> Verdict | None:
    if pod.disruption is None:
        return None
    if pod.disruption == "EvictionByEvictionAPI":
        why = f"; node {node.name} is being drained" if node is not None and node.unschedulable else ""
        return Verdict(Cause.EVICTION, f"evicted through the eviction API{why}", True)
    if pod.disruption == "PreemptionByScheduler":
        return Verdict(Cause.PREEMPTION, "the scheduler made room for a pod of higher priority", True)
    if pod.disruption == "DeletionByPodGC":
        return Verdict(Cause.NODE_LOST, f"node {pod.node or 'unknown'} does not exist any more", True)
    if pod.disruption == "DeletionByTaintManager":
        if node is None or node.lost:
            return Verdict(Cause.NODE_LOST, f"node {pod.node or 'unknown'} is not heard of any more", True)
        taints = ", ".join(node.taints) or "that is gone by now"
        return Verdict(Cause.EVICTION, f"it does not tolerate taint {taints} of node {node.name}", True)
    return _by_kubelet(pod) or Verdict(Cause.EVICTION, f"disrupted: {pod.disruption}{_said(pod)}", True)


def _by_kubelet(pod: PodEnd) -> Verdict | None:
    """The kubelet ended it, for its node's sake."""
    if pod.reason == "Evicted":
        return Verdict(Cause.EVICTION, f"the kubelet evicted it{_said(pod)}", True)
    if pod.reason == "Preempting" or "preempted" in pod.message.lower():
        return Verdict(Cause.PREEMPTION, "the kubelet made room for a critical pod", True)
    if pod.reason in _SHUTDOWN or "shutdown" in pod.message.lower():
        return Verdict(Cause.NODE_LOST, f"node {pod.node or 'unknown'} was shut down", True)
    return None


def _by_its_end(pod: PodEnd) -> Verdict | None:
    """It finished by itself, before its deletion was asked for. Kubelets also finish pods that are being deleted."""
    if pod.asked_first or pod.phase not in ("Succeeded", "Failed"):
        return None
    if pod.asked_at is not None and asked_before_end(pod):
        return None
    if pod.phase == "Succeeded":
        return Verdict(Cause.COMPLETED, "its containers ended with exit code 0", True)
    if found := _by_kubelet(pod):
        return found
    if not pod.ends and pod.reason and pod.reason != "DeadlineExceeded":
        return Verdict(Cause.EVICTION, f"node {pod.node or 'unknown'} turned it away: {pod.reason}", True)
    failed = _failed(pod.ends)
    if failed is not None:
        return Verdict(*failed, True)
    return Verdict(Cause.CRASHED, f"it failed{_said(pod)}", True)


def _failed(ends: Sequence[ContainerEnd]) -> tuple[Cause, str] | None:
    for end in ends:
        if end.reason == OOM_KILLED:
            return Cause.OOM_KILLED, f"container {end.container} needed more memory than its limit"
    for end in ends:
        if end.exit_code != 0:
            signal = f" (signal {end.exit_code - 128})" if 128 < end.exit_code < 160 else ""
            return Cause.CRASHED, f"container {end.container} ended with exit code {end.exit_code}{signal}"
    return None


def _by_owner(pod: PodEnd, owner: OwnerFacts | None, node: NodeFacts | None) -> Verdict:
    """Somebody asked for its deletion: its owner, or else."""
    if owner is not None and owner.followed:
        if not owner.exists:
            return Verdict(Cause.DELETED, f"{owner.workload} was deleted", False)
        if found := _by_job(pod, owner) or _by_revision(owner) or _by_count(owner):
            return found
    if node is not None and node.lost:
        how = "is not ready" if node.exists else "does not exist any more"
        return Verdict(Cause.NODE_LOST, f"node {node.name} {how}", False)
    if owner is None:
        return Verdict(Cause.DELETED, "somebody deleted it; nothing controls it", False)
    if not owner.followed:
        return Verdict(Cause.DELETED, f"{owner.workload}, or somebody else, deleted it", False)
    wants = "" if owner.wanted is None else f", which wants {_pods(owner.wanted)}"
    return Verdict(Cause.DELETED, f"somebody deleted it, not {owner.workload}{wants}", False)


def _by_job(pod: PodEnd, owner: OwnerFacts) -> Verdict | None:
    if owner.ended == "Complete":
        return Verdict(Cause.COMPLETED, f"{owner.workload} is complete", True)
    if owner.ended == "Failed":
        cause, evidence = _failed(pod.ends) or (Cause.DELETED, "its pods are deleted")
        return Verdict(cause, f"{owner.workload} has failed ({owner.ended_reason or 'no reason'}): {evidence}", True)
    if owner.ended == "Suspended":
        return Verdict(Cause.SCALE_IN, f"{owner.workload} is suspended", True)
    return None


def _by_revision(owner: OwnerFacts) -> Verdict | None:
    if owner.kind == "StatefulSet" and owner.surplus:
        return None  # the highest ordinals go, whatever their revision
    if owner.outdated and (owner.surplus or owner.kind in _ITSELF):
        return Verdict(Cause.ROLLOUT, f"{owner.workload} has a newer revision", True)
    if owner.recreated and owner.surplus:
        return Verdict(Cause.ROLLOUT, f"{owner.workload} makes all pods anew", False)
    return None


def _by_count(owner: OwnerFacts) -> Verdict | None:
    if not owner.surplus:
        return None
    return Verdict(Cause.SCALE_IN, f"{owner.workload} wants {_pods(owner.wanted or 0)}, and had {owner.present}", True)


def _pods(count: int) -> str:
    return "1 pod" if count == 1 else f"{count} pods"


def _said(pod: PodEnd) -> str:
    return f": {pod.message or pod.reason}" if pod.message or pod.reason else ""
