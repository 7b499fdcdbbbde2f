"""What the next leader takes over: read before any slot is given, written rarely, not lost for a service that comes later."""

from __future__ import annotations

import base64

import pytest

from rollcall.control.handover import EVERY_S, WITHOUT_S, Handover
from rollcall.control.watch import ServiceWatch
from rollcall.kube.client import KubeError
from rollcall.model.departures import Cause, Verdict
from rollcall.model.ledger import Ledger
from rollcall.model.slots import KEY_BYTES
from tests.unit.control.conftest import Scene
from tests.unit.model.agents import facts

AT = 1_767_225_600.0
"""A full hour."""
PATH = "/api/v1/namespaces/rollcall-system/configmaps/rollcall-handover"


def keeper(scene: Scene) -> Handover:
    made = Handover(scene.client, scene.services, "rollcall-system", "rollcall", scene.clock)  # type: ignore[arg-type]
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


async def test_what_left_lately_is_known_to_another_process(scene: Scene) -> None:
    watch, first = scene.put(), keeper(scene)
    await first.round()
    watch.ledger.left(facts("b"), Verdict(Cause.CRASHED, "", True), AT - 7200)
    watch.ledger.left(facts("a"), Verdict(Cause.SCALE_IN, "", True), AT)
    scene.clock.now_s += EVERY_S
    await first.round()
    heir = watch.ledger = watch.fleet.ledger = Ledger(AT + 60)
    heir.left(facts("c"), Verdict(Cause.CRASHED, "", True), AT + 120)
    scene.services.begin_term()
    await keeper(scene).round()
    found = heir.picture(AT + 180, with_lists=False)
    assert found.last_hour == {"Crashed": 1, "ScaleIn": 1}
    assert found.last_day == {"Crashed": 2, "ScaleIn": 1}
    scene.client.objects[PATH]["data"]["uid-newsfeed.departures"] = '{"minutes": 3}'
    scene.services.begin_term()
    await keeper(scene).round()
    assert heir.picture(AT + 180, with_lists=False) == found


async def test_without_the_right_to_read_pods_are_numbered_all_the_same(scene: Scene) -> None:
    scene.client.fail["-handover"] = KubeError(403, "Forbidden", "no")
    watch, kept = scene.put(), keeper(scene)
    come(scene, watch, "a")
    await kept.round()
    assert slots(watch) == {"a": None}
    scene.clock.now_s += WITHOUT_S
    await kept.round()
    assert slots(watch) == {"a": "newsfeed-01"}
