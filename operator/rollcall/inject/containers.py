"""Which container of a pod is the application.

By the pod's annotation, else by the service's spec, else the first that is no known proxy: meshes and log shippers often put
theirs in front, and a probe in a proxy would see nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rollcall.inject.names import AGENT_CONTAINER, CONTAINER_ANNOTATION

KNOWN_PROXIES = frozenset(
    {
        AGENT_CONTAINER,
        "aws-otel-collector",
        "aws-xray-daemon",
        "cilium-envoy",
        "cloud-sql-proxy",
        "cloudsql-proxy",
        "config-reloader",
        "consul-connect-envoy-sidecar",
        "consul-dataplane",
        "csql-proxy",
        "daprd",
        "datadog-agent",
        "envoy",
        "envoy-sidecar",
        "filebeat",
        "fluent-bit",
        "fluentd",
        "gke-gcsfuse-sidecar",
        "istio-proxy",
        "jaeger-agent",
        "kube-rbac-proxy",
        "kuma-sidecar",
        "linkerd-proxy",
        "oauth2-proxy",
        "otc-container",
        "otel-collector",
        "pgbouncer",
        "promtail",
        "queue-proxy",
        "vault-agent",
        "xray-daemon",
    }
)


@dataclass(frozen=True)
class Application:
    """The application's container: its name and its place in spec.containers."""

    name: str
    index: int


def application(pod: Mapping[str, Any], wanted: str | None) -> Application | None:
    """The application's container of a well-formed pod, None when there is none.

    `wanted` is the service's spec.container; the pod's own annotation goes before it.
    """
    annotations = pod["metadata"].get("annotations") or {}
    name = annotations.get(CONTAINER_ANNOTATION) or wanted
    for index, container in enumerate(pod["spec"]["containers"]):
        if container["name"] == name or (name is None and container["name"] not in KNOWN_PROXIES):
            return Application(container["name"], index)
    return None
