"""Metrics of what a service does by endpoint, error and visitor, and of what its containers use.

The page is bounded: a service has at most 256 endpoints and 256 types of errors, and percentiles are those of the 50 endpoints
that take most of the time. Names come from pods; the model has made them printable, the exposition format escapes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rollcall.model.errors import split
from rollcall.model.fleet import Fleet
from rollcall.model.picture import Picture
from rollcall.serve.exposition import CounterFamily, Family, GaugeFamily

SERVICE = ("namespace", "service")
Services = Sequence[tuple[Fleet, Picture]]


def signal_families(services: Services) -> Iterator[Family | None]:
    """Every family, with the series of all services; what is not known has none. None is a good moment for others."""
    yield from _endpoints(services)
    yield from _errors(services)
    yield from _visitors(services)
    yield from _resources(services)


def _endpoints(services: Services) -> Iterator[Family | None]:
    labels = (*SERVICE, "endpoint")
    requests = CounterFamily("rollcall_endpoint_requests", "Requests finished, by endpoint", labels=labels)
    errors = CounterFamily("rollcall_endpoint_errors", "Requests that failed, by endpoint", labels=labels)
    times = GaugeFamily(
        "rollcall_endpoint_response_time_seconds",
        "Response time of the last 10 seconds' requests, by endpoint",
        labels=(*labels, "quantile"),
    )
    for fleet, _ in services:
        who, table = (fleet.namespace, fleet.name), fleet.signals.endpoints
        for endpoint, (finished, failed) in table.totals().items():
            requests.add((*who, endpoint), finished)
            errors.add((*who, endpoint), failed)
        shown = table.picture(fleet.last.at_s, live=fleet.last.tells)
        for row in shown.rows if shown else ():
            for quantile, value in (("0.5", row.p50), ("0.95", row.p95), ("0.99", row.p99)):
                if value is not None:
                    times.add((*who, row.endpoint, quantile), value)
        yield None
    yield from (requests, errors, times)


def _errors(services: Services) -> Iterator[Family | None]:
    errors = CounterFamily(
        "rollcall_errors", "Errors by kind and type, also those that fail no request", labels=(*SERVICE, "kind", "type")
    )
    unreadable = CounterFamily(
        "rollcall_service_unreadable_frames",
        "Frames of pods that could not be read or were too many",
        labels=(*SERVICE, "kind"),
    )
    for fleet, _ in services:
        who = (fleet.namespace, fleet.name)
        for name, count in fleet.signals.errors.totals().items():
            errors.add((*who, *split(name)), count)
        for kind, count in fleet.dropped.items():
            unreadable.add((*who, kind), count)
        yield None
    yield from (errors, unreadable)


def _visitors(services: Services) -> Iterator[Family]:
    distinct = GaugeFamily("rollcall_service_visitors", "Different visitors, within 2 %", labels=(*SERVICE, "window"))
    users = GaugeFamily("rollcall_service_concurrent_users", "Users at the same time, by Little's law", labels=SERVICE)
    for fleet, picture in services:
        who, visitors = (fleet.namespace, fleet.name), picture.visitors
        if visitors is None:
            continue
        for window, count in (("5m", visitors.last_five_minutes), ("hour", visitors.hour), ("day", visitors.day)):
            distinct.add((*who, window), count)
        if visitors.concurrent_users is not None:
            users.add(who, visitors.concurrent_users)
    yield from (distinct, users)


def _resources(services: Services) -> Iterator[Family]:
    imbalance = GaugeFamily(
        "rollcall_service_imbalance_ratio", "Busiest serving pod / mean of the serving pods", labels=(*SERVICE, "of")
    )
    plain = {
        name: GaugeFamily(f"rollcall_service_{name}", text, labels=SERVICE)
        for name, text in (
            ("cpu_millicores", "CPU that the application's containers use"),
            ("memory_bytes", "Working set of the application's containers"),
            ("workers", "Application workers with a probe"),
            ("busy_workers", "Of these: those that have a request in flight"),
            ("listen_queue", "Connections that wait to be accepted"),
        )
    }
    for fleet, picture in services:
        who, balance, used, workers = (fleet.namespace, fleet.name), picture.imbalance, picture.resources, picture.workers
        for of, ratio in (("requests", balance.requests), ("in_flight", balance.in_flight)) if balance else ():
            if ratio is not None:
                imbalance.add((*who, of), ratio)
        values: dict[str, float | None] = {
            "cpu_millicores": used.cpu_millicores if used else None,
            "memory_bytes": used.memory_bytes if used else None,
            "workers": workers.total if workers else None,
            "busy_workers": workers.busy if workers else None,
            "listen_queue": workers.listen_queue if workers else None,
        }
        for name, value in values.items():
            if value is not None:
                plain[name].add(who, value)
    yield imbalance
    yield from plain.values()
