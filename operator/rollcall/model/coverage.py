"""Why a pod that has an agent does not report, or tells of no request. A truth table, tested as such.

Why a pod has no agent is `states.bare_reason`. Both together explain every pod that should report and does not.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from .states import PodFacts, PodState

PROBE_WITHIN_S = 30.0
"""So long after its start an application may take to load a probe, or to have its first request."""
CONNECTS_WITHIN_S = 10.0
"""So long after its start an agent may take to report. One that ends sooner, again and again, runs for a moment in between."""
IMAGE_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable"}
)
"""Reasons by which a kubelet says that it has no image to start a container from."""
_STARTING = frozenset({"PodInitializing", "ContainerCreating"})
_REFUSED_TOKEN = frozenset({"TokenRejected", "PodMismatch"})


class Gap(StrEnum):
    """What is between an injected pod and its reports."""

    IMAGE_PULL = "ImagePull"
    AGENT_CRASHED = "AgentCrashed"
    TOKEN_REJECTED = "TokenRejected"  # noqa: S105 (a word, no token)
    AGENT_OUTDATED = "AgentOutdated"
    NETWORK_BLOCKED = "NetworkBlocked"
    NEVER_REPORTED = "NeverReported"
    PROBE_INACTIVE = "ProbeInactive"


@dataclass(frozen=True, slots=True)
class Heard:
    """What the operator itself knows of a pod's agent: whether it is connected, the age of its last report (None: there was
    none), the code with which the newest connection from the pod's address was turned away, whether it told of requests, and
    whether it was connected within the last minutes and `left` without a report."""

    connected: bool = False
    report_age_s: float | None = None
    refused: str | None = None
    tells: bool = False
    left: bool = False


def gap_of(pod: PodFacts, state: PodState, heard: Heard, unix_s: float) -> Gap | None:
    """The first reason that applies, None when the pod reports, is bare or leaving, or is just starting."""
    if state in (PodState.BARE, PodState.LEAVING) or not pod.injected:
        return None
    agent = pod.agent
    if state in (PodState.PENDING, PodState.SILENT):
        if agent.waiting in IMAGE_REASONS:
            return Gap.IMAGE_PULL
        if agent.waiting is not None and agent.waiting not in _STARTING:
            return Gap.AGENT_CRASHED
        return _silence(pod, heard, unix_s) if state is PodState.SILENT else None
    young = pod.started_at is None or unix_s - pod.started_at < PROBE_WITHIN_S
    return None if heard.tells or young else Gap.PROBE_INACTIVE


def _silence(pod: PodFacts, heard: Heard, unix_s: float) -> Gap:
    """Why an agent whose container has nothing to complain of is not heard."""
    if heard.refused in _REFUSED_TOKEN:
        return Gap.TOKEN_REJECTED
    if heard.refused == "WireVersion":
        return Gap.AGENT_OUTDATED
    agent = pod.agent
    just_restarted = agent.restarted_at is not None and unix_s - agent.restarted_at < CONNECTS_WITHIN_S
    if just_restarted or (agent.restarts and not agent.running):
        return Gap.AGENT_CRASHED
    if heard.connected or heard.left or heard.refused is not None or not agent.running:
        return Gap.NEVER_REPORTED
    return Gap.NETWORK_BLOCKED


def sentence(pod: PodFacts, gap: Gap, heard: Heard) -> str:
    """What is known, for a person; without the pod's name and a full stop."""
    before = "" if heard.report_age_s is None else f"; its last report came {heard.report_age_s:.0f} s ago"
    said = f" ({pod.agent.waiting}: {pod.agent.message})" if pod.agent.message else f" ({pod.agent.waiting})"
    match gap:
        case Gap.IMAGE_PULL:
            return f"the image of the agent cannot be had{said}"
        case Gap.AGENT_CRASHED:
            times = "once" if pod.agent.restarts == 1 else f"{pod.agent.restarts} times"
            return f"its agent ended and was restarted {times}{said if pod.agent.waiting else ''}{before}"
        case Gap.TOKEN_REJECTED:
            return f"its agent is turned away, because its token is not accepted ({heard.refused}){before}"
        case Gap.AGENT_OUTDATED:
            return f"its agent speaks a version of the wire that this operator does not{before}"
        case Gap.NETWORK_BLOCKED:
            return f"its agent runs, but no connection from {pod.ip or 'it'} reaches the operator{before}"
        case Gap.NEVER_REPORTED:
            turned = f", and was turned away with {heard.refused}" if heard.refused else ""
            what = "is connected" if heard.connected else "does not run yet" if not pod.agent.running else "came"
            return f"its agent {what}{turned}, but has not reported{before}"
        case Gap.PROBE_INACTIVE:
            return "its agent reports, but nothing in the application has told of itself or of a request"


REMEDIES: dict[str, str] = {
    Gap.IMAGE_PULL: (
        "check that the nodes can pull it: `kubectl describe pod` shows the attempts; another image is set by agent.image of "
        "the chart, and pods that are created then get it"
    ),
    Gap.AGENT_CRASHED: (
        "`kubectl logs POD -c rollcall-agent --previous` says how it ended; out of memory is cured by "
        "spec.injection.resources.limits.memory of the MonitoredService"
    ),
    Gap.TOKEN_REJECTED: (
        "restart the pod, which gives it a new token; if that does not help, the API server may not issue tokens for the "
        "audience rollcall.dev, or an injected manifest was edited"
    ),
    Gap.AGENT_OUTDATED: "restart the pod; it gets the agent that belongs to this operator",
    Gap.NETWORK_BLOCKED: (
        "let the pod reach the operator's agents port (a NetworkPolicy of either namespace may forbid it); where its node is "
        "down, the pod is; `kubectl logs POD -c rollcall-agent` says what the agent tries"
    ),
    Gap.NEVER_REPORTED: "`kubectl logs POD -c rollcall-agent` says what it waits for",
    Gap.PROBE_INACTIVE: (
        "an application that is neither Python nor PHP needs spec.signals.otlp or spec.signals.accessLog; one that is may "
        "clear PYTHONPATH or PHP_INI_SCAN_DIR (see docs/injection.md), or be PHP that no request has reached yet"
    ),
}
"""What to do about each gap, shown by screens and the command line."""
