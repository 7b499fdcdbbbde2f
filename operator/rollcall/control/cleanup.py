"""What `rollcall-operator cleanup` removes: everything the operator made at run time and the chart therefore does not know.

The chart runs it once the release is gone. CRD and MonitoredServices stay, and so do ConfigMaps of that name that are not ours.
"""

from __future__ import annotations

import logging

from rollcall.control.bundle import MANAGED
from rollcall.inject.names import CA_CONFIG_MAP
from rollcall.kube.client import Access, Client, KubeError
from rollcall.settings import Settings

_log = logging.getLogger(__name__)


async def cleanup(settings: Settings) -> None:
    """Connects as the pod's service account and removes our traces; raises KubeError when the API server refuses."""
    async with Client(Access.find()) as client:
        await remove_traces(client, settings.namespace, settings.name)


async def remove_traces(client: Client, namespace: str, name: str) -> None:
    """Deletes the ConfigMaps with the CA everywhere, and in our namespace what is ours, where that still exists."""
    found = await client.request("GET", "/api/v1/configmaps", params={"fieldSelector": f"metadata.name={CA_CONFIG_MAP}"})
    for config_map in found["items"]:
        metadata = config_map["metadata"]
        if MANAGED.items() <= (metadata.get("labels") or {}).items():
            await _delete(client, f"/api/v1/namespaces/{metadata['namespace']}/configmaps/{CA_CONFIG_MAP}")
    await _delete(client, f"/api/v1/namespaces/{namespace}/configmaps/{name}-handover")
    for secret in ("certs", "visitors"):
        await _delete(client, f"/api/v1/namespaces/{namespace}/secrets/{name}-{secret}")
    await _delete(client, f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}")


async def _delete(client: Client, path: str) -> None:
    try:
        await client.request("DELETE", path)
    except KubeError as error:
        if error.status != 404:
            raise
    _log.info("removed %s", path)
