"""From a picture to the status of a MonitoredService: rounded, small, with conditions. Pure.

Nothing in it moves by itself. Rates and times are rounded to what a person can use, because each different value is a write to
etcd; totals are exact, but do not cause a write of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rollcall.api.durations import format_duration_ms
from rollcall.api.percentages import format_ratio
from rollcall.control.causes import cause_conditions, causes_of
from rollcall.control.findings import Finding
from rollcall.control.signals import rounded_count, rounded_rate, signals_of
from rollcall.model.coverage import Gap
from rollcall.model.health import HealthState
from rollcall.model.picture import Picture, Totals
from rollcall.model.states import PodState


@dataclass(frozen=True)
class Context:
    """What the status needs besides the picture."""

    generation: int
    departed: Totals
    departed_pods: int
    injecting: tuple[bool, str, str]
    """Whether new pods are injected; reason; sentence."""
    now: str
    """RFC 3339, for conditions that flip."""
    worst: Sequence[tuple[str, str]] = ()
    """(name, reason) of the pods to look at first."""
    taken_back: Sequence[dict[str, Any]] = ()
    """The workloads that are not injected any more."""
    findings: Mapping[str, Finding] = field(default_factory=dict)
    """Further conditions, by type."""


def status_of(picture: Picture, context: Context, standing: Mapping[str, Any]) -> dict[str, Any]:
    """The status as it is applied; `standing` is the one that stands now: times in it are kept where nothing changed."""
    pods = {name: getattr(picture.pods, name) for name in ("total", *PodState)}
    if picture.pods.desired is not None:
        pods["desired"] = picture.pods.desired
    status: dict[str, Any] = {
        "observedGeneration": context.generation,
        "summary": _summary(picture),
        "pods": pods,
        "bare": picture.bare,
        "traffic": _traffic(picture),
        "totals": _totals(picture.totals)
        | {"departed": {"pods": context.departed_pods} | _totals(context.departed, whole=True)},
        "worst": [{"name": name, "reason": reason} for name, reason in context.worst],
        "takenBack": list(context.taken_back),
        "conditions": _conditions(picture, context, standing),
        **signals_of(picture, standing),
        **causes_of(picture, standing),
    }
    if picture.gaps:
        status["gaps"] = picture.gaps
    if departures := _departures(picture):
        status["departures"] = departures
    if picture.coverage is not None:
        status["coverage"] = format_ratio(picture.coverage)
    # An empty object, applied over a filled one, becomes null, which the API server refuses with all the rest.
    return {name: value for name, value in status.items() if value != {}}


def essence(status: dict[str, Any]) -> dict[str, Any]:
    """The part of a status whose change is worth a write: all but running totals and times."""
    rest = {key: value for key, value in status.items() if key not in ("totals", "conditions")}
    conditions = [{key: c[key] for key in ("type", "status", "reason")} for c in status["conditions"]]
    return rest | {"departed": status["totals"]["departed"], "conditions": conditions}


def flips(status: dict[str, Any]) -> list[tuple[str, str]]:
    """The part whose change is written at once."""
    return [(condition["type"], condition["status"]) for condition in status["conditions"]]


def _summary(picture: Picture) -> dict[str, Any]:
    traffic, counts = picture.traffic, picture.pods
    summary: dict[str, Any] = {
        "pods": f"{counts.serving}/{counts.total if counts.desired is None else counts.desired}",
        "health": picture.health.state.value,
    }
    if traffic.window_requests_per_second is not None:
        summary["rps"] = rounded_rate(traffic.window_requests_per_second)
    if traffic.response_time.p95 is not None:
        summary["p95"] = format_duration_ms(traffic.response_time.p95 * 1000)
    if traffic.error_ratio is not None:
        summary["errors"] = format_ratio(traffic.error_ratio)
    if traffic.in_flight is not None:
        summary["inFlight"] = traffic.in_flight.total
    return summary


def _traffic(picture: Picture) -> dict[str, Any]:
    traffic, summary = picture.traffic, _summary(picture)
    times = {
        name: format_duration_ms(value * 1000)
        for name in ("mean", "p50", "p95", "p99")
        if (value := getattr(traffic.response_time, name)) is not None
    }
    result: dict[str, Any] = {"responseTime": times} if times else {}
    if "rps" in summary:
        result["requestsPerSecond"] = summary["rps"]
    if "errors" in summary:
        result["errorRatio"] = summary["errors"]
    if traffic.in_flight is not None:
        result["inFlight"] = {"total": traffic.in_flight.total, "bands": traffic.in_flight.bands}
    if picture.visitors is not None and picture.visitors.concurrent_users is not None:
        result["concurrentUsers"] = rounded_count(picture.visitors.concurrent_users)
    return result


def _totals(totals: Totals, *, whole: bool = False) -> dict[str, int]:
    result = {"requests": totals.requests, "errors": totals.errors, "lost": totals.lost}
    return result | {"durationMicroseconds": totals.duration_microseconds} if whole else result


def _departures(picture: Picture) -> dict[str, dict[str, int]]:
    counts = picture.departures
    both = {"lastHour": counts.last_hour, "total": counts.total} if counts is not None else {}
    return {name: by_cause for name, by_cause in both.items() if by_cause}


def _conditions(picture: Picture, context: Context, standing: Mapping[str, Any]) -> list[dict[str, Any]]:
    since = {(c["type"], c["status"]): c["lastTransitionTime"] for c in standing.get("conditions", ())}
    return [
        {
            "type": kind,
            "status": value,
            "reason": reason,
            "message": message,
            "observedGeneration": context.generation,
            "lastTransitionTime": since.get((kind, value), context.now),
        }
        for kind, value, reason, message in [
            *_judgements(picture, context),
            *cause_conditions(picture, standing),
            *((kind, *finding) for kind, finding in sorted(context.findings.items())),
        ]
    ]


def _judgements(picture: Picture, context: Context) -> list[tuple[str, str, str, str]]:
    counts, health = picture.pods, picture.health
    injecting, why, sentence = context.injecting
    some = counts.total > counts.pending + counts.leaving
    bare = ", ".join(f"{count} {reason}" for reason, count in sorted(picture.bare.items()))
    healthy = {HealthState.HEALTHY: "True", HealthState.UNKNOWN: "Unknown"}.get(health.state, "False")
    covered = (
        ("True", "AllPodsInjected", "every running pod has an agent")
        if not counts.bare
        else ("False", "BarePods", f"bare pods: {bare}")
    )
    gaps = ", ".join(f"{count} {reason}" for reason, count in sorted(picture.gaps.items()) if reason != Gap.PROBE_INACTIVE)
    silent = f"{counts.silent} of {counts.total} pods do not report{f': {gaps}' if gaps else ''}"
    reporting = ("True", "AllAgentsReport", "every agent reports") if not counts.silent else ("False", "SilentPods", silent)
    nothing = ("Unknown", "NoPods", "no pod is running")
    return [
        ("Ready", "True", "Watching", "the operator watches this service"),
        ("Injecting", "True" if injecting else "False", why, sentence),
        ("Covered", *(covered if some else nothing)),
        ("Reporting", *(reporting if some else nothing)),
        ("Healthy", healthy, health.reason, health.message),
    ]
