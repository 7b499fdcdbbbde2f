"""What the API server says of an installation, asked as the caller: each look gives findings with their remedies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from kubernetes import client as kube
from kubernetes.client.exceptions import ApiException

from rollcall.api import InvalidMonitoredServiceError, MonitoredService
from rollcall.api.monitoredservice import GROUP, PLURAL, VERSION
from rollcall.api.spec import InjectionMode
from rollcall.cli.connection import Caller
from rollcall.cli.rehearsal import NotTriedError, rehearse
from rollcall.inject import names

NATIVE_SINCE = (1, 29)
OPTED_IN = f"{names.OPT_LABEL}={names.OPTED_IN}"
MOST_TRIED = 5
"""Namespaces in which a pod is tried."""
Services = Callable[[str | None], list[dict[str, Any]]]
"""MonitoredServices of a namespace, or of all."""


@dataclass(frozen=True)
class Finding:
    """`level` is ok, warning, failure, or unknown where the caller may not look."""

    level: str
    what: str
    said: str
    remedy: str = ""


def ask_cluster(caller: Caller, namespace: str | None) -> Iterator[Finding]:
    """All findings, of one namespace or of all."""
    with kube.ApiClient(caller.settings) as api:
        yield from _asked("cluster", lambda: _version(kube.VersionApi(api).get_code()))
        yield from _asked("CRD", lambda: _crd(kube.ApiextensionsV1Api(api)))
        yield from _asked("operator", lambda: _deployment(kube.AppsV1Api(api), caller))
        yield from _asked("webhook", lambda: _webhook(kube.AdmissionregistrationV1Api(api), caller))
        yield from _asked("your rights", lambda: _rights(kube.AuthorizationV1Api(api), namespace, caller))
        core, services = kube.CoreV1Api(api), cache(partial(_services, kube.CustomObjectsApi(api)))
        yield from _asked("namespaces", lambda: _namespaces(core, services, namespace))
        yield from _asked("injection", lambda: _injection(core, services, namespace, caller))


def _asked(what: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """The findings of one look; an answer that is no answer is one, too."""
    try:
        return look()
    except ApiException as error:
        if error.status in (401, 403):
            return [Finding("unknown", what, f"you may not look: {error.reason}")]
        return [Finding("failure", what, f"the API server answered {error.status} {error.reason}")]
    except Exception as error:  # urllib3 raises many kinds when the server cannot be reached
        return [Finding("failure", what, f"the API server cannot be reached: {type(error).__name__}", "check your kubeconfig")]


def _version(code: Any) -> list[Finding]:
    version = (int(code.major), int(code.minor.rstrip("+")))
    said = f"Kubernetes {code.git_version}"
    if version < NATIVE_SINCE:
        return [Finding("warning", "cluster", f"{said} has no native sidecars", "Kubernetes 1.29 or later is best")]
    return [Finding("ok", "cluster", said)]


def _crd(api: Any) -> list[Finding]:
    try:
        found = api.read_custom_resource_definition("monitoredservices.rollcall.dev")
    except ApiException as error:
        if error.status != 404:
            raise
        said = "monitoredservices.rollcall.dev is not installed"
        return [Finding("failure", "CRD", said, "install the chart, or apply crds/")]
    served = [version.name for version in found.spec.versions if version.served]
    return [Finding("ok", "CRD", f"monitoredservices.rollcall.dev serves {', '.join(served)}")]


def _deployment(api: Any, caller: Caller) -> list[Finding]:
    target = caller.target
    try:
        found = api.read_namespaced_deployment(target.operator_name, target.operator_namespace)
    except ApiException as error:
        if error.status != 404:
            raise
        said = f"there is no Deployment {target.operator_name} in namespace {target.operator_namespace}"
        return [Finding("failure", "operator", said, "install the chart, or name its namespace by --operator-namespace")]
    ready, wanted = found.status.ready_replicas or 0, found.spec.replicas or 0
    image = found.spec.template.spec.containers[0].image
    if ready < wanted or not ready:
        remedy = f"kubectl -n {target.operator_namespace} describe pods -l app.kubernetes.io/name=rollcall"
        return [Finding("failure" if not ready else "warning", "operator", f"{ready} of {wanted} replicas are ready", remedy)]
    return [Finding("ok", "operator", f"{ready} of {wanted} replicas are ready ({image})")]


def _webhook(api: Any, caller: Caller) -> list[Finding]:
    try:
        found = api.read_mutating_webhook_configuration(caller.target.operator_name)
    except ApiException as error:
        if error.status != 404:
            raise
        said = "its configuration is not there: no pod is injected"
        return [Finding("failure", "webhook", said, "upgrade the release by Helm")]
    if not all(hook.client_config.ca_bundle for hook in found.webhooks):
        said = "its configuration has no CA: the API server does not trust it, and no pod is injected"
        return [Finding("failure", "webhook", said, "the operator writes it when it starts; its log says why it did not")]
    policies = {hook.failure_policy for hook in found.webhooks} - {"Ignore"}
    if policies:
        said = f"failurePolicy is {policies.pop()}: pods cannot start while the operator is away"
        return [Finding("failure", "webhook", said, "set it back to Ignore, by an upgrade of the release")]
    return [Finding("ok", "webhook", "its configuration is there, trusted, and never in the way (failurePolicy Ignore)")]


def _rights(api: Any, namespace: str | None, caller: Caller) -> list[Finding]:
    """Of all namespaces, or at least of the caller's own."""
    if namespace is None and _may(api, None):
        return [Finding("ok", "your rights", "you may get monitoredservices/live in all namespaces")]
    where = f"in namespace {namespace or caller.target.namespace}"
    if _may(api, namespace or caller.target.namespace):
        return [Finding("ok", "your rights", f"you may get monitoredservices/live {where}")]
    said = f"you may not get monitoredservices/live {where}"
    return [Finding("failure", "your rights", said, "a RoleBinding to the ClusterRole view, edit or admin grants it")]


