"""From crashing pods to orders, status and events: what blame finds is carried out, kept, and undone."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from rollcall.api.status import TakenBack
from rollcall.control.status import StatusWriter
from rollcall.control.takeback import Judge, TakeBack
from rollcall.control.watch import ServiceWatch
from rollcall.kube.client import KubeError
from rollcall.kube.pods import Pod
from rollcall.kube.terminations import Terminations
from tests.unit.control.conftest import Scene
from tests.unit.control.fakes import service
from tests.unit.model.agents import Agent

BAD, GOOD = "agent:2", "agent:1"
BEGIN = 1_800_000_000
STATUS = "/apis/rollcall.dev/v1alpha1/namespaces/shop/monitoredservices/newsfeed/status"


def time(seconds: float) -> str:
    return datetime.fromtimestamp(BEGIN + seconds, UTC).isoformat().replace("+00:00", "Z")


def pod(
    name: str, crashes: int = 0, ended: float | None = None, started: float | None = None, agent: str | None = BAD, **spec: Any
) -> Pod:
    """A pod of a Deployment; its last life, of a second, ended at `ended`, its present one began at `started`."""
    web: dict[str, Any] = {"name": "web", "restartCount": crashes, "ready": started is not None}
    if ended is not None:
        last = {
            "exitCode": 1,
            "reason": "Error",
            "startedAt": time(ended - 1),
            "finishedAt": time(ended),
            "containerID": f"{name}{ended}",
        }
        web["lastState"] = {"terminated": last}
    web["state"] = (
        {"running": {"startedAt": time(started)}} if started is not None else {"waiting": {"reason": "CrashLoopBackOff"}}
    )
    return msgspec.convert(
        {
            "metadata": {
                "name": name, "namespace": "shop", "uid": f"uid-{name}", "labels": {"pod-template-hash": "7d9c"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "newsfeed-7d9c", "controller": True}],
                "annotations": {"rollcall.dev/injected": "x"} if agent else {},
            },
            "spec": {
                "containers": [{"name": "envoy"}, {"name": "web"}],
                "initContainers": [{"name": "rollcall-agent", "image": agent}] if agent else [],
                **spec,
            },
            "status": {"phase": "Running", "containerStatuses": [web]},
        },
        Pod,
    )  # fmt: skip


class Trial:
    """A service whose new agent crashes its pods, and the judge that looks at it."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.now = scene, float(BEGIN)
        self.watch = scene.put()
        scene.client.objects[STATUS] = {}
        self.judge = Judge(scene.client, scene.services, BAD, lambda: self.now)  # type: ignore[arg-type]

    def show(self, *pods: Pod) -> None:
        for each in pods:
            self.watch._informer.objects[each.metadata.uid] = each
            self.watch._pod_changed(each)

    def look(self, seconds: float) -> list[str]:
        """The judge looks, so long after the beginning; the agents of all pods report. Returns the events' reasons."""
        self.now = BEGIN + seconds
        for uid in self.watch.pods:
            self.scene.serve_as_is(self.watch, Agent(uid))
        self.scene.fold()
        return [reason for _, reason, _ in self.judge.round()]

    def convict(self) -> None:
        """Two pods crash; without the probe one of them lives."""
        for ended in (2, 4):
            self.show(pod("a", ended - 1, ended), pod("b", ended - 1, ended))
            assert self.look(ended) == []
        assert self.watch.fleet.probe_off == {"uid-a"}
        self.show(pod("a", 2, 4, started=14), pod("b", 3, 15))
        assert self.look(20) == []
        assert self.look(29) == ["InjectionTakenBack"]

    async def written(self) -> dict[str, Any]:
        writer = StatusWriter(self.scene.client, self.scene.services, Counter(), self.scene.clock)  # type: ignore[arg-type]
        self.scene.fold()
        await writer._round(force=True)
        status: dict[str, Any] = self.scene.client.objects[STATUS]["status"]
        return status


@pytest.fixture
async def trial(scene: Scene) -> Trial:
    return Trial(scene)


def injecting(status: dict[str, Any]) -> tuple[str, str, str]:
    return next((c["status"], c["reason"], c["message"]) for c in status["conditions"] if c["type"] == "Injecting")


async def test_a_verdict_disarms_all_pods_and_stands_in_the_status(trial: Trial) -> None:
    trial.watch.namespace_enabled = True
    trial.convict()
    assert trial.watch.fleet.probe_off == {"uid-a", "uid-b"}
    status = await trial.written()
    (entry,) = status["takenBack"]
    assert (entry["workload"], entry["since"], entry["agent"]) == ("Deployment/newsfeed", time(29), BAD)
    assert "5 crashes, at most 1 s after the start; without it the application has been running for 15 s" in entry["reason"]
    assert injecting(status)[:2] == ("False", "TakenBack")
    assert "Deployment/newsfeed" in injecting(status)[2]
    assert trial.look(30) == []


async def test_what_is_being_tried_is_told(trial: Trial) -> None:
    trial.watch.namespace_enabled = True
    trial.show(pod("a", 1, 2), pod("a", 2, 4))
    trial.look(5)
    assert injecting(await trial.written()) == (
        "True", "Trying", "pods crash; it is being tried without the probe in 1 of Deployment/newsfeed",
    )  # fmt: skip


async def test_a_pod_whose_agent_does_not_report_is_not_tried(trial: Trial) -> None:
    trial.show(pod("a", 1, 2), pod("a", 2, 4))
    trial.now = BEGIN + 5
    trial.scene.fold()
    trial.judge.round()
    assert trial.watch.fleet.probe_off == set()


