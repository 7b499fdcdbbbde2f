"""The metrics page as Prometheus reads it: documented, adding up, exact, and empty where nothing is known."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from rollcall.ingest.agent import Door
from rollcall.kube.review import PodIdentity
from rollcall.serve.metrics import OperatorMetrics, make_metrics_app
from rollcall_agent.wire import grid
from tests.unit.serve.conftest import Live

DOCS = Path(__file__).parents[3] / "docs" / "metrics.md"
Samples = dict[str, list[tuple[dict[str, str], float]]]


async def nobody(_: str) -> PodIdentity | None:
    return None


class Page:
    """The page behind its HTTP door."""

    def __init__(self, live: Live) -> None:
        self.waiting: list[str] = []
        self.door = Door(live.roll, nobody, lambda: 0.0, "0.1.0")
        self.metrics = OperatorMetrics(self.door, live.publisher)
        self.http: TestClient[Any, Any] = TestClient(TestServer(make_metrics_app(self.metrics, lambda: self.waiting)))

    async def read(self) -> Samples:
        text = await (await self.http.get("/metrics")).text()
        found: Samples = defaultdict(list)
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found[sample.name].append((sample.labels, sample.value))
        return found


@pytest.fixture
async def page(live: Live) -> AsyncIterator[Page]:
    made = Page(live)
    async with made.http:
        yield made


def of(samples: Samples, name: str, **labels: str) -> float:
    (value,) = [value for found, value in samples[name] if labels.items() <= found.items()]
    return value


def busy(live: Live) -> None:
    for _ in range(3):
        live.serve("newsfeed", "uid-a", [0.05, 0.05, 0.4], errors=1, in_flight=3, bands=(1, 1, 1, 0))
        live.turn()
    live.fleets["newsfeed"].desired = 4
    bare = live.fleets["newsfeed"].pods["uid-a"].facts
    live.fleets["newsfeed"].upsert(type(bare)("uid-b", "pod-b", "shop", running=True))
    live.turn(0.1)


async def test_every_name_is_documented_and_every_documented_name_is_there(page: Page, live: Live) -> None:
    busy(live)
    page.door.counters.rejected["BadFrame"] = 1
    page.metrics.on_decision("shop", "Injected", 0.001)
    page.metrics.status_writes["written"] += 1
    page.metrics.certificate_seconds_left = lambda: 5.0
    found = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in await page.read() if name.startswith("rollcall_")}
    documented = set(re.findall(r"^\| `(rollcall_\w+)` \|", DOCS.read_text(), flags=re.MULTILINE))
    assert found == documented


async def test_service_series(page: Page, live: Live) -> None:
    busy(live)
    samples = await page.read()
    shop = {"namespace": "shop", "service": "newsfeed"}
    assert of(samples, "rollcall_service_requests_total", **shop) == 9
    assert of(samples, "rollcall_service_errors_total", **shop) == 3
    assert of(samples, "rollcall_service_requests_per_second", **shop) == 6
    assert of(samples, "rollcall_service_desired_pods", **shop) == 4
    assert of(samples, "rollcall_service_bare_pods", reason="WebhookUnavailable", **shop) == 1
    assert of(samples, "rollcall_service_coverage_ratio", **shop) == 0.5
    bands = {labels["band"]: value for labels, value in samples["rollcall_service_requests_in_flight"]}
    assert bands == {"0-1s": 1, "1s-3s": 1, "3s-8s": 1, "8s-": 0}
    assert of(samples, "rollcall_service_response_time_seconds", quantile="0.95", **shop) == pytest.approx(0.4, rel=0.022)
    assert sum(value for labels, value in samples["rollcall_service_health"] if labels["service"] == "newsfeed") == 1


async def test_pods_by_state_add_up(page: Page, live: Live) -> None:
    busy(live)
    samples = await page.read()
    states = {labels["state"]: value for labels, value in samples["rollcall_service_pods"] if labels["service"] == "newsfeed"}
    assert set(states) == {"pending", "serving", "unready", "silent", "bare", "leaving"}
    assert sum(states.values()) == len(live.fleets["newsfeed"].pods) == 2


async def test_the_histogram_is_exact(page: Page, live: Live) -> None:
    times_s = [2.0**exponent * factor for exponent in range(-12, 8) for factor in (1.0, 1.2, 1.7)]
    live.serve("newsfeed", "uid-a", times_s)
    live.turn()
    samples = await page.read()
    buckets = [
        (float(labels["le"]), value)
        for labels, value in samples["rollcall_service_response_seconds_bucket"]
        if labels["service"] == "newsfeed"
    ]
    assert [bound for bound, _ in buckets] == sorted(bound for bound, _ in buckets)
    assert buckets[-1] == (math.inf, len(times_s))
    assert 40 <= len(buckets) <= 60
    for bound, count in buckets:
        assert count == sum(round(time_s * 1e9) <= bound * 1e9 * (1 + 1e-8) for time_s in times_s), bound
    assert of(samples, "rollcall_service_response_seconds_count", service="newsfeed") == len(times_s)
    assert of(samples, "rollcall_service_response_seconds_sum", service="newsfeed") == pytest.approx(sum(times_s), rel=1e-6)
    bounds = {f"{grid.upper_bound_s(bucket):.9g}" for bucket in range(grid.BUCKETS)}
    assert {f"{bound:.9g}" for bound, _ in buckets[:-1]} <= bounds


async def test_what_is_not_known_is_absent(page: Page) -> None:
    samples = await page.read()
    for name in (
        "requests_per_second", "requests_in_flight", "oldest_request_seconds", "response_time_seconds", "coverage_ratio",
        "desired_pods",
    ):  # fmt: skip
        assert not samples[f"rollcall_service_{name}"], name
    assert of(samples, "rollcall_service_requests_total", service="newsfeed") == 0


async def test_a_service_that_left_is_gone_from_the_next_page(page: Page, live: Live) -> None:
    live.roll.drop(("shop", "newsfeed"))
    assert {labels["service"] for labels, _ in (await page.read())["rollcall_service_pods"]} == {"ledger"}


async def test_only_the_leader_speaks_of_services(page: Page, live: Live) -> None:
    busy(live)
    live.publisher.leading = False
    samples = await page.read()
    assert not [name for name in samples if name.startswith("rollcall_service_")]
    assert of(samples, "rollcall_leader") == 0
    live.publisher.leading = True
    assert of(await page.read(), "rollcall_leader") == 1


async def test_openmetrics_where_it_is_asked_for(page: Page, live: Live) -> None:
    busy(live)
    response = await page.http.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert "openmetrics" in response.headers["Content-Type"]
    names = {family.name for family in parse_openmetrics(await response.text())}
    assert {"rollcall_service_pods", "rollcall_service_requests", "rollcall_service_response_seconds"} <= names


async def test_counters_of_the_door(page: Page) -> None:
    page.door.counters.reports, page.door.counters.bytes = 7, 900
    page.door.counters.rejected = {"TokenRejected": 2, "BadFrame": 1}
    samples = await page.read()
    assert of(samples, "rollcall_reports_total") == 7
    assert of(samples, "rollcall_report_bytes_total") == 900
    assert of(samples, "rollcall_agents_rejected_total", code="TokenRejected") == 2


async def test_health_and_readiness(page: Page) -> None:
    assert (await page.http.get("/healthz")).status == 200
    assert (await page.http.get("/readyz")).status == 200
    page.waiting = ["certificates", "namespaces"]
    response = await page.http.get("/readyz")
    assert (response.status, await response.text()) == (503, "not ready: certificates, namespaces\n")
    assert (await page.http.get("/healthz")).status == 200
