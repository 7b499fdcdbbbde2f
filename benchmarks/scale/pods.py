"""Pods that exist in the API alone: made through the admission webhook, said to run and be ready as a kubelet would say it,
with tokens that are bound to them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterable
from typing import Any, NamedTuple

import msgspec

from rollcall.kube.client import MERGE_PATCH, KubeError

from .stage import HASH, NODES, Stage, now, service_of

AT_ONCE = 24
"""Requests to the API server at a time."""


class Made(NamedTuple):
    """A pod that exists."""

    namespace: str
    name: str
    uid: str
    injected: bool
    created_s: float
    """When the API server had said that it exists, monotonic."""
    number: int
    """Says which service it belongs to."""
    token: str = ""


class Pods:
    """Makes and removes pods; a number says where one belongs and is never used twice."""

    def __init__(self, stage: Stage) -> None:
        self._client = stage.client
        self._owners = stage.owners
        self._room = asyncio.Semaphore(AT_ONCE)
        self._next = 0
        self.making = 0
        """Pods that are being made."""
        self.alive: dict[str, Made] = {}
        """By UID."""

    async def make(self, *, token: bool, namespace: str = "") -> Made:
        """One more pod that runs and is ready; with a token for its agent; in another namespace than its service's, if one is
        given, without owner or webhook."""
        number, self._next = self._next, self._next + 1
        self.making += 1
        try:
            return await self._make(number, token, namespace)
        finally:
            self.making -= 1

    async def _make(self, number: int, token: bool, namespace: str) -> Made:
        async with self._room:
            place, app = service_of(number)
            owner = None if namespace else self._owners[place, app]
            path = f"/api/v1/namespaces/{namespace or place}/pods"
            pod = await self._client.request("POST", path, _manifest(app, number, owner))
            created_s, meta = time.monotonic(), pod["metadata"]
            status = {"status": _status(pod, number)}
            await self._client.request("PATCH", f"{path}/{meta['name']}/status", status, content_type=MERGE_PATCH)
            injected, namespace = "rollcall.dev/injected" in meta.get("annotations", {}), namespace or place
            made = Made(namespace, meta["name"], meta["uid"], injected, created_s, number)
            if token:
                made = made._replace(token=await self._token(made))
        self.alive[made.uid] = made
        return made

    async def remove(self, made: Made) -> None:
        """A pod is gone."""
        async with self._room:
            path = f"/api/v1/namespaces/{made.namespace}/pods/{made.name}"
            await self._client.request("DELETE", path, {"gracePeriodSeconds": 0})
        del self.alive[made.uid]

    async def make_many(self, count: int, *, token: bool, per_second: float | None = None) -> list[Made]:
        """So many more, at most so many a second."""
        return [made for made in await paced((self.make(token=token) for _ in range(count)), per_second) if made is not None]

    async def _token(self, made: Made) -> str:
        reference = {"apiVersion": "v1", "kind": "Pod", "name": made.name, "uid": made.uid}
        spec = {"audiences": ["rollcall.dev"], "expirationSeconds": 3600, "boundObjectRef": reference}
        path = f"/api/v1/namespaces/{made.namespace}/serviceaccounts/default/token"
        answer = await self._client.request(
            "POST", path, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        )
        return str(answer["status"]["token"])


async def paced(calls: Iterable[Awaitable[Any]], per_second: float | None) -> list[Any]:
    """All calls, begun evenly; the result of one that the API server refused is None."""
    began_s, tasks = time.monotonic(), []
    for number, call in enumerate(calls):
        if per_second is not None:
            await asyncio.sleep(began_s + number / per_second - time.monotonic())
        tasks.append(asyncio.ensure_future(_allowed(call)))
    return await asyncio.gather(*tasks)


async def _allowed(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except KubeError as error:
        print(f"   the API server refused: {error}", flush=True)
        return None


def _manifest(app: str, number: int, owner: dict[str, Any] | None = None) -> dict[str, Any]:
    owners = {"ownerReferences": [owner]} if owner else {}
    resources = {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"{app}-{number:06}", "labels": {"app": app, "pod-template-hash": HASH}} | owners,
        "spec": {
            "nodeName": f"fake-{number % NODES}",
            "tolerations": [{"operator": "Exists"}],
            "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "web", "image": "docker.io/example/web:1", "resources": resources}],
        },
    }


def question(namespace: str, app: str) -> bytes:
    """What the API server asks the webhook about such a pod."""
    kind = {"group": "", "version": "v1", "kind": "Pod"}
    request = {"uid": "0", "kind": kind, "operation": "CREATE", "namespace": namespace, "object": _manifest(app, 0)}
    return msgspec.json.encode({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request})


def _status(pod: dict[str, Any], number: int) -> dict[str, Any]:
    at = now()[:19] + "Z"

    def runs(container: dict[str, Any]) -> dict[str, Any]:
        image = {"image": container["image"], "imageID": container["image"]}
        state = {"state": {"running": {"startedAt": at}}, "ready": True, "started": True, "restartCount": 0}
        return {"name": container["name"]} | image | state

    return {
        "phase": "Running",
        "podIP": f"10.99.{number // 250 % 250}.{number % 250 + 1}",
        "startTime": at,
        "conditions": [
            {"type": kind, "status": "True", "lastTransitionTime": at}
            for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
        ],
        "initContainerStatuses": [runs(one) for one in pod["spec"].get("initContainers", [])],
        "containerStatuses": [runs(one) for one in pod["spec"]["containers"]],
    }
