"""From a raw pod to a JSON Patch: `inject` is the one function behind the webhook and `rollcall inject`.

The patch only adds, apart from values that it extends (PYTHONPATH, PHP_INI_SCAN_DIR). It is made from raw JSON, never through
typed models, which would drop fields they do not know. A second run on its own result changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rollcall.api.monitoredservice import MonitoredService
from rollcall.inject import names
from rollcall.inject.decide import Decision, Reason, decide, is_injected
from rollcall.inject.render import InjectSettings, php_scan_dir, python_path, render
from rollcall.inject.shape import is_readable

Operation = dict[str, Any]


@dataclass(frozen=True)
class Injection:
    """The outcome for one pod: the decision, the patch (empty when nothing changes), and warnings for its creator."""

    decision: Decision
    patch: tuple[Operation, ...] = ()
    warnings: tuple[str, ...] = ()


def inject(pod: object, services: Sequence[MonitoredService], settings: InjectSettings) -> Injection:
    """Decides about a pod, raw as JSON gave it, and makes the patch; never changes the pod itself.

    `services` are those of the pod's namespace. Any JSON value is accepted; what is no pod comes back as Malformed, unpatched.
    """
    decision = decide(pod, services, settings.native, settings.paused)
    warnings = _warnings(decision)
    if not is_readable(pod):
        return Injection(decision, (), warnings)
    if is_injected(pod):
        return Injection(decision, tuple(_restored_restart_policy(pod)), warnings)
    if decision.service is None:
        return Injection(decision, (), warnings)
    if not decision.inject:
        return Injection(decision, tuple(annotate(pod, {names.SKIPPED_ANNOTATION: decision.reason.value})), warnings)
    patch, left_out = _patch(pod, decision, settings)
    return Injection(decision, tuple(patch), (*warnings, *left_out))


def annotate(pod: Mapping[str, Any], annotations: Mapping[str, str]) -> list[Operation]:
    """The operations that give a well-formed pod these annotations; none for those it has already."""
    present = pod["metadata"].get("annotations")
    if present is None:
        return [_add("/metadata/annotations", dict(annotations))]
    return [
        _add(f"/metadata/annotations/{_escaped(key)}", value) for key, value in annotations.items() if present.get(key) != value
    ]


def _warnings(decision: Decision) -> tuple[str, ...]:
    warnings = []
    if decision.rivals and decision.service:
        others = ", ".join(decision.rivals)
        warnings.append(
            f"rollcall: several MonitoredServices select this pod; it belongs to {decision.service.name}, not to {others}"
        )
    silent = (Reason.INJECTED, Reason.NO_MATCHING_SERVICE, Reason.ALREADY_INJECTED, Reason.OPTED_OUT, Reason.INJECTION_OFF)
    if decision.reason not in silent:
        warnings.append(f"rollcall: no agent in this pod ({decision.reason}): {decision.explanation}")
    return tuple(warnings)


def _patch(pod: Mapping[str, Any], decision: Decision, settings: InjectSettings) -> tuple[list[Operation], list[str]]:
    service, application = decision.service, decision.application
    assert service is not None
    assert application is not None
    template = render(pod, service, application.index, decision.native, settings)
    spec = pod["spec"]
    patch = _prepend(
        spec, "initContainers", "/spec", [template.agent, template.probes] if template.native else [template.probes]
    )
    if not template.native:
        patch += _append(spec, "containers", "/spec", [template.agent])
    patch += _append(spec, "volumes", "/spec", template.volumes)
    container, path = spec["containers"][application.index], f"/spec/containers/{application.index}"
    patch += _append(container, "volumeMounts", path, template.mounts)
    environment, left_out = _environment(container, path, service, template.environment)
    patch += environment
    left_out += template.left_out
    annotations = {
        names.INJECTED_ANNOTATION: template.hash,
        names.SERVICE_ANNOTATION: service.name,
        names.CONTAINER_ANNOTATION: application.name,
    }
    if left_out:
        annotations[names.LEFT_OUT_ANNOTATION] = "; ".join(left_out)
    if names.SKIPPED_ANNOTATION in (pod["metadata"].get("annotations") or {}):
        patch.append({"op": "remove", "path": f"/metadata/annotations/{_escaped(names.SKIPPED_ANNOTATION)}"})
    return patch + annotate(pod, annotations), [f"rollcall: {text}" for text in left_out]


def _environment(
    container: Mapping[str, Any], path: str, service: MonitoredService, more: Sequence[Mapping[str, Any]]
) -> tuple[list[Operation], list[str]]:
    """The operations for the probes' variables and for `more`, which the pod does not set; what was left out, in words."""
    signals = service.spec.signals
    # What envFrom brings cannot be read here; the kubelet puts it in, or leaves the text as a folder that does not exist.
    unread = "$(PYTHONPATH)" if container.get("envFrom") else None
    wanted: list[tuple[str, Callable[[str | None], str], str | None]] = []
    if signals.python.enabled:
        wanted.append(("PYTHONPATH", python_path, signals.python.python_path or unread))
    if signals.php.enabled:
        wanted.append(("PHP_INI_SCAN_DIR", php_scan_dir, None))
    environment = container.get("env") or []
    patch: list[Operation] = []
    added: list[dict[str, str]] = []
    left_out: list[str] = []
    for name, extend, assumed in wanted:
        index = _last_index(environment, name)
        if index is None:
            added.append({"name": name, "value": extend(assumed)})
        elif "valueFrom" in environment[index]:
            left_out.append(f"{name} comes from valueFrom and cannot be extended, so its probe is left out")
        elif not _is_extended(environment[index].get("value"), extend):
            patch.append(_add(f"{path}/env/{index}/value", extend(environment[index].get("value"))))
    return patch + _append(container, "env", path, [*added, *more]), left_out


def _last_index(environment: Sequence[Mapping[str, Any]], name: str) -> int | None:
    """Of several entries with one name the last counts, as in the kubelet."""
    found = [index for index, variable in enumerate(environment) if variable.get("name") == name]
    return found[-1] if found else None


def _is_extended(value: str | None, extend: Callable[[str | None], str]) -> bool:
    return extend(None).strip(":") in (value or "").split(":")


def _restored_restart_policy(pod: Mapping[str, Any]) -> list[Operation]:
    """Webhooks built on an old API drop restartPolicy from init containers; without it the pod would hang in Init for ever."""
    for index, container in enumerate(pod["spec"].get("initContainers") or ()):
        if container["name"] == names.AGENT_CONTAINER and container.get("restartPolicy") != "Always":
            return [_add(f"/spec/initContainers/{index}/restartPolicy", "Always")]
    return []


def _append(owner: Mapping[str, Any], key: str, path: str, items: Sequence[Any]) -> list[Operation]:
    if not items:
        return []
    if owner.get(key) is None:
        return [_add(f"{path}/{key}", list(items))]
    return [_add(f"{path}/{key}/-", item) for item in items]


def _prepend(owner: Mapping[str, Any], key: str, path: str, items: Sequence[Any]) -> list[Operation]:
    if owner.get(key) is None:
        return [_add(f"{path}/{key}", list(items))]
    return [_add(f"{path}/{key}/{index}", item) for index, item in enumerate(items)]


def _add(path: str, value: Any) -> Operation:
    return {"op": "add", "path": path, "value": value}


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
