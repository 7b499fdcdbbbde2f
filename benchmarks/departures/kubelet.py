"""Nodes that are objects, and a kubelet for all of them that says of pods what real ones say."""

from __future__ import annotations

import asyncio
import contextlib
import random
from datetime import UTC, datetime
from typing import Any

from rollcall.kube.client import MERGE_PATCH, Client, KubeError
from rollcall.kube.informer import Informer
from rollcall.kube.pods import Pod

NAMESPACE = "leave"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
SEAT = "rollcall.dev/seat"
SEATS = 30
"""Of an extended resource, on one node."""
END = "end"
"""Label of pods whose containers are to end, and how."""
NODES = {f"node-{number}": "plain" for number in range(10)} | {"silent": "lost", "deleted": "lost", "tainted": "tainted"}
"""Fake nodes, and their group: pods of workloads go to plain ones only."""
Json = dict[str, Any]


def now() -> str:
    """The time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Kubelet:
    """Of all fake nodes that are alive: pods run, end as their label says, and go when they are told to."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.dead: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._told: set[tuple[str, str]] = set()
        self._room = asyncio.Semaphore(24)
        self.informer = Informer(client, PODS, Pod, on_change=self._changed, on_delete=lambda _: None)

    async def beat(self) -> None:
        """Nodes that are alive say so."""
        while True:
            for name in NODES.keys() - self.dead:
                body = {"spec": {"renewTime": now()}}
                with contextlib.suppress(KubeError):
                    await self._client.request("PATCH", f"{LEASES}/{name}", body, content_type=MERGE_PATCH)
            await asyncio.sleep(5)

    def _changed(self, pod: Pod) -> None:
        if pod.spec.node_name is None or pod.spec.node_name in self.dead:
            return
        step = "goes" if pod.metadata.deletion_timestamp is not None else "runs"
        if (pod.metadata.uid, step) not in self._told:
            self._told.add((pod.metadata.uid, step))
            task = asyncio.ensure_future(self._goes(pod) if step == "goes" else self._runs(pod))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _runs(self, pod: Pod) -> None:
        await self._say(pod, "Running", {"running": {"startedAt": now()[:19] + "Z"}}, ready="True")
        end = pod.metadata.labels.get(END)
        if end is None:
            return
        await asyncio.sleep(random.uniform(1.5, 4))
        reason, code = {"oom": ("OOMKilled", 137), "exit": ("Error", 3), "done": ("Completed", 0)}[end]
        ended = {"exitCode": code, "reason": reason, "finishedAt": now()[:19] + "Z"}
        await self._say(pod, "Failed" if code else "Succeeded", {"terminated": ended}, ready="False")

    async def _goes(self, pod: Pod) -> None:
        """As a kubelet: containers are stopped, the pod has failed or succeeded, the object goes."""
        await asyncio.sleep(random.uniform(0, 3))
        if pod.status.phase == "Running" and pod.spec.node_name not in self.dead:
            ended = {"exitCode": random.choice([0, 137, 143]), "finishedAt": now()[:19] + "Z"}
            await self._say(pod, "Failed" if ended["exitCode"] else "Succeeded", {"terminated": ended}, ready="False")
        with contextlib.suppress(KubeError):
            options = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod.metadata.uid}}
            await self._client.request("DELETE", f"{PODS}/{pod.metadata.name}", options)

    async def _say(self, pod: Pod, phase: str, state: Json, ready: str) -> None:
        conditions = [{"type": kind, "status": ready} for kind in ("Ready", "ContainersReady")]
        before = [
            {"type": c.type, "status": c.status, "reason": c.reason}
            for c in self.informer.objects.get(pod.metadata.uid, pod).status.conditions
            if c.type not in ("Ready", "ContainersReady")
        ]
        containers = [
            {"name": "web", "image": "x", "imageID": "x", "restartCount": 0, "ready": ready == "True", "state": state}
        ]
        status = {"phase": phase, "conditions": [*before, *conditions], "containerStatuses": containers}
        async with self._room:
            with contextlib.suppress(KubeError):
                await self._client.request(
                    "PATCH", f"{PODS}/{pod.metadata.name}/status", {"status": status}, content_type=MERGE_PATCH
                )


async def make_nodes(client: Client) -> None:
    """Nodes with room for everything; only plain ones take pods that the scheduler places."""
    for name, group in NODES.items():
        taints = [] if group == "plain" else [{"key": "group", "value": group, "effect": "NoSchedule"}]
        node = {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {"group": group}},
            "spec": {"taints": taints},
        }
        await client.request("POST", "/api/v1/nodes", node)
        lease = {
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name, "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now()},
        }  # fmt: skip
        await client.request("POST", LEASES, lease)
        room = {"cpu": "999", "memory": "999Gi", "pods": "999"} | ({SEAT: str(SEATS)} if name == "node-0" else {})
        condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now()[:19] + "Z"}
        status = {"status": {"conditions": [condition], "capacity": room, "allocatable": room}}
        await client.request("PATCH", f"/api/v1/nodes/{name}/status", status, content_type=MERGE_PATCH)
