"""The truth table of injection: which pod gets the agent and, of several reasons against it, which one is named."""

from __future__ import annotations

from typing import Any

import pytest

from rollcall.api import MonitoredService
from rollcall.inject.decide import EXPLANATIONS, Reason, decide


def service(name: str = "newsfeed", created: str = "2026-01-01T00:00:00Z", **spec: Any) -> MonitoredService:
    return MonitoredService.from_object(
        {"metadata": {"name": name, "creationTimestamp": created}, "spec": {"selector": {"matchLabels": {"app": "a"}}, **spec}}
    )


def pod(spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"labels": {"app": "a"}, **metadata}, "spec": {"containers": [{"name": "web"}], **(spec or {})}}


AGENT = {"name": "rollcall-agent"}
OUT = {"app": "a", "rollcall.dev/inject": "disabled"}
MIRROR = {"kubernetes.io/config.mirror": "x"}
OFF = {"injection": {"mode": "Off"}}
CLASSIC = {"injection": {"sidecar": "Classic"}}


@pytest.mark.parametrize(
    ("given", "spec", "reason"),
    [
        (pod(), {}, Reason.INJECTED),
        (pod(labels=None), {}, Reason.NO_MATCHING_SERVICE),
        (pod(labels={"app": "b"}), {}, Reason.NO_MATCHING_SERVICE),
        (pod({"initContainers": [AGENT]}), {}, Reason.ALREADY_INJECTED),
        (pod({"containers": [{"name": "web"}, AGENT]}), {}, Reason.ALREADY_INJECTED),
        (pod({"initContainers": [AGENT]}, labels=OUT), {}, Reason.ALREADY_INJECTED),
        (pod(annotations={"rollcall.dev/injected": "abc"}), {}, Reason.INJECTED),
        (pod(annotations=MIRROR), {}, Reason.MIRROR_POD),
        (pod(labels=OUT), {}, Reason.OPTED_OUT),
        (pod(labels={"app": "a", "rollcall.dev/inject": "enabled"}), {}, Reason.INJECTED),
        (pod(labels=OUT), OFF, Reason.OPTED_OUT),
        (pod(), OFF, Reason.INJECTION_OFF),
        (pod({"hostNetwork": True}), {}, Reason.HOST_NETWORK),
        (pod({"hostNetwork": True}), OFF, Reason.INJECTION_OFF),
        (pod({"os": {"name": "windows"}}), {}, Reason.WINDOWS),
        (pod({"nodeSelector": {"kubernetes.io/os": "windows"}}), {}, Reason.WINDOWS),
        (pod({"nodeSelector": {"kubernetes.io/os": "linux"}}), {}, Reason.INJECTED),
        (pod(), {"container": "other"}, Reason.NO_CONTAINER),
        (pod({"containers": [{"name": "istio-proxy"}]}), {}, Reason.NO_CONTAINER),
        (pod({"containers": [{"name": "istio-proxy"}]}), {"container": "istio-proxy"}, Reason.INJECTED),
        (pod(annotations={"rollcall.dev/container": "gone"}), {}, Reason.NO_CONTAINER),
        (pod({"volumes": [{"name": "rollcall-token"}]}), {}, Reason.NAME_TAKEN),
        (pod({"initContainers": [{"name": "rollcall-probes"}]}), {}, Reason.NAME_TAKEN),
        (pod({"containers": [{"name": "web", "volumeMounts": [{"mountPath": "/rollcall/run/"}]}]}), {}, Reason.NAME_TAKEN),
        (pod({"containers": [{"name": "web", "volumeMounts": [{"mountPath": "/data"}]}]}), {}, Reason.INJECTED),
        (pod({"restartPolicy": "Never"}), {}, Reason.INJECTED),
        (pod({"restartPolicy": "Never"}), CLASSIC, Reason.NEVER_FINISHES),
        (pod({"restartPolicy": "Always"}), CLASSIC, Reason.INJECTED),
        (pod({"resources": {"requests": {"cpu": "4m"}}}), {}, Reason.NO_ROOM),
        (pod({"resources": {"limits": {"memory": "40Mi"}}}), {}, Reason.NO_ROOM),
        (pod({"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}}), {}, Reason.INJECTED),
        (pod({"resources": {"limits": {"cpu": "lots"}}}), {}, Reason.NO_ROOM),
    ],
)
def test_the_truth_table(given: dict[str, Any], spec: dict[str, Any], reason: Reason) -> None:
    decision = decide(given, [service(**spec)], native=True)
    assert decision.reason is reason
    assert decision.inject is (reason is Reason.INJECTED)
    assert (decision.application is not None) is decision.inject
    assert (decision.service is None) is (reason is Reason.NO_MATCHING_SERVICE)


@pytest.mark.parametrize(
    "given",
    [
        None,
        [],
        "pod",
        {},
        {"metadata": {}, "spec": {}},
        {"metadata": {}, "spec": {"containers": []}},
        {"metadata": None, "spec": {"containers": [{"name": "web"}]}},
        pod(labels=["app"]),
        pod(labels={"app": 1}),
        pod({"containers": ["web"]}),
        pod({"containers": [{"image": "x"}]}),
        pod({"containers": [{"name": "web", "env": {"A": "1"}}]}),
        pod({"containers": [{"name": "web", "resources": []}]}),
        pod({"initContainers": {"name": "x"}}),
        pod({"volumes": ["x"]}),
        pod({"os": "linux"}),
        pod({"resources": {"limits": 1}}),
    ],
)
def test_what_is_no_pod_is_malformed(given: Any) -> None:
    assert decide(given, [service()], native=True).reason is Reason.MALFORMED


@pytest.mark.parametrize(
    ("asked", "cluster_can", "native"),
    [("Auto", True, True), ("Auto", False, False), ("Native", False, True), ("Classic", True, False)],
)
def test_the_kind_of_sidecar(asked: str, cluster_can: bool, native: bool) -> None:
    assert decide(pod(), [service(injection={"sidecar": asked})], cluster_can).native is native


def test_of_several_services_the_oldest_has_the_pod() -> None:
    services = [service("new", "2026-03-01T00:00:00Z"), service("b"), service("a")]
    decision = decide(pod(), services, native=True)
    assert decision.service is not None
    assert decision.service.name == "a"
    assert decision.rivals == ("b", "new")


def test_every_reason_has_an_explanation() -> None:
    assert EXPLANATIONS.keys() == set(Reason)


OWNER = [{"kind": "ReplicaSet", "name": "web-7d9c", "controller": True}]
HASH = {"app": "a", "pod-template-hash": "7d9c"}


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"ownerReferences": OWNER, "labels": HASH}, Reason.TAKEN_BACK),
        ({"ownerReferences": OWNER, "labels": HASH | {"rollcall.dev/inject": "disabled"}}, Reason.OPTED_OUT),
        ({"ownerReferences": [{**OWNER[0], "name": "web2-7d9c"}], "labels": HASH}, Reason.INJECTED),
        ({"ownerReferences": [{**OWNER[0], "controller": False}], "labels": HASH}, Reason.INJECTED),
        ({"ownerReferences": OWNER}, Reason.INJECTED),
        ({"ownerReferences": "nonsense"}, Reason.INJECTED),
        ({"ownerReferences": [None, {"controller": True}]}, Reason.INJECTED),
        ({"name": "lonely"}, Reason.TAKEN_BACK),
        ({"generateName": "lonely"}, Reason.TAKEN_BACK),
        ({"name": "lonely-2"}, Reason.INJECTED),
    ],
)
def test_what_was_taken_back_stays_bare(metadata: dict[str, Any], reason: Reason) -> None:
    """Other workloads of the same service go on being injected."""
    entries = [
        {"workload": name, "since": "2026-01-01T00:00:00Z", "reason": "why"} for name in ("Deployment/web", "Pod/lonely")
    ]
    manifest = {
        "metadata": {"name": "s"},
        "spec": {"selector": {"matchLabels": {"app": "a"}}},
        "status": {"takenBack": entries},
    }
    assert decide(pod(**metadata), [MonitoredService.from_object(manifest)], native=True).reason is reason
