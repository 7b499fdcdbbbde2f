"""Selectors, labels and services that change while pods run: each pod is in the services that select it, and nothing is lost.

The shop's two newsfeed pods are watched by a second service, lose a label, get it back; at the end the service is deleted.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from kubernetes import client as kube

from tests.cluster.conftest import two_serve
from tests.cluster.observe import LiveStream, condition, core_api, until
from tests.harness.cluster import Cluster
from tests.harness.install import Rollcall
from tests.harness.truth import run_load

pytestmark = [pytest.mark.cluster, pytest.mark.patient]
Json = dict[str, Any]


def apply_second(cluster: Cluster, shop: str, **labels: str) -> None:
    """The service `second`, which selects what has these labels."""
    manifest = {
        "apiVersion": "rollcall.dev/v1alpha1",
        "kind": "MonitoredService",
        "metadata": {"name": "second", "namespace": shop},
        "spec": {"selector": {"matchLabels": labels}},
    }
    cluster.kubectl("apply", "-f", "-", input=json.dumps(manifest))


def names(cluster: Cluster, shop: str) -> list[str]:
    found = cluster.kubectl("-n", shop, "get", "pods", "-l", "app=newsfeed", "-o", "jsonpath={.items[*].metadata.name}")
    return sorted(found.split())


def on_roll(rollcall: Rollcall, shop: str, service: str) -> list[str]:
    return sorted(pod["name"] for pod in rollcall.picture(shop, service)["roll"])


def total(rollcall: Rollcall, shop: str, service: str) -> int:
    return int(rollcall.picture(shop, service)["totals"]["requests"])


def send(cluster: Cluster, shop: str, seconds: int = 3) -> int:
    """A burst of requests; how many were answered."""
    truth = run_load(cluster, shop, rate=50, seconds=seconds, mix="/=1")
    assert truth.answered == truth.sent
    return truth.answered


def test_pods_right_behind_their_service_are_injected(cluster: Cluster, rollcall: Rollcall, shop: str) -> None:
    """Made by one client without a pause, twenty services and a pod of each: no watch is as fast as that."""
    core, custom = core_api(cluster), kube.CustomObjectsApi(core_api(cluster).api_client)
    space = "right-behind"
    core.create_namespace({"metadata": {"name": space, "labels": {"rollcall.dev/inject": "enabled"}}})
    agents = []
    for number in range(20):
        name = f"svc-{number}"
        service = {"apiVersion": "rollcall.dev/v1alpha1", "kind": "MonitoredService", "metadata": {"name": name}}
        service |= {"spec": {"selector": {"matchLabels": {"app": name}}}}
        custom.create_namespaced_custom_object("rollcall.dev", "v1alpha1", space, "monitoredservices", service)
        pod = {"metadata": {"name": name, "labels": {"app": name}}, "spec": {"nodeSelector": {"is": "nowhere"}}}
        pod["spec"]["containers"] = [{"name": "app", "image": "never-pulled"}]
        made = core.create_namespaced_pod(space, pod)
        agents.append([container.name for container in made.spec.init_containers or ()])
    cluster.remove_namespace(space)
    assert [names for names in agents if "rollcall-agent" not in names] == []


def test_labels_of_running_pods_and_services_are_followed(cluster: Cluster, rollcall: Rollcall, shop: str) -> None:
    """What kubectl labels is in the next frames, and `-l` selects what kubectl's selects."""
    first, _ = names(cluster, shop)
    with LiveStream(cluster, shop, "newsfeed") as stream:
        cluster.kubectl("-n", shop, "label", "pod", first, "track=canary")
        until(lambda: "canary" in tracks(stream.samples[-1][1]), 10, "the label is in the stream")
    for selector in ("track=canary", "!track,pod-template-hash", "track notin (canary,old),app in (newsfeed)"):
        wanted = cluster.kubectl("-n", shop, "get", "pods", "-l", f"app=newsfeed,{selector}", "-o", "name").split()
        assert len(wanted) == 1
        assert rollcall.run("pods", "newsfeed", "-n", shop, "-l", selector, "-o", "name").split() == wanted
    cluster.kubectl("-n", shop, "label", "msvc", "newsfeed", "team=feed")
    until(
        lambda: rollcall.run("get", "-n", shop, "-l", "team=feed", "-o", "name").endswith("/newsfeed\n"), 10, "it is labelled"
    )
    cluster.kubectl("-n", shop, "label", "pod", first, "track-")


def tracks(picture: Json) -> set[str | None]:
    """The label `track` of each pod."""
    return {picture["labelSets"][pod["labelSet"]].get("track") for pod in picture["roll"]}


