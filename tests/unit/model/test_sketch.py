"""Quantiles against the exact quantiles of the raw samples; merging is the same as having counted everything in one place."""

from __future__ import annotations

from math import ceil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcall.model.sketch import MIDPOINTS_S, quantile_of_each, quantiles
from rollcall_agent.wire import grid

# Within the grid: above its first bucket's lower bound and below its end.
TIMES_NS = st.integers(min_value=8_000, max_value=511_000_000_000)
SAMPLES = st.lists(TIMES_NS, min_size=1, max_size=200)
RANKS = (0.0, 0.01, 0.5, 0.9, 0.95, 0.99, 1.0)


def histogram(samples_ns: list[int]) -> np.ndarray:
    counts = np.zeros(grid.BUCKETS, dtype=np.uint32)
    for sample_ns in samples_ns:
        counts[grid.bucket_of_ns(sample_ns)] += 1
    return counts


def exact_s(samples_ns: list[int], rank: float) -> float:
    """Nearest rank."""
    return sorted(samples_ns)[max(1, ceil(rank * len(samples_ns))) - 1] / 1e9


@given(SAMPLES)
def test_error_is_within_the_grids_bound(samples_ns: list[int]) -> None:
    for rank, found_s in zip(RANKS, quantiles(histogram(samples_ns), RANKS), strict=True):
        truth_s = exact_s(samples_ns, rank)
        assert found_s is not None
        assert abs(found_s - truth_s) <= truth_s * (grid.RELATIVE_ERROR + 1e-9)


@given(st.lists(SAMPLES, min_size=1, max_size=8))
@settings(max_examples=50)
def test_merged_pods_are_the_same_as_all_samples_in_one_place(pods: list[list[int]]) -> None:
    merged = sum((histogram(pod).astype(np.int64) for pod in pods), np.zeros(grid.BUCKETS, dtype=np.int64))
    everything = [sample for pod in pods for sample in pod]
    assert quantiles(merged, RANKS) == quantiles(histogram(everything), RANKS)


@given(st.lists(st.lists(TIMES_NS, max_size=50), min_size=1, max_size=8), st.sampled_from(RANKS))
@settings(max_examples=50)
def test_quantile_of_each_agrees_with_one_at_a_time(pods: list[list[int]], rank: float) -> None:
    found = quantile_of_each(np.stack([histogram(pod) for pod in pods]), rank)
    for pod, value in zip(pods, found, strict=True):
        assert (None if np.isnan(value) else value) == quantiles(histogram(pod), [rank])[0]


def test_no_requests_have_no_response_time() -> None:
    empty = np.zeros(grid.BUCKETS, dtype=np.uint32)
    assert quantiles(empty, (0.5, 0.99)) == [None, None]
    assert np.isnan(quantile_of_each(np.stack([empty, empty]), 0.5)).all()


@pytest.mark.parametrize("bucket", [0, 1, 100, grid.BUCKETS - 1])
def test_one_request_is_every_quantile(bucket: int) -> None:
    counts = np.zeros(grid.BUCKETS, dtype=np.uint32)
    counts[bucket] = 1
    assert quantiles(counts, RANKS) == [MIDPOINTS_S[bucket]] * len(RANKS)


def test_counts_beyond_32_bits_add_up() -> None:
    counts = np.zeros(grid.BUCKETS, dtype=np.int64)
    counts[10], counts[20] = 2**33, 2**33 + 1
    assert quantiles(counts, (0.5, 0.51)) == [MIDPOINTS_S[20], MIDPOINTS_S[20]]
