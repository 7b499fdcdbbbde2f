"""From what informers tell to departures in ledger, status and events."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from rollcall.control.announcements import Announcer
from rollcall.control.status import StatusWriter
from rollcall.control.watch import ServiceWatch
from rollcall.kube.objects import Node, Workload
from rollcall.kube.pods import Pod
from rollcall.model.departures import NodeFacts
from rollcall.model.leavers import PATIENCE_S
from rollcall.model.picture import Departure, Departures
from tests.unit.control.conftest import Scene
from tests.unit.control.fakes import manifest
from tests.unit.control.test_owners import ref
from tests.unit.model.agents import Agent

GONE_AT = "2026-01-01T00:10:30Z"


def pod(name: str, phase: str = "Running", *, leaving: bool = False, **status: Any) -> Pod:
    meta: dict[str, Any] = {
        "name": name, "namespace": "shop", "uid": f"uid-{name}", "creationTimestamp": "2026-01-01T00:00:00Z",
        "labels": {"app": "newsfeed", "pod-template-hash": "7d9c"}, "ownerReferences": ref("ReplicaSet", "newsfeed-7d9c", "r1"),
        "annotations": {"rollcall.dev/injected": "x"},
    }  # fmt: skip
    if leaving:
        meta |= {"deletionTimestamp": GONE_AT, "deletionGracePeriodSeconds": 30}
    return msgspec.convert({"metadata": meta, "spec": {"nodeName": "node-1"}, "status": {"phase": phase} | status}, Pod)


class Shop:
    """A service whose Deployment has pods."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.watch: ServiceWatch = scene.put()
        self.departing = self.watch.departing
        self.departing._clock = scene.clock
        workloads = self.watch._workloads
        workloads._jobs.synced.set()
        self.followed(True)
        self._sets = workloads._informers[3]
        self._deployments = workloads._informers[0]
        self.wants(3)
        scene.services._nodes.synced.set()
        self.node()

    def followed(self, following: bool) -> None:
        workloads = self.watch._workloads
        for informer in (*workloads._informers, workloads._jobs):
            informer.following = following

    def wants(self, replicas: int) -> None:
        meta = {"name": "newsfeed-7d9c", "uid": "r1", "ownerReferences": ref("Deployment", "newsfeed", "d")}
        self._sets.objects["r1"] = msgspec.convert({"metadata": meta, "spec": {"replicas": replicas}}, Workload)
        deployment = {"metadata": {"name": "newsfeed", "uid": "d"}, "spec": {"replicas": replicas}}
        self._deployments.objects["d"] = msgspec.convert(deployment, Workload)

    def node(self, ready: str = "True") -> None:
        status = {"conditions": [{"type": "Ready", "status": ready}]}
        self.scene.services._node_changed(msgspec.convert({"metadata": {"name": "node-1"}, "status": status}, Node))

    def has(self, *pods: Pod) -> None:
        for each in pods:
            self.watch._informer.objects[each.metadata.uid] = each
            self.watch._pod_changed(each)

    def loses(self, each: Pod) -> None:
        self.watch._informer.objects.pop(each.metadata.uid, None)
        self.watch._pod_deleted(each)

    def step(self, dt_s: float = 0.25) -> None:
        self.scene.fold(dt_s)
        self.departing.step(self.scene.clock.now_s)

    @property
    def shown(self) -> Departures:
        return self.watch.ledger.picture(self.scene.clock.now_s, with_lists=True)

    @property
    def newest(self) -> Departure:
        assert self.shown.recent
        return self.shown.recent[0]


@pytest.fixture
async def shop(scene: Scene) -> AsyncIterator[Shop]:
    made = Shop(scene)
    made.has(*(pod(name) for name in "abc"))
    yield made
    await made.departing.stop()


async def test_a_scale_in_from_its_first_sign_to_its_end(shop: Shop) -> None:
    shop.watch.fleet.slots.open({})
    shop.step()
    shop.wants(2)
    shop.has(pod("c", leaving=True))
    shop.step()
    (leaving,) = [each for each in shop.watch.fleet.pods.values() if each.facts.leaving]
    verdict = shop.watch.fleet.verdict_of(leaving.facts.uid)
    assert verdict is not None
    assert verdict.cause == "ScaleIn"
    assert shop.shown.total == {}
    shop.loses(pod("c", leaving=True))
    shop.step()
    assert shop.shown.total == shop.shown.last_hour == {"ScaleIn": 1}
    assert (shop.newest.name, shop.newest.slot, shop.newest.node) == ("c", "newsfeed-03", "node-1")
    assert shop.newest.evidence == "Deployment/newsfeed wants 2 pods, and had 3"


