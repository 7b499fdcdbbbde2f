"""Points: kept as they were told, by the names of their connection, and bounded in age, number and rate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcall.model.points import FRAMES_PER_SECOND, KEEP_S, MOST, MOST_PER_FRAME, PER_SECOND, UNKNOWN_CPU, per_frame
from rollcall.model.roll import MOST_POINTS_BYTES
from rollcall_agent.wire import facts, points
from rollcall_agent.wire.points import Point
from tests.unit.model.tellers import Stage, Teller


def tell(stage: Stage, teller: Teller, *told: Point) -> None:
    teller.session.accept_points(points.pack_points(told), stage.now_s)


def made(**changes: int) -> Point:
    given_: dict[str, Any] = {
        "age_ms": 100, "weight": 3, "elapsed_us": 1_500_000, "waited_us": 900_000, "cpu_us": 200_000, "endpoint": 0,
        "dependency": 0, "error": 0, "outcome": 2,
    }  # fmt: skip
    return Point(**(given_ | changes))


def kept(stage: Stage) -> list[dict[str, Any]]:
    store = stage.fleet.signals.points
    found, pods = store.last(KEEP_S, stage.now_s), store.pods(KEEP_S, stage.now_s).tolist()
    names = found.dtype.names or ()
    return [dict(zip(names, each, strict=True)) | {"pod": pod} for each, pod in zip(found.tolist(), pods, strict=True)]


def test_a_point_is_kept_with_everything_it_says() -> None:
    stage = Stage()
    one, two = stage.pod("uid-a"), stage.pod("uid-b")
    for teller, order in ((one, ("GET /a", "GET /b")), (two, ("GET /b", "GET /a"))):
        for name in order:
            teller.id_of(facts.ENDPOINT_NAMES, name)
    two.id_of(facts.DEPENDENCY_NAMES, "redis cache")
    two.id_of(facts.ERROR_NAMES, "exception ValueError")
    told_s = stage.now_s
    tell(stage, one, made(endpoint=2))
    tell(stage, two, made(endpoint=1, dependency=1, error=1, outcome=13, cpu_us=UNKNOWN_CPU, age_ms=350))
    stage.turn(one, two)
    first, second = kept(stage)
    signals = stage.fleet.signals
    assert first == {
        "at_s": pytest.approx(told_s - 0.1), "pod": "pod-a", "elapsed_us": 1_500_000, "waited_us": 900_000, "cpu_us": 200_000,
        "weight": 3, "endpoint": signals.endpoints.names.number_of("GET /b"), "outcome": 2, "dependency": -1, "error": -1,
    }  # fmt: skip
    assert (second["pod"], second["at_s"], second["cpu_us"]) == ("pod-b", pytest.approx(told_s - 0.35), UNKNOWN_CPU)
    assert (second["endpoint"], second["outcome"]) == (first["endpoint"], 13)
    assert second["dependency"] == signals.dependencies.names.number_of("redis cache")
    assert second["error"] == signals.errors.names.number_of("exception ValueError")


def test_the_pod_that_a_point_is_of_does_not_change_with_its_row() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    tell(stage, teller, made())
    stage.turn(teller)
    stage.fleet.remove("uid-a", stage.now_s)
    for _ in range(25):
        stage.turn()
    another = stage.pod("uid-b")
    tell(stage, another, made())
    stage.turn(another)
    assert [each["pod"] for each in kept(stage)] == ["pod-a", "pod-b"]


def test_they_are_kept_for_a_minute() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    for _ in range(200):
        tell(stage, teller, made(age_ms=0))
        stage.turn(teller)
    found = kept(stage)
    assert len(found) == KEEP_S * 2 + 1
    assert all(stage.now_s - each["at_s"] <= KEEP_S + 0.5 for each in found)
    assert len(stage.fleet.signals.points.last(10.0, stage.now_s)) == 21


def test_their_number_is_bounded() -> None:
    stage = Stage()
    tellers = [stage.pod(f"uid-{number}") for number in range(10)]
    for _ in range(40):
        for teller in tellers:
            tell(stage, teller, *[made()] * 100)
        stage.turn(*tellers)
    assert MOST - 1000 <= len(stage.fleet.signals.points) <= MOST


def test_more_than_a_second_may_have_are_dropped_and_counted() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    for _ in range(6):
        tell(stage, teller, *[made()] * 1000)
    stage.turn(teller)
    assert len(stage.fleet.signals.points) == MOST_POINTS_BYTES // points.RECORD.size == 4000
    assert stage.fleet.dropped["points"] == 2


@settings(deadline=None, max_examples=50)
@given(st.binary(max_size=24 * 9))
def test_whatever_a_pod_says(body: bytes) -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    teller.tell(teller.answered("GET /feed", [0.1]), stage.now_s)
    teller.session.accept_points(body, stage.now_s)
    stage.turn(teller)
    found = stage.fleet.signals.points.last(1e9, stage.now_s)
    assert len(found) == len(body) // 24
    assert (found["waited_us"] <= found["elapsed_us"]).all()
    stage.picture()


def test_a_pod_that_no_service_lists_tells_none() -> None:
    stage = Stage()
    teller = stage.connect("uid-x")
    assert teller.session.points == 0
    tell(stage, teller, made())


@pytest.mark.parametrize(
    ("pods", "most"), [(0, 200), (1, 200), (3, 200), (4, 128), (7, 128), (8, 64), (100, 8), (500, 2), (501, 1), (1000, 1)]
)
def test_how_many_a_pod_may_tell(pods: int, most: int) -> None:
    assert per_frame(pods, 12345) == most
    assert most <= MOST_PER_FRAME


@pytest.mark.parametrize("pods", [1, 3, 50, 999, 1000, 1001, 2500, 5000, 10_000])
def test_a_service_takes_no_more_than_its_part(pods: int) -> None:
    dice = np.random.default_rng(pods)
    places = dice.integers(0, 2**32, pods).tolist()
    per_second = FRAMES_PER_SECOND * sum(per_frame(pods, place) for place in places)
    assert 0 < per_second <= 1.1 * PER_SECOND
    assert per_second >= 0.4 * min(PER_SECOND, pods * FRAMES_PER_SECOND * MOST_PER_FRAME)
