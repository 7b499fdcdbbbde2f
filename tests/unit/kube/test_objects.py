"""From a pod's JSON to the facts that the model wants, with the shapes that a kubelet really writes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rollcall.api import API_VERSION, KIND, MonitoredService
from rollcall.inject.workloads import workload_of
from rollcall.kube.objects import Manifest, Node, Workload, unix
from rollcall.kube.pods import LOOP_WELL_S, Pod
from rollcall.model.departures import ContainerEnd, NodeFacts
from rollcall.model.states import AgentContainer

STARTED = "2026-03-01T10:00:05Z"
METADATA = {
    "name": "newsfeed-7d9c-abcde",
    "generateName": "newsfeed-7d9c-",
    "namespace": "shop",
    "uid": "uid-1",
    "resourceVersion": "812",
    "creationTimestamp": "2026-03-01T10:00:00Z",
    "labels": {"app": "newsfeed", "pod-template-hash": "7d9c"},
    "annotations": {"rollcall.dev/injected": "3f2a", "rollcall.dev/service": "newsfeed"},
    "ownerReferences": [
        {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "newsfeed-7d9c", "uid": "u", "controller": True}
    ],
    "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {}}}],
}
SIDECAR = {
    "name": "rollcall-agent",
    "restartCount": 4,
    "ready": True,
    "started": True,
    "state": {"running": {"startedAt": "2026-03-01T10:00:01Z"}},
}
RUNNING = {
    "phase": "Running",
    "conditions": [
        {"type": "PodReadyToStartContainers", "status": "True"},
        {"type": "Initialized", "status": "True"},
        {"type": "Ready", "status": "True", "lastProbeTime": None},
        {"type": "ContainersReady", "status": "True"},
    ],
    "initContainerStatuses": [
        {"name": "rollcall-probes", "restartCount": 0, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}},
        SIDECAR,
    ],
    "containerStatuses": [{"name": "web", "restartCount": 2, "state": {"running": {"startedAt": STARTED}}, "lastState": {}}],
}
PENDING = {
    "phase": "Pending",
    "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}],
    "containerStatuses": [{"name": "web", "restartCount": 0, "state": {"waiting": {"reason": "ContainerCreating"}}}],
}
COMPLETED = {
    "phase": "Succeeded",
    "conditions": [{"type": "Ready", "status": "False", "reason": "PodCompleted"}],
    "containerStatuses": [{"name": "web", "restartCount": 0, "state": {"terminated": {"exitCode": 0}}}],
}
CRASHING = {
    "phase": "Running",
    "conditions": [{"type": "Ready", "status": "False"}],
    "containerStatuses": [
        {"name": "web", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
        {"name": "cache", "restartCount": 1, "state": {"running": {"startedAt": "2026-03-01T10:00:09Z"}}},
        {"name": "log", "restartCount": 0, "state": {"running": {"startedAt": STARTED}}},
    ],
}


def facts(status: dict[str, Any], spec: dict[str, Any] | None = None, **metadata: Any) -> Any:
    shape = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": METADATA | metadata,
        "spec": {"nodeName": "node-1"} if spec is None else spec,
        "status": status,
    }
    return msgspec.json.decode(msgspec.json.encode(shape), type=Pod).facts()


def test_a_running_pod() -> None:
    found = facts(RUNNING)
    assert (found.uid, found.name, found.namespace, found.node) == ("uid-1", "newsfeed-7d9c-abcde", "shop", "node-1")
    assert (found.running, found.ready, found.finished, found.leaving, found.injected) == (True, True, False, False, True)
    assert (found.created_at, found.started_at) == (unix("2026-03-01T10:00:00Z"), unix(STARTED))
    assert found.restarts == 2, "restarts of the application; a native sidecar's are not"
    assert found.agent == AgentContainer(running=True, restarts=4, restarted_at=unix("2026-03-01T10:00:01Z"))
    assert found.labels == METADATA["labels"]
    assert found.labels is facts(RUNNING, uid="uid-2").labels, "what pods have in common is kept once"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, {"running": False, "ready": False, "finished": False, "started_at": None, "restarts": 0}),
        (PENDING, {"running": False, "ready": False, "finished": False, "started_at": None}),
        ({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False"}]}, {"running": False, "node": None}),
        (COMPLETED, {"running": False, "ready": False, "finished": True}),
        ({"phase": "Failed", "reason": "Evicted"}, {"running": False, "finished": True}),
        ({"phase": "Unknown"}, {"running": False, "finished": False}),
        (CRASHING, {"running": True, "ready": False, "restarts": 4, "started_at": unix(STARTED)}),
    ],
)
def test_states(status: dict[str, Any], expected: dict[str, Any]) -> None:
    found = facts(status, {} if expected.get("node", 1) is None else None)
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("metadata", "spec", "expected"),
    [
        (
            {"deletionTimestamp": "2026-03-01T10:05:00Z", "deletionGracePeriodSeconds": 30},
            None,
            {"leaving": True, "ready": True},
        ),
        ({"annotations": {}}, None, {"injected": False, "skipped": None}),
        ({"annotations": {"rollcall.dev/skipped": "NoRoom"}}, None, {"injected": False, "skipped": "NoRoom"}),
        ({"labels": {"rollcall.dev/inject": "disabled"}}, None, {"opted_out": True}),
        ({"labels": {"rollcall.dev/inject": "enabled"}}, None, {"opted_out": False}),
        ({}, {"hostNetwork": True}, {"host_network": True}),
    ],
)
def test_metadata(metadata: dict[str, Any], spec: dict[str, Any] | None, expected: dict[str, Any]) -> None:
    found = facts(RUNNING, spec, **metadata)
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("workload", "desired"),
    [
        ({"spec": {"replicas": 6}}, 6),
        ({"spec": {"replicas": 0}}, 0),
        ({"spec": {}}, 1),
        ({"spec": {"template": {"metadata": {"creationTimestamp": None, "labels": {"app": "x"}}}}}, 1),
        ({"spec": {}, "status": {"desiredNumberScheduled": 3}}, 3),
        ({"spec": {}, "status": {"desiredNumberScheduled": 0}}, 0),
    ],
)
def test_desired(workload: dict[str, Any], desired: int) -> None:
    raw = msgspec.json.encode({"metadata": {"name": "w"}} | workload)
    assert msgspec.json.decode(raw, type=Workload).desired() == desired


@pytest.mark.parametrize(
    ("owner", "labels", "workload", "revision"),
    [
        (("ReplicaSet", "web-7d9c"), {"pod-template-hash": "7d9c"}, "Deployment/web", "7d9c"),
        (("ReplicaSet", "web-7d9c"), {"rollouts-pod-template-hash": "7d9c"}, "Rollout/web", None),
        (("ReplicaSet", "web-7d9c"), {}, "ReplicaSet/web-7d9c", None),
        (("StatefulSet", "db"), {"controller-revision-hash": "db-5f"}, "StatefulSet/db", "db-5f"),
        (None, {"pod-template-hash": "7d9c"}, "Pod/newsfeed-7d9c-abcde", "7d9c"),
    ],
)
def test_workload_and_revision(owner: Any, labels: dict[str, str], workload: str, revision: str | None) -> None:
    owners = [{"kind": "Other", "name": "x", "uid": "u"}]
    owners += [{"kind": owner[0], "name": owner[1], "uid": "v", "controller": True}] if owner else []
    metadata = METADATA | {"labels": labels, "ownerReferences": owners}
    pod = msgspec.json.decode(msgspec.json.encode({"metadata": metadata}), type=Pod)
    assert (pod.workload, pod.revision) == (workload, revision)
    assert workload_of({"metadata": metadata}) == workload, "the webhook says the same"


def test_resources_are_those_of_the_application() -> None:
    spec = {
        "containers": [
            {"name": "istio-proxy", "image": "proxy", "resources": {"limits": {"cpu": 2, "memory": "1Gi"}}},
            {
                "name": "web",
                "image": "web",
                "resources": {"requests": {"cpu": "0.1"}, "limits": {"cpu": "1500m", "memory": "64Mi"}},
            },
            {"name": "odd", "resources": {"requests": {"cpu": "0.0001"}, "limits": {"memory": "much"}}},
        ],
        "initContainers": [{"name": "rollcall-agent", "image": "agent:1"}],
    }
    raw = msgspec.json.encode({"metadata": METADATA, "spec": spec, "status": RUNNING})
    pod = msgspec.json.decode(raw, type=Pod)
    found = pod.facts()
    assert (found.cpu_request_millis, found.cpu_limit_millis, found.memory_limit_bytes) == (100, 1500, 64 * 2**20)
    assert (found.image, found.workload, found.revision) == ("web", "Deployment/newsfeed", "7d9c")
    assert pod.facts("missing").image is None
    odd = pod.facts("odd")
    assert (odd.cpu_request_millis, odd.cpu_limit_millis, odd.memory_limit_bytes) == (1, None, None)
    assert pod.facts("missing").cpu_request_millis is None
    assert pod.agent_image == "agent:1"


def test_a_manifest_is_given_back_whole() -> None:
    shape = {
        "metadata": {
            "name": "newsfeed", "namespace": "shop", "uid": "u", "generation": 3, "annotations": {"a": "b"},
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"selector": {"matchLabels": {"app": "newsfeed"}}},
        "status": {"takenBack": [{"workload": "Deployment/web", "since": "2026-01-01T00:00:00Z", "reason": "why"}]},
    }  # fmt: skip
    manifest = msgspec.json.decode(msgspec.json.encode(shape), type=Manifest)
    direct, decoded = (
        MonitoredService.from_object(shape),
        MonitoredService.from_object(msgspec.to_builtins(manifest) | {"apiVersion": API_VERSION, "kind": KIND}),
    )
    assert (decoded.metadata.name, decoded.metadata.generation, decoded.metadata.annotations) == ("newsfeed", 3, {"a": "b"})
    assert (decoded.spec, decoded.status) == (direct.spec, direct.status)


# --- how a pod ends


def decoded(status: dict[str, Any], **metadata: Any) -> Pod:
    shape = {"metadata": METADATA | metadata, "spec": {"nodeName": "node-1"}, "status": status}
    return msgspec.json.decode(msgspec.json.encode(shape), type=Pod)


def test_a_pod_whose_deletion_was_asked_for() -> None:
    end = decoded(RUNNING, deletionTimestamp="2026-03-01T10:05:30Z", deletionGracePeriodSeconds=30).end()
    assert end.asked_at == unix("2026-03-01T10:05:00Z")
    assert (end.phase, end.node, end.disruption, end.ends) == ("Running", "node-1", None, ())
    assert decoded(RUNNING).end().asked_at is None


def test_who_disrupted_it() -> None:
    def disruption(status: str) -> str | None:
        condition = {"type": "DisruptionTarget", "status": status, "reason": "EvictionByEvictionAPI", "message": "evicting"}
        return decoded(RUNNING | {"conditions": [condition]}).end().disruption

    assert (disruption("True"), disruption("False")) == ("EvictionByEvictionAPI", None)


def test_how_its_containers_ended() -> None:
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": STARTED}}
    status = {
        "phase": "Failed",
        "reason": "Evicted",
        "message": "x" * 999,
        "containerStatuses": [
            {"name": "web", "state": ended},
            {
                "name": "loop",
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 1}},
            },
            {"name": "rollcall-agent", "state": ended},
            {"name": "idle", "state": {"running": {}}},
        ],
        "initContainerStatuses": [
            {"name": "migrate", "state": {"terminated": {"exitCode": 2}}},
            {"name": "fine", "state": {"terminated": {"exitCode": 0}}},
        ],
    }
    end = decoded(status).end()
    assert end.ends == (
        ContainerEnd("web", 137, "OOMKilled", unix(STARTED)),
        ContainerEnd("loop", 1),
        ContainerEnd("migrate", 2),
    )
    assert (end.phase, end.reason, len(end.message)) == ("Failed", "Evicted", 200)


def test_a_crash_loop_lasts_until_a_life_lasts() -> None:
    crashed = {"terminated": {"exitCode": 1, "finishedAt": STARTED}}

    def until(restarts: int, state: dict[str, Any], last: dict[str, Any]) -> float | None:
        container = {"name": "web", "restartCount": restarts, "state": state, "lastState": last}
        found: float | None = facts({"phase": "Running", "containerStatuses": [container]}).looping_until
        return found

    soon, later = {"running": {"startedAt": "2026-03-01T10:00:45Z"}}, {"running": {"startedAt": "2026-03-01T11:00:00Z"}}
    assert until(3, {"waiting": {"reason": "CrashLoopBackOff"}}, crashed) == float("inf")
    assert until(3, soon, crashed) == (unix("2026-03-01T10:00:45Z") or 0) + LOOP_WELL_S
    assert until(3, later, crashed) is until(1, soon, crashed) is until(0, soon, {}) is None
    assert until(3, soon, {"terminated": {"exitCode": 0, "finishedAt": STARTED}}) is None
    assert until(0, {"waiting": {"reason": "ContainerCreating"}}, {}) is None


def test_a_node() -> None:
    def node(ready: str, **parts: Any) -> NodeFacts:
        conditions = [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": ready}]
        shape = {"metadata": {"name": "node-1"}, "status": {"conditions": conditions, "images": [{}]}} | parts
        return msgspec.json.decode(msgspec.json.encode(shape), type=Node).facts()

    assert node("True") == NodeFacts("node-1")
    assert not node("True").lost
    assert node("Unknown").lost
    assert node("False").lost
    taints = [{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}, {"key": "other", "effect": "NoSchedule"}]
    found = node("True", spec={"taints": taints, "unschedulable": True})
    assert found == NodeFacts("node-1", unschedulable=True, taints=("node.kubernetes.io/unreachable",))
    assert found.lost
