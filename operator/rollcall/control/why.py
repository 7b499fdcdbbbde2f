"""`rollcall why POD`: what state a pod is in, the reason in a sentence, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from rollcall.inject.decide import EXPLANATIONS, Reason
from rollcall.kube.client import Client, KubeError
from rollcall.kube.pods import Pod as Object
from rollcall.model import coverage, states
from rollcall.model.coverage import Gap
from rollcall.model.pods import CRASH_LOOPING, reason_of
from rollcall.model.states import BareReason, PodState
from rollcall.model.tally import Pod
from rollcall.serve.openapi import Why

if TYPE_CHECKING:
    from rollcall.control.coverage import Coverage
    from rollcall.control.services import Services
    from rollcall.control.watch import ServiceWatch

NOT_FOUND = 404
_BARE: Mapping[str, str] = {
    **{reason.value: text for reason, text in EXPLANATIONS.items()},
    BareReason.NAMESPACE_NOT_ENABLED: "its namespace does not have the label rollcall.dev/inject=enabled",
    BareReason.CREATED_BEFORE: "it is older than its MonitoredService",
    BareReason.WEBHOOK_UNAVAILABLE: "the webhook did not answer when it was created",
}
REMEDIES: Mapping[str, str] = {
    **{str(reason): text for reason, text in states.REMEDIES.items()},
    **{str(gap): text for gap, text in coverage.REMEDIES.items()},
    CRASH_LOOPING: "`kubectl logs POD --previous` says how the application ended",
    Reason.TAKEN_BACK: (
        "see `kubectl describe msvc`; after a fix, set the annotation rollcall.dev/retry-injection of the MonitoredService to "
        "another value, or install another agent"
    ),
    Reason.NO_CONTAINER: "name the application's container in spec.container of the MonitoredService, then restart the pod",
    Reason.NAME_TAKEN: "rename what the pod calls rollcall-probes, rollcall-agent or a volume of ours, or mounts at our paths",
    Reason.NEVER_FINISHES: "a cluster of Kubernetes 1.29 or later can, with spec.injection.sidecar Auto or Native",
    Reason.NO_ROOM: "make spec.resources of the pod larger by spec.injection.resources of the MonitoredService",
    Reason.FAILED: "`kubectl logs` of the operator has the cause; please report it",
    Reason.IMAGE_PULL: coverage.REMEDIES[Gap.IMAGE_PULL],
    Reason.WINDOWS: "there is no agent for Windows",
    Reason.MIRROR_POD: "static pods cannot be monitored",
}


class Explainer:
    """Answers for any pod of the cluster; one that is on no roll is asked for at the API server, once per question."""

    def __init__(self, client: Client, services: Services, coverage: Coverage) -> None:
        self._client = client
        self._services = services
        self._coverage = coverage

    async def why(self, namespace: str, name: str) -> Why | None:
        """What is to be said of a pod; None when there is none of this name. Raises KubeError as the client does."""
        found = [
            (watch, pod)
            for watch in self._services
            if watch.service.namespace == namespace
            for pod in watch.fleet.pods.values()
            if pod.facts.name == name
        ]
        if not found:
            return await self._unlisted(namespace, name)
        found.sort(key=lambda each: each[0].age_key)
        watch, pod = found[0]
        reason = reason_of(watch.fleet, pod)
        rivals = [other.service.name for other, _ in found[1:]]
        text = self._sentence(watch, pod)
        if reason == CRASH_LOOPING:
            text += "; its application ends again and again, and is started anew"
        if rivals:
            text += (
                f"; it belongs to {watch.service.name}, the oldest of the services that select it (also {', '.join(rivals)})"
            )
        remedy = REMEDIES.get(reason or "", "").replace("POD", name).replace("NAMESPACE", namespace)
        return Why(namespace, name, [watch.service.name, *rivals], pod.state.value, reason, f"{name} {text}", remedy)

    def _sentence(self, watch: ServiceWatch, pod: Pod) -> str:
        heard = self._coverage.heard(watch.fleet, pod)
        if pod.gap is not None:
            return f"is {pod.state}: {coverage.sentence(pod.facts, pod.gap, heard)}"
        age = (
            f"its last report is {heard.report_age_s:.1f} s old"
            if heard.report_age_s is not None
            else "it has not reported yet"
        )
        match pod.state:
            case PodState.BARE:
                return f"is bare, without an agent: {_BARE.get(pod.reason or '', pod.reason)}"
            case PodState.PENDING:
                where = f"on {pod.facts.node}" if pod.facts.node else "and has no node yet"
                return f"is pending {where}: {'it has just started' if pod.facts.running else 'its containers do not run yet'}"
            case PodState.LEAVING:
                verdict = watch.fleet.verdict_of(pod.facts.uid)
                why = f" ({verdict.cause}: {verdict.evidence})" if verdict is not None else ""
                return f"is being deleted{why}; {age}"
            case PodState.SILENT:
                return f"is silent: {age}, and why is not known yet"
            case PodState.UNREADY:
                return f"reports, but is not Ready, so no Service sends it requests; {age}"
            case PodState.SERVING:
                return f"is serving; {age}"

    def _gone(self, namespace: str, name: str) -> Why | None:
        """A pod that left lately, with the cause."""
        for watch in sorted(self._services, key=lambda each: each.age_key):
            gone = watch.ledger.of_name(name) if watch.service.namespace == namespace else None
            if gone is not None:
                when = datetime.fromtimestamp(gone.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
                text = f"left at {when} ({gone.cause}: {gone.evidence})"
                return Why(namespace, name, [watch.service.name], None, gone.cause, f"{name} {text}", "")
        return None

    async def _unlisted(self, namespace: str, name: str) -> Why | None:
        try:
            manifest = await self._client.request("GET", f"/api/v1/namespaces/{namespace}/pods/{name}")
        except KubeError as error:
            if error.status == NOT_FOUND:
                return self._gone(namespace, name)
            raise
        pod = msgspec.convert(manifest, Object, strict=False)
        if pod.status.phase in ("Succeeded", "Failed"):
            text = f"has finished ({pod.status.phase}); pods that have are on no roll"
            return Why(namespace, name, [], None, "Finished", f"{name} {text}", "")
        labels = ", ".join(f"{key}={value}" for key, value in sorted(pod.metadata.labels.items())) or "none"
        others = [watch for watch in self._services if watch.service.namespace == namespace]
        if not others:
            text = f"is not monitored: there is no MonitoredService in namespace {namespace}"
            remedy = f"apply one whose spec.selector matches its labels ({labels}); docs/monitoredservice.md shows the shortest"
        else:
            text = f"is not monitored: its labels are {labels}, and no MonitoredService of the namespace selects them"
            names = ", ".join(sorted(watch.service.name for watch in others))
            remedy = f"change spec.selector of one of {names}, or the pod's labels"
        return Why(namespace, name, [], None, "NoMatchingService", f"{name} {text}", remedy)
