"""The latency histogram's grid: OpenTelemetry's exponential buckets at scale 4 (Prometheus native schema 4).

Bucket boundaries are powers of 2**(1/16) seconds, so merging two histograms is adding their counts and exporting them is
exact. Everything at or below the first upper bound falls into bucket 0, everything above the last lower bound into the last.
Imported by the probe inside the application's process too: Python 3.8, standard library only.

Source: OpenTelemetry metrics data model, "ExponentialHistogram"; Prometheus native histograms, schema 4.
"""

from __future__ import annotations

from math import ceil, log2

SCALE = 4
PER_OCTAVE: int = 2**SCALE
BASE: float = 2.0 ** (1.0 / PER_OCTAVE)
LOWEST = -17 * PER_OCTAVE
"""Index, in OpenTelemetry's numbering, of our bucket 0: (2**-17 s, 2**-17 * BASE s], about 7.6 microseconds."""
BUCKETS = 26 * PER_OCTAVE
"""Number of buckets; the last one ends at 2**9 = 512 seconds."""
RELATIVE_ERROR = (BASE - 1) / (BASE + 1)
"""Largest relative error of a value that is replaced by its bucket's `midpoint`: 2.17 %."""

NS_OFFSET = log2(1e9) * PER_OCTAVE + LOWEST + 1
"""What `bucket_of_ns` takes off: its index is that of nanoseconds, ours begins at LOWEST."""


def bucket_of_ns(elapsed_ns: int) -> int:
    """The bucket, 0..BUCKETS-1, of a duration in nanoseconds.

    OpenTelemetry's upper-inclusive mapping: value in (BASE**i, BASE**(i+1)] has index i = ceil(log2(value) * 16) - 1.
    """
    if elapsed_ns < 1:
        return 0
    index = ceil(log2(elapsed_ns) * PER_OCTAVE - NS_OFFSET)
    if index < 0:
        return 0
    return index if index < BUCKETS else BUCKETS - 1


def upper_bound_s(bucket: int) -> float:
    """The inclusive upper bound of a bucket in seconds."""
    return float(2.0 ** ((LOWEST + bucket + 1) / PER_OCTAVE))


def midpoint_s(bucket: int) -> float:
    """The value in seconds that stands for a bucket: the harmonic mean of its bounds, which makes the relative error
    equal, and smallest, at both ends."""
    upper = upper_bound_s(bucket)
    lower = upper / BASE
    return 2.0 * lower * upper / (lower + upper)
