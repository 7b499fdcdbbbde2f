"""Injection takes itself back when the probe makes pods crash, within a minute; and never when the application is at fault."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from tests.cluster.faults import DEPENDENCY, ENDS_WELL, FAULTS, TWO_PODS, dependency, deployment
from tests.cluster.observe import until
from tests.harness import images, paths
from tests.harness.cluster import Cluster
from tests.harness.images import IMAGES
from tests.harness.install import NAMESPACE as OPERATOR
from tests.harness.install import Rollcall, install

pytestmark = [pytest.mark.cluster, pytest.mark.patient]

NAMESPACE = "faults"
BROKEN = "docker.io/rollcall/agent-broken"
SERVICE = {
    "apiVersion": "rollcall.dev/v1alpha1",
    "kind": "MonitoredService",
    "metadata": {"name": "faults", "namespace": NAMESPACE},
    "spec": {"selector": {"matchLabels": {"suite": "faults"}}},
}
WITHIN_S = 60.0
DEPENDENCY_AFTER_S = 25.0
WATCH_S = 85.0


def pods(cluster: Cluster, namespace: str, selector: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(cluster.kubectl("-n", namespace, "get", "pods", "-l", selector, "-o", "json"))[
        "items"
    ]
    return found


def status(cluster: Cluster, namespace: str, name: str) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(cluster.kubectl("-n", namespace, "get", "msvc", name, "-o", "json"))
    return manifest.get("status", {})


def injecting(found: dict[str, Any]) -> tuple[str, str]:
    return next(((c["status"], c["reason"]) for c in found.get("conditions", []) if c["type"] == "Injecting"), ("", ""))


def ready(pod: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))


# --- the application is at fault


@pytest.fixture
def faults(cluster: Cluster, shop: str) -> Iterator[str]:
    """All faults at once, injected, while the agent is known to work: the shop runs with it."""
    namespace = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": NAMESPACE, "labels": {"rollcall.dev/inject": "enabled"}},
    }
    cluster.kubectl("apply", "-f", "-", input=_list([namespace, SERVICE]))
    cluster.kubectl("-n", NAMESPACE, "apply", "-f", "-", input=_list([*dependency(), *(deployment(name) for name in FAULTS)]))
    yield NAMESPACE
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def _list(items: list[dict[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def test_twenty_applications_that_crash_by_themselves_blame_nobody(
    cluster: Cluster, rollcall: Rollcall, faults: str, measured: Callable[[str, object], None]
) -> None:
    started_s, scaled, tried = time.monotonic(), False, set()
    while time.monotonic() - started_s < WATCH_S:
        if not scaled and time.monotonic() - started_s >= DEPENDENCY_AFTER_S:
            cluster.kubectl("-n", faults, "scale", f"deployment/{DEPENDENCY}", "--replicas=1")
            scaled = True
        found = status(cluster, faults, "faults")
        assert not found.get("takenBack"), found["takenBack"]
        tried.add(injecting(found)[1])
        time.sleep(1)
    crashes = {name: _crashes(cluster, faults, name) for name in FAULTS}
    measured("crashes of 20 applications by their own fault, and of them taken back", [sum(crashes.values()), 0])
    assert len(FAULTS) == 20
    assert {name: count for name, count in crashes.items() if count < 2} == {}, "each has crashed twice at least"
    assert "Trying" in tried, "nothing was even tried"
    for name in ENDS_WELL:
        found_pods = pods(cluster, faults, f"fault={name}")
        assert len(found_pods) == (2 if name in TWO_PODS else 1)
        assert all(ready(pod) for pod in found_pods), name
    assert all("rollcall.dev/injected" in pod["metadata"]["annotations"] for pod in pods(cluster, faults, "suite=faults"))


def _crashes(cluster: Cluster, namespace: str, fault: str) -> int:
    return sum(
        container["restartCount"]
        for pod in pods(cluster, namespace, f"fault={fault}")
        for container in pod["status"].get("containerStatuses", [])
        if container["name"] == "web"
    )


# --- the probe is at fault


@pytest.fixture
def broken(cluster: Cluster, rollcall: Rollcall, shop: str) -> Iterator[str]:
    """The operator brings an agent whose Python probe kills the process; in the end the good one is back."""
    original = (paths.REPOSITORY / IMAGES["agent"].dockerfile).read_text()
    folder = paths.REPOSITORY / "build/agent-broken"
    folder.mkdir(parents=True, exist_ok=True)
    replaced = "COPY tests/cluster/broken/sitecustomize.py /opt/rollcall/probes/python/sitecustomize.py\n"
    before, user, after = original.partition("USER ")
    assert user
    (folder / "Dockerfile").write_text(before + replaced + user + after)
    recipe = replace(IMAGES["agent"], dockerfile="build/agent-broken/Dockerfile")
    image = images.build(f"{BROKEN}:dev", "agent-broken", recipe)
    cluster.load(image)
    install(cluster, f"agent.image.repository={BROKEN}")
    _one_operator(cluster)
    yield f"{BROKEN}:dev"
    install(cluster)
    _one_operator(cluster)
    until(lambda: not status(cluster, shop, "newsfeed").get("takenBack"), 60, "with another agent it is lifted")
    cluster.kubectl("-n", shop, "rollout", "restart", "deployment/newsfeed")
    cluster.kubectl("-n", shop, "rollout", "status", "deployment/newsfeed", "--timeout=120s")
    rollcall.wait_for(shop, "newsfeed", lambda picture: picture["pods"]["serving"] == 2, "injected again")


def _one_operator(cluster: Cluster) -> None:
    """The former operator is gone: its webhook, too, would answer for pods, with its own agent."""
    until(lambda: len(pods(cluster, OPERATOR, "app.kubernetes.io/name=rollcall")) == 1, 60, "the former operator ends")


def test_a_broken_probe_in_a_rollout_is_taken_back_within_a_minute(
    cluster: Cluster, rollcall: Rollcall, shop: str, broken: str, measured: Callable[[str, object], None]
) -> None:
    cluster.kubectl("-n", shop, "rollout", "restart", "deployment/newsfeed")
    second_crash = until(lambda: _second_crash(cluster, shop, broken), 60, "pods with the broken probe crash twice")

    def verdict() -> dict[str, Any] | None:
        return next(iter(status(cluster, shop, "newsfeed").get("takenBack", [])), None)

    entry = until(verdict, WITHIN_S + 5 - (time.time() - second_crash), "taken back")
    shown_s = time.time() - second_crash
    measured("second crash to injection taken back, s", round(shown_s, 1))
    assert shown_s <= WITHIN_S
    assert (entry["workload"], entry["agent"]) == ("Deployment/newsfeed", broken)
    assert "with the probe" in entry["reason"]
    found = status(cluster, shop, "newsfeed")
    assert injecting(found) == ("False", "TakenBack")
    events = json.loads(cluster.kubectl("-n", shop, "get", "events", "-o", "json"))["items"]
    told = [event for event in events if event["reason"] == "InjectionTakenBack"]
    assert [event["involvedObject"]["name"] for event in told] == ["newsfeed"]
    assert not status(cluster, shop, "legacy").get("takenBack"), "PHP's probe is sound"

    cluster.kubectl("-n", shop, "rollout", "status", "deployment/newsfeed", "--timeout=120s")
    running = until(lambda: _all_ready(cluster, shop), 60, "the application runs, on all pods")
    measured("second crash to all pods ready again, s", round(time.time() - second_crash, 1))
    assert len(running) == 2
    cluster.kubectl("-n", shop, "delete", "pod", running[0]["metadata"]["name"], "--wait=true")
    bare = until(lambda: _all_ready(cluster, shop), 60, "a pod that is created now runs as well")
    skipped = [pod["metadata"].get("annotations", {}).get("rollcall.dev/skipped") for pod in bare]
    assert "TakenBack" in skipped
    picture = rollcall.wait_for(shop, "newsfeed", lambda picture: picture["bare"].get("TakenBack"), "the reason is on the roll")
    assert picture["pods"]["total"] == 2


def _second_crash(cluster: Cluster, namespace: str, image: str) -> float | None:
    """When the newest life with this agent ended, Unix seconds as the kubelet says; None while there were fewer than two."""
    ends: dict[str, float] = {}
    crashes = 0
    for pod in pods(cluster, namespace, "app=newsfeed"):
        if image not in {container["image"] for container in pod["spec"].get("initContainers", [])}:
            continue
        for container in pod["status"].get("containerStatuses", []):
            for state in (container.get("state", {}), container.get("lastState", {})):
                if "terminated" in state:
                    ended = state["terminated"]
                    ends[ended["containerID"]] = datetime.fromisoformat(ended["finishedAt"]).timestamp()
            crashes += container["restartCount"] + ("terminated" in container.get("state", {}))
    return max(ends.values(), default=None) if crashes >= 2 else None


def _all_ready(cluster: Cluster, namespace: str) -> list[dict[str, Any]] | None:
    found = [pod for pod in pods(cluster, namespace, "app=newsfeed") if "deletionTimestamp" not in pod["metadata"]]
    return found if len(found) == 2 and all(ready(pod) for pod in found) else None
