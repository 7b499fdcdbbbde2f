"""A service of many kinds of pods: what each tells from, and how many of them see requests in flight."""

from __future__ import annotations

from typing import Any

import pytest

from rollcall.model.sources import KNOWN, packed, unpacked
from rollcall_agent.wire import report
from tests.unit.model.tellers import Stage


@pytest.mark.parametrize(
    ("told", "names"),
    [
        (["python"], ["python"]),
        (["accessLog", "php"], ["php", "accessLog"]),
        (list(KNOWN), list(KNOWN)),
        ([], []),
        (["ruby", 7, None, ["python"]], []),
        (["python", "python"], ["python"]),
        (None, []),
        ("python", []),
        ({"python": 1}, []),
    ],
)
def test_what_is_said_is_taken_as_far_as_it_is_known(told: Any, names: list[str]) -> None:
    assert unpacked(packed(told)) == names


def test_pods_of_many_kinds() -> None:
    stage = Stage()
    tellers = [stage.pod(f"uid-{number}") for number in range(4)]
    told: list[list[str]] = [["python"], ["python"], ["otlp", "accessLog"], ["accessLog"]]
    for teller, sources in zip(tellers, told, strict=True):
        teller.session.tell_sources(sources)
        teller.agent.in_flight, teller.agent.bands = 2, (1, 1, 0, 0)
    tellers[3].agent.flags |= report.FLAG_NO_IN_FLIGHT
    for _ in range(2):
        stage.turn(*tellers)
    shown = stage.picture()
    assert shown.sources == {"python": 2, "otlp": 1, "accessLog": 2}
    assert [pod.sources for pod in shown.roll or []] == told
    traffic = shown.traffic
    assert (traffic.pods, traffic.in_flight_pods) == (4, 3)
    assert traffic.in_flight is not None
    assert (traffic.in_flight.total, traffic.in_flight.bands) == (6, [3, 3, 0, 0]), "what one cannot see is not in the sum"
    assert [pod.in_flight is None for pod in shown.roll or []] == [False, False, False, True]


def test_an_event_tells_when_they_change() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    teller.session.tell_sources(["python"])
    stage.turn(teller)
    teller.session.accept_event({"type": "sources", "sources": ["python", "otlp"]}, stage.now_s)
    stage.turn(teller)
    assert stage.picture().sources == {"python": 1, "otlp": 1}
    stage.turn(dt_s=3.0)
    assert stage.picture().sources == {}, "of pods that report"


def test_a_service_that_comes_later_and_a_row_that_is_taken_over() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    teller.session.tell_sources(["php"])
    other = type(stage.fleet)("shop", "everything")
    stage.roll.add(other)
    other.upsert(stage.fleet.pods["uid-a"].facts)
    stage.roll.pod_known(other, "uid-a", stage.now_s)
    stage.turn(teller)
    assert other.sources.pods(other.last.fresh) == {"php": 1}
    stage.fleet.remove("uid-a", stage.now_s)
    for _ in range(25):
        stage.turn()
    another = stage.pod("uid-b")
    stage.turn(another)
    assert stage.picture().sources == {}
