"""Would a pod that starts now get its agent? One is created as a dry run: it passes the webhook and is never stored."""

from __future__ import annotations

import json
from typing import Any

from kubernetes.client.exceptions import ApiException

from rollcall.api import MonitoredService
from rollcall.api.spec import SelectorOperator
from rollcall.inject import names


class NotTriedError(Exception):
    """Why no pod could be tried, in the API server's words."""


def rehearse(core: Any, service: MonitoredService) -> str | None:
    """Try a pod that this service selects: None when it has the agent, else the reason for which the webhook left it without;
    empty when nobody asked the webhook. Raises NotTriedError."""
    try:
        made = core.create_namespaced_pod(service.namespace, pod_for(service), dry_run="All", _request_timeout=20)
    except ApiException as error:
        raise NotTriedError(_sentence(error)) from None
    containers = [*(made.spec.init_containers or ()), *made.spec.containers]
    if any(each.name == names.AGENT_CONTAINER for each in containers):
        return None
    return str((made.metadata.annotations or {}).get(names.SKIPPED_ANNOTATION, ""))


def pod_for(service: MonitoredService) -> dict[str, Any]:
    """A pod with the labels that the service asks for, such that it is let in wherever pods are: restricted, and small."""
    selector = service.spec.selector
    labels = dict(selector.match_labels)
    for term in selector.match_expressions:
        if term.operator in (SelectorOperator.IN, SelectorOperator.EXISTS):
            labels.setdefault(term.key, (*term.values, "any")[0])
    return {
        "metadata": {"generateName": "rollcall-doctor-", "labels": labels},
        "spec": {
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": service.spec.container or "app",
                    "image": "never-pulled",
                    "resources": {name: {"cpu": "10m", "memory": "16Mi"} for name in ("requests", "limits")},
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }


def _sentence(error: ApiException) -> str:
    try:
        return str(json.loads(error.body or "")["message"])
    except (TypeError, ValueError, KeyError):
        return f"{error.status} {error.reason}"
