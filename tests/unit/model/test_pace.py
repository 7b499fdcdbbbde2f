"""Pace of each row, and each row's own window: from two reports in a row only, unknown otherwise, never negative."""

from __future__ import annotations

import numpy as np

from rollcall.model.pace import GENERATION_S, Generations, Pace
from rollcall.model.rows import Rows
from rollcall_agent.wire import grid
from tests.unit.model.agents import Agent


class One:
    """One row with its pace."""

    def __init__(self) -> None:
        self.rows, self.pace, self.agent = Rows(2), Pace(), Agent()
        self.row = self.rows.take()

    def report(self, now_s: float, requests: int = 0) -> float:
        self.agent.answer([0.01] * requests)
        self.rows.accept(self.row, self.agent.body(now_s), now_s)
        return self.rate()

    def rate(self) -> float:
        self.pace.update(self.rows)
        return float(self.pace.requests_per_second[self.row])

    def millicores(self) -> float:
        return float(self.pace.agent_millicores[self.row])


def test_rate_is_by_the_agents_clock() -> None:
    one = One()
    assert np.isnan(one.report(100.0, 1000)), "one report has no rate"
    assert one.report(100.5, 10) == 20
    assert one.rate() == 20, "a fold without a new report keeps the rate"
    assert one.report(101.25, 15) == 20
    assert one.report(101.75, 0) == 0


def test_after_a_gap_the_rate_is_unknown() -> None:
    one = One()
    one.report(100.0)
    one.report(100.5, 10)
    assert np.isnan(one.report(103.0, 500))
    assert one.report(103.5, 10) == 20


def test_a_new_epoch_has_no_rate_and_none_below_zero() -> None:
    one = One()
    one.report(100.0, 50)
    one.report(100.5, 10)
    one.rows.restart(one.row)
    one.agent.restart("e2")
    assert np.isnan(one.report(101.0, 3))
    assert one.report(101.5, 3) == 6


def test_the_next_pod_in_a_row_inherits_nothing() -> None:
    one = One()
    one.report(100.0, 50)
    one.report(100.5, 10)
    one.rows.release(one.row)
    assert np.isnan(one.rate())
    assert one.rows.take() == one.row
    one.agent = Agent(uid="uid-b")
    assert np.isnan(one.report(101.0, 3))
    assert np.isnan(one.millicores())


def test_agent_cpu_is_smoothed_and_never_negative() -> None:
    one = One()
    for number, cpu_us in enumerate((1000, 2000, 3000, 500, 1500)):
        one.agent.cpu_us = cpu_us
        one.report(100.0 + number / 2)
        assert np.isnan(one.millicores()) if number == 0 else 0 <= one.millicores() <= 2.0
    assert one.millicores() > 1.5


def test_pace_follows_the_matrix_as_it_grows() -> None:
    rows, pace = Rows(2), Pace()
    for size in (2, 4, 8):
        while len(rows) < size:
            rows.take()
        pace.update(rows)
        assert len(pace.requests_per_second) == len(pace.agent_millicores) == size


def test_each_rows_window_is_one_to_two_generations_long() -> None:
    rows, generations, agent = Rows(2), Generations(), Agent()
    row = rows.take()
    generations.reset(rows, row)
    seen = []
    for step in range(100):
        now_s = step / 4
        agent.answer([0.1], errors=1)
        rows.accept(row, agent.body(now_s), now_s)
        generations.update(rows, now_s)
        histograms, finished, errors = generations.window(rows)
        assert finished[row] == errors[row] == histograms[row].sum() == histograms[row][grid.bucket_of_ns(100_000_000)]
        seen.append(int(finished[row]))
    assert max(seen) <= 2 * GENERATION_S * 4
    assert min(seen[int(2 * GENERATION_S * 4) :]) >= GENERATION_S * 4


def test_a_reset_row_begins_at_zero_and_leaves_others_alone() -> None:
    rows, generations = Rows(1), Generations()
    agents = [Agent(uid="a"), Agent(uid="b")]
    taken = []
    for agent in agents:  # the matrix grows on the way
        taken.append(rows.take())
        generations.reset(rows, taken[-1])
        agent.answer([0.1] * 5)
        rows.accept(taken[-1], agent.body(1.0), 1.0)
    generations.reset(rows, taken[0])
    histograms, finished, _ = generations.window(rows)
    assert finished[taken].tolist() == [0, 5]
    assert histograms[taken].sum(axis=1).tolist() == [0, 5]
