"""Events about causes: soon, few, and nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from typing import Any

import pytest

from rollcall.control.announcements import EVERY_S, SETTLE_S, Announcement, Announcer, Told, news
from rollcall.control.status import StatusWriter
from rollcall.control.watch import ServiceWatch
from rollcall.kube.client import KubeError
from rollcall.model.roll import Session
from rollcall_agent.wire import facts
from tests.unit.control.conftest import Scene
from tests.unit.control.test_causes import AT, crashes, shortage
from tests.unit.model.agents import Agent

STATUS = "/apis/rollcall.dev/v1alpha1/namespaces/shop/monitoredservices/newsfeed/status"


def reasons(found: list[Announcement]) -> list[str]:
    return [announcement.reason for announcement in found]


def test_a_shortage_is_told_when_it_begins_and_when_it_is_over() -> None:
    told = Told()
    assert news(told, [], None, 0.0) == []
    (began,) = news(told, [shortage()], None, 0.5)
    assert (began.kind, began.reason) == ("Warning", "DependencyThrottled")
    assert began.message == "dynamodb newsfeed: 41/s throttled (38% of its calls) since 07:59:51 UTC"
    assert all(news(told, [shortage()], None, at / 2) == [] for at in range(2, 400))
    (over,) = news(told, [], None, 200.0)
    assert (over.kind, over.reason) == ("Normal", "DependencyRecovered")
    assert over.message == "dynamodb newsfeed: no calls throttled any more"
    assert news(told, [], None, 300.0) == []


def test_what_comes_within_a_minute_is_told_together() -> None:
    told = Told()
    assert reasons(news(told, [shortage("a")], None, 0.0)) == ["DependencyThrottled"]
    for at_s in (1.0, 30.0, EVERY_S - 0.5):
        assert news(told, [shortage("a"), shortage("b"), shortage("c")], None, at_s) == []
    (event,) = news(told, [shortage("a"), shortage("b"), shortage("c")], None, EVERY_S)
    assert event.message.count("throttled") == 3


def test_what_is_over_by_then_is_never_told() -> None:
    told = Told()
    news(told, [shortage("a")], None, 0.0)
    news(told, [shortage("a"), shortage("b")], None, 10.0)
    assert news(told, [shortage("a")], None, 2 * EVERY_S) == []


def test_crashes_are_told_once_a_minute() -> None:
    told, found = Told(), []
    for at in range(600):
        last = AT + at - at % 5
        found += news(told, [], crashes(last=last), float(at))
    assert reasons(found) == ["WorkersCrashing"] * 10
    assert found[0].kind == "Warning"
    assert found[0].message.startswith("SIGSEGV in feed.so at GET /feed, revision 7f9c: 12 crashes in the last 5 minutes")
    assert len(news(told, [], crashes(last=last), 9999.0)) == 1, "those of the last minute"
    assert news(told, [], crashes(last=last), 19_999.0) == news(told, [], crashes(last=None), 29_999.0) == []


class Pod:
    """A service with one pod, its announcer and its status writer; each `beat` is half a second."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.watch, self.agent = scene, scene.put(), Agent("uid-a")
        scene.client.objects[STATUS] = {}
        self.announcer = Announcer(scene.client, scene.services, scene.clock)  # type: ignore[arg-type]
        self.writer = StatusWriter(scene.client, scene.services, Counter(), scene.clock)  # type: ignore[arg-type]
        self.number = 0
        scene.serve(self.watch, self.agent)
        self.session.define(facts.pack_names(facts.DEPENDENCY_NAMES, [(1, "dynamodb newsfeed")]))

    @property
    def session(self) -> Session:
        return self.scene.sessions["uid-a"]

    async def beat(self, *records: tuple[int, int, int, int]) -> list[str]:
        """Returns the reasons of the events."""
        self.number += 1
        self.session.accept_facts(facts.pack_facts(self.number, 0, records), self.scene.clock.now_s)
        self.scene.serve_as_is(self.watch, self.agent)
        self.scene.fold(0.5)
        found = self.announcer.round()
        await self.writer._round(force=False)
        return [announcement.reason for _, announcement in found]

    def condition(self, kind: str) -> tuple[str, str, str]:
        status = self.scene.client.objects[STATUS]["status"]
        return next((c["status"], c["reason"], c["message"]) for c in status["conditions"] if c["type"] == kind)


