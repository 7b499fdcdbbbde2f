"""What the owner's spec says, as far as the model needs it."""

from __future__ import annotations

from dataclasses import dataclass, field

from rollcall_agent.wire import bands

from .health import Objectives
from .states import ServiceFacts


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """Of one service."""

    objectives: Objectives = field(default_factory=Objectives)
    bands_ms: tuple[int, ...] = bands.DEFAULT_BOUNDS_MS
    facts: ServiceFacts = field(default_factory=ServiceFacts)
    visitors: tuple[str, str] | None = None
    """What visitors are known by (`cookie:sid`), and the key in hex that the probe hashes it with; None: not counted."""
