"""One service of three tiers: pods with a probe, pods that trace themselves, and pods of which there is only a log.

And one whose pods trace themselves in two more languages, each with the official SDK as it comes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
import yaml

from tests.cluster.observe import LiveStream, until
from tests.harness.cluster import Cluster
from tests.harness.install import Rollcall
from tests.harness.paths import REPOSITORY
from tests.harness.truth import LoadPod, Truth, load_options

pytestmark = [pytest.mark.cluster, pytest.mark.patient]
TIERS = {"probed": ("newsfeed", "python"), "catalog": ("catalog", "otlp"), "edge": ("edge", "accessLog")}
"""Deployment → the sample that it runs, and what tells of its requests."""
MIXES = {
    "probed": "/=6,/feed/{user}=3,/fail=1",
    "catalog": "/=5,/goods/{user}=3,/reviews/{user}=2,/fail=1",
    "edge": "/=5,/feed/{user}=3,/nothing=1",
}
TRACED = {"traced-python": "/feed/{user}=3,/fail=1,/throttled=1", "traced-java": "/feed/{user}=3,/fail=1"}
"""Image of an application that traces itself → the requests that it serves."""


def manifests(name: str, labels: dict[str, str]) -> list[dict[str, Any]]:
    """A sample's Deployment, of one pod, and Service under another name, with more labels on its pods."""
    sample, _ = TIERS[name]
    documents = list(yaml.safe_load_all((REPOSITORY / "examples" / sample / "manifest.yaml").read_text()))
    renamed(documents, name, labels)
    return documents


def traced(name: str, labels: dict[str, str]) -> list[dict[str, Any]]:
    """Deployment and Service of an application that traces itself; Java's needs more memory, and asks the newsfeed."""
    documents = list(yaml.safe_load_all((REPOSITORY / "examples/catalog/manifest.yaml").read_text()))
    renamed(documents, name, labels)
    [container] = documents[0]["spec"]["template"]["spec"]["containers"]
    container["image"] = f"docker.io/rollcall/{name}:dev"
    container["env"] = [{"name": "NEIGHBOUR", "value": "http://newsfeed/feed/7"}]
    container["resources"]["limits"]["memory"] = "384Mi"
    return documents


def renamed(documents: list[dict[str, Any]], name: str, labels: dict[str, str]) -> None:
    deployment, service = documents
    for document in documents:
        document["metadata"]["name"] = name
    template = deployment["spec"]["template"]
    template["metadata"]["labels"] = deployment["spec"]["selector"]["matchLabels"] = {"app": name}
    template["metadata"]["labels"] = {"app": name, **labels}
    deployment["spec"]["replicas"] = 1
    service["spec"]["selector"] = {"app": name}


def monitored(name: str, labels: dict[str, str], signals: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "rollcall.dev/v1alpha1",
        "kind": "MonitoredService",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"selector": {"matchLabels": labels}, "signals": signals},
    }


def apply(cluster: Cluster, *documents: dict[str, Any]) -> None:
    cluster.kubectl(
        "-n", "shop", "apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": documents})
    )


@pytest.fixture(scope="module")
def samples(cluster: Cluster, shop: str) -> Iterator[None]:
    """The images are there, and the service `traced` starts: Java takes its time."""
    for name in ("catalog", "edge", *TRACED):
        cluster.load(cluster.build(name))
    labels = {"tier-of": "traced"}
    apply(cluster, monitored("traced", labels, {"python": {"enabled": False}, "otlp": {"enabled": True}}))
    apply(cluster, *(document for name in TRACED for document in traced(name, labels)))
    yield
    cluster.kubectl("-n", shop, "delete", "msvc/traced", *(f"deploy/{n}" for n in TRACED), *(f"svc/{n}" for n in TRACED))


