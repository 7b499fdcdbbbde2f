"""Slots outlive their leader: read before any is given, written rarely, and never lost for a service that is not known yet."""

from __future__ import annotations

import base64

import pytest

from rollcall.control.slots import EVERY_S, WITHOUT_S, SlotKeeper
from rollcall.control.watch import ServiceWatch
from rollcall.kube.client import KubeError
from rollcall.model.slots import KEY_BYTES
from tests.unit.control.conftest import Scene
from tests.unit.model.agents import facts

PATH = "/api/v1/namespaces/rollcall-system/configmaps/rollcall-slots"


def keeper(scene: Scene) -> SlotKeeper:
    made = SlotKeeper(scene.client, scene.services, "rollcall-system", "rollcall", scene.clock)  # type: ignore[arg-type]
    made.begin()
    return made


def slots(watch: ServiceWatch) -> dict[str, str | None]:
    return {uid: watch.fleet.slot_of(uid) for uid in watch.fleet.pods}


def come(scene: Scene, watch: ServiceWatch, *uids: str) -> None:
    for at, uid in enumerate(uids):
        watch.fleet.upsert(facts(uid, created_at=scene.clock.now_s + at))
    scene.fold(0.5)


async def test_the_next_leader_gives_the_same_names(scene: Scene) -> None:
    watch, first = scene.put(), keeper(scene)
    come(scene, watch, "a", "b", "c")
    assert set(slots(watch).values()) == {None}, "nothing is given before it is known what was kept"
    await first.round()
    watch.fleet.remove("b", scene.clock.now_s)
    scene.clock.now_s += EVERY_S
    await first.round()
    scene.services.begin_term()
    watch.fleet.upsert(facts("d", created_at=1.0))
    come(scene, watch, "c", "a", "e")
    second = keeper(scene)
    await second.round()
    assert slots(watch) == {"a": "newsfeed-01", "c": "newsfeed-03", "d": "newsfeed-02", "e": "newsfeed-04"}


async def test_writes_are_rare_and_the_last_is_at_once(scene: Scene) -> None:
    watch, kept = scene.put(), keeper(scene)
    come(scene, watch, "a")
    await kept.round()
    for number in range(20):
        come(scene, watch, f"p{number}")
        await kept.round()
    assert [write for write in scene.client.writes if write[1] == PATH] == [("APPLY", PATH)] * 3
    for _ in range(20):
        scene.fold(0.5)
        await kept.round()
    writes = len(scene.client.writes)
    for _ in range(20):
        scene.fold(0.5)
        await kept.round()
    assert len(scene.client.writes) == writes, "nobody came or went"
    watch.fleet.remove("a", scene.clock.now_s)
    await kept.round(last=True)
    assert scene.client.objects[PATH]["binaryData"]["uid-newsfeed"].startswith("A" * 10), "the first is free"


async def test_a_large_service_is_written_more_rarely(scene: Scene) -> None:
    watch, kept = scene.put(), keeper(scene)
    come(scene, watch, *(f"p{number}" for number in range(5000)))
    await kept.round()
    size = len(scene.client.objects[PATH]["binaryData"]["uid-newsfeed"])
    assert size == pytest.approx(5000 * KEY_BYTES * 4 / 3, abs=4)
    come(scene, watch, "another")
    scene.clock.now_s += 2 * EVERY_S
    await kept.round()
    assert len(scene.client.writes) == 1
    scene.clock.now_s += EVERY_S
    await kept.round()
    assert len(scene.client.writes) == 2


async def test_a_service_that_is_not_listed_yet_keeps_its_own(scene: Scene) -> None:
    scene.client.objects[PATH] = {"binaryData": {"uid-orders": base64.b64encode(b"\1" * KEY_BYTES).decode(), "x": "no base64!"}}
    watch, late, kept = scene.put(), scene.put("orders"), keeper(scene)
    late._informer.synced.clear()
    come(scene, watch, "a")
    await kept.round()
    assert slots(watch) == {"a": "newsfeed-01"}
    assert not late.fleet.slots.is_open
    assert base64.b64decode(scene.client.objects[PATH]["binaryData"]["uid-orders"]) == b"\1" * KEY_BYTES
    scene.services.remove(("shop", "orders"))
    scene.clock.now_s += EVERY_S
    await kept.round()
    assert set(scene.client.objects[PATH]["binaryData"]) == {"uid-newsfeed"}


async def test_without_the_right_to_read_pods_are_numbered_all_the_same(scene: Scene) -> None:
    scene.client.fail["-slots"] = KubeError(403, "Forbidden", "no")
    watch, kept = scene.put(), keeper(scene)
    come(scene, watch, "a")
    await kept.round()
    assert slots(watch) == {"a": None}
    scene.clock.now_s += WITHOUT_S
    await kept.round()
    assert slots(watch) == {"a": "newsfeed-01"}
