"""Chooses which finished requests are told one by one: all slow and failed ones as far as there is room, and a fair sample."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

from ..wire import layout

RESERVED = 4
"""One part in so many is kept for requests that are neither slow nor failed, however many of the others there are."""
_MAX_WEIGHT = 0xFFFF
Point = tuple[int, ...]
Entry = TypeVar("Entry")


def choose(points: Sequence[tuple[Point, Entry]], slow_us: int, room: int) -> list[tuple[Point, Entry, int]]:
    """At most `room` of (fields of `layout.POINT`, whatever goes with it), each with its weight; the weights of both groups,
    notable and ordinary, add up to the size of the group."""
    notable = [each for each in points if each[0][1] >= slow_us or each[0][7] & layout.OUTCOME_ERROR]
    chosen = {id(each) for each in notable}
    ordinary = [each for each in points if id(each) not in chosen]
    reserved = min(len(ordinary), room // RESERVED)
    first = _thin(notable, room - reserved)
    return first + _thin(ordinary, room - len(first))


def _thin(group: Sequence[tuple[Point, Entry]], room: int) -> list[tuple[Point, Entry, int]]:
    """Every so many of a group; each stands for itself and those that were left out before it."""
    size = len(group)
    kept = min(size, max(0, room))
    bounds = [size * i // kept for i in range(kept + 1)] if kept else []
    return [(*group[end - 1], min(end - start, _MAX_WEIGHT)) for start, end in pairwise(bounds)]
