"""Promise 6 on a real cluster: how soon nine tenths of a step in traffic are in the live API."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import pytest

from tests.cluster.observe import LiveStream
from tests.harness.cluster import Cluster
from tests.harness.truth import ApplicationLog, LoadPod, load_options

pytestmark = pytest.mark.cluster

HIGH, LOW = 80, 2  # requests per second; a round of 7.1 s meets the half-second of the reports at another point each time
STEPS = 5
TYPICAL_S, WORST_S = 1.0, 1.5
"""A step right after a report waits for the end of the next whole half-second, and then for a fold: 1.25 s and the way."""


def step_times(served_at: list[datetime]) -> list[float]:
    """Unix times at which the traffic rose from LOW to HIGH: the first request after a pause that LOW alone can make, of which
    the next ten come as fast as HIGH makes them."""
    times = sorted(at.timestamp() for at in served_at)
    gaps = [0.0, *(later - earlier for earlier, later in pairwise(times))]
    steps: list[float] = []
    for number in range(len(times) - 10):
        fast = times[number + 10] - times[number] < 2 * 10 / HIGH
        if fast and gaps[number] > 0.5 / LOW and (not steps or times[number] - steps[-1] > 1):
            steps.append(times[number])
    return steps


def test_a_step_in_traffic_is_seen_in_time(
    cluster: Cluster, shop: str, tmp_path: Path, measured: Callable[[str, object], None]
) -> None:
    rates = ",".join([f"{LOW}:3", *[f"{HIGH}:3,{LOW}:4.1"] * STEPS])
    options = [option for option in load_options(shop, mix="/=1") if not option.startswith(("--rate=", "--duration="))]
    with ApplicationLog(cluster, shop, "app=newsfeed", "web", tmp_path) as log, LiveStream(cluster, shop, "newsfeed") as live:
        load = LoadPod(cluster, shop)
        load.start(*options, f"--rates={rates}")
        truth = load.wait(90)
        load.delete()
        steps = step_times([request.at for request in log.served_all(truth.answered)])
    assert len(steps) == STEPS
    delays = []
    for step in steps:
        seen = live.first(lambda picture: (picture["traffic"]["requestsPerSecond"] or 0) >= 0.9 * HIGH, step)
        assert seen is not None
        delays.append(seen - step)
    measured("90 % of a step in traffic seen after, p50/max s", f"{statistics.median(delays):.2f}/{max(delays):.2f}")
    assert statistics.median(delays) <= TYPICAL_S
    assert max(delays) <= WORST_S
