"""Windows: differences of cumulative sums, no longer than asked, none where there is no data."""

from __future__ import annotations

import pytest

from rollcall.model.rows import Sums
from rollcall.model.windows import KEEP_S, WINDOW_S, Ring, Window


def sums(finished: int, errors: int = 0, duration_us: int = 0, timed: int = 0) -> Sums:
    found = Sums({"finished": finished, "errors": errors, "duration_us": duration_us})
    found.histogram[100] = timed
    return found


def ring_of(*moments: tuple[float, int]) -> Ring:
    ring = Ring()
    for now_s, finished in moments:
        ring.add(now_s, sums(finished))
    return ring


@pytest.mark.parametrize(
    ("moments", "span_s", "finished"),
    [
        ([(0.0, 0), (0.25, 5)], 0.25, 5),
        ([(0.0, 100), (5.0, 150), (WINDOW_S, 175)], WINDOW_S, 75),
        # the one that is too old is not used, also while it is kept
        ([(0.0, 100), (0.25, 110), (WINDOW_S + 0.1, 175)], WINDOW_S - 0.15, 65),
    ],
)
def test_window(moments: list[tuple[float, int]], span_s: float, finished: int) -> None:
    window = ring_of(*moments).window()
    assert window is not None
    assert window.span_s == pytest.approx(span_s)
    assert window.finished == finished


@pytest.mark.parametrize(
    "moments",
    [
        [],
        [(1.0, 5)],
        [(1.0, 5), (1.0, 6)],
        # after a pause longer than what is kept there is nothing to compare with
        [(1.0, 5), (1.0 + KEEP_S + 0.1, 500)],
        # and a moment that is kept, but too old, is no beginning either
        [(1.0, 5), (1.0 + WINDOW_S + 0.1, 500)],
    ],
)
def test_no_window(moments: list[tuple[float, int]]) -> None:
    assert ring_of(*moments).window() is None


def test_the_ring_is_bounded() -> None:
    ring = Ring()
    for number in range(1000):
        ring.add(number / 4, sums(number))
    assert len(ring._moments) == KEEP_S * 4 + 1


def test_ratios_of_no_requests_are_unknown() -> None:
    idle = Window(10.0, sums(0))
    assert (idle.error_ratio(), idle.mean_s()) == (None, None)
    busy = Window(10.0, sums(200, errors=3, duration_us=4_000_000, timed=200))
    assert (busy.error_ratio(), busy.mean_s()) == (0.015, 0.02)


def test_requests_of_which_no_time_is_known_are_not_in_the_mean() -> None:
    assert Window(10.0, sums(200)).mean_s() is None
    assert Window(10.0, sums(200, duration_us=2_000_000, timed=100)).mean_s() == 0.02
