"""Events on a MonitoredService; one that cannot be written is logged and harms nothing."""

from __future__ import annotations

import logging

import aiohttp

from rollcall.api.monitoredservice import API_VERSION, KIND, MonitoredService
from rollcall.kube.client import Client, KubeError
from rollcall.kube.events import tell

_log = logging.getLogger(__name__)


async def tell_of(
    client: Client, service: MonitoredService, kind: str, reason: str, message: str, *, about: dict[str, str] | None = None
) -> None:
    """One event, `kind` Normal or Warning, on the service, or on what the reference `about` names."""
    _log.warning("%s/%s: %s", service.namespace, service.name, message)
    own = {"apiVersion": API_VERSION, "kind": KIND, "namespace": service.namespace, "name": service.name}
    try:
        await tell(client, about or own | {"uid": service.metadata.uid}, kind, reason, message)
    except (KubeError, aiohttp.ClientError, OSError, TimeoutError) as error:
        _log.warning("event on %s/%s: %s", service.namespace, service.name, error or type(error).__name__)
