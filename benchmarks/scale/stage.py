"""A control plane without nodes, the operator's objects as its chart makes them, and fake nodes that stay Ready.

The webhook's Service gets an endpoint by hand, because the operator is a process beside the API server and no pod.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from rollcall.kube.client import MERGE_PATCH, Access, Client, KubeError
from tests.harness import binaries
from tests.harness.cluster import Cluster
from tests.harness.local import provider
from tests.harness.paths import REPOSITORY

SYSTEM = "rollcall-system"
NODES = 20
NAMESPACES = 5
SERVICES = 20
RENEW_S = 4.0
HASH = "5d4f8c7b9"
"""Of the pods' template. The pods of a service have one owner, of a kind that the control plane's controllers leave alone."""
BARE = "bare"
"""A namespace that the webhook is not asked about, and no service looks at."""
NOT_HERE = ("Deployment", "PodDisruptionBudget", "ServiceMonitor", "Service", "Job")


def service_of(number: int) -> tuple[str, str]:
    """Namespace and name of the service that a pod of this number belongs to."""
    return f"shop-{number % NAMESPACES}", f"service-{number % SERVICES}"


def now() -> str:
    """The time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Stage:
    """Made by `raised`; `client` speaks as the cluster's administrator."""

    def __init__(self, cluster: Cluster, client: Client, address: str) -> None:
        self.cluster = cluster
        self.client = client
        self._address = address
        self.owners: dict[tuple[str, str], dict[str, Any]] = {}
        """What owns the pods of a service, as a reference."""
        self._renewing: asyncio.Task[None] | None = None

    async def prepare(self) -> None:
        """Everything that has to be there before the operator and the first pod."""
        self.cluster.kubectl("create", "namespace", SYSTEM, check=False)
        of = ("--namespace", SYSTEM, "--kube-version", binaries.KUBERNETES)
        chart = self.cluster.helm("template", "rollcall", REPOSITORY / "charts/rollcall", *of)
        objects = [one for one in yaml.safe_load_all(chart) if one and one["kind"] not in NOT_HERE and not _hook(one)]
        self._apply([*objects, *self._webhook()])
        self.cluster.wait("crd/monitoredservices.rollcall.dev", "--for=condition=Established")
        enabled = {"rollcall.dev/inject": "enabled"}
        self._apply(
            [
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"shop-{number}", "labels": enabled}}
                for number in range(NAMESPACES)
            ]
        )
        self._apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": BARE}}])
        self._apply([_service(number) for number in range(SERVICES)])
        await self._workloads()
        await asyncio.gather(*(self._node(number) for number in range(NODES)))
        self._renewing = asyncio.create_task(self._renew())
        for namespace in (*(f"shop-{number}" for number in range(NAMESPACES)), BARE):
            await self._until_there(f"/api/v1/namespaces/{namespace}/serviceaccounts/default")

    def operator_access(self, folder: Path) -> Path:
        """A kubeconfig with the token of the operator's own service account, so that it may do what the chart lets it."""
        token = self.cluster.kubectl("-n", SYSTEM, "create", "token", "rollcall", "--duration=12h").strip()
        config = yaml.safe_load(self.cluster.kubeconfig.read_text())
        for user in config["users"]:
            user["user"] = {"token": token}
        file = folder / "operator.kubeconfig"
        file.touch(mode=0o600)
        file.write_text(yaml.safe_dump(config))
        return file

    async def metrics(self) -> str:
        """The API server's own figures."""
        async with self.client.open("GET", "/metrics") as response:
            return (await response.read()).decode()

    async def close(self) -> None:
        """End what runs here; the cluster stays."""
        if self._renewing is not None:
            self._renewing.cancel()

    def _apply(self, objects: list[dict[str, Any]]) -> None:
        listed = {"apiVersion": "v1", "kind": "List", "items": objects}
        self.cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", input=json.dumps(listed))

    async def _workloads(self) -> None:
        for number in range(SERVICES):
            namespace, name = service_of(number)
            made = await self.client.request("POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": name}})
            reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": made["metadata"]["uid"]}
            self.owners[namespace, name] = reference | {"controller": True}

    def _webhook(self) -> list[dict[str, Any]]:
        name, port = "rollcall-webhook", 10250
        service = {"ports": [{"name": "webhook", "port": 443, "targetPort": port}]}
        return [
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": SYSTEM}, "spec": service},
            {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {"name": f"{name}-here", "namespace": SYSTEM, "labels": {"kubernetes.io/service-name": name}},
                "addressType": "IPv4",
                "endpoints": [{"addresses": [self._address], "conditions": {"ready": True}}],
                "ports": [{"name": "webhook", "port": port, "protocol": "TCP"}],
            },
        ]

    async def _node(self, number: int) -> None:
        name = f"fake-{number}"
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}}
        lease = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": name, "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now()},
        }
        for path, body in (("/api/v1/nodes", node), (_LEASES, lease)):
            try:
                await self.client.request("POST", path, body)
            except KubeError as error:
                if error.reason != "AlreadyExists":
                    raise
        condition = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now()[:19] + "Z"}
        status = {"conditions": [condition], "capacity": {"cpu": "999", "memory": "999Gi", "pods": "9999"}}
        path = f"/api/v1/nodes/{name}/status"
        await self.client.request("PATCH", path, {"status": status}, content_type=MERGE_PATCH)

    async def _renew(self) -> None:
        while True:
            body = {"spec": {"renewTime": now()}}
            renewals = (
                self.client.request("PATCH", f"{_LEASES}/fake-{number}", body, content_type=MERGE_PATCH)
                for number in range(NODES)
            )
            await asyncio.gather(*renewals, return_exceptions=True)
            await asyncio.sleep(RENEW_S)

    async def _until_there(self, path: str) -> None:
        for _ in range(100):
            try:
                await self.client.request("GET", path)
            except KubeError:
                await asyncio.sleep(0.1)
            else:
                return
        raise SystemExit(f"there is no {path}")


_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


def _hook(one: dict[str, Any]) -> bool:
    return "helm.sh/hook" in one["metadata"].get("annotations", {})


def _service(number: int) -> dict[str, Any]:
    namespace, name = service_of(number)
    return {
        "apiVersion": "rollcall.dev/v1alpha1",
        "kind": "MonitoredService",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {"selector": {"matchLabels": {"app": name}}, "signals": {"visitors": {"from": "cookie:sid"}}},
    }


def cluster_of(name: str) -> tuple[Cluster, str]:
    """A cluster without nodes of this name, and the address under which the API server reaches this machine's processes."""
    cluster = Cluster.up(name, provider="local", nodes=0)
    plan = provider.load(name)
    assert plan is not None
    return cluster, plan.control_address


def client_of(cluster: Cluster) -> AbstractAsyncContextManager[Client]:
    """The administrator's client."""
    return Client(Access.from_kubeconfig(cluster.kubeconfig))
