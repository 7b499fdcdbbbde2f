"""The public part of our CA to where it is needed.

A ConfigMap `rollcall-ca` in every namespace with agents (they mount it) and in our own (people's command line reads it), and
the webhook configuration (the API server checks us with it).
"""

from __future__ import annotations

import base64
import logging
from typing import Any

import aiohttp

from rollcall.inject.names import CA_CONFIG_MAP, CA_KEY
from rollcall.kube.client import MERGE_PATCH, Client, KubeError

MANAGED = {"app.kubernetes.io/managed-by": "rollcall-operator"}
_log = logging.getLogger(__name__)


class Bundle:
    """Keeps the published copies equal to the newest bundle. `publish` is idempotent and only touches what differs."""

    def __init__(self, client: Client, namespace: str, webhook: str) -> None:
        self._client = client
        self._own = namespace
        self._webhook = f"/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/{webhook}"
        self._published: dict[str, str] = {}

    async def publish(self, ca: str, namespaces: set[str]) -> None:
        """Bring `ca` (PEM) into the webhook configuration and all namespaces; take it out of those that need it no more."""
        await self._attempt("webhook configuration", self.publish_webhook(ca))
        for namespace in namespaces | {self._own}:
            if self._published.get(namespace) != ca and await self._attempt(namespace, self._apply(ca, namespace)):
                self._published[namespace] = ca
        for namespace in self._published.keys() - namespaces - {self._own}:
            if await self._attempt(namespace, self._delete(namespace)):
                del self._published[namespace]

    def forget(self) -> None:
        """Another replica may have written meanwhile: look at everything again at the next `publish`."""
        self._published.clear()

    async def _attempt(self, what: str, call: Any) -> bool:
        try:
            await call
        except (KubeError, aiohttp.ClientError, OSError, TimeoutError) as error:
            _log.warning("CA bundle, %s: %s", what, error or type(error).__name__)
            return False
        return True

    async def publish_webhook(self, ca: str) -> None:
        """Let the API server trust our webhook; raises KubeError, NotFound while there is no configuration."""
        wanted = base64.b64encode(ca.encode()).decode()
        config = await self._client.request("GET", self._webhook)
        hooks = config.get("webhooks", [])
        if all(hook["clientConfig"].get("caBundle") == wanted for hook in hooks):
            return
        for hook in hooks:
            hook["clientConfig"]["caBundle"] = wanted
        patch = {"metadata": {"resourceVersion": config["metadata"]["resourceVersion"]}, "webhooks": hooks}
        await self._client.request("PATCH", self._webhook, patch, content_type=MERGE_PATCH)

    async def _apply(self, ca: str, namespace: str) -> None:
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": CA_CONFIG_MAP, "namespace": namespace, "labels": MANAGED},
            "data": {CA_KEY: ca},
        }
        await self._client.apply(f"/api/v1/namespaces/{namespace}/configmaps/{CA_CONFIG_MAP}", body)

    async def _delete(self, namespace: str) -> None:
        try:
            await self._client.request("DELETE", f"/api/v1/namespaces/{namespace}/configmaps/{CA_CONFIG_MAP}")
        except KubeError as error:
            if error.status != 404:
                raise
