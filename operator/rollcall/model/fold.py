"""What a fold leaves for all readers: one moment of a service."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .health import Health, HealthState, Vitals
from .picture import Totals
from .states import PodState
from .tally import Pod
from .windows import Window

STARTING = Health(HealthState.UNKNOWN, "Starting", "the operator has just begun to watch this service")


@dataclass(slots=True)
class Fold:
    """What the last fold found."""

    at_s: float = 0.0
    unix_s: float = 0.0
    pods: list[Pod] = field(default_factory=list)
    counts: Counter[PodState] = field(default_factory=Counter)
    bare: dict[str, int] = field(default_factory=dict)
    window: Window | None = None
    totals: Totals | None = None
    """Over all pods that ever were; None before the first fold."""
    requests_per_second: float | None = None
    in_flight: tuple[int, list[int], float] | None = None
    in_flight_pods: int = 0
    """Of how many pods that is: not all sources can see requests before they end."""
    ranks: list[float | None] = field(default_factory=lambda: [None, None, None])
    coverage: float | None = None
    health: Health = STARTING
    fresh: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    """By row: whether its pod is on the roll and reports."""
    probed: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    """By row: whether it also knows of requests."""
    waiting: bool = False
    """Connections wait to be accepted."""
    tells: bool = False
    """Whether any pod tells of its requests now."""


def vitals_of(last: Fold, pods: int, stuck_after_s: float, nothing_finishes: bool) -> Vitals:
    """What health is judged by."""
    return Vitals(
        pods=pods,
        serving=last.counts[PodState.SERVING],
        coverage=last.coverage,
        ended=last.window.ended if last.window else 0,
        error_ratio=last.window.error_ratio() if last.window else None,
        p95_s=last.ranks[1],
        stuck=last.in_flight[1][-1] if last.in_flight else 0,
        stuck_after_s=stuck_after_s,
        oldest_s=last.in_flight[2] if last.in_flight else 0.0,
        nothing_finishes=nothing_finishes,
    )