async def test_an_event_tells_it_and_a_failing_one_harms_nothing(trial: Trial) -> None:
    async def run() -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(trial.judge.run(), 0.05)

    for ended in (2, 4):
        trial.show(pod("a", ended - 1, ended), pod("b", ended - 1, ended))
        trial.look(ended)
    trial.show(pod("a", 2, 4, started=14), pod("b", 3, 15))
    trial.now = BEGIN + 29
    await run()
    (event,) = trial.scene.client.created
    assert (event["type"], event["reason"]) == ("Warning", "InjectionTakenBack")
    assert event["involvedObject"] == {
        "apiVersion": "rollcall.dev/v1alpha1", "kind": "MonitoredService", "namespace": "shop", "name": "newsfeed",
        "uid": "uid-newsfeed",
    }  # fmt: skip
    assert event["message"].startswith("Deployment/newsfeed is not injected any more: with the probe 5 crashes")
    trial.scene.client.fail = {"/events": KubeError(403, "Forbidden", "no")}
    trial.watch.service = service(metadata={"annotations": {"rollcall.dev/retry-injection": "1"}})
    await run()
    assert trial.watch.takeback.entries == {}


async def test_a_verdict_survives_a_new_term(trial: Trial) -> None:
    trial.convict()
    kept = await trial.written()
    trial.scene.put(status=kept)
    trial.scene.services.begin_term()
    assert trial.look(60) == []
    assert trial.watch.fleet.probe_off == {"uid-a", "uid-b"}
    assert (await trial.written())["takenBack"] == kept["takenBack"]


async def test_another_agent_image_lifts_it(trial: Trial) -> None:
    trial.convict()
    kept = await trial.written()
    trial.scene.put(status=kept)
    trial.scene.services.begin_term()
    trial.judge = Judge(trial.scene.client, trial.scene.services, "agent:3", lambda: trial.now)  # type: ignore[arg-type]
    trial.show(pod("new", started=50, agent="agent:3"))
    assert trial.look(60) == ["InjectionRetried"]
    assert trial.watch.fleet.probe_off == {"uid-a", "uid-b"}, "what has the broken one goes on without"
    status = await trial.written()
    assert status["takenBack"] == []
    assert injecting(status)[1] != "Trying"


async def test_the_annotation_lifts_it_each_time_it_changes(trial: Trial) -> None:
    def annotated(value: str) -> None:
        trial.watch.service = service(metadata={"annotations": {"rollcall.dev/retry-injection": value}})

    annotated("monday")
    assert trial.look(0) == []
    trial.convict()
    assert trial.look(60) == [], "it was there before"
    annotated("tuesday")
    assert trial.look(61) == ["InjectionRetried"]
    assert trial.look(62) == []
    assert trial.watch.fleet.probe_off == set()


async def test_what_crashed_before_the_term_is_not_judged(trial: Trial) -> None:
    trial.show(pod("a", 1, 2), pod("a", 2, 4))
    trial.scene.services.begin_term()
    trial.look(5)
    assert trial.watch.fleet.probe_off == set()
    trial.show(pod("a", 3, 15), pod("a", 4, 37))
    trial.look(38)
    assert trial.watch.fleet.probe_off == {"uid-a"}


@pytest.mark.parametrize(
    "changed",
    [
        pod("a", 2, 4, restartPolicy="OnFailure"),
        msgspec.structs.replace(
            pod("a", 2, 4), metadata=msgspec.structs.replace(pod("a").metadata, deletion_timestamp="2026-01-01T00:00:00Z")
        ),
        msgspec.structs.replace(pod("a", 2, 4), status=msgspec.structs.replace(pod("a", 2, 4).status, phase="Failed")),
    ],
    ids=["runs to completion", "is being deleted", "has failed"],
)
def test_ends_that_are_no_crashes(changed: Pod) -> None:
    takeback, seen = TakeBack(), Terminations()
    for version in (changed, msgspec.structs.replace(changed)):
        takeback.pod_changed(version, seen.note(version), None, BEGIN)
        takeback.pod_changed(version, [("web", version.status.container_statuses[0].last_state.terminated)], None, BEGIN)  # type: ignore[list-item]
    assert not takeback.blame.busy


def test_only_the_application_is_judged() -> None:
    for container, busy in ((None, True), ("web", True), ("other", False), ("envoy", False)):
        takeback, crashed = TakeBack(), pod("a", 1, 2)
        takeback.pod_changed(crashed, Terminations().note(crashed), container, BEGIN)
        assert takeback.blame.busy is busy, container


def test_the_status_has_a_limited_number_newest_first() -> None:
    entries = [TakenBack(workload=f"Deployment/{n:02}", since=time(n), reason="r", agent=BAD) for n in range(30)]
    shown = TakeBack(entries).as_status()
    assert [entry["workload"] for entry in shown] == [f"Deployment/{n:02}" for n in range(29, 19, -1)]


async def test_an_agent_that_works_elsewhere_is_known(trial: Trial, scene: Scene) -> None:
    other: ServiceWatch = scene.put("other")
    trial.show(pod("a", 1, 2, agent=GOOD), pod("a", 2, 4, agent=GOOD))
    fine = pod("fine", started=0, agent=GOOD)
    ready = msgspec.convert({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}, type(fine.status))
    fine = msgspec.structs.replace(
        fine, status=msgspec.structs.replace(ready, container_statuses=fine.status.container_statuses)
    )
    other._informer.objects["uid-fine"] = fine
    other._pod_changed(fine)
    scene.serve_as_is(other, Agent("uid-fine"))
    scene.fold()
    assert trial.judge._proven(scene.services, BEGIN + 60) == {GOOD: 60}
    other.fleet.probe_off = {"uid-fine"}
    assert trial.judge._proven(scene.services, BEGIN + 60) == {}, "without the probe it proves nothing"
