"""Stand-ins for what control talks to: an API server in memory, a clock, and services whose pods are given by hand."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from rollcall.api.monitoredservice import MonitoredService
from rollcall.kube.client import KubeError


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self, now_s: float = 1000.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s


class FakeClient:
    """Objects by path. Remembers writes; `fail` maps a path's ending to the error that a write there meets."""

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.writes: list[tuple[str, str]] = []
        self.created: list[dict[str, Any]] = []
        self.fail: dict[str, Exception] = {}

    def _check(self, path: str) -> None:
        for ending, error in self.fail.items():
            if path.endswith(ending):
                raise error

    async def request(
        self, method: str, path: str, body: Any = None, *, params: Mapping[str, str] | None = None, content_type: str = ""
    ) -> Any:
        await asyncio.sleep(0)
        if method != "GET":
            self.writes.append((method, path))
        self._check(path)
        if method == "POST":
            self.created.append(copy.deepcopy(body))
            return body
        if path not in self.objects:
            raise KubeError(404, "NotFound", path)
        if method == "DELETE":
            return self.objects.pop(path)
        if method == "PATCH":
            self.objects[path] |= copy.deepcopy(body)
        return copy.deepcopy(self.objects[path])

    async def apply(self, path: str, body: dict[str, Any]) -> Any:
        await asyncio.sleep(0)
        self.writes.append(("APPLY", path))
        self._check(path)
        self.objects[path] = copy.deepcopy(body)
        return body

    @asynccontextmanager
    async def open(self, method: str, path: str, **_: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        """Lists and watches never get an answer: pods are given to fleets by hand."""
        await asyncio.Event().wait()
        raise AssertionError
        yield


def manifest(name: str = "newsfeed", **changes: Any) -> dict[str, Any]:
    """A MonitoredService as kopf hands it over; `changes` reach into metadata, spec and status."""
    shape: dict[str, Any] = {
        "apiVersion": "rollcall.dev/v1alpha1",
        "kind": "MonitoredService",
        "metadata": {
            "name": name, "namespace": "shop", "uid": f"uid-{name}", "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"selector": {"matchLabels": {"app": name}}},
        "status": {},
    }  # fmt: skip
    for part, values in changes.items():
        shape[part] = shape[part] | values
    return shape


def service(name: str = "newsfeed", **changes: Any) -> MonitoredService:
    """The same, typed."""
    return MonitoredService.from_object(manifest(name, **changes))