async def test_a_pod_that_was_deleted_and_replaced(shop: Shop) -> None:
    shop.has(pod("c", leaving=True), pod("d"))
    shop.loses(pod("c", leaving=True))
    shop.step()
    assert shop.shown.total == {}
    shop.step(PATIENCE_S)
    assert shop.shown.total == {"Deleted": 1}


async def test_what_its_containers_do_when_it_is_deleted_is_no_cause(shop: Shop) -> None:
    """The API server moves the deletionTimestamp to the moment of the kubelet's own deletion."""
    ended = {"containerStatuses": [{"name": "web", "state": {"terminated": {"exitCode": 137, "finishedAt": GONE_AT}}}]}
    shop.has(pod("c", leaving=True), pod("d"), pod("c", "Failed", leaving=True, **ended))
    last = msgspec.to_builtins(pod("c", "Failed", leaving=True, **ended))
    last["metadata"] |= {"deletionTimestamp": "2026-01-01T00:10:32Z", "deletionGracePeriodSeconds": 0}
    shop.loses(msgspec.convert(last, Pod))
    shop.step(PATIENCE_S)
    assert shop.shown.total == {"Deleted": 1}


async def test_a_node_that_is_not_heard_of(shop: Shop) -> None:
    shop.node("Unknown")
    shop.has(pod("c", leaving=True), pod("d"))
    shop.loses(pod("c", leaving=True))
    shop.step(PATIENCE_S)
    assert shop.shown.total == {"NodeLost": 1}
    shop.scene.services._node_deleted(msgspec.convert({"metadata": {"name": "node-1"}}, Node))
    assert shop.scene.services.node_of("node-1") == NodeFacts("node-1", exists=False)
    shop.scene.services._nodes.synced.clear()
    assert shop.scene.services.node_of("node-1") is None


async def test_a_pod_that_failed_counts_once_although_it_stays(shop: Shop) -> None:
    ended = {"containerStatuses": [{"name": "web", "state": {"terminated": {"exitCode": 3}}}]}
    for _ in range(3):
        shop.has(pod("c", "Failed", **ended))
        shop.step()
    assert shop.shown.total == {"Crashed": 1}
    assert shop.newest.evidence == "container web ended with exit code 3"
    assert list(shop.watch.fleet.pods) == ["uid-a", "uid-b"]
    shop.loses(pod("c", "Failed", **ended))
    shop.step(PATIENCE_S)
    assert shop.shown.total == {"Crashed": 1}


async def until_asked(shop: Shop) -> None:
    while shop.departing._asking:
        await asyncio.sleep(0)


async def test_a_pod_whose_labels_changed_has_not_left(shop: Shop) -> None:
    shop.scene.client.objects["/api/v1/namespaces/shop/pods/c"] = {"metadata": {"uid": "uid-c"}}
    shop.loses(pod("c"))
    shop.step(PATIENCE_S)
    assert shop.shown.total == {}
    await until_asked(shop)
    shop.step(PATIENCE_S)
    assert (shop.shown.total, len(shop.departing._leavers), shop.watch.ledger._open) == ({}, 0, {})


@pytest.mark.parametrize("there", [{}, {"/api/v1/namespaces/shop/pods/c": {"metadata": {"uid": "uid-another"}}}])
async def test_a_pod_that_was_deleted_at_once(shop: Shop, there: dict[str, Any]) -> None:
    """By force: no deletionTimestamp is ever seen."""
    shop.scene.client.objects |= there
    shop.loses(pod("c"))
    shop.has(pod("d"))
    await until_asked(shop)
    shop.step(PATIENCE_S)
    assert shop.shown.total == {"Deleted": 1}


async def test_what_left_while_nobody_looked(shop: Shop) -> None:
    """The lists come back one after the other: first the pods, some seconds later their ReplicaSet."""
    shop.watch._informer.catching_up = True
    shop.loses(pod("b"))
    shop.loses(pod("c"))
    shop.watch._informer.catching_up = False
    await until_asked(shop)
    shop.step(2 * PATIENCE_S)
    assert shop.shown.total == {}
    shop.wants(1)
    shop.step()
    assert shop.shown.total == {"ScaleIn": 2}


async def test_owners_that_cannot_be_watched_are_waited_for(shop: Shop) -> None:
    shop.followed(False)
    shop.has(pod("c", leaving=True))
    shop.loses(pod("c", leaving=True))
    shop.step(3 * PATIENCE_S)
    assert shop.shown.total == {}
    shop.wants(2)
    shop.followed(True)
    shop.step()
    assert shop.shown.total == {"ScaleIn": 1}


