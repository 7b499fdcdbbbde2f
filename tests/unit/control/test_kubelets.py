"""Whom the kubelet poller asks and how often, and where the figures go."""

from __future__ import annotations

import logging
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from rollcall.control.kubelets import AGAIN_S, EVERY_S, JITTER_S, KubeletPoller
from rollcall.control.watch import ServiceWatch
from rollcall.kube.kubelet import Figures, KubeletError
from rollcall.kube.pods import Pod
from rollcall.model.show import picture
from tests.unit.control.conftest import Scene


class Asked:
    """Kubelets that answer with what a test says."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Figures] | Exception] = {}
        self.asked: list[str] = []
        self.addresses = 0

    async def address(self, node: str) -> str:
        self.addresses += 1
        return f"at {node}"

    async def ask(self, address: str) -> list[Figures]:
        node = address.removeprefix("at ")
        self.asked.append(node)
        answer = self.answers.get(node, [])
        if isinstance(answer, Exception):
            raise answer
        return answer


class Polled:
    def __init__(self, scene: Scene) -> None:
        self.scene, self.kubelets = scene, Asked()
        # The scene's clock is monotonic; Unix time is half a million seconds ahead of it.
        self.poller = KubeletPoller(self.kubelets, scene.services, scene.clock, lambda: scene.clock.now_s + 500_000)

    async def look(self, seconds: float = 2.0) -> list[str]:
        """Time passes; the nodes that were asked."""
        self.scene.fold(seconds)
        before = len(self.kubelets.asked)
        for name in self.poller.due():
            await self.poller.ask(name)
        return sorted(self.kubelets.asked[before:])


@pytest.fixture
def polled(scene: Scene) -> Polled:
    return Polled(scene)


def bare(watch: ServiceWatch, name: str, node: str | None = "node-1", **annotations: str) -> None:
    """A running pod without an agent."""
    spec = {"nodeName": node, "containers": [{"name": "envoy"}, {"name": "web"}]}
    metadata = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "annotations": annotations}
    pod = msgspec.convert({"metadata": metadata, "spec": spec, "status": {"phase": "Running"}}, Pod)
    watch._informer.objects[pod.metadata.uid] = pod
    watch._pod_changed(pod)


def figures(name: str, container: str = "web", at: float = 501_000.0) -> Figures:
    return Figures(f"uid-{name}", container, 12.5, 4096, at)


def resources(watch: ServiceWatch) -> dict[str, Any]:
    return {pod.name: pod.resources for pod in picture(watch.fleet, with_roll=True).roll or ()}


async def test_the_applications_figures_reach_the_picture_with_their_age(scene: Scene, polled: Polled) -> None:
    watch = scene.put()
    bare(watch, "a")
    bare(watch, "b")
    polled.kubelets.answers["node-1"] = [figures("a", at=scene.clock.now_s + 500_000), figures("a", "envoy"), figures("other")]
    assert await polled.look() == ["node-1"]
    scene.fold(3.0)
    found = resources(watch)
    assert found["b"] is None
    assert (found["a"].cpu_millicores, found["a"].memory_bytes, found["a"].source) == (12.5, 4096, "kubelet")
    assert found["a"].age == pytest.approx(5.0)


async def test_a_clock_of_a_node_that_is_ahead_gives_no_negative_age(scene: Scene, polled: Polled) -> None:
    watch = scene.put()
    bare(watch, "a")
    polled.kubelets.answers["node-1"] = [figures("a", at=scene.clock.now_s + 600_000)]
    await polled.look()
    scene.fold(1.0)
    assert resources(watch)["a"].age == pytest.approx(1.0)


async def test_only_nodes_with_such_pods_are_asked_each_at_most_every_ten_seconds(scene: Scene, polled: Polled) -> None:
    watch = scene.put()
    assert await polled.look() == []
    bare(watch, "pending", None)
    assert await polled.look() == []
    bare(watch, "a")
    bare(watch, "b")
    bare(watch, "c", "node-2")
    times: dict[str, list[float]] = {"node-1": [], "node-2": []}
    for _ in range(200):
        for name in await polled.look(0.5):
            times[name].append(scene.clock.now_s)
    for asked in times.values():
        gaps = [later - earlier for earlier, later in pairwise(asked)]
        assert len(gaps) >= 7
        assert min(gaps) >= EVERY_S
        assert max(gaps) <= EVERY_S + JITTER_S + 0.5
    assert len({round(gap, 1) for gap in gaps}) > 1, "they do not march in step"
    watch._pod_deleted(watch.pods["uid-c"])
    scene.fold(60)
    assert await polled.look(20) == ["node-1"]


async def test_a_node_that_comes_and_goes_is_not_asked_more_often(scene: Scene, polled: Polled) -> None:
    watch = scene.put()
    bare(watch, "a")
    assert await polled.look() == ["node-1"]
    watch._pod_deleted(watch.pods["uid-a"])
    assert await polled.look() == []
    bare(watch, "a")
    assert await polled.look() == []


async def test_one_that_refuses_is_told_once_and_asked_ever_more_rarely(
    scene: Scene, polled: Polled, caplog: pytest.LogCaptureFixture
) -> None:
    watch = scene.put()
    bare(watch, "a")
    polled.kubelets.answers["node-1"] = KubeletError("it refuses")
    with caplog.at_level(logging.INFO):
        times = [scene.clock.now_s for _ in range(900) if await polled.look()]
    caplog.set_level(logging.INFO)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert AGAIN_S[0] * 0.8 <= gaps[0] <= AGAIN_S[0] + 2
    assert all(later >= earlier * 1.2 for earlier, later in pairwise(gaps[:3]))
    assert max(gaps) <= AGAIN_S[1] + 2
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "it refuses" in caplog.text
    polled.kubelets.answers["node-1"] = [figures("a", at=scene.clock.now_s + AGAIN_S[1] + 500_000)]
    await polled.look(AGAIN_S[1] + 2)
    assert "answers again" in caplog.text
    scene.fold()
    assert resources(watch)["a"] is not None
    assert polled.kubelets.addresses == len(times) + 1, "after a failure the address is looked up anew"
