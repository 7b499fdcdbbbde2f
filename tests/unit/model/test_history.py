"""The last 15 minutes by the second: nothing twice, nothing left out, bounded, and no data is None."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from rollcall.model.causes import Bottleneck, Shares
from rollcall.model.departures import Cause, Verdict
from rollcall.model.fleet import Fleet
from rollcall.model.history import SECONDS
from tests.unit.model.agents import Agent, facts

START_S = 10_000.0


class Service:
    """One pod; monotonic and wall clock are the same."""

    def __init__(self) -> None:
        self.fleet, self.agent, self.now_s = Fleet("shop", "newsfeed"), Agent(), START_S
        self.fleet.upsert(facts(workload="newsfeed", revision="r1"))
        self.fleet.attach("uid-a", "e1", 0)
        self.fleet.fold(self.now_s, self.now_s)

    def turn(self, times_s: list[float] | None = None, errors: int = 0, dt_s: float = 0.25, **changes: Any) -> None:
        self.now_s += dt_s
        if times_s is not None:
            self.agent.answer(times_s, errors)
            for name, value in changes.items():
                setattr(self.agent, name, value)
            self.fleet.accept("uid-a", self.agent.body(self.now_s), self.now_s)
        self.fleet.fold(self.now_s, self.now_s)

    def seconds(self, after: float = 0) -> Any:
        return self.fleet.history.picture(self.fleet, int(after))


def test_each_second_is_there_once_with_what_happened_in_it() -> None:
    service = Service()
    for _ in range(10):
        for _ in range(2):
            service.turn([0.1] * 5, errors=1, in_flight=3, bands=(2, 1, 0, 0))
            service.turn()
    shown = service.seconds()
    assert shown.at == list(range(int(START_S), int(START_S) + 10))
    assert shown.requests_per_second[2:] == [10.0] * 8
    assert sum(shown.errors_per_second[1:]) == pytest.approx(2 * 9, abs=2)
    assert shown.p95[5] == pytest.approx(0.1, rel=0.022)
    assert [band[-1] for band in shown.bands] == [2, 1, 0, 0]
    assert (shown.pods["serving"][-1], shown.pods["silent"][-1], shown.coverage[-1]) == (1, 0, 1)
    assert service.seconds(START_S + 7).at == shown.at[8:]
    alone = service.fleet.history.picture(service.fleet, int(START_S) + 4, int(START_S) + 6)
    assert (alone.at, alone.requests_per_second) == ([int(START_S) + 5], [10.0])


def test_a_pod_that_tells_nothing_is_no_zero() -> None:
    service = Service()
    for _ in range(20):
        service.turn()
    shown = service.seconds()
    assert set(shown.requests_per_second + shown.p95 + shown.errors_per_second + shown.users + shown.bands[0]) == {None}
    assert set(shown.health) == {"Unknown"}


def test_visitors_and_where_the_time_went_are_kept_while_somebody_asks() -> None:
    service, judged = Service(), Bottleneck("cpu", None, 0.6, Shares(0.6, 0.2, 0, 0, 0.1, 0.1), [], None, 1.0, 0.0, 10.0)
    assert service.seconds().visitors == []
    for turn in range(24):
        if turn < 12:
            service.fleet.bottlenecks.at(service.now_s, lambda: judged)
        if turn == 4:
            service.fleet.signals.visitors.add(np.array([7 << 8 | 1]), service.now_s, service.now_s)
        service.turn([0.1] * 5, dt_s=0.5)
    shown = service.seconds()
    assert (shown.visitors[0], shown.visitors[-1]) == (None, 1)
    assert {name: column[3] for name, column in shown.shares.items()} == pytest.approx(
        {"cpu": 0.6, "dependency": 0.2, "queue": 0, "throttling": 0, "other": 0.1, "unknown": 0.1}
    )
    assert {column[-1] for column in shown.shares.values()} == {None}


def test_what_is_kept_is_bounded_and_a_pause_of_the_operator_is_left_out() -> None:
    service = Service()
    for _ in range(SECONDS + 50):
        service.turn(dt_s=1.0)
    shown = service.seconds()
    assert len(shown.at) == SECONDS
    assert shown.at == list(range(int(service.now_s) - SECONDS, int(service.now_s)))
    service.turn(dt_s=30.0)
    service.turn(dt_s=1.0)
    at = service.seconds().at
    assert (at[-1], at[-2], at[-3]) == (int(service.now_s) - 1, int(service.now_s) - 2, int(service.now_s) - 32)


def test_a_clock_that_is_set_back_writes_no_second_twice() -> None:
    service = Service()
    for _ in range(20):
        service.turn(dt_s=0.5)
    before = service.seconds().at
    for step in range(4):
        service.fleet.fold(service.now_s + step + 1, service.now_s - 5 + step)
    assert service.seconds().at == before
    service.fleet.fold(service.now_s + 9, service.now_s + 1)
    assert service.seconds().at == [*before, int(service.now_s)]


def test_departures_and_revisions_are_marks() -> None:
    service = Service()
    service.turn(dt_s=1.0)
    service.turn(dt_s=1.0)
    service.fleet.upsert(facts("uid-b", workload="newsfeed", revision="r2"))
    service.fleet.upsert(facts("uid-c", workload="worker", revision="w1"))
    for uid in ("uid-x", "uid-y"):
        service.fleet.ledger.left(facts(uid), Verdict(Cause.SCALE_IN, "fewer were wanted", sure=True), service.now_s + 0.1)
    service.turn(dt_s=1.0)
    service.turn(dt_s=1.0)
    marks = [(mark.kind, mark.what, mark.count) for mark in service.seconds().marks]
    assert marks == [("departure", Cause.SCALE_IN.value, 2), ("deployment", "newsfeed r2", 1)]
    assert service.seconds(service.now_s).marks == []
