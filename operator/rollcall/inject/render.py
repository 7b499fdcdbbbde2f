"""What a pod gets: our containers, volumes, mounts and environment, as plain JSON values.

Everything passes the Pod Security level `restricted`. No probes: an unready agent would make its pod unready. No startup probe
either, so that nothing of ours can hold the application back once our images are there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rollcall.api.monitoredservice import MonitoredService
from rollcall.inject import names
from rollcall.inject.resources import Resources, agent_resources, is_guaranteed, probes_resources
from rollcall.inject.sources import sources

Json = dict[str, Any]

# The numeric user of the image, needed only where the pod forces root on all its containers.
_IMAGE_USER = 65532


@dataclass(frozen=True)
class InjectSettings:
    """What the operator decides for all pods alike."""

    agent_image: str
    """Image of the agent; the init container that copies the probes uses it too."""

    pull_policy: str = "IfNotPresent"
    """imagePullPolicy of our containers."""

    operator_address: str = "rollcall-ingest.rollcall-system.svc:10251"
    """host:port that agents report to; the host is also the TLS server name."""

    native: bool = True
    """Whether the cluster can run native sidecars (API server and nodes 1.29 and later)."""

    paused: bool = False
    """Whether new pods are left alone, because the image of the agent cannot be pulled."""


@dataclass(frozen=True)
class Template:
    """Everything that is added to one pod, before it is placed."""

    native: bool
    agent: Json
    probes: Json
    volumes: tuple[Json, ...]
    mounts: tuple[Json, ...]
    environment: tuple[Json, ...]
    """Variables for the application that it does not have."""
    left_out: tuple[str, ...]
    hash: str


def render(
    pod: Mapping[str, Any], service: MonitoredService, application: int, native: bool, settings: InjectSettings
) -> Template:
    """The template for a well-formed pod whose application is spec.containers[`application`]."""
    spec, needs = service.spec, sources(pod, application, service)
    guaranteed = is_guaranteed(pod)
    resources = agent_resources(spec.injection.resources, guaranteed)
    to_copy = probes_resources(resources, pod["spec"]["containers"][application], guaranteed)
    security = _security_context(pod)
    agent = _agent(settings, resources, security)
    agent["env"] += needs.agent_env
    agent["volumeMounts"] += needs.agent_mounts
    if native:
        agent["restartPolicy"] = "Always"
    probes = _probes(settings, to_copy, security)
    if needs.probes_env:
        probes["env"] = needs.probes_env
        probes["volumeMounts"] += needs.agent_mounts
    volumes, mounts = (*_VOLUMES, *needs.volumes), (*_MOUNTS, *needs.application_mounts)
    # Visitors are told to running agents; of the other signals what makes a difference is in the parts before.
    signals = spec.signals.model_dump(mode="json", exclude={"visitors", "otlp", "access_log"})
    parts = [native, agent, probes, volumes, mounts, signals]
    return Template(native, agent, probes, volumes, mounts, tuple(needs.application_env), tuple(needs.left_out), _hash(parts))


def python_path(existing: str | None) -> str:
    """PYTHONPATH with our probe in front of what was there."""
    return f"{names.PYTHON_PROBE_PATH}:{existing}" if existing else names.PYTHON_PROBE_PATH


def php_scan_dir(existing: str | None) -> str:
    """PHP_INI_SCAN_DIR with our folder behind what was there; an empty first element keeps PHP's compiled-in folder."""
    return f"{existing or ''}:{names.PHP_CONF_PATH}"


def _agent(settings: InjectSettings, resources: Resources, security: Json) -> Json:
    return {
        "name": names.AGENT_CONTAINER,
        "image": settings.agent_image,
        "imagePullPolicy": settings.pull_policy,
        "args": ["run"],
        "env": [
            {"name": "ROLLCALL_OPERATOR", "value": settings.operator_address},
            _from_field("ROLLCALL_POD_UID", "metadata.uid"),
            _from_field("ROLLCALL_POD_NAME", "metadata.name"),
            _from_field("ROLLCALL_POD_NAMESPACE", "metadata.namespace"),
        ],
        "resources": resources,
        "securityContext": security,
        "volumeMounts": [
            {"name": names.RUN_VOLUME, "mountPath": names.RUN_PATH},
            # To be written: the agent empties the folder when injection takes itself back.
            {"name": names.PROBES_VOLUME, "mountPath": names.PROBES_PATH},
            {"name": names.TOKEN_VOLUME, "mountPath": names.TOKEN_PATH, "readOnly": True},
            {"name": names.CA_VOLUME, "mountPath": names.CA_PATH, "readOnly": True},
        ],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _probes(settings: InjectSettings, resources: Resources, security: Json) -> Json:
    return {
        "name": names.PROBES_CONTAINER,
        "image": settings.agent_image,
        "imagePullPolicy": settings.pull_policy,
        "args": ["install", names.PROBES_PATH],
        "resources": resources,
        "securityContext": security,
        "volumeMounts": [{"name": names.PROBES_VOLUME, "mountPath": names.PROBES_PATH}],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _security_context(pod: Mapping[str, Any]) -> Json:
    context: Json = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    # The pod's runAsUser goes before the image's; with root there and runAsNonRoot here our containers would never start.
    if (pod["spec"].get("securityContext") or {}).get("runAsUser") == 0:
        context["runAsUser"] = _IMAGE_USER
    return context


def _from_field(name: str, path: str) -> Json:
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


def _hash(parts: list[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


_VOLUMES: tuple[Json, ...] = (
    {"name": names.PROBES_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}},
    {"name": names.RUN_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": "64Mi"}},
    {
        "name": names.TOKEN_VOLUME,
        "projected": {
            "sources": [
                {
                    "serviceAccountToken": {
                        "audience": names.TOKEN_AUDIENCE,
                        "expirationSeconds": names.TOKEN_LIFETIME_S,
                        "path": "token",
                    }
                }
            ]
        },
    },
    {
        "name": names.CA_VOLUME,
        "configMap": {"name": names.CA_CONFIG_MAP, "optional": True, "items": [{"key": names.CA_KEY, "path": names.CA_KEY}]},
    },
)

_MOUNTS: tuple[Json, ...] = (
    {"name": names.PROBES_VOLUME, "mountPath": names.PROBES_PATH, "readOnly": True},
    {"name": names.RUN_VOLUME, "mountPath": names.RUN_PATH},
)
