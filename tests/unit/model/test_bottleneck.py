"""Where the time goes: parts that add up to the whole whatever is measured, and the cause that a person would name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.model.bottleneck import STAYS, Bottlenecks, Measured, Split, divide, divide_points, nearly_most, slow_of
from rollcall.model.causes import Bottleneck
from rollcall.model.points import POINT, UNKNOWN_CPU, Points
from rollcall_agent.wire import report
from tests.unit.model.tellers import Stage

NAMES = ["other", "postgresql orders", "redis cache"]
CLASSES = ("cpu", "dependency", "queue", "throttling", "other", "unknown")
WINDOW_S = 10.0


def measured(**changes: Any) -> Measured:
    given_: dict[str, Any] = {
        "response_us": 1000, "waited_us": {}, "cpu_us": 0, "held_us": 0, "queued_us": 0, "told": 1.0,
    }  # fmt: skip
    return Measured(**(given_ | changes))


def percent(split: Split | None) -> dict[str, int]:
    assert split is not None
    return {name: round(part * 100) for name in CLASSES if (part := getattr(split.shares, name)) > 0}


def point(elapsed_s: float, waited_s: float = 0, cpu_s: float | None = None, dependency: int = -1, weight: int = 1) -> Any:
    cpu_us = UNKNOWN_CPU if cpu_s is None else round(cpu_s * 1e6)
    return (1000.0, round(elapsed_s * 1e6), round(waited_s * 1e6), cpu_us, weight, 0, 2, dependency, -1)


def points(*given_: Any) -> Points:
    return np.array(list(given_), POINT)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"other": 100}),
        ({"cpu_us": 400}, {"cpu": 40, "other": 60}),
        ({"cpu_us": 9999}, {"cpu": 100}),
        ({"waited_us": {"a": 300, "b": 200}, "cpu_us": 100}, {"cpu": 10, "dependency": 50, "other": 40}),
        ({"waited_us": {"a": 3000, "b": 1000}, "cpu_us": 100}, {"dependency": 100}),
        ({"queued_us": 1000, "cpu_us": 1000}, {"cpu": 50, "queue": 50}),
        ({"response_us": 0, "queued_us": 10}, {"queue": 100}),
        # One worker on a tenth of a CPU: it runs for a tenth of the time, and is held back for the rest.
        ({"cpu_us": 100, "held_us": 900}, {"cpu": 10, "throttling": 90}),
        # Half of the time goes by at the database, so only half of what was held back was felt.
        ({"waited_us": {"a": 500}, "held_us": 400}, {"dependency": 50, "throttling": 20, "other": 30}),
        ({"cpu_us": 600, "held_us": 1000}, {"cpu": 60, "throttling": 40}),
        # Three quarters of the time comes from pods that tell of their CPU.
        ({"told": 0.75, "cpu_us": 500}, {"cpu": 50, "other": 25, "unknown": 25}),
        ({"told": 0.0, "waited_us": {"a": 400}, "cpu_us": 500}, {"dependency": 40, "unknown": 60}),
    ],
)
def test_divide(changes: dict[str, Any], expected: dict[str, int]) -> None:
    assert percent(divide(measured(**changes))) == expected


def test_nothing_took_any_time() -> None:
    assert divide(measured(response_us=0)) is None


figures = st.integers(-10_000, 10**18).map(lambda thousandths: thousandths / 1000)
"""Microseconds, as sums of counters and what is worked out from them have them."""


@given(figures, st.dictionaries(st.sampled_from(NAMES), figures), figures, figures, figures, st.floats(-1, 2))
def test_the_parts_add_up(
    response_us: float, waited_us: dict[str, float], cpu_us: float, held_us: float, queued_us: float, told: float
) -> None:
    split = divide(Measured(response_us, waited_us, cpu_us, held_us, queued_us, told))
    if split is None:
        assert max(0, response_us) + max(0, queued_us) == 0
        return
    check(split)


def check(split: Split) -> None:
    parts = [getattr(split.shares, name) for name in CLASSES]
    assert all(part >= -1e-12 for part in parts)
    assert sum(parts) == pytest.approx(1)
    assert sum(split.dependencies.values()) == pytest.approx(split.shares.dependency)


u32 = st.integers(0, 2**32 - 1)


@given(
    st.lists(st.tuples(u32, u32, u32 | st.just(UNKNOWN_CPU), st.integers(0, 65535), st.integers(-1, 2)), max_size=20),
    st.none() | st.just(divide(measured(cpu_us=100, held_us=300, waited_us={"a": 400}, told=0.8))),
)
def test_the_parts_of_points_add_up(told: list[tuple[int, int, int, int, int]], whole: Split | None) -> None:
    made = points(*((0.0, e, min(w, e), c, weight, 0, 2, d, -1) for e, w, c, weight, d in told))
    split = divide_points(made, NAMES, whole)
    if split is None:
        assert not (made["weight"].astype(float) * made["elapsed_us"]).any()
    else:
        check(split)


@pytest.mark.parametrize(
    ("given_", "whole", "expected"),
    [
        ([point(1, 0.5, 0.2, 1)], {}, {"cpu": 20, "dependency": 50, "other": 30}),
        ([point(1, 0.5, 0.9, 1)], {}, {"cpu": 50, "dependency": 50}),
        ([point(1, 1, 0.0, 1, weight=9), point(1, 0, 1.0)], {}, {"cpu": 10, "dependency": 90}),
        # What is neither waiting nor CPU is divided like that of all requests.
        ([point(1, 0, 0.2)], {"cpu_us": 200, "held_us": 600}, {"cpu": 20, "throttling": 60, "other": 20}),
        # Of a thread that serves many nobody knows the CPU: its own time is divided like that of all requests.
        ([point(1, 0.5, None, 2)], {"cpu_us": 750}, {"cpu": 38, "dependency": 50, "other": 12}),
        ([point(1, 0.5, None, 2)], {"told": 0.0}, {"dependency": 50, "unknown": 50}),
        ([point(1, 0.5, None, 2)], {"waited_us": {"a": 1000}}, {"dependency": 50, "unknown": 50}),
    ],
)
def test_divide_points(given_: list[Any], whole: dict[str, Any], expected: dict[str, int]) -> None:
    assert percent(divide_points(points(*given_), NAMES, divide(measured(**whole)))) == expected


def test_the_slow_ones_are_those_above_the_first_band() -> None:
    told = points(*(point(n / 4) for n in range(1, 13)))
    found, over_s = slow_of(told, 1.0)
    assert (len(found), over_s) == (9, 1.0)


def test_where_few_are_slow_the_slowest_tenth_speaks_for_them() -> None:
    told = points(*(point(n / 1000) for n in range(1, 101)), point(2.0))
    found, over_s = slow_of(told, 1.0)
    assert len(found) == 11
    assert over_s == pytest.approx(0.091)
    heavy = points(point(0.5, weight=10), point(0.1, weight=90))
    assert slow_of(heavy, 1.0)[0]["elapsed_us"].tolist() == [500_000]
    assert len(slow_of(points(), 1.0)[0]) == 0


def judge(found: Bottlenecks, slow: Points | None = None, **changes: Any) -> Bottleneck:
    shown = found.judge(measured(**changes), points() if slow is None else slow, NAMES, 1.0, 1.0, WINDOW_S)
    assert shown is not None
    return shown


@pytest.mark.parametrize(
    ("changes", "told", "expected"),
    [
        ({"cpu_us": 700}, [], ("cpu", None, 70)),
        ({"waited_us": {"postgresql orders": 620}}, [], ("dependency", "postgresql orders", 62)),
        # All dependencies together take the most: the one that takes most of it is named, with its own share.
        ({"waited_us": {"a": 250, "b": 300, "c": 100}, "cpu_us": 350}, [], ("dependency", "b", 30)),
        # Most requests compute, the slow ones wait for the database.
        ({"cpu_us": 900}, [point(2, 1.8, 0.1, 1)] * 5 + [point(0.01, 0, 0.01)] * 99, ("dependency", "postgresql orders", 90)),
        # Connections that wait for their turn are slow whatever the requests do.
        ({"queued_us": 9000}, [point(2, 1.8, 0.1, 1)] * 5, ("queue", None, 90)),
        ({"told": 0.1}, [], ("unknown", None, 90)),
    ],
)  # fmt: skip
def test_what_is_named(changes: dict[str, Any], told: list[Any], expected: tuple[str, str | None, int]) -> None:
    shown = judge(Bottlenecks(), points(*told), **changes)
    assert (shown.kind, shown.dependency, round(shown.share * 100)) == expected
    assert (shown.slow is None) == (not told)


def test_slow_requests_say_how_many_they_are() -> None:
    told = points(*[point(2, 1.8, 0.1, 1, weight=3)] * 5, point(0.2))
    shown = judge(Bottlenecks(), told, cpu_us=900).slow
    assert shown is not None
    assert (shown.kind, shown.dependency, shown.of, shown.over) == ("dependency", "postgresql orders", 15, 1.0)
    assert shown.shares.queue == 0


def test_the_name_does_not_flap() -> None:
    found = Bottlenecks()
    assert judge(found, cpu_us=510).kind == "cpu"
    for cpu_us in (490, 510, 480, 505):
        assert judge(found, cpu_us=cpu_us).kind == "cpu"
    assert judge(found, cpu_us=470).kind == "other"
    assert judge(found, cpu_us=510).kind == "other"
    assert judge(found, waited_us={"a": 400, "b": 390}).dependency == "a"
    assert judge(found, waited_us={"a": 390, "b": 400}).dependency == "a"
    assert judge(found, waited_us={"a": 300, "b": 400}).dependency == "b"


@pytest.mark.parametrize(("before", "expected"), [(None, "a"), ("b", "b"), ("c", "a"), ("gone", "a")])
def test_nearly_most(before: str | None, expected: str) -> None:
    assert nearly_most({"a": 0.5, "b": 0.5 - STAYS / 2, "c": 0.5 - 2 * STAYS}, before) == expected


# --- from what pods tell


def test_a_service_from_reports_facts_and_points() -> None:
    """Two pods, each with 2 s of response time a second: a quarter of it CPU, half of it at the database; one connection
    waits."""
    stage = Stage()
    tellers = [stage.pod("uid-a"), stage.pod("uid-b")]
    flags = report.FLAG_PROBE | report.FLAG_RESOURCES | report.FLAG_LISTEN_QUEUE
    for beat in range(1, 30):
        for teller in tellers:
            teller.agent.answer([0.1] * 10)
            teller.tell(
                teller.answered("GET /feed", [0.1] * 10) + teller.called("postgresql orders", [0.05] * 10, waited_s=0.5),
                stage.now_s,
            )
        used = {"resources_at_us": 1000 + beat * 500_000, "cpu_us": 250_000 * beat}
        stage.turn(*tellers, flags=flags, listen_queue=1, **used)
    found = stage.picture().bottleneck
    assert found is not None
    # 4 s of response time and 2 s of waiting before, per second
    shares = {name: round(getattr(found.shares, name), 2) for name in CLASSES}
    assert shares == {
        "cpu": pytest.approx(1 / 6, abs=0.02), "dependency": pytest.approx(2 / 6, abs=0.02), "unknown": 0,
        "queue": pytest.approx(2 / 6, abs=0.02), "throttling": 0, "other": pytest.approx(1 / 6, abs=0.02),
    }  # fmt: skip
    assert (found.coverage, found.queue_coverage, found.window_seconds) == (1.0, 1.0, 10.0)
    assert [each.dependency for each in found.dependencies] == ["postgresql orders"]


def test_what_waits_at_a_pod_that_starts_is_no_queue_of_requests() -> None:
    stage = Stage()
    serves, starts = stage.pod("uid-a"), stage.pod("uid-b")
    flags = report.FLAG_PROBE | report.FLAG_LISTEN_QUEUE
    for _ in range(10):
        serves.agent.answer([0.1] * 10)
        serves.tell(serves.answered("GET /feed", [0.1] * 10), stage.now_s)
        stage.report(starts, flags=flags, listen_queue=3)
        stage.turn(serves, flags=flags)
    found = stage.picture().bottleneck
    assert found is not None
    assert found.shares.queue == 0


def test_throttling_from_reports() -> None:
    """A container with a tenth of a CPU and one worker that is always busy."""
    stage = Stage()
    teller = stage.pod("uid-a")
    for beat in range(1, 40):
        teller.agent.answer([0.5])
        teller.tell(teller.answered("GET /feed", [0.5]), stage.now_s)
        used = {"resources_at_us": 1000 + beat * 500_000, "cpu_us": 50_000 * beat, "throttled_us": 450_000 * beat}
        stage.turn(teller, flags=report.FLAG_PROBE | report.FLAG_RESOURCES, **used)
    found = stage.picture().bottleneck
    assert found is not None
    assert (found.kind, round(found.share, 2), round(found.shares.cpu, 2)) == ("throttling", 0.9, 0.1)
    assert (found.queue_coverage, found.shares.queue) == (0.0, 0.0)


def test_pods_that_tell_nothing_of_their_cpu_are_unknown() -> None:
    stage = Stage()
    one, two = stage.pod("uid-a"), stage.pod("uid-b")
    for beat in range(1, 30):
        for teller in (one, two):
            teller.agent.answer([0.1] * 5)
            teller.tell(teller.answered("GET /feed", [0.1] * 5), stage.now_s)
        stage.now_s += 0.25
        stage.report(
            one, flags=report.FLAG_PROBE | report.FLAG_RESOURCES, resources_at_us=beat * 500_000, cpu_us=500_000 * beat
        )
        stage.report(two)
        stage.turn(dt_s=0.25)
    found = stage.picture().bottleneck
    assert found is not None
    assert (found.coverage, found.shares.unknown, found.shares.cpu) == tuple([pytest.approx(0.5, abs=0.01)] * 3)


def test_when_no_pod_tells_nothing_is_named() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    for _ in range(4):
        teller.agent.answer([0.1])
        teller.tell(teller.answered("GET /feed", [0.1]), stage.now_s)
        stage.turn(teller)
    assert stage.picture().bottleneck is not None
    stage.turn(dt_s=2.0)
    assert stage.picture().bottleneck is None


def test_it_is_judged_once_a_second() -> None:
    """Whoever looks, and however often: for each picture of each fold it would cost more than all reports."""
    asked: list[float] = []
    bottlenecks = Bottlenecks()
    for now_s in (5.0, 5.1, 5.9, 6.0, 6.5, 7.2, 3.0):
        bottlenecks.at(now_s, lambda now_s=now_s: asked.append(now_s))  # type: ignore[misc]
    assert asked == [5.0, 6.0, 7.2, 3.0]