@pytest.fixture
def tiers(cluster: Cluster, rollcall: Rollcall, shop: str, samples: None) -> Iterator[str]:
    """The service `tiers`: a pod of each tier, serving."""
    labels = {"tier-of": "tiers"}
    signals = {"otlp": {"enabled": True}, "accessLog": {"format": "rollcall", "port": 5140}}
    apply(cluster, monitored("tiers", labels, signals))
    apply(cluster, *(document for name in TIERS for document in manifests(name, labels)))
    rollcall.wait_for(shop, "tiers", lambda picture: picture["pods"]["serving"] == 3, "three pods serve", 120)
    yield "tiers"
    cluster.kubectl("-n", shop, "delete", "msvc/tiers", *(f"deploy/{name}" for name in TIERS), *(f"svc/{n}" for n in TIERS))


def send(cluster: Cluster, shop: str, mixes: Mapping[str, str], seconds: float) -> dict[str, Truth]:
    """Load on all these services at once; what each was sent."""
    loads = {name: LoadPod(cluster, shop, f"load-{name}") for name in mixes}
    for name, load in loads.items():
        load.start(*load_options(shop, service=name, rate=40, seconds=seconds, mix=mixes[name]))
    truths = {name: load.wait(90) for name, load in loads.items()}
    for load in loads.values():
        load.delete()
    return truths


def failures(truth: Truth) -> int:
    return sum(count for status, count in truth.statuses.items() if int(status) >= 500)


def test_the_total_is_the_sum_of_the_tiers_and_each_pod_says_what_it_is_known_from(
    cluster: Cluster, shop: str, tiers: str, measured: Callable[[str, object], None]
) -> None:
    with LiveStream(cluster, shop, tiers) as live:
        truths = send(cluster, shop, MIXES, 15)
        sent = sum(truth.answered for truth in truths.values())
        picture = live.wait(lambda seen: seen["totals"]["requests"] >= sent, 15, f"{sent} requests")
        busy = max((seen for _, seen in live.samples), key=lambda seen: seen["traffic"]["pods"])
        until(lambda: live.newest["at"] > picture["at"] + 2, 10, "nothing comes after")
        picture = live.newest
    pods = {entry["name"].partition("-")[0]: entry for entry in picture["roll"]}
    assert {name: pods[name]["requests"] for name in TIERS} == {name: truth.answered for name, truth in truths.items()}
    assert picture["totals"]["requests"] == sent
    assert picture["totals"]["errors"] == sum(failures(truth) for truth in truths.values())
    assert {name: pods[name]["sources"] for name in TIERS} == {name: [source] for name, (_, source) in TIERS.items()}
    assert picture["sources"] == {"python": 1, "otlp": 1, "accessLog": 1}
    assert pods["probed"]["inFlight"] is not None
    assert pods["catalog"]["inFlight"] is pods["edge"]["inFlight"] is None, "unknown is not 0"
    assert (busy["traffic"]["pods"], busy["traffic"]["inFlightPods"]) == (3, 1)
    rows = {row["endpoint"]: row["requests"] for row in picture["endpoints"]["rows"]}
    measured("requests of three tiers, sent / counted", f"{sent} / {picture['totals']['requests']}")
    assert {"GET /goods/:id", "GET /reviews/:id", "GET /feed/<int:user>", "GET /feed/*", "GET /"} <= rows.keys()
    found = {row["dependency"]: row["calls"] for row in picture["dependencies"]["rows"]}
    assert found["http newsfeed"] == rows["GET /reviews/:id"] + rows["GET /feed/*"]


