"""Endpoints over pods and time: exact totals, true percentiles, and whatever finds no place is counted in `other`."""

from __future__ import annotations

import random
from collections import Counter
from statistics import fmean

import pytest

from rollcall.model.picture import EndpointRow, Endpoints
from rollcall.model.table import MOST_ROWS
from rollcall_agent.wire import facts, grid
from tests.unit.model.tellers import Stage, Teller


def told(stage: Stage) -> Endpoints:
    found = stage.picture().endpoints
    assert found is not None
    return found


def rows(stage: Stage) -> dict[str, EndpointRow]:
    return {row.endpoint: row for row in told(stage).rows}


def exact(times_s: list[float], rank: float) -> float:
    return sorted(times_s)[max(0, -int(-rank * len(times_s) // 1) - 1)]


def test_two_pods_that_number_differently_are_one_table() -> None:
    stage = Stage()
    one, two = stage.pod("uid-a"), stage.pod("uid-b")
    one.tell(one.answered("GET /feed", [0.1] * 30, failures=3) + one.answered("POST /post", [0.5] * 2), stage.now_s)
    two.tell(two.answered("POST /post", [0.5] * 8) + two.answered("GET /feed", [0.1] * 10), stage.now_s)
    stage.turn(one, two)
    stage.turn(one, two)
    found = rows(stage)
    assert list(found) == ["POST /post", "GET /feed"], "by share of the time: 5 s against 4 s"
    assert (found["GET /feed"].requests, found["GET /feed"].errors) == (40, 3)
    assert (found["POST /post"].requests, found["POST /post"].errors) == (10, 0)
    assert found["GET /feed"].error_ratio == 3 / 40
    assert found["GET /feed"].mean == pytest.approx(0.1)
    assert found["POST /post"].share == pytest.approx(5 / 9)
    assert found["GET /feed"].p95 == pytest.approx(0.1, rel=grid.RELATIVE_ERROR)
    assert told(stage).folded == (type(told(stage).folded))(0, 0)


@pytest.mark.parametrize("seed", range(3))
def test_percentiles_are_those_of_all_requests_of_all_pods(seed: int) -> None:
    rng, stage = random.Random(seed), Stage()
    tellers = [stage.pod(f"uid-{number}") for number in range(5)]
    truth: dict[str, list[float]] = {"GET /a": [], "GET /b/<id>": []}
    for _ in range(8):
        for number, teller in enumerate(tellers):
            for endpoint, times_s in truth.items():
                new = [rng.lognormvariate(-3 + 0.3 * number, 1.0) for _ in range(rng.randrange(40))]
                times_s += new
                teller.tell(teller.answered(endpoint, new), stage.now_s)
        stage.turn(*tellers)
    found = rows(stage)
    for endpoint, times_s in truth.items():
        row = found[endpoint]
        assert row.requests == len(times_s)
        assert row.mean == pytest.approx(fmean(times_s), rel=1e-4)
        for rank, value in ((0.5, row.p50), (0.95, row.p95), (0.99, row.p99)):
            assert value == pytest.approx(exact(times_s, rank), rel=grid.RELATIVE_ERROR + 1e-6)
    assert sum(row.share or 0 for row in found.values()) == pytest.approx(1)


def test_the_window_forgets_and_the_totals_do_not() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    for _ in range(30):  # 15 s
        teller.tell(teller.answered("GET /feed", [0.1] * 5), stage.now_s)
        stage.turn(teller)
    found = rows(stage)["GET /feed"]
    assert found.requests == 150
    assert found.requests_per_second == pytest.approx(10, rel=0.06)
    for _ in range(30):
        stage.turn(teller)
    found = rows(stage)["GET /feed"]
    assert (found.requests, found.requests_per_second) == (150, 0)
    assert (found.mean, found.p95, found.error_ratio, found.share) == (None, None, None, None), "idle is no data, not 0"


def test_what_a_pod_that_left_has_counted_stays() -> None:
    stage = Stage()
    teller, other = stage.pod("uid-a"), stage.pod("uid-b")
    teller.tell(teller.answered("GET /feed", [0.1] * 5), stage.now_s)
    stage.fleet.remove("uid-a", stage.now_s)
    teller.tell(teller.answered("GET /feed", [0.1] * 2), stage.now_s)  # its last words, still on their way
    for _ in range(40):
        stage.turn(other)
    assert rows(stage)["GET /feed"].requests == 7


def test_past_facts_are_counted_and_are_no_traffic_of_now() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    past = [each for each in teller.answered("GET /feed", [0.1] * 1000) if each[0] != facts.CELL]
    teller.tell(past, stage.now_s, past=True)
    stage.turn(teller)
    stage.turn(teller)
    found = rows(stage)["GET /feed"]
    assert (found.requests, found.requests_per_second, found.mean) == (1000, 0, None)


def test_nobody_who_tells_is_not_zero() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    assert stage.picture().endpoints is None, "nothing was ever told"
    teller.tell(teller.answered("GET /feed", [0.1] * 5), stage.now_s)
    stage.turn(teller)
    stage.turn(dt_s=3.0)
    found = rows(stage)["GET /feed"]
    assert (found.requests, found.requests_per_second, found.p95, found.share) == (5, None, None, None)


def test_fifty_rows_and_one_for_the_rest() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    truth = Counter({f"GET /{number}": 1 + number for number in range(80)})
    for endpoint, count in truth.items():
        teller.tell(teller.answered(endpoint, [0.01] * count, failures=1), stage.now_s)
    stage.turn(teller)
    found = told(stage)
    assert len(found.rows) == MOST_ROWS + 1
    assert [row.endpoint for row in found.rows[:-1]] == [name for name, _ in truth.most_common(MOST_ROWS)]
    rest = sum(count for _, count in truth.most_common()[MOST_ROWS:])
    assert (found.rows[-1].endpoint, found.rows[-1].requests, found.rows[-1].errors) == ("other", rest, 30)
    assert (found.folded.endpoints, found.folded.requests) == (30, rest)
    assert sum(row.requests for row in found.rows) == sum(truth.values())
    assert sum(row.share or 0 for row in found.rows) == pytest.approx(1)


def test_no_more_names_than_the_table_has_places() -> None:
    """Two pods with different names: what is too much is counted in `other`, and how many names that were."""
    stage = Stage()
    tellers = [stage.pod("uid-a"), stage.pod("uid-b")]
    for number, teller in enumerate(tellers):
        for name in range(facts.MAX_IDS - 1):
            teller.tell(teller.answered(f"GET /{number}/{name}", [0.01]), stage.now_s)
    stage.turn(*tellers)
    found = told(stage)
    assert len(stage.fleet.signals.endpoints.names) == facts.MAX_IDS
    assert sum(row.requests for row in found.rows) == 2 * (facts.MAX_IDS - 1)
    assert found.folded.endpoints == 2 * (facts.MAX_IDS - 1) - MOST_ROWS
    assert found.folded.requests == found.rows[-1].requests == 2 * (facts.MAX_IDS - 1) - MOST_ROWS


def test_names_that_a_pod_folded_itself() -> None:
    stage = Stage()
    tellers: list[Teller] = [stage.pod("uid-a"), stage.pod("uid-b")]
    for teller, folded in zip(tellers, (7, 5), strict=True):
        teller.tell([(facts.FOLDED, 0, 0, folded), (facts.REQUESTS, 0, 0, 20)], stage.now_s)
    tellers[0].tell([(facts.FOLDED, 0, 0, 2)], stage.now_s)
    stage.turn(*tellers)
    found = told(stage)
    assert (found.folded.endpoints, found.folded.requests) == (9, 40), "of the pod that folded most: the names are the same"
    assert [row.endpoint for row in found.rows] == ["other"]
