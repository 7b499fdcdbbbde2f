"""Which container of a pod is the application.

By the pod's annotation, else by the service's spec, else the first that is no known proxy: meshes and log shippers often put
theirs in front, and a probe in a proxy would see nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    containers = [container["name"] for container in pod["spec"]["containers"]]
    return choose(containers, pod["metadata"].get("annotations") or {}, wanted)


def choose(containers: Sequence[str], annotations: Mapping[str, str], wanted: str | None) -> Application | None:
    """The same from the names of spec.containers and the pod's annotations."""
    name = annotations.get(CONTAINER_ANNOTATION) or wanted
    for index, container in enumerate(containers):
        if container == name or (name is None and container not in KNOWN_PROXIES):
            return Application(container, index)
    return None
