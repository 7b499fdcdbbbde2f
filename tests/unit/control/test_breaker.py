"""Injection pauses while the agent's image cannot be pulled, and goes on by itself."""

from __future__ import annotations

from typing import Any

import msgspec

from rollcall.control.breaker import SEVERAL, Breaker
from rollcall.inject.decide import Reason, decide
from rollcall.kube.pods import Pod
from tests.unit.inject.test_decide import pod as raw_pod
from tests.unit.inject.test_decide import service

IMAGE = "registry.example/agent:2"


def pod(created: int, waiting: str | None = "ImagePullBackOff", image: str = IMAGE, **metadata: Any) -> Pod:
    state: dict[str, Any] = {"waiting": {"reason": waiting}} if waiting else {"running": {}}
    return msgspec.convert(
        {
            "metadata": {"name": f"p{created}", "uid": f"u{created}", "creationTimestamp": f"2026-01-01T00:00:{created:02d}Z"}
            | metadata,
            "spec": {"initContainers": [{"name": "rollcall-agent", "image": image}]},
            "status": {"initContainerStatuses": [{"name": "rollcall-agent", "state": state}]},
        },
        Pod,
    )


def fails(pods: list[Pod]) -> int:
    breaker = Breaker(IMAGE)
    breaker.round([{str(number): each for number, each in enumerate(pods)}])
    return breaker.waiting


def test_several_pods_that_wait_are_needed() -> None:
    assert fails([pod(1), pod(2)]) == 0
    assert fails([pod(1), pod(2), pod(3)]) == SEVERAL
    assert fails([pod(1), pod(2), pod(3, "ErrImagePull"), pod(4, "InvalidImageName")]) == 4


def test_pods_that_wait_for_something_else_say_nothing() -> None:
    assert fails([pod(1, "PodInitializing"), pod(2, "CrashLoopBackOff"), pod(3), pod(4)]) == 0
    assert fails([pod(1, image="registry.example/agent:1") for _ in range(9)]) == 0
    assert fails([pod(n, deletionTimestamp="2026-01-01T00:01:00Z") for n in range(9)]) == 0


def test_an_image_that_a_new_pod_has_had_can_be_pulled() -> None:
    old = [pod(n, None) for n in range(5)]
    waiting = [pod(n) for n in range(10, 14)]
    assert fails([*old, *waiting]) == 4, "what older pods had was pulled before"
    assert fails([*old, *waiting, pod(20, None)]) == 0


def test_it_opens_and_closes_with_the_pods() -> None:
    breaker = Breaker(IMAGE)
    stuck = {f"u{n}": pod(n) for n in range(3)}
    breaker.round([stuck, stuck])
    assert breaker.open
    assert breaker.waiting == 3, "a pod of two services is one"
    breaker.round([{uid: pod(n, None) for n, uid in enumerate(stuck)}])
    assert not breaker.open


def test_new_pods_are_left_alone_and_say_why() -> None:
    decision = decide(raw_pod(), [service()], native=True, paused=True)
    assert (decision.reason, decision.inject, decision.application) == (Reason.IMAGE_PULL, False, None)
    assert "cannot be pulled" in decision.explanation
    assert decide(raw_pod(labels={"app": "other"}), [service()], native=True, paused=True).reason is Reason.NO_MATCHING_SERVICE
