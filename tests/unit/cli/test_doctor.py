"""What the doctor says of each thing that can be wrong. What is well is looked at on the cluster."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from rollcall import __version__
from rollcall.cli.connection import Target
from rollcall.cli.doctor import _versions, coverage_of, table_of
from rollcall.cli.installation import (
    Finding,
    _asked,
    _crd,
    _deployment,
    _injection,
    _namespaces,
    _rights,
    _services,
    _version,
    _webhook,
)
from rollcall.cli.top import wide_console

CALLER: Any = SimpleNamespace(target=Target(namespace="shop"))


def missing(*_: Any, **__: Any) -> Any:
    raise ApiException(status=404, reason="Not Found")


def forbidden(*_: Any, **__: Any) -> Any:
    raise ApiException(status=403, reason="Forbidden")


def gives(value: Any) -> Any:
    return lambda *_, **__: value


def deployment(ready: int | None, wanted: int = 2) -> Any:
    container = SimpleNamespace(image="rollcall/operator:1")
    template = SimpleNamespace(spec=SimpleNamespace(containers=[container]))
    return SimpleNamespace(
        status=SimpleNamespace(ready_replicas=ready), spec=SimpleNamespace(replicas=wanted, template=template)
    )


def webhook(bundle: str | None = "Q0E=", policy: str = "Ignore") -> Any:
    hook = SimpleNamespace(client_config=SimpleNamespace(ca_bundle=bundle), failure_policy=policy)
    return SimpleNamespace(read_mutating_webhook_configuration=gives(SimpleNamespace(webhooks=[hook])))


def one(found: list[Finding]) -> tuple[str, str]:
    (finding,) = found
    assert finding.level == "ok" or finding.remedy
    return finding.level, finding.said


@pytest.mark.parametrize(("minor", "level"), [("28", "warning"), ("29", "ok"), ("34+", "ok")])
def test_version(minor: str, level: str) -> None:
    code = SimpleNamespace(major="1", minor=minor, git_version=f"v1.{minor}.0")
    assert one(_version(code))[0] == level


def test_what_is_not_installed() -> None:
    assert one(_crd(SimpleNamespace(read_custom_resource_definition=missing)))[0] == "failure"
    level, said = one(_deployment(SimpleNamespace(read_namespaced_deployment=missing), CALLER))
    assert (level, said) == ("failure", "there is no Deployment rollcall in namespace rollcall-system")
    assert one(_webhook(SimpleNamespace(read_mutating_webhook_configuration=missing), CALLER))[0] == "failure"


@pytest.mark.parametrize(("ready", "level"), [(None, "failure"), (0, "failure"), (1, "warning"), (2, "ok")])
def test_replicas(ready: int | None, level: str) -> None:
    api = SimpleNamespace(read_namespaced_deployment=gives(deployment(ready)))
    assert one(_deployment(api, CALLER))[0] == level


@pytest.mark.parametrize(
    ("api", "level", "words"),
    [
        (webhook(), "ok", "trusted"),
        (webhook(None), "failure", "has no CA"),
        (webhook(policy="Fail"), "failure", "pods cannot start while the operator is away"),
    ],
)
def test_the_webhook(api: Any, level: str, words: str) -> None:
    found = one(_webhook(api, CALLER))
    assert found[0] == level
    assert words in found[1]


def reviewer(*namespaces: str | None) -> Any:
    """Lets the caller read these."""

    def review(asked: Any) -> Any:
        return SimpleNamespace(status=SimpleNamespace(allowed=asked.spec.resource_attributes.namespace in namespaces))

    return SimpleNamespace(create_self_subject_access_review=review)


@pytest.mark.parametrize(
    ("allowed", "namespace", "level", "where"),
    [
        ((None, "shop"), None, "ok", "in all namespaces"),
        ((None, "shop"), "shop", "ok", "in namespace shop"),
        (("shop",), None, "ok", "in namespace shop"),
        (("shop",), "bank", "failure", "in namespace bank"),
        ((), None, "failure", "in namespace shop"),
    ],
)
def test_rights(allowed: tuple[str | None, ...], namespace: str | None, level: str, where: str) -> None:
    found = one(_rights(reviewer(*allowed), namespace, CALLER))
    assert found[0] == level
    assert found[1].endswith(where)


def services(*names: str, **spec: Any) -> Any:
    """MonitoredServices as the API server lists them, each in a namespace of its own."""
    spec = {"selector": {"matchLabels": {"app": "feed"}}} | spec
    items = [{"metadata": {"name": "feed", "namespace": name}, "spec": spec} for name in names]
    return lambda namespace: [item for item in items if namespace in (None, item["metadata"]["namespace"])]


def opted_in(*names: str) -> Any:
    return SimpleNamespace(
        list_namespace=gives(SimpleNamespace(items=[SimpleNamespace(metadata=SimpleNamespace(name=name)) for name in names]))
    )


def test_namespaces_without_the_label_and_without_a_service() -> None:
    found = _namespaces(opted_in("shop", "idle"), services("shop", "bank"), None)
    assert [(finding.level, finding.said.split()[0]) for finding in found] == [
        ("warning", "bank"),
        ("warning", "idle"),
        ("ok", "1"),
    ]
    assert found[0].remedy.startswith("kubectl label namespace bank rollcall.dev/inject=enabled")
    assert one(_namespaces(opted_in("shop", "idle"), services("shop", "bank"), "shop"))[0] == "ok"
    assert one(_namespaces(opted_in("shop"), services("shop"), "default"))[1] == "default is not opted in"
    assert one(_namespaces(opted_in(), services(), None))[1] == "no namespace is opted in"


class Cluster:
    """Makes pods, as the webhook would have them."""

    def __init__(self, *containers: str, annotations: dict[str, str] | None = None, error: ApiException | None = None) -> None:
        self.pods: list[dict[str, Any]] = []
        self._containers, self._annotations, self._error = containers, annotations, error

    def create_namespaced_pod(self, namespace: str, pod: dict[str, Any], *, dry_run: str, _request_timeout: float) -> Any:
        assert dry_run == "All"
        self.pods.append(pod)
        if self._error is not None:
            raise self._error
        spec = SimpleNamespace(
            init_containers=[SimpleNamespace(name=name) for name in self._containers], containers=[SimpleNamespace(name="app")]
        )
        return SimpleNamespace(spec=spec, metadata=SimpleNamespace(annotations=self._annotations))


def refusal(body: str | None) -> ApiException:
    error = ApiException(status=403, reason="Forbidden")
    error.body = body
    return error


@pytest.mark.parametrize(
    ("cluster", "level", "words"),
    [
        (Cluster("rollcall-agent", "rollcall-probes"), "ok", "gets its agent"),
        (Cluster(annotations={"rollcall.dev/skipped": "HostNetwork"}), "warning", "gets no agent: HostNetwork"),
        (Cluster(), "failure", "the webhook was not asked"),
        (Cluster(error=refusal('{"message": "exceeded quota: small"}')), "unknown", "exceeded quota: small"),
        (Cluster(error=refusal(None)), "unknown", "403 Forbidden"),
    ],
)
def test_a_pod_is_tried(cluster: Cluster, level: str, words: str) -> None:
    (finding,) = _injection(cluster, services("shop"), None, CALLER)
    assert finding.level == level
    assert words in finding.said
    assert cluster.pods[0]["metadata"]["labels"] == {"app": "feed"}


def test_a_pod_is_tried_once_per_namespace_and_not_where_none_is_injected() -> None:
    cluster = Cluster("rollcall-agent")
    found = _injection(cluster, services("shop", "shop", "bank", "a", "b", "c", "d"), None, CALLER)
    assert [finding.said.partition("/")[0] for finding in found] == ["a", "b", "bank", "c", "d"]
    assert _injection(cluster, services("shop", injection={"mode": "Off"}), None, CALLER) == []
    assert _injection(cluster, services("shop", selector={}), None, CALLER) == [], "its own status says what is wrong with it"


def test_a_pod_is_tried_in_the_own_namespace_by_who_may_not_list_all() -> None:
    listed = services("shop", "bank")

    def allowed(namespace: str | None) -> Any:
        return forbidden() if namespace is None else listed(namespace)

    assert [finding.said.partition("/")[0] for finding in _injection(Cluster("rollcall-agent"), allowed, None, CALLER)] == [
        "shop"
    ]


def test_services_are_listed_of_a_namespace_or_of_all() -> None:
    def listed(group: str, version: str, namespace: str, plural: str) -> Any:
        assert (group, version, plural) == ("rollcall.dev", "v1alpha1", "monitoredservices")
        return {"items": [namespace]}

    custom = SimpleNamespace(list_namespaced_custom_object=listed, list_cluster_custom_object=gives({"items": ["all"]}))
    assert _services(custom, "shop") == ["shop"]
    assert _services(custom, None) == ["all"]


def test_the_pod_that_is_tried_has_the_labels_that_are_asked_for() -> None:
    terms = [
        {"key": "tier", "operator": "In", "values": ["web", "api"]},
        {"key": "track", "operator": "Exists"},
        {"key": "old", "operator": "DoesNotExist"},
    ]
    cluster = Cluster("rollcall-agent")
    _injection(cluster, services("shop", selector={"matchExpressions": terms}, container="php"), None, CALLER)
    assert cluster.pods[0]["metadata"]["labels"] == {"tier": "web", "track": "any"}
    assert cluster.pods[0]["spec"]["containers"][0]["name"] == "php"


def test_what_one_may_not_see_is_no_failure_and_what_does_not_answer_is() -> None:
    assert _asked("CRD", forbidden)[0].level == "unknown"

    def away() -> list[Finding]:
        raise ConnectionError

    assert _asked("CRD", away)[0].level == "failure"
    assert _asked("CRD", missing)[0].said == "the API server answered 404 Not Found"


def test_another_version_is_said() -> None:
    assert _versions(__version__).level == "ok"
    assert _versions("9.9.9").remedy == "install the command line of version 9.9.9, or upgrade the release"


def test_coverage() -> None:
    def service(total: int, bare: dict[str, int], gaps: dict[str, int]) -> dict[str, Any]:
        return {"namespace": "shop", "name": "newsfeed", "pods": {"total": total}, "bare": bare, "gaps": gaps}

    assert one(coverage_of(service(0, {}, {})))[1] == "shop/newsfeed: no pod matches its selector"
    assert one(coverage_of(service(6, {}, {}))) == ("ok", "shop/newsfeed: 6 pods, none of which is missed")
    found = coverage_of(service(6, {"CreatedBefore": 2}, {"ImagePull": 1}))
    assert [finding.said for finding in found] == [
        "shop/newsfeed: 2 of 6 pods: CreatedBefore",
        "shop/newsfeed: 1 of 6 pods: ImagePull",
    ]


def test_the_table_shows_each_remedy_below_its_finding() -> None:
    console = wide_console()
    with console.capture() as captured:
        console.print(table_of([Finding("ok", "CRD", "is there"), Finding("failure", "webhook", "has [no] CA", "wait")]))
    lines = [line.split() for line in captured.get().splitlines()]
    assert lines == [["✓", "CRD", "is", "there"], ["✗", "webhook", "has", "[no]", "CA"], ["→", "wait"]]
