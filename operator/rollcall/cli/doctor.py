"""`rollcall doctor`: is everything there that Rollcall needs, and does every pod report? Each finding with its remedy.

It asks the API server as the caller, and the operator by the live API. What the caller may not see is said, and is no failure.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from kubernetes import client as kube
from kubernetes.client.exceptions import ApiException
from rich.table import Table
from rich.text import Text

from rollcall import __version__
from rollcall.cli.connection import Caller, CliError, live_api, port_forward
from rollcall.cli.output import encode
from rollcall.cli.screen import plain
from rollcall.cli.top import wide_console

SOON_DAYS = 7
NATIVE_SINCE = (1, 29)
OPTED_IN = "rollcall.dev/inject=enabled"
_STYLES = {"ok": "green", "warning": "yellow", "failure": "bold red", "unknown": "bright_black"}
_SIGNS = {"ok": "✓", "warning": "!", "failure": "✗", "unknown": "?"}


@dataclass(frozen=True)
class Finding:
    """`level` is ok, warning, failure, or unknown where the caller may not look."""

    level: str
    what: str
    said: str
    remedy: str = ""


def run_doctor(caller: Caller, *, output: str) -> int:
    """Print all findings; the exit code is 1 when one is a failure."""
    findings = [*_cluster(caller), *asyncio.run(_operator(caller))]
    if output == "table":
        wide_console().print(table_of(findings))
    else:
        print(encode([asdict(finding) for finding in findings], output))
    return 1 if any(finding.level == "failure" for finding in findings) else 0


def table_of(findings: list[Finding]) -> Table:
    """A row per finding, and its remedy below it."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(width=1)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        style = _STYLES[finding.level]
        table.add_row(Text(_SIGNS[finding.level], style=style), finding.what, plain(finding.said))
        if finding.remedy:
            table.add_row("", "", plain(f"→ {finding.remedy}", style="italic"))
    return table


def _cluster(caller: Caller) -> Iterator[Finding]:
    """What the API server says."""
    with kube.ApiClient(caller.settings) as api:
        yield from _asked("cluster", lambda: _version(kube.VersionApi(api).get_code()))
        yield from _asked("CRD", lambda: _crd(kube.ApiextensionsV1Api(api)))
        yield from _asked("operator", lambda: _deployment(kube.AppsV1Api(api), caller))
        yield from _asked("webhook", lambda: _webhook(kube.AdmissionregistrationV1Api(api), caller))
        yield from _asked("your rights", lambda: _rights(kube.AuthorizationV1Api(api), caller))
        yield from _asked("namespaces", lambda: _namespaces(kube.CoreV1Api(api), kube.CustomObjectsApi(api)))


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


def _rights(api: Any, caller: Caller) -> list[Finding]:
    namespace = caller.target.namespace
    attributes = kube.V1ResourceAttributes(
        group="rollcall.dev", resource="monitoredservices", subresource="live", verb="get", namespace=namespace
    )
    review = kube.V1SelfSubjectAccessReview(spec=kube.V1SelfSubjectAccessReviewSpec(resource_attributes=attributes))
    if api.create_self_subject_access_review(review).status.allowed:
        return [Finding("ok", "your rights", f"you may get monitoredservices/live in namespace {namespace}")]
    said = f"you may not get monitoredservices/live in namespace {namespace}"
    return [Finding("failure", "your rights", said, "a RoleBinding to the ClusterRole view, edit or admin grants it")]


def _namespaces(core: Any, custom: Any) -> list[Finding]:
    enabled = {found.metadata.name for found in core.list_namespace(label_selector=OPTED_IN).items}
    listed = custom.list_cluster_custom_object("rollcall.dev", "v1alpha1", "monitoredservices")["items"]
    used = {service["metadata"]["namespace"] for service in listed}
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
    ]
    both = len(used & enabled)
    said = f"{both} namespace{' is' if both == 1 else 's are'} opted in and {'has' if both == 1 else 'have'} a MonitoredService"
    return [*found, Finding("ok" if used & enabled else "warning", "namespaces", said)]


async def _operator(caller: Caller) -> list[Finding]:
    """What the operator says."""
    try:
        async with live_api(caller) as api:
            async with api.get("/v1/operator") as response:
                found = [await _certificate(caller), _versions((await response.json())["version"])]
            namespace = caller.target.namespace
            async with api.get(f"/v1/services?namespace={namespace}") as response:
                services = (await response.json())["services"]
    except (CliError, OSError) as error:
        return [Finding("failure", "live API", str(error))]
    if not services:
        return [*found, Finding("warning", "coverage", f"there is no MonitoredService in namespace {namespace}", "apply one")]
    return [*found, *(finding for service in services for finding in coverage_of(service))]


def _versions(operator: str) -> Finding:
    if operator == __version__:
        return Finding("ok", "live API", f"it answers, and is of the version of this command line, {operator}")
    remedy = f"install the command line of version {operator}, or upgrade the release"
    return Finding("warning", "live API", f"it answers; the operator is {operator}, this command line {__version__}", remedy)


async def _certificate(caller: Caller) -> Finding:
    """How long the operator's certificate is valid; that it is the operator's was checked by the handshake."""
    async with port_forward(caller.target) as port:
        name = caller.target.server_name
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=caller.tls, server_hostname=name)
        peer = writer.get_extra_info("peercert")
        writer.close()
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(peer["notAfter"]), UTC)
    said = f"the operator's is valid until {ends:%Y-%m-%d}"
    if (ends - datetime.now(UTC)).days < SOON_DAYS:
        remedy = "the operator renews it by itself after two thirds of its life; its log says why it did not"
        return Finding("warning", "certificate", said, remedy)
    return Finding("ok", "certificate", said)


def coverage_of(picture: dict[str, Any]) -> list[Finding]:
    """Whether every pod of a service reports, and for those that do not the reasons."""
    name, pods = f"{picture['namespace']}/{picture['name']}", picture["pods"]
    reasons = picture["bare"] | picture["gaps"]
    if not pods["total"]:
        return [Finding("warning", "coverage", f"{name}: no pod matches its selector", "check spec.selector")]
    if not reasons:
        return [Finding("ok", "coverage", f"{name}: {pods['total']} pods, none of which is missed")]
    return [
        Finding(
            "warning",
            "coverage",
            f"{name}: {count} of {pods['total']} pods: {reason}",
            f"rollcall pods {picture['name']} -n {picture['namespace']} names them; rollcall why POD says what to do",
        )
        for reason, count in sorted(reasons.items())
    ]
