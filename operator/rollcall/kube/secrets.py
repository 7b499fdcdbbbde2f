"""A Secret with optimistic locking: what all replicas agree on."""

from __future__ import annotations

import base64

from rollcall.kube.client import Client, KubeError


class SecretStore:
    """One Secret. `read` remembers the version, `write` succeeds only if nobody wrote since."""

    def __init__(self, client: Client, namespace: str, name: str) -> None:
        self._client = client
        self._collection = f"/api/v1/namespaces/{namespace}/secrets"
        self._name = name
        self._version: str | None = None

    async def read(self) -> dict[str, bytes] | None:
        """The data, None when there is no such Secret; raises KubeError for other answers."""
        try:
            secret = await self._client.request("GET", f"{self._collection}/{self._name}")
        except KubeError as error:
            if error.status != 404:
                raise
            self._version = None
            return None
        self._version = secret["metadata"]["resourceVersion"]
        return {key: base64.b64decode(value) for key, value in (secret.get("data") or {}).items()}

    async def write(self, data: dict[str, bytes]) -> bool:
        """Store it over the version read last; False when somebody else was faster."""
        metadata = {"name": self._name, "labels": {"app.kubernetes.io/managed-by": "rollcall-operator"}}
        if self._version is not None:
            metadata["resourceVersion"] = self._version
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "data": {key: base64.b64encode(value).decode() for key, value in data.items()},
        }
        try:
            if self._version is None:
                await self._client.request("POST", self._collection, body)
            else:
                await self._client.request("PUT", f"{self._collection}/{self._name}", body)
        except KubeError as error:
            if error.status == 409:
                return False
            raise
        return True
