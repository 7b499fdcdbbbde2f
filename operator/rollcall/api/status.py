"""What the operator says about a MonitoredService: its status, small and rounded, for people and `kubectl wait`.

Numbers that are not whole are texts ("0.1%", "87ms"), as Kubernetes' API conventions ask. Every field may be missing: no data
is not 0. Nothing in it moves by itself, so that an idle service causes no writes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from rollcall.api.causes import MOST_CRASHES, Bottleneck, Crash, Dependency, Throttled
from rollcall.api.fields import Int32, Int64, Part

WORST_PODS = 10
MOST_TAKEN_BACK = 10
TOP = 5
"""How many endpoints, types of errors, requests in flight and dependencies are named; the live API has more."""


class Health(StrEnum):
    """The answer to "does it work?"."""

    HEALTHY = "Healthy"
    DEGRADED = "Degraded"
    DOWN = "Down"
    UNKNOWN = "Unknown"


class Summary(Part):
    """The row that `kubectl get msvc` prints."""

    pods: str | None = Field(default=None, description='Serving pods of desired pods, such as "6/6".')
    health: Health | None = Field(default=None, description="Healthy, Degraded, Down or Unknown.")
    rps: str | None = Field(default=None, description="Requests per second.")
    p95: str | None = Field(default=None, description="Response time below which 95 of 100 requests stayed.")
    errors: str | None = Field(default=None, description="Share of requests that failed.")
    in_flight: Int64 | None = Field(default=None, description="Requests started and not finished.")


class PodCounts(Part):
    """Every matching pod in exactly one bucket: total = pending + serving + unready + silent + bare + leaving."""

    desired: Int32 | None = Field(default=None, description="Pods that the owning workloads ask for.")
    total: Int32 = Field(default=0, description="Pods that match the selector.")
    serving: Int32 = Field(default=0, description="Running, ready, and reporting.")
    unready: Int32 = Field(default=0, description="Reporting, but not ready.")
    pending: Int32 = Field(default=0, description="Not running yet.")
    silent: Int32 = Field(default=0, description="Running with an agent that does not report.")
    bare: Int32 = Field(default=0, description="Running without an agent.")
    leaving: Int32 = Field(default=0, description="Being deleted.")


class ResponseTime(Part):
    """Response time of the requests of the window, from merged histograms."""

    mean: str | None = Field(default=None, description="Mean.")
    p50: str | None = Field(default=None, description="Median.")
    p95: str | None = Field(default=None, description="95th percentile.")
    p99: str | None = Field(default=None, description="99th percentile.")


class InFlight(Part):
    """Requests started and not finished."""

    total: Int64 = Field(default=0, description="All of them.")
    bands: tuple[Int64, ...] = Field(
        default=(),
        max_length=4,
        description="By age, youngest first, divided at spec.objectives.bands.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )


class Traffic(Part):
    """The traffic of the window, all reporting pods together."""

    requests_per_second: str | None = Field(default=None, description="Requests finished per second.")
    error_ratio: str | None = Field(default=None, description="Share of those that ended which failed or were never answered.")
    response_time: ResponseTime | None = Field(default=None, description="Their response time.")
    in_flight: InFlight | None = Field(default=None, description="Requests started and not finished.")
    concurrent_users: Int64 | None = Field(
        default=None, description="Visitors at the same time, by Little's law; two significant digits above 100."
    )


class Visitors(Part):
    """Distinct visitors, all pods together; two significant digits above 100."""

    last_five_minutes: Int64 = Field(default=0, description="In the last five minutes.")
    hour: Int64 = Field(default=0, description="In this hour, UTC.")
    day: Int64 = Field(default=0, description="On this day, UTC.")


class Endpoint(Part):
    """An endpoint that takes much of the time."""

    name: Annotated[str, StringConstraints(max_length=255)] = Field(description="Method and route template.")
    requests_per_second: str | None = Field(default=None, description="Requests finished per second.")
    p95: str | None = Field(default=None, description="95th percentile of their response time.")
    errors: str | None = Field(default=None, description="Share of them that failed.")


class ErrorType(Part):
    """A type of error that occurs at this time."""

    kind: Annotated[str, StringConstraints(max_length=63)] = Field(
        description="exception, http, timeout, fatal, abort or warning."
    )
    type: Annotated[str, StringConstraints(max_length=255)] = Field(description="Such as ValueError or 503.")
    per_second: str = Field(description="How often it occurs.")
    place: Annotated[str, StringConstraints(max_length=255)] | None = Field(
        default=None, description="Function, file and line of the application's own code in the newest sample."
    )


class LongRequest(Part):
    """A request in flight that is in the last band."""

    pod: str = Field(description="Its pod.")
    endpoint: Annotated[str, StringConstraints(max_length=255)] = Field(description="Its endpoint.")
    since: Annotated[str, Field(json_schema_extra={"format": "date-time"})] = Field(description="When it began.")
    step: Annotated[str, StringConstraints(max_length=255)] = Field(
        default="", description="What it is doing; empty: not known."
    )


class Imbalance(Part):
    """The busiest pod's part over the mean of all serving pods, in steps of a half; 1 is balanced."""

    requests: str | None = Field(default=None, description="In requests.")
    in_flight: str | None = Field(default=None, description="In requests in flight.")
    busiest: str | None = Field(default=None, description="The busiest pod, when it has twice the mean or more.")


