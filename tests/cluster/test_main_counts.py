"""Counts and percentiles against the truth: what the load generator sent, and what the application itself measured."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rollcall_agent.wire.grid import RELATIVE_ERROR
from tests.cluster.observe import LiveStream, until
from tests.harness.cluster import Cluster
from tests.harness.install import Rollcall
from tests.harness.truth import ApplicationLog, LoadPod, load_options

pytestmark = pytest.mark.cluster

AROUND_US = 200
"""The probe measures around the application's own measurement; what lies between is the server's bookkeeping."""


def test_counts_are_exact_over_a_scale_in(
    cluster: Cluster, rollcall: Rollcall, shop: str, measured: Callable[[str, object], None]
) -> None:
    """A minute of 300 requests/s while newsfeed scales 2 → 4 → 2: not one request lost or counted twice."""
    before = rollcall.picture(shop, "newsfeed")["totals"]
    load = LoadPod(cluster, shop)
    load.start(*load_options(shop, rate=300, seconds=60, mix="/=8,/feed/{user}=3,/slow=0.5,/fail=0.1"))
    time.sleep(10)
    cluster.kubectl("-n", shop, "scale", "deployment/newsfeed", "--replicas=4")
    time.sleep(20)
    cluster.kubectl("-n", shop, "scale", "deployment/newsfeed", "--replicas=2")
    truth = load.wait(150)
    load.delete()
    answered = truth.answered
    failed = sum(count for status, count in truth.statuses.items() if status.startswith("5"))
    after = rollcall.wait_for(
        shop,
        "newsfeed",
        lambda picture: picture["totals"]["requests"] - before["requests"] >= answered and picture["pods"]["total"] == 2,
        "everything is counted",
        timeout_s=40,
    )["totals"]
    measured("requests sent/counted over a scale-in", f"{truth.sent}/{after['requests'] - before['requests']}")
    assert truth.errors == {}
    assert after["requests"] - before["requests"] == answered == truth.sent
    assert after["errors"] - before["errors"] == failed > 0
    assert after["lost"] == before["lost"]


def test_percentiles_are_those_of_the_application(
    cluster: Cluster, shop: str, tmp_path: Path, measured: Callable[[str, object], None]
) -> None:
    """p50, p95 and p99 of a burst that fits the window, against the raw latencies in the application's log."""
    rate, seconds = 100, 6
    with ApplicationLog(cluster, shop, "app=newsfeed", "web", tmp_path) as log, LiveStream(cluster, shop, "newsfeed") as live:
        live.wait(lambda picture: picture["traffic"]["responseTime"]["p95"] is None, 30, "a quiet window")
        counted = live.newest["totals"]["requests"]
        load = LoadPod(cluster, shop)
        load.start(*load_options(shop, rate=rate, seconds=seconds, mix="/=5,/feed/{user}=3,/slow=3"))
        live.wait(lambda picture: picture["totals"]["requests"] - counted == rate * seconds, 30, "the whole burst is counted")
        times = live.newest["traffic"]["responseTime"]
        spread_s = _span_of_counting(live, counted)
        load.wait(30)
        load.delete()
        raw = sorted(request.latency_us for request in log.served_all(rate * seconds))
    assert len(raw) == rate * seconds
    assert spread_s < live.newest["traffic"]["windowSeconds"], "the burst did not fit the window; the machine is too busy"
    for name, rank in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        true_us = raw[math.ceil(rank * len(raw)) - 1]
        shown_us = times[name] * 1e6
        measured(f"{name}: application/shown ms", f"{true_us / 1000:.2f}/{shown_us / 1000:.2f}")
        assert -RELATIVE_ERROR * true_us <= shown_us - true_us <= RELATIVE_ERROR * true_us + AROUND_US, name


def _span_of_counting(live: LiveStream, counted: int) -> float:
    """Seconds between the first and the last moment in which the total grew."""
    grown = [at for at, picture in live.samples if picture["totals"]["requests"] > counted]
    last = live.newest["totals"]["requests"]
    end = next(at for at, picture in live.samples if picture["totals"]["requests"] == last)
    return end - grown[0]


@pytest.mark.parametrize(
    ("service", "path"), [("newsfeed", "/hang/{seconds}"), ("legacy", "/hang.php?s={seconds}")], ids=["python", "php"]
)
def test_a_hanging_request_moves_through_the_bands(cluster: Cluster, shop: str, service: str, path: str) -> None:
    """Shown in flight, in the right band, within a second of entering it, while it hangs; gone when it ends."""
    with LiveStream(cluster, shop, service) as live:
        live.wait(lambda picture: not (picture["traffic"]["inFlight"] or {}).get("total"), 20, "nothing in flight")
        load = LoadPod(cluster, shop)
        load.start(*load_options(shop, service=service, rate=1, seconds=1, mix=path.format(seconds=10) + "=1"))
        begun = until(
            lambda: live.first(lambda picture: (picture["traffic"]["inFlight"] or {}).get("total") == 1), 20, "one in flight"
        )
        live.wait(lambda picture: picture["traffic"]["inFlight"]["total"] == 0, 20, "the request ended")
        load.wait(30)
        load.delete()
    bounds_s = [0.0, *(bound / 1000 for bound in live.newest["bandsMs"])]
    for band, bound_s in enumerate(bounds_s):
        shown = live.first(lambda picture, band=band: picture["traffic"]["inFlight"]["bands"][band] == 1, begun)
        assert shown is not None, f"band {band} was never shown"
        assert shown - begun <= bound_s + 1.0, f"band {band} came {shown - begun:.1f} s after the begin"
    for _, picture in live.samples:
        in_flight = picture["traffic"]["inFlight"]
        if in_flight is None:  # no probe had told of any request yet: no data, which is not 0
            assert picture["totals"]["requests"] == 0
            continue
        assert in_flight["total"] == sum(in_flight["bands"]) <= 1
        if in_flight["total"]:
            expected = sum(in_flight["oldest"] >= bound for bound in bounds_s[1:])
            assert in_flight["bands"][expected] == 1
