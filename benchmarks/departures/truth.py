"""What is done to pods, and so what each must be said to have left for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from rollcall.kube.client import MERGE_PATCH, Client

from .kubelet import END, NAMESPACE, PODS, SEAT, SEATS, Json, Kubelet, now

APPS = f"/apis/apps/v1/namespaces/{NAMESPACE}"


def template(app: str, seat: bool = False, **spec: Any) -> Json:
    """A pod of this application."""
    lost = [
        {"key": f"node.kubernetes.io/{word}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}
        for word in ("unreachable", "not-ready")
    ]
    resources = {"limits": {SEAT: "1"}, "requests": {SEAT: "1"}} if seat else {}
    labels = {"app": app, "suite": "leave"} | ({END: spec.pop(END)} if END in spec else {})
    containers = [{"name": "web", "image": "docker.io/example/web:1", "resources": resources}]
    given = {"automountServiceAccountToken": False, "terminationGracePeriodSeconds": 5, "tolerations": lost}
    return {"metadata": {"labels": labels}, "spec": given | {"containers": containers, **spec}}


class Truth:
    """`causes` by UID."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.causes: dict[str, str] = {}

    async def workload(self, kind: str, name: str, replicas: int | None, **spec: Any) -> None:
        body: Json = {
            "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name},
            "spec": {"selector": {"matchLabels": {"app": name}}, "template": template(name), **spec},
        }  # fmt: skip
        if replicas is not None:
            body["spec"]["replicas"] = replicas
        await self._client.request("POST", f"{APPS}/{kind.lower()}s", body)

    async def pods(self, app: str, count: int, **given: Any) -> None:
        """Bare ones."""
        for number in range(count):
            body = {"apiVersion": "v1", "kind": "Pod", **template(app, **given)}
            body["metadata"]["name"] = f"{app}-{number}"
            await self._client.request("POST", PODS, body)

    async def job(self, name: str, count: int, end: str) -> None:
        spec = {"parallelism": count, "completions": count, "backoffLimit": 0, "template": template(name, end=end)}
        spec["template"]["spec"]["restartPolicy"] = "Never"
        body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}
        await self._client.request("POST", f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs", body)

    async def of(self, app: str) -> dict[str, Json]:
        """Pods of an application that are neither finished nor told to go, by UID."""
        found = await self._client.request("GET", PODS, params={"labelSelector": f"app={app}"})
        return {
            pod["metadata"]["uid"]: pod
            for pod in found["items"]
            if "deletionTimestamp" not in pod["metadata"] and pod["status"].get("phase") == "Running"
        }

    async def until(self, app: str, count: int) -> dict[str, Json]:
        """The pods once so many run."""
        for _ in range(600):
            found = await self.of(app)
            if len(found) == count:
                return found
            await asyncio.sleep(0.2)
        raise SystemExit(f"{app}: {len(found)} of {count} pods run")

    def expect(self, cause: str, uids: Iterable[str]) -> None:
        self.causes |= dict.fromkeys(uids, cause)

    async def patch(self, path: str, body: Json) -> None:
        await self._client.request("PATCH", path, body, content_type=MERGE_PATCH)

    async def delete(self, pod: Json, grace_s: int | None = None) -> None:
        options = {} if grace_s is None else {"gracePeriodSeconds": grace_s}
        await self._client.request("DELETE", f"{PODS}/{pod['metadata']['name']}", options)

    # --- what is done

    async def scale_in(self, kind: str, name: str, count: int, to: int) -> None:
        before = await self.until(name, count)
        await self.patch(f"{APPS}/{kind}/{name}", {"spec": {"replicas": to}})
        after = await self.until(name, to)
        self.expect("ScaleIn", before.keys() - after.keys())

    async def roll(self, kind: str, name: str, count: int) -> None:
        before = await self.until(name, count)
        self.expect("Rollout", before)
        annotations = {"restarted": now()}
        await self.patch(f"{APPS}/{kind}/{name}", {"spec": {"template": {"metadata": {"annotations": annotations}}}})

    async def delete_all(self, name: str, count: int, grace_s: int | None = None) -> None:
        before = await self.until(name, count)
        self.expect("Deleted", before)
        for pod in before.values():
            await self.delete(pod, grace_s)
            await asyncio.sleep(0.05)

    async def evict(self, name: str, count: int) -> None:
        before = await self.until(name, count)
        self.expect("Eviction", before)
        for pod in before.values():
            meta = {"name": pod["metadata"]["name"], "namespace": NAMESPACE}
            body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": meta}
            await self._client.request("POST", f"{PODS}/{meta['name']}/eviction", body)

    async def taint(self, name: str, count: int) -> None:
        self.expect("Eviction", await self.until(name, count))
        taints = [{"key": "group", "value": "tainted", "effect": "NoSchedule"}, {"key": "broken", "effect": "NoExecute"}]
        await self.patch("/api/v1/nodes/tainted", {"spec": {"taints": taints}})

    async def preempt(self) -> None:
        self.expect("Preemption", await self.until("humble", SEATS))
        await self.pods("proud", SEATS, seat=True, priorityClassName="first")

    async def lose(self, kubelet: Kubelet, name: str, count: int) -> None:
        """A node falls silent; `deleted` is deleted as well. Whoever waits then deletes the pods of the other by force."""
        before = await self.until(name, count)
        self.expect("NodeLost", before)
        kubelet.dead.add(name)
        if name == "deleted":
            await self._client.request("DELETE", f"/api/v1/nodes/{name}")
            return
        for _ in range(300):
            if not await self.of(name):
                break
            await asyncio.sleep(0.5)
        await asyncio.sleep(3)
        for pod in before.values():
            await self.delete(pod, 0)

    async def ends(self, cause: str, name: str, count: int) -> None:
        """Containers that end by themselves."""
        for _ in range(600):
            found = (await self._client.request("GET", PODS, params={"labelSelector": f"app={name}"}))["items"]
            if len(found) == count:
                self.expect(cause, (pod["metadata"]["uid"] for pod in found))
                return
            await asyncio.sleep(0.2)
