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
from rollcall.model.departures import Cause, Verdict
from rollcall.serve.metrics import OperatorMetrics, make_metrics_app
from rollcall.store.keeper import Keeper
from rollcall_agent.wire import facts as wire
from rollcall_agent.wire import grid, report
from tests.unit.model.agents import facts
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
    live.fleets["newsfeed"].gaps = {"ImagePull": 2}
    live.fleets["newsfeed"].ledger.left(bare, Verdict(Cause.SCALE_IN, "wants 4 pods, and had 5", True), 1000.0)
    live.turn(0.1)


def telling(live: Live) -> None:
    """A second pod tells everything there is to tell."""
    fleet = live.fleets["newsfeed"]
    fleet.upsert(facts("uid-c"))
    session = live.roll.open("uid-c", "shop", "pod-c", "e1", 0, live.now_s)
    session.define(wire.pack_names(wire.ENDPOINT_NAMES, [(1, "GET /feed"), (2, 'GET /"<\\x>\n"')]))
    session.define(wire.pack_names(wire.ERROR_NAMES, [(1, "exception ValueError"), (2, "abort client")]))
    session.define(wire.pack_names(wire.DEPENDENCY_NAMES, [(1, "dynamodb newsfeed")]))
    session.tell_sources(["python", "otlp"])
    records = [
        *((kind, endpoint, argument, 4) for endpoint in (1, 2) for kind, argument in ((wire.REQUESTS, 0), (wire.CELL, 200))),
        (wire.FAILURES, 1, 0, 3),
        (wire.ERRORS, 1, 0, 3),
        (wire.ERRORS, 2, 0, 2),
        *((wire.VISITOR, 0, register << 8 | 1, 1) for register in range(10)),
        *((wire.SIGHTING, 0, 77, age_ms) for age_ms in (0, 2000)),
        *((kind, endpoint, 0, 400_000) for endpoint in (1, 2) for kind in (wire.DURATION,)),
        *(
            (wire.CALLS, 1, 0, 10),
            (wire.CALL_CELL, 1, 200, 10),
            (wire.CALL_DURATION, 1, 0, 300_000),
            (wire.WAITED, 1, 0, 200_000),
        ),
        *((wire.CALL_FAILURES, 1, wire.REASONS.index(reason), count) for reason, count in (("throttled", 4), ("timeout", 1))),
        *((wire.UNANSWERED, 1, 11, 2), (wire.DEATHS, 0, 11, 1), (wire.DEATHS, 0, 6, 3)),
    ]
    session.accept_facts(wire.pack_facts(1, 0, records), live.now_s)
    session.accept_event(None, live.now_s)
    used = {"resources_at_us": 10, "cpu_us": 0, "memory_bytes": 7_000_000, "busy_workers": 2, "listen_queue": 3}
    flags = report.FLAG_PROBE | report.FLAG_RESOURCES | report.FLAG_LISTEN_QUEUE
    for beat in range(2):
        session.accept(
            report.pack(
                used
                | {"flags": flags, "workers": 4, "in_flight": 2, "started": beat * 9, "finished": beat * 9}
                | {"resources_at_us": 10 + beat * 10**6, "cpu_us": beat * 250_000, "window_end_us": 10 + beat * 500_000}
            ),
            live.now_s,
        )
        live.turn()
    live.serve("newsfeed", "uid-a", [0.05], in_flight=3)
    live.turn(0.1)


async def test_every_name_is_documented_and_every_documented_name_is_there(page: Page, live: Live) -> None:
    busy(live)
    telling(live)
    page.door.counters.rejected["BadFrame"] = 1
    page.metrics.on_decision("shop", "Injected", 0.001)
    page.metrics.status_writes["written"] += 1
    page.metrics.certificate_seconds_left = lambda: 5.0
    store = Keeper(None, live.roll, dict)
    store.writes["written"] += 1
    store.copies["taken"] += 1
    page.metrics.watch_store(store)
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
    assert of(samples, "rollcall_service_gap_pods", reason="ImagePull", **shop) == 2
    assert of(samples, "rollcall_service_coverage_ratio", **shop) == 0.5
    bands = {labels["band"]: value for labels, value in samples["rollcall_service_requests_in_flight"]}
    assert bands == {"0-1s": 1, "1s-3s": 1, "3s-8s": 1, "8s-": 0}
    assert of(samples, "rollcall_service_response_time_seconds", quantile="0.95", **shop) == pytest.approx(0.4, rel=0.022)
    assert sum(value for labels, value in samples["rollcall_service_health"] if labels["service"] == "newsfeed") == 1


