"""Whose fault it is, against independent truths: what the dependency itself accounts, what the load generator saw.

Part of `make accuracy`; see `test_accuracy.py`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from rollcall_agent.wire.grid import RELATIVE_ERROR
from tests.cluster.accuracy_table import Table
from tests.cluster.observe import LiveStream, Picture
from tests.cluster.orders import account, control, dependency, orders, start
from tests.harness.cluster import Cluster
from tests.harness.install import Rollcall
from tests.harness.truth import LoadPod

pytestmark = pytest.mark.cluster
__all__ = ["orders"]

NEIGHBOUR = "http backing:8081"
RATE, SECONDS = 40, 6
AROUND_MS = 1.0
"""The application's clock runs around its client library, the probe's within that."""


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    made = Table()
    yield made
    made.write("causes")


class Burst(NamedTuple):
    """A burst of charges that fits the window, as the application, the neighbour and Rollcall saw it."""

    charges_us: list[int]
    """By the application's clock, around its call."""
    requests_us: list[int]
    account_us: list[int]
    """By the neighbour's clock."""
    before: Picture
    after: Picture

    @property
    def row(self) -> dict[str, Any]:
        found = dependency(self.after, NEIGHBOUR)
        assert found is not None
        return found


@pytest.fixture(scope="module")
def burst(cluster: Cluster, orders: str, table: Table) -> Burst:
    control(cluster, "spread", 120)
    with LiveStream(cluster, orders, "orders") as live:
        before = live.newest
        load = LoadPod(cluster, orders)
        start(load, "/checkout=1", rate=RATE, seconds=SECONDS)
        counted = before["totals"]["requests"] + RATE * SECONDS
        live.wait(lambda picture: picture["totals"]["requests"] == counted, 30, "the whole burst is counted")
        after = live.newest
        truth = load.wait(30)
        load.delete()
    account_us = account(cluster)
    control(cluster, "delay", 5)
    assert truth.errors == {}
    lines = cluster.kubectl("-n", orders, "logs", "-l", "app=orders", "-c", "web", "--tail=-1").splitlines()
    written = [json.loads(line) for line in lines if line.startswith("{")]
    charges_us = [line["charge_us"] for line in written if "charge_us" in line]
    requests_us = [line["latency_us"] for line in written if line.get("path") == "/checkout"]
    return Burst(charges_us, requests_us, account_us, before, after)


def test_calls(burst: Burst, table: Table) -> None:
    known = dependency(burst.before, NEIGHBOUR) or {"calls": 0, "failed": 0}
    table.exact(f"orders: calls of {NEIGHBOUR}", len(burst.account_us), burst.row["calls"] - known["calls"])
    table.exact(f"orders: failed calls of {NEIGHBOUR}", 0, burst.row["failed"] - known["failed"])


def test_latency(burst: Burst, table: Table) -> None:
    raw = sorted(burst.charges_us)
    assert len(raw) == RATE * SECONDS
    for name, rank in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        true_ms = raw[math.ceil(rank * len(raw)) - 1] / 1000
        table.within(f"orders: {name} of {NEIGHBOUR}", true_ms, burst.row[name] * 1000, RELATIVE_ERROR, "ms", AROUND_MS)
    table.within(f"orders: mean of {NEIGHBOUR}", sum(raw) / len(raw) / 1000, burst.row["mean"] * 1000, 0.022, "ms", AROUND_MS)


def test_share(burst: Burst, table: Table) -> None:
    table.share(f"orders: share of {NEIGHBOUR}", sum(burst.charges_us) / sum(burst.requests_us), burst.row["share"])


def test_failures_by_reason(cluster: Cluster, rollcall: Rollcall, orders: str, table: Table) -> None:
    """A table without capacity: each refusal that the client library hides by trying again is counted all the same."""
    before = rollcall.picture(orders, "orders")
    control(cluster, "capacity", 2)
    load = LoadPod(cluster, orders)
    with LiveStream(cluster, orders, "orders") as live:
        start(load, "/feed/{user}=1", rate=4, seconds=6)
        truth = load.wait(60)
        load.delete()
        live.wait(
            lambda picture: picture["totals"]["requests"] - before["totals"]["requests"] == truth.answered,
            20,
            "all are counted",
        )
        row = dependency(live.newest, "dynamodb newsfeed")
    control(cluster, "capacity", 1000)
    log = cluster.kubectl("-n", orders, "logs", "backing", "-c", "dynamodb")
    refused = int(re.findall(r"^so far (\d+) refused$", log, re.MULTILINE)[-1])
    assert refused > 0
    assert row is not None
    table.exact("orders: calls of dynamodb newsfeed that were throttled", refused, row["failed"])
