"""Metrics of whose fault it is: dependencies, workers that end before their time, where the time goes.

The page is bounded as that of the other signals: at most 256 dependencies of a service, and figures of the last seconds for the
50 that are waited for longest.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from rollcall.model.show import dependencies_of
from rollcall.serve.exposition import CounterFamily, Family, GaugeFamily
from rollcall.serve.signals import SERVICE, Services

DEPENDENCY = (*SERVICE, "dependency")


def cause_families(services: Services) -> Iterator[Family | None]:
    """Every family, with the series of all services; what is not known has none. None is a good moment for others."""
    yield from _calls(services)
    yield from _dependencies(services)
    yield from _workers(services)
    yield from _time(services)


def _calls(services: Services) -> Iterator[Family | None]:
    calls = CounterFamily("rollcall_dependency_calls", "Calls that ended, by dependency", labels=DEPENDENCY)
    failures = CounterFamily(
        "rollcall_dependency_failures", "Calls that failed, by dependency and reason", labels=(*DEPENDENCY, "reason")
    )
    for fleet, _ in services:
        for dependency, (ended, failed) in fleet.signals.dependencies.totals().items():
            who = (fleet.namespace, fleet.name, dependency)
            calls.add(who, ended)
            for reason, count in failed.items():
                failures.add((*who, reason), count)
        yield None
    yield from (calls, failures)


def _dependencies(services: Services) -> Iterator[Family | None]:
    times = GaugeFamily(
        "rollcall_dependency_duration_seconds",
        "Duration of the last 10 seconds' calls, by dependency",
        labels=(*DEPENDENCY, "quantile"),
    )
    concurrency = GaugeFamily(
        "rollcall_dependency_concurrency", "Mean number of calls at the same time, by dependency", labels=DEPENDENCY
    )
    share = GaugeFamily("rollcall_dependency_share_ratio", "Part of all response time spent waiting for it", labels=DEPENDENCY)
    throttled = GaugeFamily(
        "rollcall_dependency_throttled_per_second",
        "Calls that fail because there is too little of a dependency, while that lasts",
        labels=(*DEPENDENCY, "reason"),
    )
    for fleet, picture in services:
        shown = dependencies_of(fleet)
        for row in shown.rows if shown else ():
            who = (fleet.namespace, fleet.name, row.dependency)
            for quantile, value in (("0.5", row.p50), ("0.95", row.p95), ("0.99", row.p99)):
                if value is not None:
                    times.add((*who, quantile), value)
            if row.concurrency is not None:
                concurrency.add(who, row.concurrency)
            if row.share is not None:
                share.add(who, row.share)
        for each in picture.throttled:
            throttled.add((fleet.namespace, fleet.name, each.dependency, each.reason), each.per_second)
        yield None
    yield from (times, concurrency, share, throttled)


def _workers(services: Services) -> Iterator[Family | None]:
    deaths = CounterFamily(
        "rollcall_worker_deaths", "Workers that ended before their time, by signal", labels=(*SERVICE, "signal")
    )
    unanswered = CounterFamily(
        "rollcall_unanswered", "Requests in flight when their worker ended, by endpoint", labels=(*SERVICE, "endpoint")
    )
    for fleet, _ in services:
        who = (fleet.namespace, fleet.name)
        for signal, count in fleet.signals.crashes.totals().items():
            deaths.add((*who, signal), count)
        for endpoint, count in fleet.signals.endpoints.unanswered().items():
            unanswered.add((*who, endpoint), count)
        yield None
    yield from (deaths, unanswered)


def _time(services: Services) -> Iterator[Family]:
    time = GaugeFamily(
        "rollcall_service_time_ratio", "Where the time of the last 10 seconds' requests went", labels=(*SERVICE, "class")
    )
    sources = GaugeFamily(
        "rollcall_service_source_pods", "Reporting pods, by what tells of their requests", labels=(*SERVICE, "source")
    )
    for fleet, picture in services:
        who = (fleet.namespace, fleet.name)
        if picture.bottleneck is not None:
            for kind, part in msgspec.structs.asdict(picture.bottleneck.shares).items():
                time.add((*who, kind), part)
        for source, pods in picture.sources.items():
            sources.add((*who, source), pods)
    yield from (time, sources)
