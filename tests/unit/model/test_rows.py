"""The matrix: reports land in their row and nowhere else, sums never fall, and what is of the past is in no window."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.model.rows import LATE_S, REPORT_DTYPE, Rows, Taken
from rollcall_agent.wire import grid, report
from tests.unit.model.agents import Agent


def finished(rows: Rows) -> int:
    return rows.total().scalars["finished"]


def in_windows(rows: Rows) -> int:
    """What a window since the beginning of time would show."""
    return rows.total().minus(rows.excluded).scalars["finished"]


def test_a_row_holds_exactly_the_report() -> None:
    rows = Rows(4)
    first, second = rows.take(), rows.take()
    values = {f.name: range(1, f.size + 1) if f.size > 1 else number + 1 for number, f in enumerate(report.FIELDS)}
    body = report.pack({name: tuple(value) if isinstance(value, range) else value for name, value in values.items()})
    rows.accept(second, body, 1.0)
    assert rows.reports[second].tobytes() == body
    assert rows.body(second) == body
    assert not rows.reports[first].tobytes().strip(b"\0")
    assert REPORT_DTYPE.itemsize == report.SIZE


@pytest.mark.parametrize("size", [32, 64, report.SIZE - 4, report.SIZE, report.SIZE + 1, 4000])
def test_other_wire_versions_send_shorter_and_longer_bodies(size: int) -> None:
    """What is missing is zero, also where an earlier report had more; what is too much does not run into the next row."""
    rows = Rows(2)
    low, high = sorted((rows.take(), rows.take()))
    rows.accept(low, b"\0" * 8 + b"\1" * (report.SIZE - 8), 1.0)
    rows.accept(high, b"\0" * 8 + b"\2" * (report.SIZE - 8), 1.0)
    rows.accept(low, b"\3" * size, 1.5)
    assert rows.body(low) == (b"\3" * min(size, report.SIZE)).ljust(report.SIZE, b"\0")
    assert rows.body(high) == b"\0" * 8 + b"\2" * (report.SIZE - 8)


def test_duplicates_change_nothing() -> None:
    rows, agent = Rows(), Agent()
    row = rows.take()
    agent.answer([0.1] * 5)
    body = agent.body(1.0)
    assert [rows.accept(row, body, now_s) for now_s in (1.0, 1.1, 1.2)] == [Taken.LIVE] * 3
    assert finished(rows) == in_windows(rows) == 5


def test_an_overtaken_report_is_ignored() -> None:
    rows, agent = Rows(), Agent()
    row = rows.take()
    agent.answer([0.1])
    old = agent.body(1.0)
    agent.answer([0.1] * 9)
    rows.accept(row, agent.body(1.5), 1.5)
    assert rows.accept(row, old, 1.6) is Taken.LATE
    assert finished(rows) == 10
    assert rows.received_s[row] == 1.5, "an old report does not make its pod fresh"


@pytest.mark.parametrize("field", ["window_end_us", "started", "finished"])
def test_counts_that_go_back_are_not_believed(field: str) -> None:
    rows = Rows()
    row = rows.take()
    values = {"window_end_us": 10, "started": 10, "finished": 10}
    rows.accept(row, report.pack(values), 1.0)
    assert rows.accept(row, report.pack(values | {field: 9}), 1.5) is Taken.LATE
    assert finished(rows) == 10


@pytest.mark.parametrize(
    ("live", "pause_s", "taken"),
    [
        (True, 0.5, Taken.LIVE),
        (True, LATE_S, Taken.LIVE),
        (True, LATE_S + 0.01, Taken.PAST),
        (True, 60.0, Taken.PAST),
        (False, 0.5, Taken.PAST),
    ],
)
def test_what_comes_after_a_silence_is_of_the_past(live: bool, pause_s: float, taken: Taken) -> None:
    rows, agent = Rows(), Agent()
    row = rows.take()
    agent.answer([0.1] * 3)
    rows.accept(row, agent.body(10.0), 10.0)
    agent.answer([0.1] * 100)
    assert rows.accept(row, agent.body(10.0 + pause_s), 10.0 + pause_s, live=live) is taken
    assert finished(rows) == 103
    assert in_windows(rows) == (103 if taken is Taken.LIVE else 3)
    agent.answer([0.1] * 7)
    assert rows.accept(row, agent.body(10.5 + pause_s), 10.5 + pause_s) is Taken.LIVE
    assert in_windows(rows) == finished(rows) - (0 if taken is Taken.LIVE else 100)


@pytest.mark.parametrize("live", [True, False])
def test_a_first_report_is_of_now_or_of_the_past_as_told(live: bool) -> None:
    rows, agent = Rows(), Agent()
    agent.answer([0.1] * 50)
    rows.accept(rows.take(), agent.body(100.0), 100.0, live=live)
    assert finished(rows) == 50
    assert in_windows(rows) == (50 if live else 0)


def test_release_restart_and_restore_change_no_sum() -> None:
    rows, agent = Rows(), Agent()
    row = rows.take()
    agent.answer([0.1, 0.2, 5.0], errors=1)
    agent.lost = 2
    rows.accept(row, agent.body(1.0), 1.0)
    before = rows.total()
    for change in (
        lambda: rows.restart(row),
        lambda: rows.accept(row, agent.body(2.0), 2.0),
        lambda: rows.restart(row),
        lambda: rows.release(row),
    ):
        change()
    twice = before.plus(before)
    assert rows.total().scalars == twice.scalars
    assert (rows.total().histogram == twice.histogram).all()
    assert (rows.total().responses == twice.responses).all()
    assert not rows.reports[row].tobytes().strip(b"\0")
    assert rows.received_s[row] == -np.inf

    again = rows.take()
    rows.restore(again, agent.body(3.0), 3.0)
    assert rows.total().scalars == twice.scalars
    assert rows.received_s[again] == 3.0


def test_growth_keeps_rows_where_they_are() -> None:
    rows = Rows(2)
    taken = []
    for number in range(33):
        agent = Agent(uid=str(number))
        agent.answer([0.1] * number)
        row = rows.take()
        rows.accept(row, agent.body(1.0), 1.0)
        taken.append(row)
    assert len(set(taken)) == len(rows) == 33
    assert [int(rows.reports[row]["finished"]) for row in taken] == list(range(33))
    assert finished(rows) == sum(range(33))
    assert (rows.received_s[taken] == 1.0).all()


@given(st.lists(st.sampled_from(["take", "release"]), max_size=80))
def test_a_row_is_never_given_to_two(steps: list[str]) -> None:
    rows, held = Rows(2), []
    for step in steps:
        if step == "take":
            row = rows.take()
            assert row not in held
            assert not rows.reports[row].tobytes().strip(b"\0")
            rows.accept(row, report.pack({"finished": 1}), 1.0)
            held.append(row)
        elif held:
            rows.release(held.pop(0))
        assert len(rows) == len(held)
    assert finished(rows) == steps.count("take")


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=40))
def test_sums_do_not_overflow(counts: list[int]) -> None:
    rows = Rows(2)
    for count in counts:
        rows.accept(rows.take(), report.pack({"finished": count, "histogram": (count,) * grid.BUCKETS}), 1.0)
    total = rows.total()
    assert total.scalars["finished"] == sum(counts)
    assert (total.histogram == sum(counts)).all()
