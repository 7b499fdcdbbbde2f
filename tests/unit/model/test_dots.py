"""Points as a screen gets them: once each, with their names, and for how many requests they stand."""

from __future__ import annotations

from rollcall.model.dots import MOST, dots
from rollcall.model.fleet import Fleet
from rollcall_agent.wire import facts as wire
from rollcall_agent.wire import points
from tests.unit.model.agents import Agent, facts

WALL_S = 1_700_000_000.0


def service() -> Fleet:
    fleet = Fleet("shop", "newsfeed")
    fleet.upsert(facts())
    fleet.attach("uid-a", "e1", 0)
    names = [
        (wire.ENDPOINT_NAMES, 1, "GET /feed"),
        (wire.ERROR_NAMES, 1, "http 500"),
        (wire.DEPENDENCY_NAMES, 1, "redis cache"),
    ]
    fleet.bind("uid-a", names, 0, 100.0)
    fleet.accept("uid-a", Agent().body(100.0), 100.0)
    return fleet


def tell(fleet: Fleet, told: list[points.Point], now_s: float) -> None:
    fleet.accept_points("uid-a", points.pack_points(told), now_s)
    fleet.fold(now_s, WALL_S + now_s)


def test_a_point_has_its_names_and_its_time() -> None:
    fleet = service()
    slow = points.Point(500, 1, 9_000_000, 8_000_000, 40_000, 1, 1, 1, 5 + 8)
    quick = points.Point(0, 20, 5000, 0, points.CPU_UNKNOWN, 1, 0, 0, 2)
    tell(fleet, [slow, quick], 101.0)
    shown = dots(fleet, 0)
    assert (shown.points, shown.requests, shown.until) == (2, 21, WALL_S + 101)
    assert shown.at == [round((WALL_S + 100.5) * 1000), round((WALL_S + 101) * 1000)]
    assert (shown.elapsed, shown.waited, shown.cpu) == ([9.0, 0.005], [8.0, 0.0], [0.04, None])
    assert (shown.outcome, shown.weight) == ([13, 2], [1, 20])
    assert [shown.endpoints[place] for place in shown.endpoint] == ["GET /feed", "GET /feed"]
    assert (shown.errors, shown.error) == (["http 500"], [0, -1])
    assert (shown.dependencies, shown.dependency) == (["redis cache"], [0, -1])
    assert (shown.pods, shown.pod) == (["pod-a"], [0, 0])


def test_each_is_told_once_to_who_asks_on() -> None:
    fleet = service()
    seen, until = 0, 0.0
    for turn in range(20):
        tell(fleet, [points.Point(0, 1, 1000, 0, 0, 1, 0, 0, 2)] * turn, 101.0 + turn * 0.25)
        shown = dots(fleet, until)
        seen, until = seen + shown.points, shown.until
        assert shown.points == turn
    assert seen == sum(range(20)) == dots(fleet, 0).points
    assert dots(fleet, until).points == 0


def test_an_answer_is_bounded() -> None:
    fleet = service()
    for turn in range(3):
        tell(fleet, [points.Point(0, 1, 1000 + turn, 0, 0, 1, 0, 0, 2)] * 2000, 101.0 + turn)
    assert dots(fleet, 0).points == MOST
    assert dots(fleet, 0).elapsed[-1] == 0.001002
