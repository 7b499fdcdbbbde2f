"""Whose fault it is, against independent truths: what the dependency itself accounts, what the load generator saw.

Part of `make accuracy`; see `test_accuracy.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import pytest

from rollcall_agent.wire.grid import RELATIVE_ERROR
from tests.cluster.accuracy_table import Table
from tests.cluster.observe import LiveStream
from tests.cluster.orders import account, control, dependency, orders, start
from tests.harness.cluster import Cluster
from tests.harness.install import Rollcall
from tests.harness.truth import LoadPod

pytestmark = pytest.mark.cluster
__all__ = ["orders"]

NEIGHBOUR = "http backing:8081"
BETWEEN_MS = 2.0
"""The caller also sees the way there and back and its own client library, on a machine that does much else."""


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    made = Table()
    yield made
    made.write("causes")


@pytest.fixture(scope="module")
def seen(cluster: Cluster, orders: str, table: Table) -> tuple[list[int], dict[str, Any], dict[str, Any], Any]:
    """A burst of charges that fits the window: the neighbour's account, the picture before and after, the generator's truth."""
    control(cluster, "spread", 120)
    with LiveStream(cluster, orders, "orders") as live:
        before = live.newest
        counted = before["totals"]["requests"]
        load = LoadPod(cluster, orders)
        start(load, "/checkout=1", rate=40, seconds=6)
        live.wait(lambda picture: picture["totals"]["requests"] - counted == 240, 30, "the whole burst is counted")
        after = live.newest
        truth = load.wait(30)
        load.delete()
    control_account = account(cluster)
    control(cluster, "delay", 5)
    assert truth.errors == {}
    return control_account, before, after, truth


def test_calls(seen: tuple[list[int], dict[str, Any], dict[str, Any], Any], table: Table) -> None:
    charged, before, after, _ = seen
    known, row = dependency(before, NEIGHBOUR), dependency(after, NEIGHBOUR)
    assert row is not None
    table.exact(f"orders: calls of {NEIGHBOUR}", len(charged), row["calls"] - (known or {"calls": 0})["calls"])
    table.exact(f"orders: failed calls of {NEIGHBOUR}", 0, row["failed"] - (known or {"failed": 0})["failed"])


def test_latency(seen: tuple[list[int], dict[str, Any], dict[str, Any], Any], table: Table) -> None:
    charged, _, after, _ = seen
    row, raw = dependency(after, NEIGHBOUR), sorted(charged)
    assert row is not None
    for name, rank in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        true_ms = raw[math.ceil(rank * len(raw)) - 1] / 1000
        table.within(f"orders: {name} of {NEIGHBOUR}", true_ms, row[name] * 1000, RELATIVE_ERROR, "ms", BETWEEN_MS)
    table.within(f"orders: mean of {NEIGHBOUR}", sum(raw) / len(raw) / 1000, row["mean"] * 1000, 0.022, "ms", BETWEEN_MS)


def test_share(seen: tuple[list[int], dict[str, Any], dict[str, Any], Any], table: Table) -> None:
    """Of all response time as the application's users had it."""
    charged, _, after, truth = seen
    row = dependency(after, NEIGHBOUR)
    assert row is not None
    mean_us = truth.endpoints["/checkout"]["latency_us"]["from_start"]["mean"]
    table.share(f"orders: share of {NEIGHBOUR}", sum(charged) / (mean_us * truth.answered), row["share"])


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
