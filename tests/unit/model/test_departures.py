"""Why a pod left: a row for each way that Kubernetes ends pods, and that there is always exactly one cause."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.model.departures import (
    ABNORMAL,
    Cause,
    ContainerEnd,
    NodeFacts,
    OwnerFacts,
    PodEnd,
    Verdict,
    cause_of,
)  # fmt: skip

ASKED = 1000.0
NODE = NodeFacts("node-1")


def owner(kind: str = "ReplicaSet", **changes: Any) -> OwnerFacts:
    """A ReplicaSet that has the five pods that it wants."""
    workload = "Deployment/newsfeed" if kind == "ReplicaSet" else f"{kind}/newsfeed"
    return OwnerFacts(**({"kind": kind, "name": "newsfeed", "workload": workload, "wanted": 5, "present": 5} | changes))


def asked(**changes: Any) -> PodEnd:
    """A pod whose deletion was asked for."""
    return PodEnd(**({"asked_at": ASKED, "node": "node-1"} | changes))


def disrupted(reason: str, **changes: Any) -> PodEnd:
    return asked(disruption=reason, **changes)


def finished(phase: str, exit_code: int = 0, reason: str = "", at: float = ASKED - 10, **changes: Any) -> PodEnd:
    return PodEnd(phase=phase, ends=(ContainerEnd("web", exit_code, reason, at),), node="node-1", **changes)


SHRINKS = {"wanted": 5, "present": 50, "surplus": True}
TABLE: dict[str, tuple[PodEnd, OwnerFacts | None, NodeFacts | None, Cause]] = {
    # an owner that wants fewer
    "Deployment scaled in": (asked(), owner(**SHRINKS), NODE, Cause.SCALE_IN),
    "scaled to zero": (asked(), owner(wanted=0, surplus=True), NODE, Cause.SCALE_IN),
    "StatefulSet scaled in": (asked(), owner("StatefulSet", **SHRINKS), NODE, Cause.SCALE_IN),
    "StatefulSet scaled in during a rollout": (asked(), owner("StatefulSet", outdated=True, **SHRINKS), NODE, Cause.SCALE_IN),
    "DaemonSet on fewer nodes": (asked(), owner("DaemonSet", **SHRINKS), NODE, Cause.SCALE_IN),
    "Job with less parallelism": (asked(), owner("Job", **SHRINKS), NODE, Cause.SCALE_IN),
    "Job suspended": (asked(), owner("Job", ended="Suspended"), NODE, Cause.SCALE_IN),
    "scaled in while its node is not ready": (asked(), owner(**SHRINKS), NodeFacts("node-1", ready=False), Cause.SCALE_IN),
    "killed by the kubelet after its deletion": (
        asked(phase="Failed", ends=(ContainerEnd("web", 137, "Error", ASKED + 5),)), owner(**SHRINKS), NODE, Cause.SCALE_IN,
    ),
    "ended well after its deletion": (
        asked(phase="Succeeded", ends=(ContainerEnd("web", 0, "Completed", ASKED + 1),)), owner(**SHRINKS), NODE,
        Cause.SCALE_IN,
    ),
    "killed after its deletion, with a deletionTimestamp that was moved": (
        PodEnd(asked_at=ASKED + 2, asked_first=True, phase="Failed", ends=(ContainerEnd("web", 137, "Error", ASKED + 1),)),
        owner(**SHRINKS), NODE, Cause.SCALE_IN,
    ),
    "out of memory while it was being deleted": (
        asked(phase="Failed", ends=(ContainerEnd("web", 137, "OOMKilled", ASKED),)), owner(**SHRINKS), NODE, Cause.SCALE_IN,
    ),
    # an owner with a newer revision
    "Deployment rolled": (asked(), owner(wanted=4, surplus=True, outdated=True), NODE, Cause.ROLLOUT),
    "Deployment with strategy Recreate": (asked(), owner(wanted=0, surplus=True, recreated=True), NODE, Cause.ROLLOUT),
    "StatefulSet rolled": (asked(), owner("StatefulSet", outdated=True), NODE, Cause.ROLLOUT),
    "DaemonSet rolled": (asked(), owner("DaemonSet", outdated=True), NODE, Cause.ROLLOUT),
    "DaemonSet rolled with a surge": (asked(), owner("DaemonSet", outdated=True, surplus=True, present=6), NODE, Cause.ROLLOUT),
    # somebody
    "kubectl delete": (asked(), owner(), NODE, Cause.DELETED),
    "kubectl delete of an old pod during a rollout": (asked(), owner(outdated=True), NODE, Cause.DELETED),
    "kubectl delete of a bare pod": (asked(), None, NODE, Cause.DELETED),
    "kubectl delete --force": (PodEnd(node="node-1"), owner(), NODE, Cause.DELETED),
    "its Deployment was deleted": (asked(), owner(exists=False), NODE, Cause.DELETED),
    "of a kind that is not followed": (asked(), owner("Spark", followed=False, wanted=None), NODE, Cause.DELETED),
    "nothing is known of its node": (asked(), owner(), None, Cause.DELETED),
    # disruptions
    "kubectl drain": (disrupted("EvictionByEvictionAPI"), owner(), NodeFacts("node-1", unschedulable=True), Cause.EVICTION),
    "evicted while scaled in": (disrupted("EvictionByEvictionAPI"), owner(**SHRINKS), NODE, Cause.EVICTION),
    "preempted": (disrupted("PreemptionByScheduler"), owner(), NODE, Cause.PREEMPTION),
    "preempted by the kubelet": (
        PodEnd(phase="Failed", reason="Preempting", disruption="TerminationByKubelet"), owner(), NODE, Cause.PREEMPTION,
    ),
    "node pressure": (
        PodEnd(phase="Failed", reason="Evicted", message="The node was low on resource: memory.",
               disruption="TerminationByKubelet"), owner(), NODE, Cause.EVICTION,
    ),
    "node pressure, before conditions told of it": (PodEnd(phase="Failed", reason="Evicted"), owner(), NODE, Cause.EVICTION),
    "a taint that it does not tolerate": (
        disrupted("DeletionByTaintManager"), owner(), NodeFacts("node-1", taints=("dedicated",)), Cause.EVICTION,
    ),
    "a controller of somebody's own": (disrupted("Rebalanced"), owner(), NODE, Cause.EVICTION),
    "turned away": (PodEnd(phase="Failed", reason="UnexpectedAdmissionError"), owner(), NODE, Cause.EVICTION),
    # the node
    "node unreachable": (
        disrupted("DeletionByTaintManager"), owner(), NodeFacts("node-1", taints=("node.kubernetes.io/unreachable",)),
        Cause.NODE_LOST,
    ),
    "node unreachable, of which nothing is known": (disrupted("DeletionByTaintManager"), owner(), None, Cause.NODE_LOST),
    "node deleted": (disrupted("DeletionByPodGC", phase="Failed"), owner(), NodeFacts("node-1", exists=False), Cause.NODE_LOST),
    "node shut down": (
        PodEnd(phase="Failed", reason="Terminated", disruption="TerminationByKubelet", node="node-1"), owner(), NODE,
        Cause.NODE_LOST,
    ),
    "forced off a lost node": (asked(), owner(), NodeFacts("node-1", ready=False), Cause.NODE_LOST),
    "bare, forced off a lost node": (PodEnd(), None, NodeFacts("node-1", exists=False), Cause.NODE_LOST),
    # its own end
    "succeeded": (finished("Succeeded"), owner("Job"), NODE, Cause.COMPLETED),
    "succeeded, and its Job was deleted later": (finished("Succeeded", asked_at=ASKED), owner("Job"), NODE, Cause.COMPLETED),
    "exit code": (finished("Failed", 3), None, NODE, Cause.CRASHED),
    "exit code of a Job's pod": (finished("Failed", 1), owner("Job"), NODE, Cause.CRASHED),
    "out of memory": (finished("Failed", 137, "OOMKilled"), None, NODE, Cause.OOM_KILLED),
    "longer than its deadline": (PodEnd(phase="Failed", reason="DeadlineExceeded"), owner("Job"), NODE, Cause.CRASHED),
    "failed, nobody knows how": (PodEnd(phase="Failed"), None, NODE, Cause.CRASHED),
    "crashed at last, and its Job gave up": (
        asked(ends=(ContainerEnd("web", 1, "Error", ASKED - 3),)), owner("Job", ended="Failed"), NODE, Cause.CRASHED,
    ),
    "out of memory at last, and its Job gave up": (
        asked(ends=(ContainerEnd("web", 137, "OOMKilled", ASKED - 3),)), owner("Job", ended="Failed"), NODE, Cause.OOM_KILLED,
    ),
    "healthy, and its Job ran out of time": (
        asked(), owner("Job", ended="Failed", ended_reason="DeadlineExceeded"), NODE, Cause.DELETED,
    ),
    "its Job has enough": (asked(), owner("Job", ended="Complete"), NODE, Cause.COMPLETED),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLE)
def test_the_truth_table(name: str) -> None:
    pod, owned, node, cause = TABLE[name]
    found = cause_of(pod, owned, node)
    assert found.cause is cause
    assert found.evidence
    assert "None" not in found.evidence


def test_every_cause_is_in_the_table() -> None:
    assert {cause for *_, cause in TABLE.values()} == set(Cause)
    assert set(Cause) > ABNORMAL


@pytest.mark.parametrize(
    ("name", "evidence"),
    [
        ("Deployment scaled in", "Deployment/newsfeed wants 5 pods, and had 50"),
        ("Deployment rolled", "Deployment/newsfeed has a newer revision"),
        ("kubectl delete", "somebody deleted it, not Deployment/newsfeed, which wants 5 pods"),
        ("kubectl drain", "evicted through the eviction API; node node-1 is being drained"),
        ("node pressure", "the kubelet evicted it: The node was low on resource: memory."),
        ("exit code", "container web ended with exit code 3"),
        ("out of memory", "container web needed more memory than its limit"),
        ("healthy, and its Job ran out of time", "Job/newsfeed has failed (DeadlineExceeded): its pods are deleted"),
    ],
)
def test_evidence(name: str, evidence: str) -> None:
    assert cause_of(*TABLE[name][:3]).evidence == evidence


texts = st.sampled_from(["", "Evicted", "Preempting", "Terminated", "DeadlineExceeded", "NodeLost", "Error", "OutOfcpu"])
pods = st.builds(
    PodEnd,
    asked_at=st.none() | st.floats(0, 2000),
    asked_first=st.booleans(),
    phase=st.sampled_from(["", "Pending", "Running", "Succeeded", "Failed", "Unknown"]),
    reason=texts,
    message=texts,
    disruption=st.none()
    | st.sampled_from(
        [
            "EvictionByEvictionAPI",
            "PreemptionByScheduler",
            "DeletionByTaintManager",
            "DeletionByPodGC",
            "TerminationByKubelet",
            "X",
        ]
    ),
    ends=st.lists(
        st.builds(
            ContainerEnd,
            container=st.just("web"),
            exit_code=st.sampled_from([0, 1, 137, 139, 255]),
            reason=st.sampled_from(["", "Error", "OOMKilled", "Completed"]),
            finished_at=st.none() | st.floats(0, 2000),
        ),
        max_size=3,
    ),
    node=st.none() | st.just("node-1"),
)
owners = st.builds(
    OwnerFacts,
    kind=st.sampled_from(["ReplicaSet", "StatefulSet", "DaemonSet", "Job", "Other"]),
    name=st.just("newsfeed"),
    workload=st.just("Deployment/newsfeed"),
    followed=st.booleans(),
    exists=st.booleans(),
    wanted=st.none() | st.integers(0, 9),
    present=st.integers(0, 9),
    surplus=st.booleans(),
    outdated=st.booleans(),
    recreated=st.booleans(),
    ended=st.none() | st.sampled_from(["Complete", "Failed", "Suspended"]),
)
nodes = st.builds(
    NodeFacts,
    name=st.just("node-1"),
    exists=st.booleans(),
    ready=st.booleans(),
    unschedulable=st.booleans(),
    taints=st.lists(st.sampled_from(["dedicated", "node.kubernetes.io/unreachable"]), max_size=2),
)


@given(pod=pods, owned=st.none() | owners, node=st.none() | nodes)
def test_there_is_always_one_cause_with_evidence(pod: PodEnd, owned: OwnerFacts | None, node: NodeFacts | None) -> None:
    found = cause_of(pod, owned, node)
    assert isinstance(found, Verdict)
    assert found.cause in set(Cause)
    assert found.evidence
    assert "None" not in found.evidence


@given(pod=pods, owned=st.none() | owners, node=st.none() | nodes)
def test_a_scale_in_is_never_called_an_incident(pod: PodEnd, owned: OwnerFacts | None, node: NodeFacts | None) -> None:
    """Without a word of node, kubelet or container, an owner that wants fewer is the cause."""
    plain = PodEnd(asked_at=1.0, phase="Running")
    wants_fewer = owned is not None and owned.followed and owned.exists and owned.surplus
    if wants_fewer and owned is not None and owned.ended is None:
        assert cause_of(plain, owned, node).cause not in ABNORMAL