def test_two_services_with_the_same_pods_say_so_and_both_are_complete(cluster: Cluster, rollcall: Rollcall, shop: str) -> None:
    before = send(cluster, shop)
    apply_second(cluster, shop, app="newsfeed")
    rollcall.wait_for(shop, "second", lambda picture: picture["pods"]["serving"] == 2, "both pods are in it")
    shared = until(lambda: condition(cluster, shop, "newsfeed", "Overlapping"), 40, "the older one says so")
    assert "2 pods are in second as well (newsfeed is the older, and injects them)" in shared["message"]
    until(lambda: condition(cluster, shop, "second", "Overlapping").get("status") == "True", 20, "and the other")
    after = send(cluster, shop)
    for service in ("newsfeed", "second"):
        until(lambda service=service: total(rollcall, shop, service) == before + after, 10, f"{service} is complete")  # type: ignore[misc]
    told = rollcall.run("why", names(cluster, shop)[0], "-n", shop)
    assert "it belongs to newsfeed, the oldest of the services that select it (also second)" in told


def test_another_selector_takes_effect_at_once(cluster: Cluster, rollcall: Rollcall, shop: str) -> None:
    changed_s = time.monotonic()
    apply_second(cluster, shop, app="nothing")
    until(lambda: on_roll(rollcall, shop, "second") == [], 15, "its roll is empty")
    assert time.monotonic() - changed_s < 15
    until(lambda: condition(cluster, shop, "newsfeed", "Overlapping") == {}, 30, "nothing overlaps any more")
    assert on_roll(rollcall, shop, "newsfeed") == names(cluster, shop)


def test_a_pod_that_moves_to_another_service_is_no_departure(cluster: Cluster, rollcall: Rollcall, shop: str) -> None:
    """It loses the label `app`, so that its Deployment makes another; it goes on serving, as `second`."""
    moved, kept = names(cluster, shop)
    before = total(rollcall, shop, "newsfeed")
    apply_second(cluster, shop, tier="moved")
    cluster.kubectl("-n", shop, "label", "pod", moved, "tier=moved", "app-", "--overwrite")
    until(lambda: on_roll(rollcall, shop, "second") == [moved], 15, "it is there")
    rollcall.wait_for(shop, "newsfeed", lambda picture: picture["pods"]["serving"] == 2, "another takes its place")
    assert moved not in on_roll(rollcall, shop, "newsfeed")
    assert kept in on_roll(rollcall, shop, "newsfeed")
    assert total(rollcall, shop, "newsfeed") == before, "what it served here stays counted here"
    assert rollcall.picture(shop, "newsfeed")["departures"]["last24h"] == {}, "it is not gone"
    cluster.kubectl("-n", shop, "delete", "pod", moved, "--wait=true")
    cluster.kubectl("-n", shop, "delete", "msvc", "second")


def test_a_renamed_container_is_followed(cluster: Cluster, rollcall: Rollcall, shop: str) -> None:
    """The service names the container; a release renames it: new pods are bare and say why, and injected once it is named."""
    patch = ("-n", shop, "patch", "msvc", "newsfeed", "--type=merge", "-p")
    cluster.kubectl(*patch, '{"spec": {"container": "web"}}')
    rename = '[{"op": "replace", "path": "/spec/template/spec/containers/0/name", "value": "app"}]'
    cluster.kubectl("-n", shop, "patch", "deployment", "newsfeed", "--type=json", "-p", rename)
    found = rollcall.wait_for(shop, "newsfeed", lambda picture: picture["bare"].get("NoContainer"), "new pods are bare")
    bare = next(pod["name"] for pod in found["roll"] if pod["reason"] == "NoContainer")
    assert "name the application's container in spec.container" in rollcall.run("why", bare, "-n", shop)
    cluster.kubectl(*patch, '{"spec": {"container": "app"}}')
    cluster.kubectl("-n", shop, "rollout", "restart", "deployment/newsfeed")
    cluster.kubectl("-n", shop, "rollout", "status", "deployment/newsfeed", "--timeout=60s")
    found = rollcall.wait_for(shop, "newsfeed", two_serve, "the pods that know it report")
    assert {pod["state"] for pod in found["roll"]} == {"serving"}
    cluster.kubectl(*patch, '{"spec": {"container": null}}')


def test_a_deleted_service_leaves_nothing_behind(cluster: Cluster, rollcall: Rollcall, shop: str) -> None:
    """Pods serve on, agents idle; a service of the same name begins anew with the pods that are there."""
    pods = until(lambda: len(found := names(cluster, shop)) == 2 and found, 40, "those before the rollout have gone")
    manifest = json.loads(cluster.kubectl("-n", shop, "get", "msvc", "newsfeed", "-o", "json"))
    assert not manifest["metadata"].get("finalizers")
    cluster.kubectl("-n", shop, "delete", "msvc", "newsfeed", "--wait=true", "--timeout=5s")
    assert send(cluster, shop, 2) == 100
    assert "NoMatchingService" in rollcall.run("why", pods[0], "-n", shop)
    assert 'service="newsfeed"' not in rollcall.metrics()
    manifest["metadata"] = {"name": "newsfeed", "namespace": shop}
    del manifest["status"]
    cluster.kubectl("apply", "-f", "-", input=json.dumps(manifest))
    rollcall.wait_for(shop, "newsfeed", lambda picture: picture["pods"]["serving"] == 2, "the pods report to it")
    assert names(cluster, shop) == pods, "no pod was restarted for it"