async def test_first_seen_when_it_was_deleted_and_had_finished(shop: Shop) -> None:
    """After a gap; then the API server moves its deletionTimestamp."""
    ended = {"containerStatuses": [{"name": "web", "state": {"terminated": {"exitCode": 143, "finishedAt": GONE_AT}}}]}
    last = msgspec.to_builtins(pod("c", "Failed", leaving=True, **ended))
    last["metadata"] |= {"deletionTimestamp": "2026-01-01T00:10:32Z", "deletionGracePeriodSeconds": 0}
    shop.has(pod("c", "Failed", leaving=True, **ended), pod("d"))
    shop.loses(msgspec.convert(last, Pod))
    shop.step(PATIENCE_S)
    assert shop.shown.total == {"Deleted": 1}
    last["metadata"] |= {"name": "b", "uid": "uid-b"}
    shop.has(msgspec.convert(last, Pod))
    shop.loses(msgspec.convert(last, Pod))
    shop.step(PATIENCE_S)
    assert shop.shown.total == {"Deleted": 2}


async def test_born_and_finished_while_nobody_looked(shop: Shop) -> None:
    ended = {"containerStatuses": [{"name": "web", "state": {"terminated": {"exitCode": 0}}}]}
    shop.has(pod("old", "Succeeded", **ended))
    shop.departing.since = 0.0
    shop.has(pod("young", "Succeeded", **ended))
    shop.step()
    assert [(gone.name, gone.cause) for gone in shop.shown.recent or []] == [("young", "Completed")]


async def test_the_status_tells_of_them(shop: Shop) -> None:
    path = "/apis/rollcall.dev/v1alpha1/namespaces/shop/monitoredservices/newsfeed/status"
    writer = StatusWriter(shop.scene.client, shop.scene.services, Counter(), shop.scene.clock)  # type: ignore[arg-type]
    shop.step()
    await writer._round(force=True)
    assert "departures" not in shop.scene.client.objects[path]["status"]
    shop.wants(2)
    shop.has(pod("c", leaving=True))
    shop.loses(pod("c", leaving=True))
    shop.step()
    shop.scene.fold()
    await writer._round(force=True)
    assert shop.scene.client.objects[path]["status"]["departures"] == {"lastHour": {"ScaleIn": 1}, "total": {"ScaleIn": 1}}


async def test_another_selector_is_no_departure_and_slots_come_back(shop: Shop) -> None:
    shop.watch.fleet.slots.open({})
    shop.has(pod("c", leaving=True))
    shop.step()
    shop.scene.services.put(manifest(metadata={"generation": 2}, spec={"selector": {"matchLabels": {"app": "other"}}}))
    shop.step(PATIENCE_S)
    assert shop.shown.total == {}
    shop.has(pod("b"))
    shop.watch.fleet.slots.open({})
    assert shop.watch.fleet.slot_of("uid-b") == "newsfeed-02"


async def test_totals_go_over_to_the_next_leader(shop: Shop) -> None:
    told = {"status": {"departures": {"total": {"ScaleIn": 40}}}}
    shop.scene.services.put(manifest(**told))
    assert shop.shown.total == {"ScaleIn": 40}
    shop.wants(2)
    shop.has(pod("c", leaving=True))
    shop.loses(pod("c", leaving=True))
    shop.step()
    shop.scene.services.begin_term()
    assert shop.shown.total == {"ScaleIn": 41}
    assert len(shop.shown.recent or []) == 1, "what this replica saw stays"
    shop.scene.services.put(manifest(**told))
    assert shop.shown.total == {"ScaleIn": 41}, "a leader knows better than its status"
    shop.scene.services.end_term()
    shop.scene.services.put(manifest(status={"departures": {"total": {"ScaleIn": 43}}}))
    assert shop.shown.total == {"ScaleIn": 43}


async def test_a_scale_in_is_one_event_and_a_crash_a_warning(shop: Shop) -> None:
    announcer = Announcer(shop.scene.client, shop.scene.services, shop.scene.clock)  # type: ignore[arg-type]
    shop.scene.serve(shop.watch, Agent("uid-z"))
    shop.has(*(pod(f"p{number}") for number in range(47)))
    shop.wants(5)
    found = []
    for number in range(45):
        shop.has(pod(f"p{number}", leaving=True))
        shop.step()
        found += announcer.round()
    shop.has(pod("a", "Failed", containerStatuses=[{"name": "web", "state": {"terminated": {"exitCode": 3}}}]))
    for _ in range(100):
        shop.step()
        found += announcer.round()
    events = [announcement for _, announcement in found]
    assert [(event.kind, event.reason) for event in events] == [("Warning", "Crashed"), ("Normal", "ScaleIn")]
    assert events[1].message == "45 pods left: ScaleIn: Deployment/newsfeed wants 5 pods, and had 6"