class DepartedTotals(Part):
    """What pods that no longer exist had counted; kept here so that totals survive a restart of the operator."""

    pods: Int64 = Field(default=0, description="Departed pods that had reported.")
    requests: Int64 = Field(default=0, description="Requests they had finished.")
    errors: Int64 = Field(default=0, description="Requests of these that had failed.")
    lost: Int64 = Field(default=0, description="Requests that had started in them and never finished.")
    duration_microseconds: Int64 = Field(default=0, description="Sum of their requests' durations in microseconds.")


class Departures(Part):
    """How many pods left, by cause; what has none is left out."""

    last_hour: dict[str, Int32] | None = Field(default=None, description="In the last hour.")
    total: dict[str, Int64] | None = Field(
        default=None, description="Since counting began; kept here so that it survives a restart of the operator."
    )


class Totals(Part):
    """Counts of all pods there ever were, the departed included."""

    requests: Int64 = Field(default=0, description="Requests finished.")
    errors: Int64 = Field(default=0, description="Requests of these that failed.")
    lost: Int64 = Field(
        default=0, description="Requests that were never answered: their worker ended while they were in flight."
    )
    departed: DepartedTotals | None = Field(default=None, description="The part of these counts that comes from departed pods.")


class WorstPod(Part):
    """A pod to look at first."""

    name: str = Field(description="The pod's name.")
    reason: str = Field(description="Why it is in this list.")


class TakenBack(Part):
    """A workload that is not injected any more, because the probe made its pods crash."""

    workload: str = Field(max_length=317, description='The workload, such as "Deployment/newsfeed".')
    since: Annotated[str, Field(json_schema_extra={"format": "date-time"})] = Field(description="When it was taken back.")
    reason: str = Field(max_length=512, description="What was seen, in a sentence.")
    agent: str = Field(
        default="", max_length=512, description="The agent's image at that time; with another one it is tried again."
    )
    retry: str | None = Field(
        default=None,
        max_length=63,
        description="The annotation rollcall.dev/retry-injection at that time; another value tries again.",
    )


class ConditionStatus(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(Part):
    """One aspect of the service that `kubectl wait --for=condition=...` can wait for."""

    type: str = Field(
        max_length=63,
        description="Ready, Injecting, Covered, Reporting, Healthy, DependencyThrottled or WorkersCrashing.",
    )
    status: ConditionStatus = Field(description="True, False or Unknown.")
    observed_generation: Int64 | None = Field(default=None, description="The generation of the spec that this was judged by.")
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})] = Field(
        description="When the status last changed."
    )
    reason: Annotated[str, StringConstraints(min_length=1, max_length=128)] = Field(description="One word for a machine.")
    message: str = Field(default="", max_length=1024, description="One sentence for a person.")


class MonitoredServiceStatus(Part):
    """What the operator sees, rounded, written only when it changed."""

    observed_generation: Int64 | None = Field(default=None, description="The generation of the spec that this status follows.")
    summary: Summary | None = Field(default=None, description="The row that `kubectl get msvc` prints.")
    pods: PodCounts | None = Field(default=None, description="Every matching pod in exactly one bucket.")
    traffic: Traffic | None = Field(default=None, description="The traffic of the window.")
    visitors: Visitors | None = Field(
        default=None, description="Distinct visitors, where spec.signals.visitors says what they are known by."
    )
    endpoints: tuple[Endpoint, ...] = Field(
        default=(),
        max_length=TOP,
        description="The endpoints with the largest share of the time.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    errors: tuple[ErrorType, ...] = Field(
        default=(),
        max_length=TOP,
        description="The most frequent types of errors at this time.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    longest: tuple[LongRequest, ...] = Field(
        default=(),
        max_length=TOP,
        description="The oldest requests in flight that are in the last band.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    dependencies: tuple[Dependency, ...] = Field(
        default=(),
        max_length=TOP,
        description="The dependencies that are waited for longest.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    throttled: tuple[Throttled, ...] = Field(
        default=(),
        max_length=TOP,
        description="Dependencies of which there is too little at this time.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    crashes: tuple[Crash, ...] = Field(
        default=(),
        max_length=MOST_CRASHES,
        description="Crashes of workers in the last hour by kind, the newest first.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    bottleneck: Bottleneck | None = Field(
        default=None, description="Where the time goes: what takes the most of it, trouble or not."
    )
    imbalance: Imbalance | None = Field(default=None, description="Whether the load is even over the pods.")
    departures: Departures | None = Field(default=None, description="Pods that left, and why.")
    totals: Totals | None = Field(default=None, description="Counts of all pods there ever were.")
    bare: dict[str, Int32] | None = Field(default=None, description="Running pods without an agent: how many for which reason.")
    gaps: dict[str, Int32] | None = Field(
        default=None, description="Pods with an agent that do not report, or tell of no request: how many for which reason."
    )
    worst: tuple[WorstPod, ...] = Field(
        default=(),
        max_length=WORST_PODS,
        description="The pods to look at first.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    taken_back: tuple[TakenBack, ...] = Field(
        default=(),
        max_length=MOST_TAKEN_BACK,
        description="Workloads that are not injected any more, because the probe made their pods crash; the newest first.",
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    coverage: str | None = Field(default=None, description="Reporting pods of the pods that should report.")
    conditions: tuple[Condition, ...] = Field(
        default=(),
        max_length=16,
        description="Ready, Injecting, Covered, Reporting, Healthy, DependencyThrottled and WorkersCrashing.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    )
