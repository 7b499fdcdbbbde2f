"""What the doctor says of each thing that can be wrong. What is well is looked at on the cluster."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.client.exceptions import ApiException

from rollcall import __version__
from rollcall.cli.connection import Target
from rollcall.cli.doctor import (
    Finding,
    _asked,
    _crd,
    _deployment,
    _namespaces,
    _rights,
    _version,
    _versions,
    _webhook,
    coverage_of,
    table_of,
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


def test_rights() -> None:
    for allowed, level in ((True, "ok"), (False, "failure")):
        review = SimpleNamespace(status=SimpleNamespace(allowed=allowed))
        assert one(_rights(SimpleNamespace(create_self_subject_access_review=gives(review)), CALLER))[0] == level


def test_namespaces_without_the_label_and_without_a_service() -> None:
    named = [SimpleNamespace(metadata=SimpleNamespace(name=name)) for name in ("shop", "idle")]
    services = [{"metadata": {"namespace": name}} for name in ("shop", "bank")]
    found = _namespaces(
        SimpleNamespace(list_namespace=gives(SimpleNamespace(items=named))),
        SimpleNamespace(list_cluster_custom_object=gives({"items": services})),
    )
    assert [(finding.level, finding.said.split()[0]) for finding in found] == [
        ("warning", "bank"),
        ("warning", "idle"),
        ("ok", "1"),
    ]
    assert found[0].remedy.startswith("kubectl label namespace bank rollcall.dev/inject=enabled")


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
