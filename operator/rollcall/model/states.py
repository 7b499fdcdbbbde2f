"""Which bucket a pod is in, and why a pod without an agent has none. Truth tables, tested as such.

The Kubernetes API says what exists, agents say how it behaves: a silent agent makes a pod `silent`, never gone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from .labels import Labels

SILENT_AFTER_S = 1.5
"""No report for three intervals makes a pod silent."""
GRACE_S = 10.0
"""So long after its start an injected pod that never reported counts as pending, then as silent."""


class PodState(StrEnum):
    """The buckets; every pod that matches and has not finished is in exactly one."""

    PENDING = "pending"
    SERVING = "serving"
    UNREADY = "unready"
    SILENT = "silent"
    BARE = "bare"
    LEAVING = "leaving"


class BareReason(StrEnum):
    """Why a running pod has no agent."""

    NAMESPACE_NOT_ENABLED = "NamespaceNotEnabled"
    OPTED_OUT = "OptedOut"
    INJECTION_OFF = "InjectionOff"
    HOST_NETWORK = "HostNetwork"
    CREATED_BEFORE = "CreatedBefore"
    WEBHOOK_UNAVAILABLE = "WebhookUnavailable"


@dataclass(frozen=True, slots=True)
class AgentContainer:
    """Our containers in a pod, as the kubelet sees them; `waiting` is its reason why one of them does not run, `restarted_at`
    the Unix time at which one that ended before was started."""

    running: bool = False
    restarts: int = 0
    waiting: str | None = None
    message: str = ""
    restarted_at: float | None = None


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What the Kubernetes API says of a pod. Times are Unix seconds, None where the API has none (yet)."""

    uid: str
    name: str
    namespace: str
    node: str | None = None
    created_at: float = 0.0
    running: bool = False
    finished: bool = False
    ready: bool = False
    leaving: bool = False
    injected: bool = False
    opted_out: bool = False
    host_network: bool = False
    skipped: str | None = None
    started_at: float | None = None
    restarts: int = 0
    revision: str | None = None
    """The version of the pod's template: label pod-template-hash, or controller-revision-hash."""
    workload: str = ""
    """What the pod belongs to, such as "Deployment/newsfeed"."""
    image: str | None = None
    """Of the application's container."""
    cpu_request_millis: int | None = None
    cpu_limit_millis: int | None = None
    memory_limit_bytes: int | None = None
    """Requests and limits of the application's container; None where it has none."""
    oom_kills: int = 0
    looping_until: float | None = None
    """Until when it counts as crash-looping; None for one that does not."""
    ip: str | None = None
    agent: AgentContainer = AgentContainer()
    labels: Labels = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """What decides over injection, apart from the pod itself."""

    created_at: float = 0.0
    namespace_enabled: bool = True
    injection_off: bool = False


def state_of(pod: PodFacts, report_age_s: float | None, now: float) -> PodState:
    """The bucket of a pod; `report_age_s` is the age of its last report, None when there never was one, `now` Unix seconds."""
    if pod.leaving:
        return PodState.LEAVING
    if not pod.running:
        return PodState.PENDING
    if not pod.injected:
        return PodState.BARE
    if report_age_s is None:
        young = pod.started_at is None or now - pod.started_at < GRACE_S
        return PodState.PENDING if young else PodState.SILENT
    if report_age_s > SILENT_AFTER_S:
        return PodState.SILENT
    return PodState.SERVING if pod.ready else PodState.UNREADY


def bare_reason(pod: PodFacts, service: ServiceFacts) -> str:
    """Why a pod is bare: the webhook's own word where it left one, else what can be told from the objects.

    What nothing explains was created while the webhook did not answer.
    """
    if pod.skipped:
        return pod.skipped
    if pod.created_at < service.created_at:
        return BareReason.CREATED_BEFORE
    if not service.namespace_enabled:
        return BareReason.NAMESPACE_NOT_ENABLED
    if service.injection_off:
        return BareReason.INJECTION_OFF
    if pod.opted_out:
        return BareReason.OPTED_OUT
    if pod.host_network:
        return BareReason.HOST_NETWORK
    return BareReason.WEBHOOK_UNAVAILABLE


REMEDIES: dict[str, str] = {
    BareReason.NAMESPACE_NOT_ENABLED: (
        "label the namespace: kubectl label namespace NAMESPACE rollcall.dev/inject=enabled, then restart the pod"
    ),
    BareReason.OPTED_OUT: "the pod's label rollcall.dev/inject: disabled opts it out; remove it to have the pod monitored",
    BareReason.INJECTION_OFF: "spec.injection.mode of the MonitoredService is Off; set it to Auto, then restart the pod",
    BareReason.HOST_NETWORK: "pods on the host's network are not injected",
    BareReason.CREATED_BEFORE: "the pod is older than its MonitoredService; restart it to have it monitored",
    BareReason.WEBHOOK_UNAVAILABLE: "the webhook did not answer when the pod was created; restart the pod to have it monitored",
}
"""What to do about each reason, shown by screens and the command line."""
