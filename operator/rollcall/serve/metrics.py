"""Prometheus metrics: the services as they are at the moment of the scrape, and the operator's own process.

The model is read when somebody asks, so what left is gone from the next page and nothing has to be kept in step.
Every name is explained in docs/metrics.md; a test compares the two.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator

from aiohttp import web
from prometheus_client import CollectorRegistry, GCCollector, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from rollcall.ingest.agent import Door
from rollcall.model.fleet import Fleet
from rollcall.model.health import HealthState
from rollcall.model.states import PodState
from rollcall.serve.causes import cause_families
from rollcall.serve.exposition import CounterFamily, Family, GaugeFamily, HistogramFamily
from rollcall.serve.publisher import Publisher
from rollcall.serve.signals import signal_families
from rollcall.store.keeper import Keeper
from rollcall_agent.wire import grid

SERVICE = ("namespace", "service")
SLICE_S = 0.002
"""Of a page so much is made at a time."""
_END = b"# EOF\n"
_EXPORTED = [bucket for bucket in range(grid.BUCKETS) if (grid.LOWEST + bucket + 1) % 8 == 0]
"""Every eighth bucket of the grid, so two per power of two: exact, because a coarser grid's bounds are bounds of the finer."""


class ServiceSeries:
    """The service-level series; nothing while this replica does not lead, so that no number is there twice."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def families(self) -> AsyncIterator[Family]:
        """All of them as of now, one at a time: with hundreds of services a page takes longer than others can wait."""
        fleets = list(self._publisher.roll) if self._publisher.leading else []
        since_s = time.monotonic()
        for family in self._all(fleets):
            if family is not None:
                yield family
            if time.monotonic() - since_s >= SLICE_S:
                await asyncio.sleep(0)
                since_s = time.monotonic()

    def _all(self, fleets: list[Fleet]) -> Iterator[Family | None]:
        services = []
        for fleet in fleets:
            services.append((fleet, self._publisher.summary(fleet)))
            yield None
        yield from self._pods(fleets)
        yield from self._traffic(fleets)
        yield from self._totals(fleets)
        yield from self._response_times(fleets)
        yield self._departures(fleets)
        yield from signal_families(services)
        yield from cause_families(services)

    def _pods(self, fleets: Iterable[Fleet]) -> Iterator[Family]:
        pods = GaugeFamily("rollcall_service_pods", "Pods by state; every pod is in exactly one", labels=(*SERVICE, "state"))
        desired = GaugeFamily("rollcall_service_desired_pods", "Pods that the workloads ask for", labels=SERVICE)
        bare = GaugeFamily(
            "rollcall_service_bare_pods", "Running pods without an agent, by reason", labels=(*SERVICE, "reason")
        )
        gaps = GaugeFamily(
            "rollcall_service_gap_pods",
            "Pods with an agent that do not report, or tell of no request, by reason",
            labels=(*SERVICE, "reason"),
        )
        coverage = GaugeFamily("rollcall_service_coverage_ratio", "Reporting pods / pods that should report", labels=SERVICE)
        health = GaugeFamily("rollcall_service_health", "1 for the state that the service is in", labels=(*SERVICE, "state"))
        for fleet in fleets:
            who, last = (fleet.namespace, fleet.name), fleet.last
            for state in PodState:
                pods.add((*who, state.value), last.counts[state])
            if fleet.desired is not None:
                desired.add(who, fleet.desired)
            for reason, count in last.bare.items():
                bare.add((*who, reason), count)
            for reason, count in fleet.gaps.items():
                gaps.add((*who, reason), count)
            if last.coverage is not None:
                coverage.add(who, last.coverage)
            for state_of_health in HealthState:
                health.add((*who, state_of_health.value), float(last.health.state is state_of_health))
        yield from (pods, desired, bare, gaps, coverage, health)

    def _traffic(self, fleets: Iterable[Fleet]) -> Iterator[Family]:
        rate = GaugeFamily(
            "rollcall_service_requests_per_second", "Requests per second in the last half-second", labels=SERVICE
        )
        in_flight = GaugeFamily(
            "rollcall_service_requests_in_flight",
            "Requests started and not finished, by band of elapsed time",
            labels=(*SERVICE, "band"),
        )
        oldest = GaugeFamily(
            "rollcall_service_oldest_request_seconds", "Elapsed time of the oldest request in flight", labels=SERVICE
        )
        ranks = GaugeFamily(
            "rollcall_service_response_time_seconds",
            "Response time of the last 10 seconds' requests",
            labels=(*SERVICE, "quantile"),
        )
        for fleet in fleets:
            who, last = (fleet.namespace, fleet.name), fleet.last
            if last.requests_per_second is not None:
                rate.add(who, last.requests_per_second)
            if last.in_flight is not None:
                for band, count in zip(_band_names(fleet.settings.bands_ms), last.in_flight[1], strict=True):
                    in_flight.add((*who, band), count)
                oldest.add(who, last.in_flight[2])
            for quantile, value in zip(("0.5", "0.95", "0.99"), last.ranks, strict=True):
                if value is not None:
                    ranks.add((*who, quantile), value)
        yield from (rate, in_flight, oldest, ranks)

    def _totals(self, fleets: Iterable[Fleet]) -> Iterator[Family]:
        requests = CounterFamily("rollcall_service_requests", "Requests finished, over all pods that ever were", labels=SERVICE)
        errors = CounterFamily("rollcall_service_errors", "Requests that failed", labels=SERVICE)
        lost = CounterFamily("rollcall_service_lost_requests", "Requests in flight when their worker ended", labels=SERVICE)
        for fleet in fleets:
            who, totals = (fleet.namespace, fleet.name), fleet.totals()
            requests.add(who, totals.requests)
            errors.add(who, totals.errors)
            lost.add(who, totals.lost)
        yield from (requests, errors, lost)

    def _departures(self, fleets: Iterable[Fleet]) -> Family:
        family = CounterFamily("rollcall_service_departures", "Pods that left, by cause", labels=(*SERVICE, "cause"))
        for fleet in fleets:
            for cause, count in fleet.ledger.totals.items():
                family.add((fleet.namespace, fleet.name, cause), count)
        return family

    def _response_times(self, fleets: Iterable[Fleet]) -> Iterator[Family | None]:
        family = HistogramFamily("rollcall_service_response_seconds", "Response times of finished requests", labels=SERVICE)
        for fleet in fleets:
            sums = fleet.rows.total()
            cumulative = sums.histogram.cumsum()
            buckets = [(f"{grid.upper_bound_s(i):.9g}", float(cumulative[i])) for i in _EXPORTED if i < grid.BUCKETS - 1]
            buckets.append(("+Inf", float(cumulative[-1])))
            family.add_histogram((fleet.namespace, fleet.name), buckets, sums.scalars["duration_us"] / 1e6)
            yield None
        yield family


class OperatorMetrics(Collector):
    """The operator's own figures: what it takes in, decides and writes."""

    def __init__(self, door: Door, publisher: Publisher) -> None:
        self._door = door
        self._publisher = publisher
        self._store: Keeper | None = None
        self.decisions: Counter[str] = Counter()
        self.status_writes: Counter[str] = Counter()
        self.certificate_seconds_left: Callable[[], float | None] = lambda: None
        self.registry = CollectorRegistry()
        self.webhook_seconds = Histogram(
            "rollcall_webhook_seconds",
            "Time to answer the API server about one pod",
            buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1, 3),
            registry=self.registry,
        )
        self.fold_seconds = Histogram(
            "rollcall_fold_seconds",
            "Time to fold all services once",
            buckets=(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1),
            registry=self.registry,
        )
        self.services = ServiceSeries(publisher)
        self.registry.register(self)
        self.process = CollectorRegistry()
        """Of the process; read in a thread, because to count 5,000 open connections takes tens of milliseconds."""
        ProcessCollector(registry=self.process)
        PlatformCollector(registry=self.process)
        GCCollector(registry=self.process)

    def watch_store(self, store: Keeper) -> None:
        """Tell how what outlives the process is kept."""
        self._store = store

    def on_decision(self, namespace: str, reason: str, seconds: float) -> None:
        """The webhook answered; `namespace` is not a label, because its values are without bound."""
        self.decisions[reason] += 1
        self.webhook_seconds.observe(seconds)

    def collect(self) -> Iterator[Metric]:
        counters = self._door.counters
        yield GaugeMetricFamily("rollcall_leader", "1 while this replica leads", value=float(self._publisher.leading))
        yield GaugeMetricFamily("rollcall_agents_connected", "Agents with a connection", value=len(self._door.roll.sessions))
        yield GaugeMetricFamily(
            "rollcall_agents_waiting", "Connected agents whose pod no service lists", value=self._door.roll.waiting()
        )
        yield CounterMetricFamily("rollcall_reports", "Reports taken in", value=counters.reports)
        yield CounterMetricFamily("rollcall_report_bytes", "Bytes of reports taken in", value=counters.bytes)
        yield CounterMetricFamily("rollcall_facts", "Frames of FACTS taken in", value=counters.facts)
        yield CounterMetricFamily("rollcall_fact_bytes", "Bytes of FACTS taken in", value=counters.fact_bytes)
        yield _by_label("rollcall_agents_rejected", "Connections that were refused, by reason", "code", counters.rejected)
        yield _by_label(
            "rollcall_webhook_decisions", "Pods that the webhook was asked about, by decision", "reason", self.decisions
        )
        yield _by_label("rollcall_status_writes", "Writes of MonitoredService status, by result", "result", self.status_writes)
        if self._store is not None:
            yield from _kept_families(self._store, self._door.roll)
        left = self.certificate_seconds_left()
        if left is not None:
            yield GaugeMetricFamily(
                "rollcall_certificate_expiry_seconds", "Time until the serving certificate expires", value=left
            )


