"""The values that leave the model. Live API, CR status, metrics and screens all show these and nothing else.

Durations are seconds, ratios 0..1, rates per second. None means "no data", which is not 0. JSON names are camelCase.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from .causes import Bottleneck, Crashes, Dependencies, Throttled
from .health import HealthState
from .labels import Labels


class PodCounts(msgspec.Struct, frozen=True, rename="camel"):
    """The buckets. `total` is their sum, always; `desired` is what the workloads ask for, None where nothing asks."""

    desired: int | None
    total: int
    serving: int
    unready: int
    pending: int
    silent: int
    bare: int
    leaving: int


class ResponseTime(msgspec.Struct, frozen=True, rename="camel"):
    """Of the requests that finished in the window."""

    mean: float | None = None
    p50: float | None = None
    p95: float | None = None
    p99: float | None = None


class InFlight(msgspec.Struct, frozen=True, rename="camel"):
    """Requests started and not finished, by elapsed time; `oldest` in seconds."""

    total: int
    bands: list[int]
    oldest: float


class Traffic(msgspec.Struct, frozen=True, rename="camel"):
    """How the pods behave. `requests_per_second` is of the last half-second, everything else of `window_seconds`. Of `pods` of
    them requests are known, of `in_flight_pods` also those in flight: a source that sees requests only when they end does not
    tell of them."""

    requests_per_second: float | None
    window_seconds: float
    window_requests_per_second: float | None
    error_ratio: float | None
    response_time: ResponseTime
    in_flight: InFlight | None
    pods: int = 0
    in_flight_pods: int = 0


class Totals(msgspec.Struct, frozen=True, rename="camel"):
    """Counted since the MonitoredService began to be watched, over all pods that ever were. `lost` requests were never
    answered: their worker ended while they were in flight."""

    requests: int = 0
    errors: int = 0
    lost: int = 0
    duration_microseconds: int = 0


class EndpointRow(msgspec.Struct, frozen=True, rename="camel"):
    """One endpoint over all pods: `requests`, `errors` and `unanswered` since counting began, everything else of the last 10
    seconds. `share` is its part of all response time; a request that never answered is a failure in `error_ratio`."""

    endpoint: str
    requests_per_second: float | None
    error_ratio: float | None
    mean: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    share: float | None
    requests: int
    errors: int
    unanswered: int = 0


class Folded(msgspec.Struct, frozen=True, rename="camel"):
    """How many endpoint names, and requests since counting began, are in the row `other`."""

    endpoints: int
    requests: int


class Endpoints(msgspec.Struct, frozen=True, rename="camel"):
    """The endpoints with the largest share of the time, then those with most requests; the others added up in a row `other`."""

    rows: list[EndpointRow]
    folded: Folded


class ErrorType(msgspec.Struct, frozen=True, rename="camel"):
    """One type of error; `per_second` of the last 10 seconds, `total` since counting began."""

    kind: str
    type: str
    per_second: float | None
    total: int


class ErrorSample(msgspec.Struct, frozen=True, rename="camel"):
    """One error that occurred, with the place in the application's own code. `at` is Unix seconds."""

    at: float
    kind: str
    type: str
    message: str
    function: str
    file: str
    line: int | None
    endpoint: str
    pod: str
    revision: str | None


class Errors(msgspec.Struct, frozen=True, rename="camel"):
    """`per_second` counts failures of requests, not aborts and warnings. The lists are left out in a summary."""

    per_second: float | None = None
    by_type: list[ErrorType] | None = None
    samples: list[ErrorSample] | None = None


class LongRequest(msgspec.Struct, frozen=True, rename="camel"):
    """A request in flight; `elapsed` and `step_elapsed` in seconds as of the picture's `at`. An empty `step` is not known."""

    pod: str
    id: str
    endpoint: str
    elapsed: float
    step: str
    step_elapsed: float | None
    worker: int
    revision: str | None
    slot: str | None = None


class Visitors(msgspec.Struct, frozen=True, rename="camel"):
    """Users at the same time by Little's law, with the time that one takes between answer and next request; different visitors
    in three windows, of which this leader knows what came after `since` (Unix seconds)."""

    concurrent_users: float | None
    think_time: float | None
    last_five_minutes: int
    hour: int
    day: int
    since: float


class Imbalance(msgspec.Struct, frozen=True, rename="camel"):
    """The busiest serving pod ÷ the mean of all of them, in requests of the last 5 to 10 seconds and in requests in flight."""

    requests: float | None
    in_flight: float | None
    busiest: str


