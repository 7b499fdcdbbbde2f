"""What containers use, how busy workers are, and whether one pod gets more than its share; from reports and from kubelets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rollcall.model.picture import Imbalance, InFlight, PodPicture, Resources, ServiceResources, Workers
from rollcall.model.resources import OLDEST_S, without
from rollcall.model.show import picture
from rollcall.model.usage import GAP_S, SMOOTH_S
from rollcall_agent.wire import report
from tests.unit.model.tellers import Stage, Teller

MIB = 2**20
ALL = report.FLAG_PROBE | report.FLAG_RESOURCES | report.FLAG_LISTEN_QUEUE


def pod_of(stage: Stage, name: str = "pod-a") -> PodPicture:
    roll = stage.picture().roll
    assert roll is not None
    (found,) = [pod for pod in roll if pod.name == name]
    return found


class Container:
    """One container's cgroup, read every second by its probe."""

    def __init__(self, stage: Stage, teller: Teller) -> None:
        self.stage, self.teller = stage, teller
        self.cpu_us = self.throttled_us = 0

    def run(self, seconds: float, millicores: float, throttled: float = 0.0, every_s: float = 1.0, **changes: Any) -> None:
        """Use so much CPU for so long."""
        for _ in range(round(seconds / every_s)):
            self.cpu_us += round(millicores * 1000 * every_s)
            self.throttled_us += round(throttled * 1e6 * every_s)
            self.stage.turn(self.teller, dt_s=every_s, **(self.fields(every_s) | changes))

    def fields(self, ahead_s: float) -> dict[str, Any]:
        return {
            "flags": ALL,
            "resources_at_us": round((self.stage.now_s + ahead_s - 0.3) * 1e6),  # 0.3 s before the report
            "cpu_us": self.cpu_us,
            "throttled_us": self.throttled_us,
            "memory_bytes": 150 * MIB,
            "memory_limit_bytes": 256 * MIB,
            "cpu_quota_millis": 500,
            "oom_kills": 1,
        }


def test_a_pod_by_its_probe() -> None:
    stage = Stage()
    container = Container(stage, stage.pod("uid-a", cpu_request_millis=200, cpu_limit_millis=900, oom_kills=2, revision="7d9c"))
    container.run(10, 350, throttled=0.25)
    pod = pod_of(stage)
    assert pod.resources is not None
    assert pod.resources == Resources(
        cpu_millicores=pytest.approx(350),  # type: ignore[arg-type]
        cpu_request_millicores=200,
        cpu_limit_millicores=500,
        throttled_ratio=pytest.approx(0.25),  # type: ignore[arg-type]
        memory_bytes=150 * MIB,
        memory_limit_bytes=256 * MIB,
        oom_kills=3,
        source="probe",
        age=pytest.approx(0.3),  # type: ignore[arg-type]
    )
    assert (pod.revision, pod.probed) == ("7d9c", True)


def test_cpu_follows_within_seconds_and_is_smooth() -> None:
    stage = Stage()
    container = Container(stage, stage.pod("uid-a"))
    container.run(10, 100)
    seen = []
    for _ in range(12):
        container.run(1, 500)
        seen.append(pod_of(stage).resources.cpu_millicores)  # type: ignore[union-attr]
    for second, value in enumerate(seen, start=1):
        assert value == pytest.approx(500 - 400 * np.exp(-second / SMOOTH_S), abs=0.01)


@pytest.mark.parametrize("what", ["a container that was started again", "a gap", "the first reading"])
def test_two_readings_that_have_nothing_to_do_with_each_other(what: str) -> None:
    stage = Stage()
    container = Container(stage, stage.pod("uid-a"))
    if what != "the first reading":
        container.run(5, 300)
    if what == "a gap":
        container.run(2 * GAP_S, 300, every_s=2 * GAP_S)
    else:
        container.cpu_us = 0
        container.run(1, 10)
    assert pod_of(stage).resources.cpu_millicores is None  # type: ignore[union-attr]
    container.run(1, 200)
    assert pod_of(stage).resources.cpu_millicores == pytest.approx(200)  # type: ignore[union-attr]


def test_what_cannot_be_is_bounded() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    stage.turn(teller, flags=ALL, resources_at_us=1, cpu_us=0, throttled_us=0)
    stage.turn(teller, flags=ALL, resources_at_us=1_000_001, cpu_us=2**62, throttled_us=2**62, memory_bytes=2**64 - 1)
    stage.turn(teller, flags=ALL, resources_at_us=2**64 - 1, cpu_us=2**64 - 1)
    found = pod_of(stage).resources
    assert found is not None
    assert found.memory_bytes == 0
    assert stage.picture().resources is not None


def test_without_resources_nothing_is_known_and_not_zero() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    stage.turn(teller)
    stage.turn(teller)
    pod = pod_of(stage)
    assert (pod.resources, pod.listen_queue, pod.busy_workers) == (None, None, 0)
    assert stage.picture().resources is None
    stage.turn(teller, flags=ALL, listen_queue=3, busy_workers=2, workers=4)
    assert (pod_of(stage).listen_queue, pod_of(stage).busy_workers) == (3, 2)
    stage.turn(dt_s=5)
    assert (pod_of(stage).resources, pod_of(stage).listen_queue, pod_of(stage).busy_workers) == (None, None, None)


