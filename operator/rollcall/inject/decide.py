"""Whether a pod gets the agent, and the reason when it does not.

The rules stand in one table, asked from top to bottom; the first that applies gives the reason. Where the agent would make the
pod's creation fail, or keep it from starting or finishing, there is a rule that skips it: a pod is never worse off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from rollcall.api.monitoredservice import MonitoredService
from rollcall.api.spec import InjectionMode, SidecarKind
from rollcall.inject import names
from rollcall.inject.containers import Application, application
from rollcall.inject.resources import has_room
from rollcall.inject.selectors import matches
from rollcall.inject.shape import is_readable
from rollcall.inject.workloads import workload_of


class Reason(StrEnum):
    """Why a pod did or did not get the agent. The words are shown to users, in annotations and as metric labels."""

    INJECTED = "Injected"
    MALFORMED = "Malformed"
    NO_MATCHING_SERVICE = "NoMatchingService"
    ALREADY_INJECTED = "AlreadyInjected"
    MIRROR_POD = "MirrorPod"
    OPTED_OUT = "OptedOut"
    INJECTION_OFF = "InjectionOff"
    TAKEN_BACK = "TakenBack"
    HOST_NETWORK = "HostNetwork"
    WINDOWS = "Windows"
    NO_CONTAINER = "NoContainer"
    NAME_TAKEN = "NameTaken"
    NEVER_FINISHES = "NeverFinishes"
    NO_ROOM = "NoRoom"
    IMAGE_PULL = "ImagePull"
    FAILED = "Failed"


EXPLANATIONS: Mapping[Reason, str] = {
    Reason.INJECTED: "the agent is injected",
    Reason.MALFORMED: "the pod could not be read",
    Reason.NO_MATCHING_SERVICE: "no MonitoredService of the namespace selects the pod",
    Reason.ALREADY_INJECTED: "the pod has the agent already",
    Reason.MIRROR_POD: "a static pod is not created through the API server",
    Reason.OPTED_OUT: f"the pod's label {names.OPT_LABEL} is {names.OPTED_OUT}",
    Reason.INJECTION_OFF: "spec.injection.mode of the MonitoredService is Off",
    Reason.TAKEN_BACK: (
        "pods of this workload crashed with the probe and ran without it; status.takenBack of the MonitoredService says more"
    ),
    Reason.HOST_NETWORK: "the pod uses the network of its node",
    Reason.WINDOWS: "the pod runs on Windows",
    Reason.NO_CONTAINER: "the pod has no container that is the application; check spec.container of the MonitoredService",
    Reason.NAME_TAKEN: "the pod already uses a name or a mount path that the agent needs",
    Reason.NEVER_FINISHES: "a classic sidecar would keep a pod that runs to completion from finishing",
    Reason.NO_ROOM: "the resources set for the whole pod leave no room for the agent",
    Reason.IMAGE_PULL: "injection pauses, because several new pods wait for an image of the agent that cannot be pulled",
    Reason.FAILED: "injection failed inside the operator; its log has the cause",
}


@dataclass(frozen=True)
class Decision:
    """What becomes of one pod.

    `service` is the one that the pod belongs to, None when none matches; `rivals` names others that match too.
    `application` is set when, and only when, the pod is to be injected.
    """

    reason: Reason
    service: MonitoredService | None = None
    application: Application | None = None
    native: bool = True
    rivals: tuple[str, ...] = ()

    @property
    def inject(self) -> bool:
        return self.reason is Reason.INJECTED

    @property
    def explanation(self) -> str:
        """One sentence for a person, without a full stop."""
        return EXPLANATIONS[self.reason]


def decide(pod: object, services: Sequence[MonitoredService], native: bool, paused: bool = False) -> Decision:
    """The decision for a pod, raw as JSON gave it, among the services of its namespace.

    `native` says whether the cluster can run native sidecars; a service may ask for another kind by spec.injection.sidecar.
    `paused` says that the agent's image cannot be had at this time.
    """
    if not is_readable(pod):
        return Decision(Reason.MALFORMED)
    matching = services_of(pod, services)
    if not matching:
        return Decision(Reason.NO_MATCHING_SERVICE)
    service, rivals = matching[0], tuple(other.name for other in matching[1:])
    is_native = {SidecarKind.AUTO: native, SidecarKind.NATIVE: True, SidecarKind.CLASSIC: False}[service.spec.injection.sidecar]
    for reason, applies in _RULES:
        if applies(pod, service, is_native):
            return Decision(reason, service, None, is_native, rivals)
    if paused:
        return Decision(Reason.IMAGE_PULL, service, None, is_native, rivals)
    chosen = application(pod, service.spec.container)
    return Decision(Reason.INJECTED, service, chosen, is_native, rivals)


def services_of(pod: Mapping[str, Any], services: Sequence[MonitoredService]) -> list[MonitoredService]:
    """The services whose selector matches the pod, the one it belongs to first: the oldest, then by name."""
    labels = pod["metadata"].get("labels") or {}
    found = [service for service in services if matches(service.spec.selector.as_dict(), labels)]
    return sorted(found, key=lambda service: (service.metadata.creation_timestamp, service.name))


def is_injected(pod: Mapping[str, Any]) -> bool:
    """Whether the pod has our agent. Its containers tell, not its annotations: those get copied from pod to pod."""
    return any(container["name"] == names.AGENT_CONTAINER for container in _containers(pod))


def _containers(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    spec = pod["spec"]
    return [*(spec.get("initContainers") or ()), *spec["containers"]]


def _is_mirror(pod: Mapping[str, Any]) -> bool:
    return names.MIRROR_ANNOTATION in (pod["metadata"].get("annotations") or {})


def _is_opted_out(pod: Mapping[str, Any]) -> bool:
    labels: Mapping[str, str] = pod["metadata"].get("labels") or {}
    return labels.get(names.OPT_LABEL) == names.OPTED_OUT


def _is_taken_back(pod: Mapping[str, Any], service: MonitoredService) -> bool:
    taken_back = service.status.taken_back
    return bool(taken_back) and workload_of(pod) in {entry.workload for entry in taken_back}


def _is_windows(pod: Mapping[str, Any]) -> bool:
    spec: Mapping[str, Any] = pod["spec"]
    return "windows" in ((spec.get("os") or {}).get("name"), (spec.get("nodeSelector") or {}).get("kubernetes.io/os"))


def _is_name_taken(pod: Mapping[str, Any], service: MonitoredService) -> bool:
    if any(container["name"] == names.PROBES_CONTAINER for container in _containers(pod)):
        return True
    if any(volume.get("name") in names.VOLUMES for volume in pod["spec"].get("volumes") or ()):
        return True
    chosen = application(pod, service.spec.container)
    mounts = pod["spec"]["containers"][chosen.index].get("volumeMounts") or () if chosen else ()
    return any(str(mount.get("mountPath", "")).rstrip("/") in (names.PROBES_PATH, names.RUN_PATH) for mount in mounts)


def _runs_to_completion(pod: Mapping[str, Any]) -> bool:
    return bool(pod["spec"].get("restartPolicy", "Always") != "Always")


_RULES: tuple[tuple[Reason, Callable[[Mapping[str, Any], MonitoredService, bool], bool]], ...] = (
    (Reason.ALREADY_INJECTED, lambda pod, service, native: is_injected(pod)),
    (Reason.MIRROR_POD, lambda pod, service, native: _is_mirror(pod)),
    (Reason.OPTED_OUT, lambda pod, service, native: _is_opted_out(pod)),
    (Reason.INJECTION_OFF, lambda pod, service, native: service.spec.injection.mode is InjectionMode.OFF),
    (Reason.TAKEN_BACK, lambda pod, service, native: _is_taken_back(pod, service)),
    (Reason.HOST_NETWORK, lambda pod, service, native: bool(pod["spec"].get("hostNetwork"))),
    (Reason.WINDOWS, lambda pod, service, native: _is_windows(pod)),
    (Reason.NO_CONTAINER, lambda pod, service, native: application(pod, service.spec.container) is None),
    (Reason.NAME_TAKEN, lambda pod, service, native: _is_name_taken(pod, service)),
    (Reason.NEVER_FINISHES, lambda pod, service, native: not native and _runs_to_completion(pod)),
    (Reason.NO_ROOM, lambda pod, service, native: not has_room(pod, service.spec.injection.resources)),
)
