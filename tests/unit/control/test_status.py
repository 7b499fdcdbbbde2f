"""Status writes: few, newest, and the last one of a term always."""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import pairwise

import aiohttp
import pytest

from rollcall.control import status as module
from rollcall.control.status import EVERY_S, FLIP_S, PER_SECOND, Budget, StatusWriter
from rollcall.control.watch import ServiceWatch
from rollcall.kube.client import KubeError
from tests.unit.control.conftest import Scene
from tests.unit.control.fakes import service
from tests.unit.model.agents import Agent, facts

PATH = "/apis/rollcall.dev/v1alpha1/namespaces/shop/monitoredservices/{}/status"


class Writer:
    """A status writer whose rounds a test counts out, half a second each."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.count: Counter[str] = Counter()
        self.writer = StatusWriter(scene.client, scene.services, self.count, scene.clock)  # type: ignore[arg-type]

    async def round(self, seconds: float = 0.5) -> list[str]:
        """Time passes, then one look; returns the names of services that were written."""
        before = len(self.scene.client.writes)
        self.scene.fold(seconds)
        await self.writer._round(force=False)
        return [path.split("/")[-2] for _, path in self.scene.client.writes[before:]]

    def written(self, name: str = "newsfeed") -> dict:
        return self.scene.client.objects[PATH.format(name)]["status"]


def silent_pod(watch: ServiceWatch, uid: str) -> None:
    watch.fleet.upsert(facts(uid))


async def test_a_new_service_is_written_at_once_and_then_only_when_something_changes(scene: Scene) -> None:
    watch, writer = scene.put(), Writer(scene)
    assert await writer.round() == ["newsfeed"]
    assert writer.written()["summary"]["pods"] == "0/0"
    for _ in range(30):
        assert await writer.round() == []
    silent_pod(watch, "uid-a")
    assert await writer.round() == ["newsfeed"]


async def test_at_most_one_write_in_five_seconds_while_figures_move(scene: Scene) -> None:
    watch, writer, agent = scene.put(), Writer(scene), Agent()
    times = []
    for number in range(120):
        scene.serve(watch, agent, requests=5 + number)
        if await writer.round():
            times.append(scene.clock.now_s)
    # the first few are flips: from no pod to one that reports and is judged
    steady = [b - a for a, b in pairwise(times[4:])]
    assert len(steady) >= 6
    assert all(EVERY_S <= gap <= EVERY_S + 0.5 for gap in steady)
    assert all(b - a >= FLIP_S for a, b in pairwise(times))


async def test_a_condition_flips_at_once_but_not_more_than_once_a_second(scene: Scene) -> None:
    watch, writer = scene.put(), Writer(scene)
    await writer.round()
    await writer.round(20.0)
    silent_pod(watch, "uid-a")
    assert await writer.round(0.5) == ["newsfeed"], "Reporting turned False"
    assert {c["type"]: c["status"] for c in writer.written()["conditions"]}["Reporting"] == "False"
    watch.fleet.remove("uid-a", scene.clock.now_s)
    assert await writer.round(0.5) == []
    assert await writer.round(0.5) == ["newsfeed"]


async def test_all_services_together_have_a_budget(scene: Scene) -> None:
    for number in range(60):
        scene.put(f"s{number:02}")
    writer = Writer(scene)
    found = [len(await writer.round()) for _ in range(5)]
    assert found == [PER_SECOND, PER_SECOND / 2, PER_SECOND / 2, PER_SECOND / 2, PER_SECOND / 2]
    for _ in range(10):
        await writer.round()
    assert writer.count == {"written": 60}, "each once, none forgotten"


def test_the_budget_does_not_save_up_for_later() -> None:
    budget = Budget(20)
    assert sum(budget.take(1000.0) for _ in range(100)) == 20
    assert sum(budget.take(1000.5) for _ in range(100)) == 10
    assert sum(budget.take(9000.0) for _ in range(100)) == 20


@pytest.mark.parametrize("error", [KubeError(500, "InternalError", "no"), aiohttp.ClientConnectionError("no"), TimeoutError()])
async def test_a_write_that_fails_is_tried_again_at_the_same_pace(scene: Scene, error: Exception) -> None:
    scene.put()
    writer = Writer(scene)
    scene.client.fail = {"/status": error}
    tries = [len(await writer.round()) for _ in range(41)]
    assert sum(tries) == 5, "every five seconds"
    assert writer.count == {"failed": 5}
    scene.client.fail = {}
    assert [len(await writer.round()) for _ in range(12)].count(1) == 1
    assert writer.count["written"] == 1


async def test_a_service_that_was_deleted_unnoticed_is_dropped(scene: Scene) -> None:
    scene.put()
    writer = Writer(scene)
    scene.client.fail = {"/status": KubeError(404, "NotFound", "gone")}
    await writer.round()
    assert list(scene.services) == []
    assert list(scene.roll) == []
    assert await writer.round() == []


async def test_a_service_that_is_made_anew_under_its_name_gets_a_status(scene: Scene) -> None:
    scene.put()
    writer = Writer(scene)
    await writer.round()
    scene.put(metadata={"uid": "uid-another"})
    assert await writer.round() == ["newsfeed"]


async def test_what_an_earlier_leader_wrote_stands_until_it_changes(scene: Scene) -> None:
    watch, writer = scene.put(), Writer(scene)
    silent_pod(watch, "uid-a")
    await writer.round()
    kept = writer.written()
    scene.clock.now_s += 3600
    scene.put(status=kept)  # as kopf tells it
    successor = Writer(scene)
    for _ in range(12):
        assert await successor.round() == []
    watch.fleet.remove("uid-a", scene.clock.now_s)
    assert await successor.round() == ["newsfeed"]
    since = {c["type"]: c["lastTransitionTime"] for c in kept["conditions"]}
    now = {c["type"]: c["lastTransitionTime"] for c in successor.written()["conditions"]}
    assert now["Ready"] == since["Ready"]


async def test_nothing_is_written_before_the_first_complete_list_and_fold(scene: Scene) -> None:
    watch, writer = scene.put(), Writer(scene)
    watch._informer.synced.clear()
    assert await writer.round() == []
    watch._informer.synced.set()
    assert await writer.round() == ["newsfeed"]


async def test_the_end_of_a_term_writes_the_departed_totals_of_all(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """More services than the budget lets through, all written a moment ago: still nothing may be lost."""
    monkeypatch.setattr(module, "SETTLE_S", 0.0)
    watches = [scene.put(f"s{number:02}") for number in range(40)]
    writer = Writer(scene)
    agents = [Agent(f"uid-{number}") for number in range(40)]
    for watch, agent in zip(watches, agents, strict=True):
        scene.serve(watch, agent, requests=7)
    scene.fold()
    task = asyncio.create_task(writer.writer.run())
    while writer.count["written"] < 20:
        await asyncio.sleep(0)
    for watch, agent in zip(watches, agents, strict=True):
        watch.fleet.remove(agent.uid, scene.clock.now_s)
    scene.fold()
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert {writer.written(f"s{number:02}")["totals"]["departed"]["requests"] for number in range(40)} == {7}


async def test_who_is_injected_is_told(scene: Scene) -> None:
    for changes, reason in (({}, "NamespaceNotEnabled"), ({"spec": {"injection": {"mode": "Off"}}}, "InjectionOff")):
        name = f"s-{reason.lower()}"
        scene.put(name, **changes)
        writer = Writer(scene)
        await writer.round()
        assert ("False", reason) in [
            (c["status"], c["reason"]) for c in writer.written(name)["conditions"] if c["type"] == "Injecting"
        ]
    assert service().spec.injection.mode == "Auto"
