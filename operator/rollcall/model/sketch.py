"""Quantiles of latency histograms on the wire's grid (OpenTelemetry exponential, scale 4).

A quantile is the midpoint of the bucket that holds the request of that rank, so its relative error is at most
`grid.RELATIVE_ERROR` (2.17 %) of the true value, whatever was merged. Merging is addition, done by whoever holds the counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rollcall_agent.wire import grid

Counts = npt.NDArray[np.integer]
MIDPOINTS_S: npt.NDArray[np.float64] = np.array([grid.midpoint_s(i) for i in range(grid.BUCKETS)])


def quantiles(counts: Counts, ranks: Sequence[float]) -> list[float | None]:
    """Response times in seconds at the given ranks (0..1) of one histogram, shape (BUCKETS,); None where there are no requests.

    The q-quantile of n requests is the ceil(q * n)-th smallest, as in "nearest rank".
    """
    cumulative = np.cumsum(counts, dtype=np.int64)
    total = int(cumulative[-1])
    if total <= 0:
        return [None] * len(ranks)
    wanted = [max(1, int(np.ceil(rank * total))) for rank in ranks]
    buckets = np.searchsorted(cumulative, wanted, side="left")
    return [float(MIDPOINTS_S[bucket]) for bucket in buckets]


def quantile_of_each(counts: Counts, rank: float) -> npt.NDArray[np.float64]:
    """One quantile in seconds for each of n histograms, shape (n, BUCKETS) → (n,); NaN where a row has no requests. A row's sum
    must fit the type of the counts."""
    cumulative = np.cumsum(counts, axis=1, dtype=counts.dtype)
    totals = cumulative[:, -1]
    wanted = np.maximum(1, np.ceil(rank * totals)).astype(counts.dtype)
    buckets = np.argmax(cumulative >= wanted[:, None], axis=1)
    return np.where(totals > 0, MIDPOINTS_S[buckets], np.nan)
