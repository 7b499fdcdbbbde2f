"""Bare pods are restarted one by one, never faster than the service settles, and never those that somebody wanted bare."""

from __future__ import annotations

from typing import Any

import pytest

from rollcall.control.repair import BUDGET_WAIT_S, CONDITION, EVERY_S, Past, Repairer, plan
from rollcall.kube.client import KubeError
from rollcall.model.states import PodState
from rollcall.model.tally import Pod
from tests.unit.control.conftest import Scene
from tests.unit.model.agents import Agent, facts

UNIX = 2_000_000_000.0
RESTART = {"selector": {"matchLabels": {"app": "newsfeed"}}, "coverage": {"repair": "Restart"}}


def pod(uid: str, state: PodState = PodState.SERVING, reason: str | None = None, **changes: Any) -> Pod:
    given = {"workload": "Deployment/newsfeed", "injected": state is not PodState.BARE} | changes
    return Pod(facts(uid, **given), state=state, reason=reason)


def bare(uid: str, reason: str = "CreatedBefore", **changes: Any) -> Pod:
    return pod(uid, PodState.BARE, reason, **changes)


def planned(*pods: Pod, past: Past | None = None, injecting: bool = True, now_s: float = 1000.0) -> tuple[str | None, str, str]:
    chosen, finding = plan({each.facts.uid: each for each in pods}, injecting, past or Past(), now_s, UNIX)
    return chosen.uid if chosen else None, finding.status, finding.reason


@pytest.mark.parametrize("reason", ["CreatedBefore", "WebhookUnavailable", "ImagePull"])
def test_what_a_restart_would_cover_is_restarted(reason: str) -> None:
    assert planned(pod("a"), bare("b", reason)) == ("b", "True", "Restarting")


@pytest.mark.parametrize("reason", ["OptedOut", "InjectionOff", "HostNetwork", "TakenBack", "NamespaceNotEnabled", "NoRoom"])
def test_what_would_be_bare_again_is_left_alone(reason: str) -> None:
    assert planned(bare("b", reason)) == (None, "False", "NothingToRepair")


@pytest.mark.parametrize("workload", ["Pod/b", "Job/b", "Workflow/b", ""])
def test_what_nothing_makes_anew_is_left_alone(workload: str) -> None:
    assert planned(bare("b", workload=workload)) == (None, "False", "NothingToRepair")


def test_the_oldest_first() -> None:
    assert planned(bare("b", created_at=30.0), bare("c", created_at=10.0), bare("d", created_at=20.0))[0] == "c"


@pytest.mark.parametrize(
    "other",
    [
        pod("o", PodState.PENDING, ready=False),
        pod("o", PodState.LEAVING),
        pod("o", PodState.UNREADY, ready=False),
        pod("o", PodState.SILENT),
        bare("o", ready=False, created_at=5.0),
    ],
)
def test_nothing_happens_while_a_pod_is_not_settled(other: Pod) -> None:
    assert planned(other, bare("b")) == (None, "True", "Waiting")


def test_not_faster_than_every_ten_seconds() -> None:
    past = Past(last_s=1000.0)
    assert planned(bare("b"), past=past, now_s=1000.0 + EVERY_S - 0.1) == (None, "True", "Restarting")
    assert planned(bare("b"), past=past, now_s=1000.0 + EVERY_S) == ("b", "True", "Restarting")


def test_a_workload_whose_new_pods_are_bare_as_well_is_left_alone() -> None:
    past = Past(evicted={"Deployment/newsfeed": UNIX - 20.3})
    new, old = bare("n", "WebhookUnavailable", created_at=UNIX - 20.0), bare("b", created_at=5.0)
    assert planned(new, old, past=past) == (None, "False", "StillBare")
    other = bare("o", workload="StatefulSet/cache")
    assert planned(new, old, other, past=past)[0] == "o"


def test_no_pod_is_restarted_for_nothing() -> None:
    assert planned(bare("b"), injecting=False) == (None, "False", "NotInjecting")


class Watch:
    """A service that wants repair, with one pod that reports and some bare ones."""

    def __init__(self, scene: Scene, names: str = "b") -> None:
        self.scene, self.watch = scene, scene.put(spec=RESTART)
        self.watch.namespace_enabled = True
        self.watch.refresh()
        self.repairer = Repairer(scene.client, scene.services, scene.clock)  # type: ignore[arg-type]
        self.agent = Agent("uid-a")
        for name in names:
            self.watch.fleet.upsert(facts(f"uid-{name}", injected=False, workload="Deployment/newsfeed", created_at=1.0))

    async def beat(self, seconds: float = 1.0) -> tuple[str, str]:
        self.scene.clock.now_s += seconds - 0.25
        self.scene.serve(self.watch, self.agent)
        self.scene.fold()
        await self.repairer.round(UNIX + self.scene.clock.now_s)
        finding = self.watch.findings[CONDITION]
        return finding.status, finding.reason

    @property
    def evicted(self) -> list[str]:
        return [path.split("/")[-2] for method, path in self.scene.client.writes if path.endswith("/eviction")]


async def test_one_after_the_other_until_none_is_left(scene: Scene) -> None:
    service = Watch(scene, "bc")
    assert await service.beat() == ("True", "Restarting")
    assert service.evicted == ["pod-b"]
    eviction = next(body for body in scene.client.created if body["kind"] == "Eviction")
    assert eviction["deleteOptions"] == {"preconditions": {"uid": "uid-b"}}
    event = next(body for body in scene.client.created if body["kind"] == "Event")
    assert (event["reason"], event["message"]) == ("BarePodRestarted", "bare pod pod-b is restarted, so that it is covered")
    service.watch.fleet.remove("uid-b", scene.clock.now_s)
    service.watch.fleet.upsert(facts("uid-d", running=False, ready=False, workload="Deployment/newsfeed"))
    for _ in range(15):
        assert await service.beat() == ("True", "Waiting")
    scene.serve(service.watch, Agent("uid-d"))
    assert await service.beat() == ("True", "Restarting")
    assert service.evicted == ["pod-b", "pod-c"]


async def test_a_disruption_budget_is_obeyed_and_said(scene: Scene) -> None:
    service = Watch(scene)
    scene.client.fail["/eviction"] = KubeError(429, "TooManyRequests", "Cannot evict pod as it would violate the budget")
    assert await service.beat() == ("True", "Restarting")
    assert await service.beat() == ("True", "Waiting")
    assert "PodDisruptionBudget does not allow pod-b" in service.watch.findings[CONDITION].message
    assert len(service.evicted) == 1, "it does not hammer"
    scene.client.fail.clear()
    await service.beat(BUDGET_WAIT_S)
    assert service.evicted == ["pod-b", "pod-b"]


async def test_a_missing_right_is_named(scene: Scene) -> None:
    service = Watch(scene)
    scene.client.fail["/eviction"] = KubeError(403, "Forbidden", "no")
    await service.beat()
    assert await service.beat() == ("False", "Forbidden")
    assert "repair.enabled=true" in service.watch.findings[CONDITION].message


async def test_off_is_off(scene: Scene) -> None:
    service = Watch(scene)
    scene.put(metadata={"name": "newsfeed", "namespace": "shop", "uid": "uid-newsfeed", "generation": 2,
                        "creationTimestamp": "2026-01-01T00:00:00Z"})  # fmt: skip
    with pytest.raises(KeyError):
        await service.beat()
    assert service.evicted == []