def _kept_families(store: Keeper, roll: Iterable[Fleet]) -> Iterator[Metric]:
    yield _by_label("rollcall_store_writes", "Moments that were written to the store, by result", "result", store.writes)
    yield _by_label(
        "rollcall_store_copies", "Copies of what the leader keeps, while this replica does not lead", "result", store.copies
    )
    yield GaugeMetricFamily("rollcall_store_bytes", "Size of the store's file with its log", value=store.bytes)
    yield CounterMetricFamily(
        "rollcall_store_set_aside", "Files of the store that could not be used and were set aside", value=store.set_aside
    )
    lost = sum(fleet.before.facts_lost for fleet in roll)
    yield CounterMetricFamily(
        "rollcall_facts_lost", "Frames of FACTS that neither their agents nor the store had after a take-over", value=lost
    )


def _by_label(name: str, text: str, label: str, values: dict[str, int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=(label,))
    for key, value in dict(values).items():  # a copy: the webhook counts in another thread
        family.add_metric((key,), value)
    return family


def _band_names(bounds_ms: tuple[int, ...]) -> list[str]:
    """`0-1s`, `1s-3s`, `3s-8s`, `8s-`: the classes as text."""
    bounds = [f"{bound / 1000:g}s" for bound in bounds_ms]
    return [f"{low}-{high}" for low, high in zip(["0", *bounds], [*bounds, ""], strict=True)]


def make_metrics_app(metrics: OperatorMetrics, ready: Callable[[], list[str]]) -> web.Application:
    """/metrics, /healthz and /readyz on plain HTTP; `ready` lists what is not ready yet."""

    async def page(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        open_metrics = content_type.startswith("application/openmetrics-text")
        process = await asyncio.to_thread(encode, metrics.process)
        parts = [process.removesuffix(_END), encode(metrics.registry).removesuffix(_END)]
        async for family in metrics.services.families():
            parts.append(family.encode(open_metrics=open_metrics))
        if open_metrics:
            parts.append(_END)
        return web.Response(body=b"".join(parts), headers={"Content-Type": content_type})

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        missing = ready()
        return (
            web.Response(status=503, text="not ready: " + ", ".join(missing) + "\n") if missing else web.Response(text="ok\n")
        )

    app = web.Application()
    app.router.add_get("/metrics", page)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    return app
