"""Cleaning up: what is ours goes, what only has its name stays, and what is gone already is no error."""

from __future__ import annotations

from typing import Any, cast

from rollcall.control.cleanup import remove_traces
from rollcall.kube.client import Client, KubeError

OURS = {"app.kubernetes.io/managed-by": "rollcall-operator"}


class ApiServer:
    """ConfigMaps of our name in three namespaces; the Lease is gone already."""

    def __init__(self) -> None:
        self.deleted: list[str] = []

    async def request(self, method: str, path: str, params: dict[str, str] | None = None) -> Any:
        if method == "GET":
            assert (path, params) == ("/api/v1/configmaps", {"fieldSelector": "metadata.name=rollcall-ca"})
            labels = {"shop": OURS, "rollcall-system": {**OURS, "more": "x"}, "theirs": None}
            return {"items": [{"metadata": {"namespace": namespace, "labels": found}} for namespace, found in labels.items()]}
        if "leases" in path:
            raise KubeError(404, "NotFound", "gone")
        self.deleted.append(path)
        return {}


async def test_what_is_ours_goes() -> None:
    server = ApiServer()
    await remove_traces(cast(Client, server), "rollcall-system", "rollcall")
    assert server.deleted == [
        "/api/v1/namespaces/shop/configmaps/rollcall-ca",
        "/api/v1/namespaces/rollcall-system/configmaps/rollcall-ca",
        "/api/v1/namespaces/rollcall-system/configmaps/rollcall-handover",
        "/api/v1/namespaces/rollcall-system/secrets/rollcall-certs",
        "/api/v1/namespaces/rollcall-system/secrets/rollcall-visitors",
    ]
