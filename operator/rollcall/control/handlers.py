"""kopf: MonitoredService objects in. Only `on.event`, so kopf writes nothing: no finalizer that could block a namespace, no
annotation, no status. Everything of consequence is done by what is called here.

Handlers are coroutines although they do not wait: kopf runs plain functions in threads, and the model lives in the loop."""

from __future__ import annotations

import logging
from typing import Any

import kopf

from rollcall.api.monitoredservice import GROUP, PLURAL, VERSION
from rollcall.control.services import Services


def registry_for(services: Services) -> kopf.OperatorRegistry:
    """The handlers, bound to one operator."""
    registry = kopf.OperatorRegistry()

    @kopf.on.startup(registry=registry)
    async def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.peering.standalone = True  # leadership is our own Lease
        settings.posting.enabled = False
        settings.watching.server_timeout = 290
        settings.watching.client_timeout = 300
        settings.watching.connect_timeout = 10
        settings.networking.request_timeout = 30

    # kopf finds its own way to the API server: as a pod, or by KUBECONFIG
    kopf.on.login(registry=registry, id="service-account")(kopf.login_with_service_account)
    kopf.on.login(registry=registry, id="kubeconfig")(kopf.login_with_kubeconfig)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def on_service(event: kopf.RawEvent, **_: Any) -> None:
        manifest: Any = event["object"]
        if event["type"] == "DELETED":
            services.remove((manifest["metadata"]["namespace"], manifest["metadata"]["name"]))
        else:
            services.put(manifest)

    return registry


def quieten() -> None:
    """kopf logs every event at INFO or DEBUG; what matters is logged by us."""
    for name in ("kopf", "kopf.objects", "kopf.activities"):
        logging.getLogger(name).setLevel(logging.WARNING)
