"""The garbage collector looks at everything when it is told to, and then finds what is garbage."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from rollcall.garbage import EVERY_S, Collector


@pytest.fixture(autouse=True)
def _thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


class Node:
    """Refers to itself."""

    def __init__(self) -> None:
        self.me = self


def test_everything_is_looked_at_when_it_is_time_and_not_before() -> None:
    collector = Collector(100.0)
    node = Node()
    gc.collect(1)
    gone = weakref.ref(node)
    del node
    for _ in range(50):
        gc.collect(0)
    assert not collector.round(100.0 + EVERY_S - 1)
    assert gone() is not None
    assert collector.round(100.0 + EVERY_S)
    assert gone() is None
    assert not collector.round(101.0 + EVERY_S)


def test_many_objects_that_stay_are_no_reason() -> None:
    Collector(0.0)
    before = gc.get_stats()[2]["collections"]
    kept = [[number] for number in range(300_000)]
    assert len(kept) == 300_000
    assert gc.get_stats()[2]["collections"] == before