async def test_series_of_signals(page: Page, live: Live) -> None:
    busy(live)
    telling(live)
    samples = await page.read()
    shop = {"namespace": "shop", "service": "newsfeed"}
    assert of(samples, "rollcall_endpoint_requests_total", endpoint="GET /feed", **shop) == 4
    assert of(samples, "rollcall_endpoint_errors_total", endpoint="GET /feed", **shop) == 3
    assert of(samples, "rollcall_endpoint_response_time_seconds", endpoint="GET /feed", quantile="0.95", **shop) > 0
    assert of(samples, "rollcall_errors_total", kind="exception", type="ValueError", **shop) == 3
    assert of(samples, "rollcall_errors_total", kind="abort", type="client", **shop) == 2
    for window in ("5m", "hour", "day"):
        assert of(samples, "rollcall_service_visitors", window=window, **shop) == 10
    # 10 requests in 1.6 s, and 2 s between two of the same visitor
    rate = live.publisher.summary(live.fleets["newsfeed"]).traffic.window_requests_per_second
    assert rate is not None
    assert of(samples, "rollcall_service_concurrent_users", **shop) == pytest.approx(2 * rate)
    assert of(samples, "rollcall_service_cpu_millicores", **shop) == pytest.approx(250)
    assert of(samples, "rollcall_service_memory_bytes", **shop) == 7_000_000
    assert of(samples, "rollcall_service_workers", **shop) == 2 + 4
    assert of(samples, "rollcall_service_busy_workers", **shop) == 2
    assert of(samples, "rollcall_service_listen_queue", **shop) == 3
    assert of(samples, "rollcall_service_imbalance_ratio", of="requests", **shop) >= 1
    assert of(samples, "rollcall_service_unreadable_frames_total", kind="event", **shop) == 1


async def test_series_of_causes(page: Page, live: Live) -> None:
    busy(live)
    telling(live)
    samples = await page.read()
    shop = {"namespace": "shop", "service": "newsfeed"}
    table = {"dependency": "dynamodb newsfeed", **shop}
    assert of(samples, "rollcall_dependency_calls_total", **table) == 10
    failures = {labels["reason"]: value for labels, value in samples["rollcall_dependency_failures_total"]}
    assert failures == {"throttled": 4, "timeout": 1}
    assert of(samples, "rollcall_dependency_duration_seconds", quantile="0.95", **table) > 0
    assert of(samples, "rollcall_dependency_share_ratio", **table) == pytest.approx(0.25)
    assert of(samples, "rollcall_dependency_concurrency", **table) > 0
    assert of(samples, "rollcall_dependency_throttled_per_second", reason="throttled", **table) > 0
    assert of(samples, "rollcall_unanswered_total", endpoint="GET /feed", **shop) == 2
    deaths = {labels["signal"]: value for labels, value in samples["rollcall_worker_deaths_total"]}
    assert deaths == {"SIGSEGV": 1, "SIGABRT": 3}
    parts = {labels["class"]: value for labels, value in samples["rollcall_service_time_ratio"]}
    assert set(parts) == {"cpu", "dependency", "queue", "throttling", "other", "unknown"}
    assert sum(parts.values()) == pytest.approx(1)
    assert {labels["source"]: value for labels, value in samples["rollcall_service_source_pods"]} == {"python": 1, "otlp": 1}


async def test_a_hostile_name_is_a_label_and_nothing_else(page: Page, live: Live) -> None:
    telling(live)
    text = await (await page.http.get("/metrics")).text()
    (line,) = [each for each in text.splitlines() if each.startswith("rollcall_endpoint_requests_total") and "x>" in each]
    assert line == (
        'rollcall_endpoint_requests_total{endpoint="GET /\\"<\\\\x>\ufffd\\"",namespace="shop",service="newsfeed"} 4.0'
    )


async def test_the_page_is_bounded(page: Page, live: Live) -> None:
    telling(live)
    before = len((await (await page.http.get("/metrics")).text()).splitlines())
    for number in range(8):
        uid = f"uid-{number}"
        live.fleets["newsfeed"].upsert(facts(uid))
        session = live.roll.open(uid, "shop", uid, "e1", 0, live.now_s)
        names = [(index, f"exception {number}.{index}") for index in range(1, wire.MAX_IDS)]
        for table in (wire.ENDPOINT_NAMES, wire.ERROR_NAMES):
            for start in range(0, len(names), 100):
                session.define(wire.pack_names(table, names[start : start + 100]))
        records = [(kind, index, 0, 1) for kind in (wire.REQUESTS, wire.ERRORS, wire.CELL) for index, _ in names]
        session.accept_facts(wire.pack_facts(1, 0, records), live.now_s)
    live.turn()
    after = len((await (await page.http.get("/metrics")).text()).splitlines())
    assert 256 * 3 <= after - before + 20 <= 256 * 3 + 51 * 3 + 20


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
    assert not [name for name in samples if name.startswith(("rollcall_endpoint_", "rollcall_errors_", "rollcall_dependency_"))]
    for name in (
        "visitors", "concurrent_users", "imbalance_ratio", "cpu_millicores", "memory_bytes", "workers", "busy_workers",
        "listen_queue", "requests_per_second", "requests_in_flight", "oldest_request_seconds", "response_time_seconds",
        "coverage_ratio", "desired_pods", "time_ratio", "source_pods",
    ):  # fmt: skip
        assert not samples[f"rollcall_service_{name}"], name
    assert of(samples, "rollcall_service_requests_total", service="newsfeed") == 0
    assert not samples["rollcall_worker_deaths_total"] + samples["rollcall_unanswered_total"]


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
