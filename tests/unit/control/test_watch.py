"""From a spec to the model's settings, and from a status to the totals that an earlier leader kept."""

from __future__ import annotations

import msgspec

from rollcall.control.watch import departed_of, floor_of, settings_of
from rollcall.kube.objects import Metadata, unix
from rollcall.kube.pods import Pod, PodStatus
from rollcall.model.health import Objectives
from rollcall.model.picture import Totals
from tests.unit.control.conftest import Scene
from tests.unit.control.fakes import service
from tests.unit.model.agents import Agent, facts

STATUS = {
    "totals": {
        "requests": 900, "errors": 9, "lost": 3,
        "departed": {"pods": 4, "requests": 500, "errors": 5, "lost": 2, "durationMicroseconds": 12},
    }
}  # fmt: skip


def test_settings_of_defaults() -> None:
    found = settings_of(service(), namespace_enabled=True)
    assert found.objectives == Objectives(p95_s=None, error_ratio=0.01, minimum_coverage=0.8)
    assert found.bands_ms == (1000, 3000, 8000)
    assert (found.facts.namespace_enabled, found.facts.injection_off) == (True, False)
    assert found.facts.created_at == unix("2026-01-01T00:00:00Z")


def test_settings_of_everything_said() -> None:
    spec = {
        "objectives": {"p95": "300ms", "errors": "2.5%", "bands": ["500ms", "2s", "1m"]},
        "minimumCoverage": "95%",
        "injection": {"mode": "Off"},
    }
    found = settings_of(service(spec=spec), namespace_enabled=False)
    assert found.objectives == Objectives(p95_s=0.3, error_ratio=0.025, minimum_coverage=0.95)
    assert found.bands_ms == (500, 2000, 60000)
    assert (found.facts.namespace_enabled, found.facts.injection_off) == (False, True)


def test_kept_totals() -> None:
    kept = service(status=STATUS)
    assert departed_of(kept) == (Totals(500, 5, 2, 12), 4)
    assert floor_of(kept) == Totals(900, 9, 3)
    for nothing in (service(), service(status={"totals": {"requests": 3}})):
        assert departed_of(nothing) == (Totals(), 0)
    assert floor_of(service()) == Totals()


async def test_a_term_begins_with_kept_totals_and_known_pods(scene: Scene) -> None:
    watch = scene.put(status=STATUS)
    pod = Pod(
        Metadata(name="a", namespace="shop", uid="uid-a", annotations={"rollcall.dev/injected": "x"}),
        status=PodStatus("Running"),
    )
    watch._informer.objects["uid-a"] = pod
    watch._pod_changed(pod)
    scene.services.begin_term()
    scene.fold()
    assert list(watch.fleet.pods) == ["uid-a"]
    assert scene.roll.fleets[("shop", "newsfeed")] is watch.fleet
    assert watch.fleet.totals() == Totals(900, 9, 3, 12)
    assert watch.fleet.departed_pods == 4


async def test_another_selector_lists_anew_and_keeps_counts(scene: Scene) -> None:
    watch, agent = scene.put(), Agent()
    scene.serve(watch, agent, 5)
    scene.fold()
    task = watch._task
    scene.put(metadata={"generation": 2}, spec={"selector": {"matchLabels": {"app": "other"}}})
    assert task.cancelling()
    assert watch._informer._selector == {"labelSelector": "app=other"}
    scene.fold()
    assert (len(watch.fleet.pods), watch.fleet.totals().requests) == (0, 5)
    watch.fleet.upsert(facts(agent.uid))
    scene.serve(watch, agent, 5)
    scene.fold()
    assert (len(watch.fleet.pods), watch.fleet.totals().requests) == (1, 10)


async def test_the_same_selector_goes_on(scene: Scene) -> None:
    watch = scene.put()
    task = watch._task
    scene.put(metadata={"generation": 2}, spec={"objectives": {"bands": ["1s", "2s", "3s"]}})
    assert watch._task is task
    assert watch.fleet.settings.bands_ms == (1000, 2000, 3000)


async def test_visitors_have_a_key_of_their_service(scene: Scene) -> None:
    spec = {"signals": {"visitors": {"from": "cookie:sid"}}}
    assert settings_of(service(spec=spec), True, "ab").visitors == ("cookie:sid", "ab")
    assert settings_of(service(spec=spec), True).visitors is None
    assert settings_of(service(), True, "ab").visitors is None
    assert scene.put(spec=spec).fleet.settings.visitors == ("cookie:sid", "key of uid-newsfeed")
    assert scene.put(metadata={"generation": 2}).fleet.settings.visitors is None


def pod_of(**status: object) -> Pod:
    """A pod with two containers, the first of which ran out of memory."""
    return msgspec.convert(
        {
            "metadata": {"name": "a", "namespace": "shop", "uid": "uid-a"},
            "spec": {
                "containers": [
                    {"name": "web", "resources": {"requests": {"cpu": "250m"}}},
                    {"name": "other", "resources": {"requests": {"cpu": 1}}},
                ]
            },
            "status": {"phase": "Running", "containerStatuses": [{"name": "web", **status}]},
        },
        Pod,
    )


async def test_oom_kills_are_counted_once_each_and_forgotten_with_the_pod(scene: Scene) -> None:
    watch = scene.put()
    for number in (1, 2):
        ended = {
            "reason": "OOMKilled",
            "exitCode": 137,
            "finishedAt": f"2026-01-01T00:00:0{number}Z",
            "containerID": f"c{number}",
        }
        watch._pod_changed(pod_of(state={"terminated": ended}))
        watch._pod_changed(pod_of(lastState={"terminated": ended}, state={"waiting": {}}))
        watch._pod_changed(pod_of(lastState={"terminated": ended}, state={"running": {}}))
        assert watch.fleet.pods["uid-a"].facts.oom_kills == number
    watch._pod_deleted(pod_of())
    watch._pod_changed(pod_of())
    assert watch.fleet.pods["uid-a"].facts.oom_kills == 0


async def test_another_container_is_looked_at_at_once(scene: Scene) -> None:
    watch = scene.put()
    watch._informer.objects["uid-a"] = pod_of()
    watch._pod_changed(pod_of())
    assert watch.fleet.pods["uid-a"].facts.cpu_request_millis == 250
    scene.put(metadata={"generation": 2}, spec={"container": "other"})
    assert watch.fleet.pods["uid-a"].facts.cpu_request_millis == 1000
