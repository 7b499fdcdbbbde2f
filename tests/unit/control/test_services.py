"""The MonitoredServices that exist: they come, change, go, and come again under the same name."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rollcall.kube.objects import Metadata, Namespace, Owner, PodTemplate, Workload, WorkloadSpec
from tests.unit.control.conftest import Scene
from tests.unit.control.fakes import manifest


def workload(name: str, replicas: int, labels: dict[str, str], **metadata: Any) -> Workload:
    return Workload(
        Metadata(name=name, uid=f"uid-{name}", **metadata), WorkloadSpec(replicas, PodTemplate(Metadata(labels=labels)))
    )


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_put_is_idempotent_and_remove_forgets(scene: Scene) -> None:
    watch = scene.put()
    assert scene.put() is watch
    assert [service.name for service in scene.services.of_namespace("shop")] == ["newsfeed"]
    assert scene.services.of_namespace("bank") == []
    assert scene.services.namespaces == {"shop"}
    tasks = [watch._task, *watch._workloads._tasks]
    scene.services.remove(("shop", "newsfeed"))
    scene.services.remove(("shop", "newsfeed"))
    assert scene.services.namespaces == set()
    assert list(scene.roll) == []
    await settle()
    assert all(task.cancelled() for task in tasks)


async def test_labels_of_a_service_are_followed_without_a_new_generation(scene: Scene) -> None:
    watch = scene.put(metadata={"labels": {"team": "feed"}})
    assert watch.fleet.labels == {"team": "feed"}
    assert scene.put(metadata={"labels": {"team": "shop"}}) is watch
    assert watch.fleet.labels == {"team": "shop"}
    scene.put(metadata={"generation": 2, "labels": {"team": "mail"}})
    assert watch.fleet.labels == {"team": "mail"}
    watch.begin_term()
    assert watch.fleet.labels == {"team": "mail"}


async def test_a_service_made_anew_under_its_name_stays_on_the_roll(scene: Scene) -> None:
    """The deletion was missed, so the new object arrives while the old one is still being put away."""
    old = scene.put()
    new = scene.put(metadata={"uid": "uid-another"})
    assert new is not old
    await settle()
    assert scene.roll.fleets == {("shop", "newsfeed"): new.fleet}
    assert not new._task.done()
    scene.services.remove(("shop", "newsfeed"))
    third = scene.put(metadata={"uid": "uid-third"})
    await settle()
    assert scene.roll.fleets == {("shop", "newsfeed"): third.fleet}


async def test_a_service_that_was_deleted_does_not_come_back_by_a_late_word(scene: Scene) -> None:
    watch = scene.put()
    scene.services.remove(("shop", "newsfeed"))
    scene.services.put(manifest())
    assert scene.services.namespaces == set()
    assert scene.put(metadata={"uid": "uid-another"}) is not watch


@pytest.mark.parametrize(
    "broken",
    [
        {"metadata": {"name": "broken", "namespace": "shop"}},
        {"metadata": {"name": "broken", "namespace": "shop"}, "spec": {"selector": {}, "objectives": {"bands": ["1s"]}}},
        manifest("broken", spec={"objectives": {"p95": "soon"}}),
        manifest("broken", spec={"minimumCoverage": "lots"}),
        {},
    ],
)
async def test_an_object_that_cannot_be_read_harms_no_other(
    scene: Scene, broken: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    watch = scene.put()
    scene.services.put(broken)
    assert list(scene.services) == [watch]
    assert "is left out" in caplog.text


async def test_what_pods_are_asked_for(scene: Scene) -> None:
    watch = scene.put()
    assert watch.fleet.desired is None
    apps, replicasets = watch._workloads._informers[0], watch._workloads._informers[3]
    apps.objects = {"1": workload("newsfeed", 4, {"app": "newsfeed"}), "2": workload("other", 9, {"app": "other"})}
    replicasets.objects = {
        "3": workload("newsfeed-abc", 4, {"app": "newsfeed"}, owner_references=[Owner("Deployment", "newsfeed", "1")]),
        "4": workload("bare", 2, {"app": "newsfeed"}),
    }
    watch._workloads._changed(apps.objects["1"])
    assert watch.fleet.desired == 6


async def test_namespaces_that_opt_in(scene: Scene) -> None:
    watch = scene.put()
    assert not watch.namespace_enabled
    before = scene.changes
    scene.services._namespace_changed(Namespace(Metadata(name="shop", labels={"rollcall.dev/inject": "enabled"})))
    scene.services._namespace_changed(Namespace(Metadata(name="bank", labels={"rollcall.dev/inject": "enabled"})))
    assert watch.namespace_enabled
    assert watch.fleet.settings.facts.namespace_enabled
    assert scene.services.agent_namespaces == {"shop", "bank"}
    assert scene.changes == before + 2
    scene.services._namespace_deleted(Namespace(Metadata(name="bank")))
    scene.services._namespace_changed(Namespace(Metadata(name="shop")))
    assert not watch.fleet.settings.facts.namespace_enabled
    assert scene.services.agent_namespaces == {"shop"}


async def test_an_older_version_that_is_told_late_changes_nothing(scene: Scene) -> None:
    watch = scene.put(metadata={"generation": 3}, spec={"objectives": {"bands": ["1s", "2s", "3s"]}})
    scene.put(metadata={"generation": 2}, spec={"objectives": {"bands": ["2s", "3s", "4s"]}})
    assert watch.fleet.settings.bands_ms == (1000, 2000, 3000)
    scene.put(metadata={"generation": 4}, spec={"objectives": {"bands": ["2s", "3s", "4s"]}})
    assert watch.fleet.settings.bands_ms == (2000, 3000, 4000)
