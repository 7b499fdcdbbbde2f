"""Totals over all pods that ever were."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from .picture import Totals
from .rows import COUNTERS


def add(before: Totals, counted: Mapping[str, int]) -> Totals:
    """What was counted before, and what rows have counted."""
    _, finished, errors, duration_us, lost = (counted[name] for name in COUNTERS)
    return Totals(
        requests=before.requests + finished,
        errors=before.errors + errors,
        lost=before.lost + lost,
        duration_microseconds=before.duration_microseconds + duration_us,
    )


def at_least(counted: Totals, floor: Totals) -> Totals:
    """The larger of both, field by field."""
    return Totals(
        requests=max(counted.requests, floor.requests),
        errors=max(counted.errors, floor.errors),
        lost=max(counted.lost, floor.lost),
        duration_microseconds=max(counted.duration_microseconds, floor.duration_microseconds),
    )


def plus(one: Totals, other: Totals) -> Totals:
    """The sum of both."""
    return Totals(*(a + b for a, b in zip(msgspec.structs.astuple(one), msgspec.structs.astuple(other), strict=True)))


def minus(one: Totals, other: Totals) -> Totals:
    """The first less the second."""
    return Totals(*(a - b for a, b in zip(msgspec.structs.astuple(one), msgspec.structs.astuple(other), strict=True)))
