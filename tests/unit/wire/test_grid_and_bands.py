"""The histogram's grid and the bands: against their definitions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall_agent.wire import bands, grid

LOWEST_NS = grid.upper_bound_s(0) * 1e9
HIGHEST_NS = grid.upper_bound_s(grid.BUCKETS - 1) * 1e9


@given(st.integers(-(2**40), 2**70))
def test_any_duration_has_a_bucket_whose_bounds_hold_it(elapsed_ns: int) -> None:
    bucket = grid.bucket_of_ns(elapsed_ns)
    assert 0 <= bucket < grid.BUCKETS
    slack = 1e-9  # a duration on a boundary may fall to either side by rounding
    if bucket > 0:
        assert elapsed_ns > grid.upper_bound_s(bucket - 1) * 1e9 * (1 - slack)
    if bucket < grid.BUCKETS - 1:
        assert elapsed_ns <= grid.upper_bound_s(bucket) * 1e9 * (1 + slack)


@given(st.integers(int(LOWEST_NS) + 1, int(HIGHEST_NS)))
def test_the_midpoint_is_within_the_promised_error(elapsed_ns: int) -> None:
    midpoint_ns = grid.midpoint_s(grid.bucket_of_ns(elapsed_ns)) * 1e9
    assert abs(midpoint_ns - elapsed_ns) <= elapsed_ns * grid.RELATIVE_ERROR * (1 + 1e-6)


@given(st.integers(1, 2**62), st.integers(0, 2**62))
def test_a_longer_duration_has_no_lower_bucket(elapsed_ns: int, more: int) -> None:
    assert grid.bucket_of_ns(elapsed_ns) <= grid.bucket_of_ns(elapsed_ns + more)


def test_bounds_are_those_of_opentelemetry_scale_4() -> None:
    one_second = grid.bucket_of_ns(1_000_000_000)
    assert grid.upper_bound_s(one_second) == 1.0, "upper bounds are inclusive"
    assert grid.upper_bound_s(one_second + 16) == 2.0, "sixteen buckets to the octave"
    assert grid.bucket_of_ns(1_000_000_100) == one_second + 1
    assert grid.upper_bound_s(grid.BUCKETS - 1) == 512.0


@pytest.mark.parametrize(
    ("elapsed_ms", "band"), [(0, 0), (999.9, 0), (1000, 1), (2999, 1), (3000, 2), (7999, 2), (8000, 3), (1e9, 3)]
)
def test_a_bound_belongs_to_the_band_above(elapsed_ms: float, band: int) -> None:
    assert bands.band_of_ms(elapsed_ms, bands.DEFAULT_BOUNDS_MS) == band
    assert band < bands.BANDS
