"""The truth of a run, gathered request by request: counts, statuses, error classes and every single latency."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
LATE_S = 0.05


@dataclass(frozen=True)
class Outcome:
    """One request. Times are seconds of a monotonic clock; exactly one of `status` and `error` is set."""

    endpoint: str
    scheduled: float
    started: float
    ended: float
    status: int | None = None
    error: str | None = None


@dataclass
class Tally:
    """Counts and latencies of one endpoint, or of all. Latencies are those of answered requests, in microseconds."""

    sent: int = 0
    answered: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    from_start: array[int] = field(default_factory=lambda: array("q"))
    from_schedule: array[int] = field(default_factory=lambda: array("q"))

    def add(self, outcome: Outcome) -> None:
        """Count a request whose answer or error is in."""
        if outcome.error is not None:
            self.errors[outcome.error] += 1
            return
        self.answered += 1
        self.statuses[str(outcome.status)] += 1
        self.from_start.append(round((outcome.ended - outcome.started) * 1e6))
        self.from_schedule.append(round((outcome.ended - outcome.scheduled) * 1e6))

    def summary(self) -> dict[str, Any]:
        """The tally as JSON: `sent = answered + sum(errors)` once nothing is open any more."""
        return {
            "sent": self.sent,
            "answered": self.answered,
            "statuses": dict(sorted(self.statuses.items())),
            "errors": dict(sorted(self.errors.items())),
            "latency_us": {
                "from_start": latency_summary(self.from_start),
                "from_schedule": latency_summary(self.from_schedule),
            },
        }


def quantile(ascending: Sequence[int], q: float) -> int:
    """The exact q-quantile by nearest rank: the smallest value that at least `q` of all values do not exceed."""
    return ascending[max(0, math.ceil(q * len(ascending)) - 1)]


def latency_summary(latencies_us: Sequence[int]) -> dict[str, int]:
    """Count, mean, quantiles and maximum in microseconds; empty when there is no value, for no data is not 0."""
    if not latencies_us:
        return {}
    ascending = sorted(latencies_us)
    quantiles = {name: quantile(ascending, q) for name, q in QUANTILES.items()}
    return {"count": len(ascending), "mean": round(sum(ascending) / len(ascending)), **quantiles, "max": ascending[-1]}