def test_a_pod_without_a_probe_tells_nothing_of_requests() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    for beat in range(3):
        stage.turn(teller, flags=0, started=9 * beat, finished=9 * beat, workers=0)
    view, pod = stage.picture(), pod_of(stage)
    assert (pod.probed, pod.state) == (False, "serving")
    assert (pod.requests_per_second, pod.error_ratio, pod.p95, pod.in_flight, pod.busy_workers) == (
        None,
        None,
        None,
        None,
        None,
    )
    assert view.coverage == 1.0
    traffic = view.traffic
    assert (traffic.requests_per_second, traffic.window_requests_per_second, traffic.in_flight) == (None, None, None)
    assert traffic.error_ratio is None
    assert view.errors.per_second is None
    other = stage.pod("uid-b")
    for _ in range(3):
        other.agent.answer([0.1] * 4)
        stage.turn(other)
        stage.report(teller, flags=0)
        stage.roll.fold(stage.now_s, stage.unix_s)
    assert stage.picture().traffic.requests_per_second == pytest.approx(8)
    assert stage.picture().traffic.in_flight == InFlight(0, [0, 0, 0, 0], 0.0)


def test_kubelets_stand_in_where_no_probe_tells() -> None:
    stage = Stage()
    container = Container(stage, stage.pod("uid-a"))
    container.run(5, 300)
    stage.fleet.upsert(stage.fleet.pods["uid-a"].facts.__class__("uid-b", "pod-b", "shop", running=True, cpu_limit_millis=100))
    container.run(1, 300)
    assert [pod.name for pod in without(stage.fleet)] == ["pod-b"]
    for uid in ("uid-a", "uid-b", "uid-unknown"):
        stage.fleet.kubelet(uid, 40.0, 20 * MIB, stage.now_s - 7)
    container.run(1, 300)
    bare, probed = pod_of(stage, "pod-b").resources, pod_of(stage).resources
    assert bare == Resources(40.0, None, 100, None, 20 * MIB, None, 0, "kubelet", pytest.approx(8.0))  # type: ignore[arg-type]
    assert probed is not None
    assert probed.source == "probe"
    assert stage.picture().resources == ServiceResources(pytest.approx(340), 170 * MIB, 2)  # type: ignore[arg-type]
    stage.turn(dt_s=4.0)  # the agent is silent
    silent = pod_of(stage).resources
    assert silent is not None
    assert (silent.source, silent.age) == ("kubelet", pytest.approx(12.0))
    assert {pod.name for pod in without(stage.fleet)} == {"pod-a", "pod-b"}
    stage.turn(dt_s=OLDEST_S)
    assert pod_of(stage).resources is None
    assert stage.picture().resources is None


def test_workers_of_a_service() -> None:
    stage = Stage()
    one, two = stage.pod("uid-a"), stage.pod("uid-b")
    assert stage.picture().workers is None
    stage.now_s += 0.5
    stage.report(one, flags=ALL, workers=4, busy_workers=3, listen_queue=5)
    stage.report(two, flags=report.FLAG_PROBE | report.FLAG_NO_IN_FLIGHT, workers=2, busy_workers=0)
    stage.roll.fold(stage.now_s, stage.unix_s)
    assert stage.picture().workers == Workers(6, 3, 5)
    assert pod_of(stage, "pod-b").busy_workers is None
    assert picture(stage.fleet, with_roll=False).workers == Workers(6, 3, 5)


def serve(stage: Stage, tellers: list[Teller], requests: list[int], in_flight: list[int], turns: int = 22) -> None:
    for _ in range(turns):
        stage.now_s += 0.5
        for teller, count, flying in zip(tellers, requests, in_flight, strict=True):
            teller.agent.answer([0.01] * count)
            teller.agent.in_flight = flying
            stage.report(teller)
        stage.roll.fold(stage.now_s, stage.unix_s)


def test_a_favoured_pod_is_seen() -> None:
    stage = Stage()
    tellers = [stage.pod(f"uid-{name}") for name in "abcd"]
    serve(stage, tellers, [1, 1, 17, 1], [0, 0, 4, 0])
    assert stage.picture().imbalance == Imbalance(pytest.approx(3.4, rel=0.01), pytest.approx(4.0), "pod-c")  # type: ignore[arg-type]
    serve(stage, tellers, [5, 5, 5, 5], [1, 1, 1, 1], turns=80)
    found = stage.picture().imbalance
    assert found is not None
    assert found.requests == pytest.approx(1.0)
    assert found.in_flight == pytest.approx(1.0, rel=0.05)


def test_only_pods_that_serve_are_compared() -> None:
    stage = Stage()
    tellers = [stage.pod("uid-a"), stage.pod("uid-b"), stage.pod("uid-c", ready=False)]
    serve(stage, tellers, [6, 2, 0], [0, 0, 0])
    found = stage.picture().imbalance
    assert found is not None
    assert found.requests == pytest.approx(1.5)
    assert found.in_flight is None


@pytest.mark.parametrize("what", ["one pod", "no traffic", "unprobed", "silent"])
def test_nothing_to_compare(what: str) -> None:
    stage = Stage()
    tellers = [stage.pod("uid-a"), stage.pod("uid-b")][: 1 if what == "one pod" else 2]
    if what == "one pod":
        stage.fleet.remove("uid-b", stage.now_s)
    if what == "unprobed":
        for teller in tellers:
            teller.agent.flags = 0
    serve(stage, tellers, [0 if what == "no traffic" else 3] * len(tellers), [0] * len(tellers))
    if what == "silent":
        stage.turn(dt_s=5.0)
    assert stage.picture().imbalance is None
