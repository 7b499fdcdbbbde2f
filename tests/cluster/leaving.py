"""Workloads of every kind whose pods leave in every way. They do nothing, so that they start and end at once."""

from __future__ import annotations

import json
from typing import Any

from tests.harness.cluster import Cluster

NAMESPACE = "leaving"
IMAGE = "docker.io/rollcall/newsfeed:dev"
SEAT = "rollcall.dev/seat"
"""An extended resource, of which a node has one."""
Json = dict[str, Any]
GONE_AT_ONCE: list[Json] = [
    {"key": f"node.kubernetes.io/{word}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}
    for word in ("unreachable", "not-ready")
]
"""Tolerations of a pod that does not stay when its node is lost; others do for five minutes."""
SLEEPS = ["sleep", "3600"]
HOG = ["python3", "-S", "-c", "hoard = []\nwhile True: hoard.append(bytearray(4 << 20))"]


def service(name: str, labels: dict[str, str]) -> Json:
    return {
        "apiVersion": "rollcall.dev/v1alpha1",
        "kind": "MonitoredService",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": labels}},
    }


def template(app: str, command: list[str] = SLEEPS, restart: str = "Always", **spec: Any) -> Json:
    """A pod without an agent that is gone a moment after it is told to go."""
    container = {
        "name": "web",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "resources": {"limits": {"memory": "32Mi"}, "requests": {"cpu": "1m", "memory": "8Mi"}},
    }
    return {
        "metadata": {"labels": {"app": app, "suite": "leaving", "rollcall.dev/inject": "disabled"}},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": 1,
            "restartPolicy": restart,
            "containers": [container],
            **spec,
        },
    }


def pod(name: str, command: list[str] = SLEEPS, restart: str = "Never", **spec: Any) -> Json:
    made = {"apiVersion": "v1", "kind": "Pod", **template(name, command, restart, **spec)}
    made["metadata"] |= {"name": name, "namespace": NAMESPACE}
    return made


def seated(name: str, **spec: Any) -> Json:
    """A pod that needs a seat."""
    made = pod(name, **spec)
    for kind in ("requests", "limits"):
        made["spec"]["containers"][0]["resources"][kind][SEAT] = "1"
    return made


def workload(kind: str, name: str, replicas: int | None, of: Json | None = None, **spec: Any) -> Json:
    made: Json = {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": {"app": name}}, "template": of or template(name), **spec},
    }
    if replicas is not None:
        made["spec"]["replicas"] = replicas
    return made


def job(name: str, command: list[str] = SLEEPS, **spec: Any) -> Json:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"backoffLimit": 0, "template": template(name, command, "Never"), **spec},
    }


PRIORITY: Json = {
    "apiVersion": "scheduling.k8s.io/v1",
    "kind": "PriorityClass",
    "metadata": {"name": "leaving-first"},
    "value": 1000,
}


def stage(node: str) -> list[Json]:
    """Everything that the tests begin with; what is to be on a certain node is on this one."""
    here, enabled = {"nodeSelector": {"kubernetes.io/hostname": node}}, {"rollcall.dev/inject": "enabled"}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": enabled}},
        service("leaving", {"suite": "leaving"}),
        workload("Deployment", "web", 4),
        workload("Deployment", "anew", 1, strategy={"type": "Recreate"}),
        workload("Deployment", "doomed", 2),
        workload("Deployment", "drained", 1, template("drained", **here)),
        workload("StatefulSet", "store", 3, serviceName="store", podManagementPolicy="Parallel"),
        workload("DaemonSet", "everywhere", None),
        job("runs"),
        job("paused"),
        pod("bare"),
        pod("drained-bare", **here),
        pod("loops", ["sh", "-c", "exit 1"], "Always"),
    ]


def apply(cluster: Cluster, *objects: Json) -> None:
    cluster.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}))


def seats(cluster: Cluster, node: str, count: int) -> None:
    """Give a node so many seats; its kubelet keeps what it does not know."""
    patch = {"status": {part: {SEAT: str(count)} for part in ("capacity", "allocatable")}}
    cluster.kubectl("patch", "node", node, "--subresource=status", "--type=merge", "-p", json.dumps(patch))