class ServiceResources(msgspec.Struct, frozen=True, rename="camel"):
    """Sums over the `pods` for which there are figures."""

    cpu_millicores: float | None
    memory_bytes: int
    pods: int


class Workers(msgspec.Struct, frozen=True, rename="camel"):
    """Application workers of the reporting pods with a probe; `listen_queue` are connections that wait to be accepted."""

    total: int
    busy: int | None
    listen_queue: int | None


class Resources(msgspec.Struct, frozen=True, rename="camel"):
    """What the application's container of a pod uses. `age` is that of the reading; a limit of None is none."""

    cpu_millicores: float | None
    cpu_request_millicores: int | None
    cpu_limit_millicores: int | None
    throttled_ratio: float | None
    memory_bytes: int
    memory_limit_bytes: int | None
    oom_kills: int
    source: Literal["probe", "kubelet"]
    age: float


class AgentCost(msgspec.Struct, frozen=True, rename="camel"):
    """What the agent of a pod uses itself."""

    millicores: float | None
    memory_bytes: int


class PodPicture(msgspec.Struct, frozen=True, rename="camel"):
    """One pod; `reason` says why it is bare, does not report, or tells of no request."""

    name: str
    uid: str
    node: str | None
    state: str
    reason: str | None
    ready: bool
    restarts: int
    created_at: float
    started_at: float | None
    report_age: float | None
    requests_per_second: float | None
    error_ratio: float | None
    p95: float | None
    in_flight: InFlight | None
    requests: int
    workers: int
    agent: AgentCost | None
    probed: bool = False
    busy_workers: int | None = None
    listen_queue: int | None = None
    resources: Resources | None = None
    revision: str | None = None
    sources: list[str] = []
    """What tells of its requests: python, php, otlp, accessLog."""
    slot: str | None = None
    """The name that successive pods reuse; None for a moment, until an earlier leader's are known."""
    label_set: int = 0
    """The place of its labels in the picture's `label_sets`."""


class Departure(msgspec.Struct, frozen=True, rename="camel"):
    """A pod that left. `at` is Unix seconds, `age` how long it lived. Rates, errors and response time are of the last seconds
    before it was told to leave, or before its end; `in_flight` and `final` (whether its agent had time for a last word) of its
    last report."""

    slot: str | None
    name: str
    uid: str
    node: str | None
    workload: str
    revision: str | None
    cause: str
    evidence: str
    at: float
    age: float | None
    requests_per_second: float | None
    error_ratio: float | None
    p95: float | None
    in_flight: int | None
    final: bool | None


class Departures(msgspec.Struct, frozen=True, rename={"last_hour": "lastHour", "last_day": "last24h"}):
    """How many pods left, by cause: in the last hour, the last 24 hours, and since counting began. `recent` are the last
    hundred, the newest first; left out in a summary."""

    last_hour: dict[str, int]
    last_day: dict[str, int]
    total: dict[str, int]
    recent: list[Departure] | None = None


class Judgement(msgspec.Struct, frozen=True, rename="camel"):
    """Health with its reason."""

    state: HealthState
    reason: str
    message: str


class Picture(msgspec.Struct, frozen=True, rename="camel"):
    """One service at one moment. `at` is Unix seconds, `coverage` reporting pods ÷ pods that should report."""

    namespace: str
    name: str
    at: float
    health: Judgement
    pods: PodCounts
    coverage: float | None
    traffic: Traffic
    totals: Totals
    bands_ms: list[int]
    bare: dict[str, int]
    """Running pods without an agent: how many for which reason."""
    gaps: dict[str, int]
    """Pods with an agent that do not report, or tell of no request: how many for which reason."""
    roll: list[PodPicture] | None = None
    """Every pod, by name; left out where a summary is asked for."""
    endpoints: Endpoints | None = None
    """Left out in a summary, and None when no pod ever told of one."""
    errors: Errors = Errors()
    longest: list[LongRequest] | None = None
    """The longest requests in flight of all pods, oldest first; left out in a summary."""
    visitors: Visitors | None = None
    imbalance: Imbalance | None = None
    resources: ServiceResources | None = None
    workers: Workers | None = None
    sources: dict[str, int] = {}
    """How many reporting pods each source tells of."""
    dependencies: Dependencies | None = None
    """Left out in a summary, and None when no pod ever told of one."""
    throttled: list[Throttled] = []
    crashes: Crashes | None = None
    """None when no pod ever told of one."""
    bottleneck: Bottleneck | None = None
    """None when no request took any time."""
    departures: Departures | None = None
    labels: Labels = {}
    """Of the MonitoredService."""
    label_sets: list[Labels] | None = None
    """The different sets of labels that the pods have; left out in a summary."""