def throttled(failures: int, calls: int = 20) -> list[tuple[int, int, int, int]]:
    return [(facts.CALLS, 1, 0, calls), (facts.CALL_FAILURES, 1, facts.REASONS.index("throttled"), failures)]


@pytest.fixture
async def pod(scene: Scene) -> Pod:
    made = Pod(scene)
    for _ in range(12):
        assert await made.beat(*throttled(0)) == []
    assert made.condition("DependencyThrottled")[:2] == ("False", "NoShortage")
    assert made.condition("WorkersCrashing")[:2] == ("False", "NoCrashes")
    return made


async def test_condition_and_event_come_within_seconds_and_go(pod: Pod) -> None:
    assert await pod.beat(*throttled(8)) == ["DependencyThrottled"], "half a second after it was told"
    assert await pod.beat(*throttled(8)) == []
    status, reason, message = pod.condition("DependencyThrottled")
    assert (status, reason) == ("True", "CallsThrottled")
    assert message.startswith("dynamodb newsfeed: ")
    found = [reason for _ in range(60) for reason in await pod.beat(*throttled(0))]
    assert found == ["DependencyRecovered"]
    assert pod.condition("DependencyThrottled")[0] == "False"


async def test_a_crash_is_in_the_condition_within_two_seconds(pod: Pod) -> None:
    event = {
        "type": "death", "signal": 11, "module": "/opt/feed.so", "endpoint": "GET /feed", "unanswered": 1, "age_ms": 200,
    }  # fmt: skip
    pod.session.accept_event(event, pod.scene.clock.now_s)
    assert await pod.beat((facts.DEATHS, 0, 11, 1)) == ["WorkersCrashing"]
    await pod.beat()
    status, reason, message = pod.condition("WorkersCrashing")
    assert (status, reason) == ("True", "SegmentationFault")
    assert message.startswith("SIGSEGV in feed.so at GET /feed: 1 crash in the last 5 minutes")
    for _ in range(590):
        assert await pod.beat() == []
    assert pod.condition("WorkersCrashing")[0] == "True"
    for _ in range(20):
        await pod.beat()
    assert pod.condition("WorkersCrashing")[:2] == ("False", "NoCrashes")


async def test_a_new_leader_does_not_tell_again_what_stands_in_the_status(pod: Pod, scene: Scene) -> None:
    await pod.beat(*throttled(8))
    await pod.beat(*throttled(8))
    scene.put(status=scene.client.objects[STATUS]["status"])  # as kopf tells it
    pod.announcer = Announcer(scene.client, scene.services, scene.clock)  # type: ignore[arg-type]
    for _ in range(10):
        assert await pod.beat(*throttled(8)) == []


async def test_a_new_leader_waits_before_it_says_that_something_is_over(scene: Scene) -> None:
    standing = {"dependency": "redis", "reason": "refused", "perSecond": "4", "since": "2026-01-01T00:00:00Z"}
    scene.put(status={"throttled": [standing]})
    announcer = Announcer(scene.client, scene.services, scene.clock)  # type: ignore[arg-type]
    scene.fold()
    assert announcer.round() == []
    scene.fold(SETTLE_S - 1)
    assert announcer.round() == []
    scene.fold(2.0)
    assert [announcement.reason for _, announcement in announcer.round()] == ["DependencyRecovered"]


async def test_it_is_written_and_a_failing_event_harms_nothing(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(pod.announcer.run(), 0.05)

    found: list[Any] = [[(pod.watch, Announcement("Warning", "WorkersCrashing", "SIGSEGV in feed.so"))]]
    monkeypatch.setattr(Announcer, "round", lambda _: found[0])
    await run()
    (event,) = pod.scene.client.created
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "WorkersCrashing", "SIGSEGV in feed.so")
    assert event["involvedObject"]["uid"] == "uid-newsfeed"
    pod.scene.client.fail = {"/events": KubeError(403, "Forbidden", "no")}
    await run()


async def test_a_service_that_was_deleted_is_forgotten(pod: Pod, scene: Scene) -> None:
    watch: ServiceWatch = pod.watch
    scene.services.remove((watch.service.namespace, watch.service.name))
    assert pod.announcer.round() == []
    assert pod.announcer._told == {}
