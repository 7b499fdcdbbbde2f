"""What a pod gets for the sources that need something of it: OTLP's variables, and the folder of an access log.

Nothing that the pod says is replaced. Where that stands in the way, the source is left out, and the reason is told in words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from posixpath import dirname, relpath
from typing import Any

from rollcall.api.monitoredservice import MonitoredService
from rollcall.api.signals import AccessLogSignals
from rollcall.inject import names

Json = dict[str, Any]
_ELSEWHERE = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED")
"""A pod with one of these sends its spans to somebody else, or none."""
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
_HTTP = ("http/protobuf", "http/json")
_SPAN_DELAY_MS = "1000"
"""For how long an SDK collects spans before it sends them; its own default, 5 s, would make bursts of a steady traffic."""


@dataclass
class Sources:
    """What is added for them: to the agent, to the container that copies the probes, and to the application."""

    agent_env: list[Json] = field(default_factory=list)
    agent_mounts: list[Json] = field(default_factory=list)
    probes_env: list[Json] = field(default_factory=list)
    application_env: list[Json] = field(default_factory=list)
    application_mounts: list[Json] = field(default_factory=list)
    volumes: list[Json] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def sources(pod: Mapping[str, Any], application: int, service: MonitoredService) -> Sources:
    """For a well-formed pod whose application is spec.containers[`application`]."""
    found, signals = Sources(), service.spec.signals
    container = pod["spec"]["containers"][application]
    if signals.otlp.enabled:
        _add_otlp(found, pod, container, signals.otlp.port, service.name)
    if signals.access_log is not None:
        _add_log(found, container, signals.access_log)
    return found


def _variable(name: str, value: str) -> Json:
    return {"name": name, "value": value}


def _add_otlp(found: Sources, pod: Mapping[str, Any], container: Mapping[str, Any], port: int, service: str) -> None:
    if any(port == each.get("containerPort") for one in _containers(pod) for each in _ports(one)):
        found.left_out.append(f"OTLP is left out: port {port} is a container's of the pod; set spec.signals.otlp.port")
        return
    found.agent_env.append(_variable("ROLLCALL_OTLP_PORT", str(port)))
    reason = _elsewhere(container, port)
    if reason is None:
        found.application_env += _otlp_variables(container, port, service)
    else:
        found.left_out.append(f"the application is not told to send OTLP to 127.0.0.1:{port}: {reason}")


def _elsewhere(container: Mapping[str, Any], port: int) -> str | None:
    """Why the application's variables are left as they are, in words; None when they may be added to."""
    own = {str(entry.get("name")): entry.get("value") for entry in container.get("env") or ()}
    here = tuple(f"http://{host}:{port}" for host in ("127.0.0.1", "localhost"))
    for name in _ELSEWHERE:
        if name in own and not str(own[name]).startswith(here):
            return f"the pod sets {name}"
    for name in _PROTOCOLS:
        if name in own and own[name] not in _HTTP:
            return f"the pod sets {name} to something other than {' or '.join(_HTTP)}"
    if container.get("envFrom") and "OTEL_EXPORTER_OTLP_ENDPOINT" not in own:
        return "envFrom may set OTEL_EXPORTER_OTLP_ENDPOINT, and cannot be read"
    return None


def _containers(pod: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from pod["spec"].get("initContainers") or ()
    yield from pod["spec"]["containers"]


def _ports(container: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    ports = container.get("ports")
    return (port for port in (ports if isinstance(ports, list) else ()) if isinstance(port, dict))


def _otlp_variables(container: Mapping[str, Any], port: int, service: str) -> list[Json]:
    wanted = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": _HTTP[0],
        "OTEL_SERVICE_NAME": service,
        "OTEL_BSP_SCHEDULE_DELAY": _SPAN_DELAY_MS,
    }
    own = {entry.get("name") for entry in container.get("env") or ()}
    return [_variable(name, value) for name, value in wanted.items() if name not in own]


def _add_log(found: Sources, container: Mapping[str, Any], log: AccessLogSignals) -> None:
    variables = [_variable("ROLLCALL_ACCESS_LOG", log.format.value)]
    if log.path is None:
        found.agent_env += [*variables, _variable("ROLLCALL_ACCESS_LOG_PORT", str(log.port))]
        return
    mount = _mount_of(container, log.path)
    if mount is None:
        file = f"{names.LOG_PATH}/{log.path.rpartition('/')[2]}"
        variables += [_variable("ROLLCALL_ACCESS_LOG_FILE", file), _variable("ROLLCALL_ACCESS_LOG_OURS", "on")]
        # On disk and without a limit: a pod whose volume grows beyond one is evicted.
        found.volumes.append({"name": names.LOG_VOLUME, "emptyDir": {}})
        found.application_mounts.append({"name": names.LOG_VOLUME, "mountPath": dirname(log.path)})
        found.agent_mounts.append({"name": names.LOG_VOLUME, "mountPath": names.LOG_PATH})
        found.probes_env += variables
    elif "subPathExpr" in mount or mount["mountPath"].rstrip("/") == log.path:
        found.left_out.append(f"the access log is left out: the mount at {mount['mountPath']} cannot be shared with the agent")
        return
    else:
        file = f"{names.LOG_PATH}/{relpath(log.path, mount['mountPath'])}"
        variables.append(_variable("ROLLCALL_ACCESS_LOG_FILE", file))
        shared = {key: mount[key] for key in ("name", "subPath") if key in mount}
        found.agent_mounts.append({**shared, "mountPath": names.LOG_PATH, "readOnly": True})
    found.agent_env += variables


def _mount_of(container: Mapping[str, Any], path: str) -> Mapping[str, Any] | None:
    """The innermost mount of a container that holds `path`."""
    mounts = [mount for mount in container.get("volumeMounts") or () if _holds(str(mount.get("mountPath", "")), path)]
    return max(mounts, key=lambda mount: len(str(mount["mountPath"]).rstrip("/")), default=None)


def _holds(folder: str, path: str) -> bool:
    folder = folder.rstrip("/")
    return folder.startswith("/") and (path == folder or path.startswith(folder + "/"))
