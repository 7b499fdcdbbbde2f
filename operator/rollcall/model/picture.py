"""The values that leave the model. Live API, CR status, metrics and screens all show these and nothing else.

Durations are seconds, ratios 0..1, rates per second. None means "no data", which is not 0. JSON names are camelCase.
"""

from __future__ import annotations

import msgspec

from .health import HealthState


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
    """How the pods behave. `requests_per_second` is of the last half-second, everything else of `window_seconds`."""

    requests_per_second: float | None
    window_seconds: float
    window_requests_per_second: float | None
    error_ratio: float | None
    response_time: ResponseTime
    in_flight: InFlight | None


class Totals(msgspec.Struct, frozen=True, rename="camel"):
    """Counted since the MonitoredService began to be watched, over all pods that ever were."""

    requests: int = 0
    errors: int = 0
    lost: int = 0
    duration_microseconds: int = 0


class AgentCost(msgspec.Struct, frozen=True, rename="camel"):
    """What the agent of a pod uses itself."""

    millicores: float | None
    memory_bytes: int


class PodPicture(msgspec.Struct, frozen=True, rename="camel"):
    """One pod."""

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
    roll: list[PodPicture] | None = None
    """Every pod, by name; left out where a summary is asked for."""
