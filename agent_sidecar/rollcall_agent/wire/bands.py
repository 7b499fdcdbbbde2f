"""Bands: classes of in-flight requests by elapsed time.

Three bounds make four bands: below the first, between first and second, between second and third, and from the third on.
"""

from __future__ import annotations

from typing import Sequence

BANDS = 4
DEFAULT_BOUNDS_MS = (1000, 3000, 8000)


def band_of_ms(elapsed_ms: float, bounds_ms: Sequence[int]) -> int:
    """The band, 0..BANDS-1, of a request that has been in flight for `elapsed_ms`; a bound belongs to the band above it."""
    for band, bound in enumerate(bounds_ms):
        if elapsed_ms < bound:
            return band
    return len(bounds_ms)