def _may(api: Any, namespace: str | None) -> bool:
    attributes = kube.V1ResourceAttributes(group=GROUP, resource=PLURAL, subresource="live", verb="get", namespace=namespace)
    review = kube.V1SelfSubjectAccessReview(spec=kube.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes))
    return bool(api.create_self_subject_access_review(review).status.allowed)


def _services(custom: Any, namespace: str | None) -> list[dict[str, Any]]:
    if namespace is None:
        listed = custom.list_cluster_custom_object(GROUP, VERSION, PLURAL)
    else:
        listed = custom.list_namespaced_custom_object(GROUP, VERSION, namespace, PLURAL)
    found: list[dict[str, Any]] = listed["items"]
    return found


def _namespaces(core: Any, services: Services, namespace: str | None) -> list[Finding]:
    enabled = {found.metadata.name for found in core.list_namespace(label_selector=OPTED_IN).items}
    used = {service["metadata"]["namespace"] for service in services(namespace)}
    found = [
        Finding(
            "warning",
            "namespaces",
            f"{name} has a MonitoredService, but its pods are not injected",
            f"kubectl label namespace {name} {OPTED_IN}, then restart its pods",
        )
        for name in sorted(used - enabled)
    ]
    found += [
        Finding("warning", "namespaces", f"{name} is opted in, but has no MonitoredService", "apply one there")
        for name in sorted(enabled - used)
        if namespace in (None, name)
    ]
    many = len(used & enabled)
    if many:
        named = f"{namespace} is" if namespace else f"{many} namespace is" if many == 1 else f"{many} namespaces are"
        has = "have" if many > 1 else "has"
        return [*found, Finding("ok", "namespaces", f"{named} opted in and {has} a MonitoredService")]
    if found:
        return found
    said = f"{namespace} is not opted in" if namespace else "no namespace is opted in"
    remedy = f"kubectl label namespace {namespace or 'NAMESPACE'} {OPTED_IN}, and apply a MonitoredService there"
    return [Finding("warning", "namespaces", said, remedy)]


def _injection(core: Any, services: Services, namespace: str | None, caller: Caller) -> list[Finding]:
    """A pod of one service per namespace is tried; who may not list all services tries in a namespace of their own."""
    try:
        listed = services(namespace)
    except ApiException as error:
        if namespace is not None or error.status != 403:
            raise
        listed = services(caller.target.namespace)
    tried: dict[str, MonitoredService] = {}
    for each in listed:
        try:
            service = MonitoredService.from_object(each)
        except InvalidMonitoredServiceError:
            continue  # its own status says what is wrong with it
        if service.spec.injection.mode is not InjectionMode.OFF:
            tried.setdefault(service.namespace, service)
    return [_tried(core, service) for _, service in sorted(tried.items())[:MOST_TRIED]]


def _tried(core: Any, service: MonitoredService) -> Finding:
    name = f"{service.namespace}/{service.name}"
    try:
        reason = rehearse(core, service)
    except NotTriedError as error:
        return Finding("unknown", "injection", f"{name}: no pod could be tried: {error}")
    if reason is None:
        return Finding("ok", "injection", f"{name}: a pod that starts now gets its agent (tried as a dry run)")
    said = f"{name}: a pod that starts now gets no agent"
    if reason:
        return Finding("warning", "injection", f"{said}: {reason}", "docs/coverage.md says for each reason what to do")
    remedy = "is the namespace opted in? can the API server reach the operator's pods (firewall, network policy)?"
    return Finding("failure", "injection", f"{said}, because the webhook was not asked", remedy)
