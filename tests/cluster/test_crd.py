"""The CRD in a real API server: what it fills in, what it refuses and with which words, and what `kubectl get msvc` prints."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness.cluster import Cluster
from tests.harness.errors import HarnessError
from tests.harness.install import NAMESPACE as SYSTEM

pytestmark = [pytest.mark.cluster, pytest.mark.patient]

CRD = Path(__file__).resolve().parents[2] / "crds/rollcall.dev_monitoredservices.yaml"
NAME = "monitoredservices.rollcall.dev"
NAMESPACE = "crd-test"
SELECTOR = {"matchLabels": {"app": "newsfeed"}}


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with our CRD, an empty namespace, and no operator, which would write statuses of its own."""
    cluster.helm("uninstall", "rollcall", "--namespace", SYSTEM, "--ignore-not-found", "--wait")
    was_there = bool(cluster.kubectl("get", "crd", NAME, "--ignore-not-found", "-o", "name"))
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", CRD)
    cluster.wait(f"crd/{NAME}", "--for=condition=Established")
    cluster.kubectl("create", "namespace", NAMESPACE)
    yield cluster
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    if not was_there:
        cluster.kubectl("delete", "crd", NAME)


def manifest(spec: Any, name: str = "newsfeed", status: Any = None) -> str:
    made = {
        "apiVersion": "rollcall.dev/v1alpha1",
        "kind": "MonitoredService",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    }
    return json.dumps(made if status is None else {**made, "status": status})


def applied(cluster: Cluster, spec: Any, name: str = "newsfeed") -> dict[str, Any]:
    return json.loads(cluster.kubectl("apply", "--server-side", "-o", "json", "-f", "-", input=manifest(spec, name)))


def limits(**limits: Any) -> dict[str, Any]:
    return {"selector": SELECTOR, "injection": {"resources": {"limits": limits}}}


def objectives(**objectives: Any) -> dict[str, Any]:
    return {"selector": SELECTOR, "objectives": objectives}


def signals(**signals: Any) -> dict[str, Any]:
    return {"selector": SELECTOR, "signals": signals}


def expression(**requirement: Any) -> dict[str, Any]:
    return {"selector": {"matchExpressions": [{"key": "app", **requirement}]}}


