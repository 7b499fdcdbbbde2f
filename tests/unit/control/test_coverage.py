"""The leader's look at who does not report, and `why`: each answer as a person reads it."""

from __future__ import annotations

from typing import Any

import pytest

from rollcall.control.conditions import Context, status_of
from rollcall.control.coverage import Coverage
from rollcall.control.why import Explainer
from rollcall.ingest.strangers import LEFT, Strangers
from rollcall.kube.client import KubeError
from rollcall.model.picture import Departure, Totals
from rollcall.model.show import picture
from rollcall.model.states import AgentContainer
from tests.unit.control.conftest import Scene
from tests.unit.model.agents import Agent, facts

RUNS = AgentContainer(running=True)


class Office:
    """A service whose pods are in trouble, and who looks at it."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.strangers = Strangers(scene.clock)
        self.coverage = Coverage(scene.client, scene.services, scene.roll, self.strangers, scene.clock)  # type: ignore[arg-type]
        self.explainer = Explainer(scene.client, scene.services, self.coverage)  # type: ignore[arg-type]

    def look(self) -> None:
        self.scene.fold()
        self.coverage.round(self.scene.clock.now_s)

    async def why(self, pod: str) -> tuple[str | None, str, str]:
        answer = await self.explainer.why("shop", pod)
        assert answer is not None
        return answer.reason, answer.sentence, answer.remedy


@pytest.fixture
def office(scene: Scene) -> Office:
    return Office(scene)


async def test_gaps_are_counted_and_shown_with_each_pod(scene: Scene, office: Office) -> None:
    watch = scene.put()
    scene.serve(watch, Agent("uid-a", flags=0))
    watch.fleet.upsert(facts("uid-b", agent=AgentContainer(waiting="ErrImagePull", message="not found"), running=False))
    watch.fleet.upsert(facts("uid-c", agent=RUNS, ip="10.0.0.3"))
    watch.fleet.upsert(facts("uid-d", agent=RUNS, ip="10.0.0.4"))
    watch.fleet.upsert(facts("uid-e", injected=False, created_at=2e9))
    office.strangers.note("10.0.0.3", "TokenRejected")
    office.look()
    shown = picture(watch.fleet, with_roll=True)
    assert shown.gaps == {"ProbeInactive": 1, "ImagePull": 1, "TokenRejected": 1, "NetworkBlocked": 1}
    reasons = {pod.name: pod.reason for pod in shown.roll or []}
    assert reasons == {
        "pod-a": "ProbeInactive", "pod-b": "ImagePull", "pod-c": "TokenRejected", "pod-d": "NetworkBlocked",
        "pod-e": "NamespaceNotEnabled",
    }  # fmt: skip
    status = status_of(shown, Context(1, Totals(), 0, (True, "Enabled", ""), "2026-01-01T00:00:00Z"), {})
    assert status["gaps"] == shown.gaps
    reporting = next(condition for condition in status["conditions"] if condition["type"] == "Reporting")
    assert reporting["message"] == ("2 of 5 pods do not report: 1 ImagePull, 1 NetworkBlocked, 1 TokenRejected")


async def test_an_agent_that_came_and_went_is_not_blocked_by_the_network(scene: Scene, office: Office) -> None:
    watch = scene.put()
    watch.fleet.upsert(facts("uid-a", agent=RUNS, ip="10.0.0.3"))
    office.strangers.note("10.0.0.3", LEFT)
    office.look()
    reason, sentence, _ = await office.why("pod-a")
    assert (reason, sentence) == ("NeverReported", "pod-a is silent: its agent came, but has not reported")


async def test_a_gap_that_is_closed_is_gone(scene: Scene, office: Office) -> None:
    watch = scene.put()
    watch.fleet.upsert(facts("uid-a", agent=RUNS))
    office.look()
    assert watch.fleet.gaps == {"NetworkBlocked": 1}
    agent = Agent("uid-a")
    scene.serve(watch, agent)
    scene.sessions["uid-a"].tell_sources(["python"])
    office.look()
    assert watch.fleet.gaps == {}
    assert [pod.reason for pod in picture(watch.fleet, with_roll=True).roll or []] == [None]


async def test_why(scene: Scene, office: Office) -> None:
    watch = scene.put()
    scene.serve(watch, Agent("uid-a"))
    scene.sessions["uid-a"].tell_sources(["php"])
    watch.fleet.upsert(facts("uid-b", agent=AgentContainer(waiting="ErrImagePull", message="not found"), running=False))
    watch.fleet.upsert(facts("uid-c", injected=False))
    watch.fleet.upsert(facts("uid-d", injected=False, skipped="TakenBack"))
    watch.fleet.upsert(facts("uid-e", running=False, node="n1"))
    watch.fleet.upsert(facts("uid-f", leaving=True))
    office.look()
    assert await office.why("pod-a") == (None, "pod-a is serving; its last report is 0.2 s old", "")
    reason, text, remedy = await office.why("pod-b")
    assert (reason, text) == ("ImagePull", "pod-b is pending: the image of the agent cannot be had (ErrImagePull: not found)")
    assert "agent.image" in remedy
    assert await office.why("pod-c") == (
        "CreatedBefore",
        "pod-c is bare, without an agent: it is older than its MonitoredService",
        "the pod is older than its MonitoredService; restart it to have it monitored",
    )
    reason, text, remedy = await office.why("pod-d")
    assert reason == "TakenBack"
    assert "crashed with the probe" in text
    assert "rollcall.dev/retry-injection" in remedy
    assert (await office.why("pod-e"))[1] == "pod-e is pending on n1: its containers do not run yet"
    assert (await office.why("pod-f"))[1] == "pod-f is being deleted; it has not reported yet"


async def test_why_of_a_pod_that_two_services_select(scene: Scene, office: Office) -> None:
    first, second = scene.put("newsfeed"), scene.put("all")
    for watch in (first, second):
        watch.fleet.upsert(facts("uid-a", agent=RUNS))
    office.look()
    answer = await office.explainer.why("shop", "pod-a")
    assert answer is not None
    assert answer.services == ["all", "newsfeed"]
    assert "it belongs to all, the oldest of the services that select it (also newsfeed)" in answer.sentence


async def test_why_of_a_pod_that_has_left_or_is_leaving(scene: Scene, office: Office) -> None:
    watch = scene.put()
    nothing = dict.fromkeys(
        ("slot", "node", "revision", "age", "requests_per_second", "error_ratio", "p95", "in_flight", "final")
    )
    evidence = "Deployment/newsfeed wants 2 pods, and had 6"
    gone: Any = nothing | {"name": "pod-x", "uid": "uid-x", "workload": "Deployment/newsfeed", "cause": "ScaleIn", "at": 0.0}
    watch.ledger._recent["uid-x"] = Departure(**gone, evidence=evidence)
    assert await office.why("pod-x") == ("ScaleIn", f"pod-x left at 1970-01-01 00:00:00 UTC (ScaleIn: {evidence})", "")
    assert await office.explainer.why("bank", "pod-x") is None
    scene.serve(watch, Agent("uid-l"))
    watch.fleet.upsert(facts("uid-l", looping_until=1e6, ready=False))
    office.look()
    reason, text, remedy = await office.why("pod-l")
    assert reason == "CrashLooping"
    assert text.endswith("; its application ends again and again, and is started anew")
    assert remedy == "`kubectl logs pod-l --previous` says how the application ended"


def pod_object(**status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1", "kind": "Pod", "spec": {}, "status": {"phase": "Running"} | status,
        "metadata": {"name": "loner", "namespace": "shop", "labels": {"app": "loner"}, "managedFields": []},
    }  # fmt: skip


async def test_why_of_a_pod_that_nobody_selects(scene: Scene, office: Office) -> None:
    path = "/api/v1/namespaces/shop/pods/loner"
    assert await office.explainer.why("shop", "loner") is None
    scene.client.objects[path] = pod_object()
    reason, text, remedy = await office.why("loner")
    assert reason == "NoMatchingService"
    assert text == "loner is not monitored: there is no MonitoredService in namespace shop"
    assert "app=loner" in remedy
    scene.put()
    _, text, remedy = await office.why("loner")
    assert "its labels are app=loner, and no MonitoredService of the namespace selects them" in text
    assert remedy == "change spec.selector of one of newsfeed, or the pod's labels"
    scene.client.objects[path] = pod_object(phase="Succeeded")
    assert (await office.why("loner"))[1] == "loner has finished (Succeeded); pods that have are on no roll"


async def test_an_api_server_that_fails_is_not_taken_for_no_pod(scene: Scene, office: Office) -> None:
    scene.client.fail["loner"] = KubeError(500, "InternalError", "etcd")
    with pytest.raises(KubeError):
        await office.explainer.why("shop", "loner")


async def test_services_that_share_pods_say_so(scene: Scene, office: Office) -> None:
    first, second, other = scene.put("newsfeed"), scene.put("all"), scene.put("other")
    for watch in (first, second):
        for uid in ("uid-a", "uid-b"):
            watch.fleet.upsert(facts(uid, agent=RUNS))
    first.fleet.upsert(facts("uid-c", agent=RUNS))
    office.look()
    assert first.findings["Overlapping"].message == (
        "2 pods are in all as well (all is the older, and injects them); each service shows them, and a sum over services "
        "counts them twice"
    )
    assert "2 pods are in newsfeed as well" in second.findings["Overlapping"].message
    assert other.findings == {}
    status = status_of(
        picture(first.fleet, with_roll=False),
        Context(1, Totals(), 0, (True, "Enabled", ""), "2026-01-01T00:00:00Z", findings=first.findings),
        {},
    )
    assert [c["reason"] for c in status["conditions"] if c["type"] == "Overlapping"] == ["PodsShared"]
    for uid in ("uid-a", "uid-b"):
        second.fleet.remove(uid, scene.clock.now_s)
    office.look()
    assert first.findings == {}