def test_the_official_sdks_of_python_and_java_tell_of_every_request_and_call(
    cluster: Cluster, rollcall: Rollcall, shop: str, samples: None, measured: Callable[[str, object], None]
) -> None:
    rollcall.wait_for(shop, "traced", lambda picture: picture["pods"]["serving"] == 2, "both serve", 120)
    with LiveStream(cluster, shop, "traced") as live:
        truths = send(cluster, shop, TRACED, 5)
        sent = sum(truth.answered for truth in truths.values())
        picture = live.wait(lambda seen: seen["totals"]["requests"] >= sent, 15, f"{sent} requests")
    measured("requests of OpenTelemetry's SDKs of Python and Java, sent / counted", f"{sent} / {picture['totals']['requests']}")
    pods = {next(name for name in TRACED if entry["name"].startswith(name)): entry for entry in picture["roll"]}
    assert {name: pods[name]["requests"] for name in TRACED} == {name: truth.answered for name, truth in truths.items()}
    assert {name: pods[name]["sources"] for name in TRACED} == {name: ["otlp"] for name in TRACED}
    assert picture["totals"]["errors"] == sum(failures(truth) for truth in truths.values())
    rows = {row["endpoint"]: row["requests"] for row in picture["endpoints"]["rows"]}
    served = {name: {path: row["answered"] for path, row in truth.endpoints.items()} for name, truth in truths.items()}
    python, java = served["traced-python"], served["traced-java"]
    assert rows == {
        "GET /feed/<int:user>": python["/feed/{user}"],
        "GET /feed/": java["/feed/{user}"],
        "GET /fail": python["/fail"] + java["/fail"],
        "GET /throttled": python["/throttled"],
    }
    calls = {row["dependency"]: row["calls"] for row in picture["dependencies"]["rows"]}
    assert calls == {
        "postgresql orders": python["/feed/{user}"],
        "dynamodb newsfeed": python["/throttled"],
        "http newsfeed": java["/feed/{user}"],
    }


@pytest.fixture
def logged(cluster: Cluster, rollcall: Rollcall, shop: str, samples: None) -> Iterator[str]:
    """The service `edge-file`: nginx that logs in its default format to a file, in a folder that the webhook mounts."""
    labels = {"tier-of": "edge-file"}
    signals = {"accessLog": {"format": "combined", "path": "/var/log/edge/access.log"}}
    text = (REPOSITORY / "examples/edge/nginx.conf").read_text()
    text = text.replace("access_log syslog:server=127.0.0.1:5140 rollcall;", "access_log /var/log/edge/access.log combined;")
    deployment, service = manifests("edge", labels)
    pod = deployment["spec"]["template"]["spec"]
    pod["containers"][0]["volumeMounts"].append({"name": "conf", "mountPath": "/etc/edge"})
    pod["volumes"].append({"name": "conf", "configMap": {"name": "edge"}})
    configuration = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "edge"}, "data": {"nginx.conf": text}}
    apply(cluster, monitored("edge-file", labels, signals), configuration)
    apply(cluster, deployment, service)
    rollcall.wait_for(shop, "edge-file", lambda picture: picture["pods"]["serving"] == 1, "it serves", 120)
    yield "edge-file"
    cluster.kubectl("-n", shop, "delete", "msvc/edge-file", "deploy/edge", "svc/edge", "cm/edge")


def test_a_file_in_the_default_format_tells_of_requests_and_of_no_times(cluster: Cluster, shop: str, logged: str) -> None:
    load = LoadPod(cluster, shop)
    with LiveStream(cluster, shop, logged) as live:
        load.start(*load_options(shop, service="edge", rate=40, seconds=10, mix=MIXES["edge"]))
        busy = live.wait(lambda seen: (seen["traffic"]["requestsPerSecond"] or 0) > 20, 30, "traffic")
        truth = load.wait(60)
        picture = live.wait(lambda seen: seen["totals"]["requests"] >= truth.answered, 15, f"{truth.answered} requests")
    load.delete()
    assert picture["totals"]["requests"] == truth.answered
    [pod] = picture["roll"]
    assert (pod["sources"], pod["inFlight"], pod["p95"]) == (["accessLog"], None, None)
    times = busy["traffic"]["responseTime"]
    assert times == dict.fromkeys(times), "no time is known, which is not 0"
