"""Dependencies over pods and time: exact totals, true percentiles, concurrency by Little's law, and the part of the waiting."""

from __future__ import annotations

import random
from statistics import fmean

import pytest

from rollcall.model.causes import Dependencies, DependencyRow
from rollcall.model.table import MOST_ROWS
from rollcall_agent.wire import facts, grid
from tests.unit.model.tellers import Stage


def told(stage: Stage) -> Dependencies:
    found = stage.picture().dependencies
    assert found is not None
    return found


def rows(stage: Stage) -> dict[str, DependencyRow]:
    return {row.dependency: row for row in told(stage).rows}


def test_nothing_is_known_where_nobody_told() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    teller.tell(teller.answered("GET /feed", [0.1]), stage.now_s)
    stage.turn(teller)
    assert stage.picture().dependencies is None


def test_two_pods_that_number_differently_are_one_table() -> None:
    stage = Stage()
    one, two = stage.pod("uid-a"), stage.pod("uid-b")
    one.tell(
        one.answered("GET /feed", [0.4] * 10)
        + one.called("postgresql orders", [0.1] * 20, waited_s=2.0, failures={"timeout": 1, "error": 2})
        + one.called("redis cache", [0.001] * 40, waited_s=0.04),
        stage.now_s,
    )
    two.tell(
        two.answered("GET /feed", [0.4] * 10)
        + two.called("redis cache", [0.001] * 60, waited_s=0.06)
        + two.called("postgresql orders", [0.1] * 10, waited_s=1.0, failures={"timeout": 3}),
        stage.now_s,
    )
    for _ in range(4):
        stage.turn(one, two)
    found = rows(stage)
    assert list(found) == ["postgresql orders", "redis cache"], "by what is waited for"
    orders, cache = found.values()
    assert (orders.calls, orders.failed, cache.calls, cache.failed) == (30, 6, 100, 0)
    span_s = stage.fleet.signals.dependencies.failures(stage.now_s)[2]
    assert orders.calls_per_second == pytest.approx(30 / span_s)
    assert orders.failure_ratio == pytest.approx(0.2)
    assert orders.failures == {"error": pytest.approx(2 / span_s), "timeout": pytest.approx(4 / span_s)}
    assert orders.concurrency == pytest.approx(3.0 / span_s), "3 s of calls in that time"
    assert orders.mean == pytest.approx(0.1)
    assert orders.share == pytest.approx(3 / 8)
    assert cache.share == pytest.approx(0.1 / 8)
    assert stage.picture().dependencies is told(stage), "made once per fold"


def test_percentiles_are_those_of_all_calls() -> None:
    dice, stage = random.Random(3), Stage()
    tellers = [stage.pod(f"uid-{n}") for n in range(4)]
    truth: list[float] = []
    for number, teller in enumerate(tellers):
        times_s = [dice.lognormvariate(-4 + number, 1.0) for _ in range(500)]
        truth += times_s
        teller.tell(teller.called("dynamodb newsfeed", times_s), stage.now_s)
    stage.turn(*tellers)
    (row,) = told(stage).rows
    truth.sort()
    for shown, rank in ((row.p50, 0.5), (row.p95, 0.95), (row.p99, 0.99)):
        assert shown == pytest.approx(truth[-int(-rank * len(truth) // 1) - 1], rel=grid.RELATIVE_ERROR + 1e-9)
    assert row.mean == pytest.approx(fmean(truth), rel=1e-4)


def test_the_window_ends_and_the_totals_stay() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    teller.tell(teller.called("redis cache", [0.1] * 5, failures={"refused": 2}), stage.now_s)
    for _ in range(25):
        stage.turn(teller)
    (row,) = told(stage).rows
    assert (row.calls, row.failed, row.calls_per_second, row.failures) == (5, 2, 0, {})
    assert (row.failure_ratio, row.mean, row.p95, row.share, row.concurrency) == (None, None, None, None, 0)


def test_what_is_past_counts_in_no_window() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    teller.tell(teller.called("redis cache", [0.1] * 5, failures={"throttled": 5}), stage.now_s, past=True)
    stage.turn(teller)
    (row,) = told(stage).rows
    assert (row.calls, row.failed, row.calls_per_second) == (5, 5, 0)
    assert stage.picture().throttled == []


def test_when_no_pod_tells_nothing_is_known_of_now() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    teller.tell(teller.called("redis cache", [0.1] * 5, waited_s=0.2), stage.now_s)
    stage.turn(teller)
    stage.turn(dt_s=3.0)
    (row,) = told(stage).rows
    assert (row.calls, row.calls_per_second, row.share, row.concurrency, row.mean) == (5, None, None, None, None)


def test_a_reason_of_a_later_version_is_an_error() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    index = teller.id_of(facts.DEPENDENCY_NAMES, "redis cache")
    teller.tell([(facts.CALLS, index, 0, 9), (facts.CALL_FAILURES, index, 77, 4)], stage.now_s)
    stage.turn(teller)
    assert stage.fleet.signals.dependencies.totals() == {"redis cache": (9, {"error": 4})}


def test_the_rest_is_other_and_adds_up() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    teller.tell(teller.answered("GET /", [500.0]), stage.now_s)
    for number in range(MOST_ROWS + 20):
        teller.tell(teller.called(f"http host-{number}", [0.1] * (number + 1), waited_s=0.1 * (number + 1)), stage.now_s)
    stage.turn(teller)
    found = told(stage)
    assert len(found.rows) == MOST_ROWS + 1
    assert found.rows[-1].dependency == "other"
    assert (found.folded.dependencies, found.folded.calls) == (20, sum(range(1, 21)))
    calls = sum(range(1, MOST_ROWS + 21))
    assert sum(row.calls for row in found.rows) == calls
    assert sum(row.share or 0 for row in found.rows) == pytest.approx(0.1 * calls / 500)


def test_totals_never_fall_when_pods_leave() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    teller.tell(teller.called("redis cache", [0.1] * 5), stage.now_s)
    stage.turn(teller)
    stage.fleet.remove("uid-a", stage.now_s)
    for _ in range(60):
        stage.turn()
    assert stage.fleet.signals.dependencies.totals() == {"redis cache": (5, {})}