BAD = {
    "no selector": ({}, "spec.selector: Required value"),
    "empty selector": ({"selector": {}}, "spec.selector: Invalid value", "name at least one label"),
    "empty labels": ({"selector": {"matchLabels": {}}}, "spec.selector: Invalid value", "name at least one label"),
    "label value": ({"selector": {"matchLabels": {"app": "a b"}}}, "spec.selector.matchLabels", "label values"),
    "long label value": ({"selector": {"matchLabels": {"app": "a" * 64}}}, "spec.selector.matchLabels.app: Too long"),
    "In without values": (expression(operator="In"), "spec.selector.matchExpressions[0].values", "must be given for In"),
    "Exists with values": (expression(operator="Exists", values=["a"]), "spec.selector.matchExpressions[0].values", "left out"),
    "unknown operator": (expression(operator="Is"), "spec.selector.matchExpressions[0].operator", '"DoesNotExist"'),
    "container name": ({"selector": SELECTOR, "container": "Web_1"}, "spec.container", "name of a container"),
    "injection mode": ({"selector": SELECTOR, "injection": {"mode": "On"}}, "spec.injection.mode", '"Auto", "Off"'),
    "repair": ({"selector": SELECTOR, "coverage": {"repair": "Delete"}}, "spec.coverage.repair", '"Off", "Restart"'),
    "sidecar": ({"selector": SELECTOR, "injection": {"sidecar": "Init"}}, "spec.injection.sidecar", '"Classic"'),
    "memory below request": (limits(memory="10Mi"), "spec.injection.resources.requests.memory", "raise the limit"),
    "cpu below request": (limits(cpu="1m"), "spec.injection.resources.requests.cpu", "raise the limit"),
    "no quantity": (limits(memory="lots"), "spec.injection.resources.limits.memory", '"24Mi"'),
    "no memory": (limits(memory=0), "spec.injection.resources.limits.memory", "above 0"),
    "python path": ({"selector": SELECTOR, "signals": {"python": {"pythonPath": ""}}}, "spec.signals.python.pythonPath"),
    "enabled": ({"selector": SELECTOR, "signals": {"php": {"enabled": "yes"}}}, "spec.signals.php.enabled", "boolean"),
    "visitors": (
        {"selector": SELECTOR, "signals": {"visitors": {"from": "sid"}}},
        "spec.signals.visitors.from",
        '"cookie:NAME"',
    ),
    "visitors of nothing": ({"selector": SELECTOR, "signals": {"visitors": {}}}, "spec.signals.visitors.from: Required value"),
    "p95": (objectives(p95="fast"), "spec.objectives.p95", '"300ms"'),
    "p95 of nothing": (objectives(p95="0s"), "spec.objectives.p95", "1ms to 1h"),
    "p95 of two hours": (objectives(p95="2h"), "spec.objectives.p95", "1ms to 1h"),
    "errors": (objectives(errors="101%"), "spec.objectives.errors", "0% to 100%"),
    "errors without a sign": (objectives(errors="1"), "spec.objectives.errors", "0% to 100%"),
    "two bands": (objectives(bands=["1s", "2s"]), "spec.objectives.bands", "at least 3 items"),
    "bands that fall": (objectives(bands=["3s", "2s", "8s"]), "spec.objectives.bands", "each longer than the one before"),
    "bands that are equal": (
        objectives(bands=["1s", "1000ms", "8s"]),
        "spec.objectives.bands",
        "each longer than the one before",
    ),
    "a band that is none": (objectives(bands=["1s", "x", "8s"]), "spec.objectives.bands[1]", '"300ms"'),
    "coverage": ({"selector": SELECTOR, "minimumCoverage": "most"}, "spec.minimumCoverage", "0% to 100%"),
    "otlp port": (signals(otlp={"port": 80}), "spec.signals.otlp.port", "greater than or equal to 1024"),
    "log of no format": (signals(accessLog={"port": 5140}), "spec.signals.accessLog.format: Required value"),
    "log format": (signals(accessLog={"format": "json", "port": 5140}), "spec.signals.accessLog.format", '"combined"'),
    "log from nowhere": (signals(accessLog={"format": "rollcall"}), "spec.signals.accessLog", "either port"),
    "log from both": (
        signals(accessLog={"format": "rollcall", "port": 5140, "path": "/var/log/x/a.log"}),
        "spec.signals.accessLog",
        "either port",
    ),
    "log at the root": (signals(accessLog={"format": "rollcall", "path": "/a.log"}), "spec.signals.accessLog.path", "folder"),
    "log upwards": (signals(accessLog={"format": "rollcall", "path": "/a/../b"}), "spec.signals.accessLog.path", "hidden"),
    "log of ours": (
        signals(accessLog={"format": "rollcall", "path": "/rollcall/run/a"}),
        "spec.signals.accessLog.path",
        "must not be in",
    ),
    "a signal of a later version": (signals(ebpf={}), "spec.signals.ebpf"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_manifest_is_refused_with_the_name_of_its_field(api: Cluster, name: str) -> None:
    spec, *words = BAD[name]
    with pytest.raises(HarnessError) as refused:
        api.kubectl("create", "--validate=strict", "-f", "-", input=manifest(spec, "bad"))
    for word in words:
        assert word in str(refused.value)


def test_a_short_manifest_is_filled_with_the_defaults(api: Cluster) -> None:
    spec = applied(api, {"selector": SELECTOR}, "short")["spec"]
    assert spec == {
        "selector": SELECTOR,
        "injection": {
            "mode": "Auto",
            "sidecar": "Auto",
            "resources": {"requests": {"cpu": "5m", "memory": "24Mi"}, "limits": {"memory": "48Mi"}},
        },
        "signals": {"python": {"enabled": True}, "php": {"enabled": True}, "otlp": {"enabled": False, "port": 4318}},
        "objectives": {"errors": "1%", "bands": ["1s", "3s", "8s"]},
        "coverage": {"repair": "Off"},
        "minimumCoverage": "80%",
    }


def test_a_full_manifest_is_kept_as_it_is(api: Cluster) -> None:
    full = {
        "selector": {
            "matchLabels": {"app.kubernetes.io/name": "newsfeed"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["web", "api"]},
                {"key": "canary", "operator": "DoesNotExist"},
            ],
        },
        "container": "web",
        "injection": {
            "mode": "Off",
            "sidecar": "Classic",
            "resources": {"requests": {"cpu": 1, "memory": "32Mi"}, "limits": {"cpu": 1.5, "memory": "64Mi"}},
        },
        "signals": {
            "python": {"enabled": False, "pythonPath": "/srv/lib"},
            "php": {"enabled": False},
            "otlp": {"enabled": True, "port": 14318},
            "accessLog": {"format": "combined", "path": "/var/log/edge/access.log"},
            "visitors": {"from": "header:X-User"},
        },
        "objectives": {"p95": "1m30s", "errors": "0.1%", "bands": ["250ms", "1.5s", "1m"]},
        "coverage": {"repair": "Restart"},
        "minimumCoverage": "100%",
    }
    full["injection"]["resources"]["limits"]["cpu"] = "1.5"
    assert applied(api, full, "full")["spec"] == full


def test_columns(api: Cluster) -> None:
    applied(api, {"selector": SELECTOR}, "columns")
    status = {
        "summary": {"pods": "6/6", "health": "Healthy", "rps": "1240", "p95": "87ms", "errors": "0.1%", "inFlight": 31},
        "pods": {"total": 6, "serving": 6, "bare": 0, "silent": 0},
        "coverage": "100%",
    }
    api.kubectl(
        "patch",
        "msvc",
        "columns",
        "-n",
        NAMESPACE,
        "--subresource=status",
        "--type=merge",
        "-p",
        json.dumps({"status": status}),
    )
    head, row = api.kubectl("get", "msvc", "columns", "-n", NAMESPACE).splitlines()
    assert head.split() == ["NAME", "PODS", "HEALTH", "RPS", "P95", "ERRORS", "INFLIGHT", "AGE"]
    assert row.split()[:-1] == ["columns", "6/6", "Healthy", "1240", "87ms", "0.1%", "31"]
    wide, _ = api.kubectl("get", "msvc", "columns", "-n", NAMESPACE, "-o", "wide").splitlines()
    assert set(wide.split()) - set(head.split()) == {"COVERAGE", "BARE", "SILENT"}


def test_an_empty_status_prints_no_numbers(api: Cluster) -> None:
    applied(api, {"selector": SELECTOR}, "fresh")
    _, row = api.kubectl("get", "msvc", "fresh", "-n", NAMESPACE).splitlines()
    assert row.split()[0] == "fresh"
    assert not any(text in row for text in ("0ms", "0%", " 0 "))


def test_a_status_does_not_come_with_the_object(api: Cluster) -> None:
    api.kubectl("create", "-f", "-", input=manifest({"selector": SELECTOR}, "forged", status={"coverage": "100%"}))
    assert api.kubectl("get", "msvc", "forged", "-n", NAMESPACE, "-o", "jsonpath={.status}") == ""


def test_explain_knows_every_field(api: Cluster) -> None:
    text = api.kubectl("explain", "msvc.spec", "--recursive")
    for field in ("matchExpressions", "pythonPath", "minimumCoverage", "bands", "sidecar"):
        assert field in text
    assert "Response time that 95 of 100 requests" in api.kubectl("explain", "msvc.spec.objectives.p95")
