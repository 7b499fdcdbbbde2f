"""What of a service must outlive the process that leads, as named parts of bytes, and how another one goes on from them.

All parts are of one moment: up to which number each pod's FACTS are in the tables is among them. So agents are told which FACTS
will outlive this process, keep the others, and a successor asks for exactly those that it does not have.

What is left out comes anew: windows and rates (10 s), visitors of the last five minutes, the histogram of `/metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np

from .before import Known
from .crashes import KeptCrashes
from .errors import KeptErrors
from .fleet import Fleet
from .ledger import KeptDepartures
from .picture import Totals
from .revisions import KeptRevisions
from .table import KeptCounts
from .tally import Pod
from .visitors import KeptVisitors

Parts = Mapping[str, bytes]
_Four = tuple[int, int, int, int]


class _Counted(msgspec.Struct, frozen=True, array_like=True):
    departed: _Four
    departed_pods: int
    shown: _Four
    pods: list[tuple[str, str, int, int, int, int, int]]
    """UID, epoch, number of FACTS, requests, errors, lost, duration."""


class _Tables(msgspec.Struct, frozen=True, array_like=True):
    endpoints: KeptCounts
    dependencies: KeptCounts
    most_folded: int


_TYPES: dict[str, Any] = {
    "counted": _Counted,
    "tables": _Tables,
    "errors": KeptErrors,
    "crashes": KeptCrashes,
    "revisions": KeptRevisions,
    "visitors": KeptVisitors,
    "departures": KeptDepartures,
}
"""By the name of the part; names of later versions are left."""


class Told(NamedTuple):
    """A pod of which so many FACTS are in what was kept."""

    pod: Pod
    epoch: str
    taken: int


class Keepsake(NamedTuple):
    """Of one service at one moment."""

    parts: dict[str, bytes]
    told: list[Told]

    def is_kept(self) -> None:
        """It will outlive this process: the pods may be told."""
        for pod, epoch, taken in self.told:
            if pod.epoch == epoch and pod.kept < taken:
                pod.kept = taken


def keep(fleet: Fleet, now_s: float, unix_s: float) -> Keepsake:
    """All that must be kept, as of now."""
    signals, wall_s, encode = fleet.signals, unix_s - now_s, msgspec.msgpack.encode
    signals.drain(now_s)
    pods = [pod for pod in fleet.pods.values() if pod.row is not None]
    told = [Told(pod, pod.epoch or "", pod.taken) for pod in pods]
    endpoints, dependencies = signals.endpoints.kept(), signals.dependencies.kept()
    parts = {
        "counted": encode(_counted(fleet, pods)),
        "tables": encode(_Tables(endpoints, dependencies, signals.endpoints.most_folded)),
        "errors": encode(signals.errors.kept(wall_s)),
        "crashes": encode(signals.crashes.kept(wall_s)),
        "revisions": encode(fleet.revisions.kept()),
        "departures": encode(fleet.ledger.for_store()),
    }
    visitors = signals.visitors.kept()
    if visitors is not None:
        parts["visitors"] = encode(visitors)
    return Keepsake(parts, told)


def _counted(fleet: Fleet, pods: list[Pod]) -> _Counted:
    rows = np.array([pod.row for pod in pods], np.intp)
    columns = [fleet.rows.reports[name][rows].tolist() for name in ("finished", "errors", "lost", "duration_us")]
    waiting = fleet.before.waiting
    counted = [
        (pod.facts.uid, pod.epoch or "", pod.taken, *figures)
        for pod, *figures in zip(pods, *columns, strict=True)
        if pod.facts.uid not in waiting
    ]
    taken = {pod.facts.uid: pod.taken for pod in pods}
    for uid, known in waiting.items():
        if uid in fleet.pods:
            counted.append((uid, known.epoch, taken.get(uid, known.taken), *msgspec.structs.astuple(known.totals)))
    astuple = msgspec.structs.astuple
    return _Counted(astuple(fleet.departed()), fleet.departed_pods, astuple(fleet.totals()), counted)


def restore(fleet: Fleet, parts: Parts, now_s: float, unix_s: float) -> None:
    """Go on from what was kept; the fleet is new. Raises ValueError when a part cannot be read."""
    signals, wall_s = fleet.signals, unix_s - now_s
    try:
        found = {name: msgspec.msgpack.decode(value, type=_TYPES[name]) for name, value in parts.items() if name in _TYPES}
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None
    for name, part in found.items():
        if name == "counted":
            _restore_counted(fleet, part)
        elif name == "tables":
            signals.endpoints.restore(part.endpoints)
            signals.dependencies.restore(part.dependencies)
            signals.endpoints.most_folded = part.most_folded
        elif name == "errors":
            signals.errors.restore(part, wall_s)
        elif name == "crashes":
            signals.crashes.restore(part, wall_s)
        elif name == "revisions":
            fleet.revisions.restore(part)
        elif name == "departures":
            _restore_departures(fleet, part)
        else:
            signals.visitors.restore(part)


def _restore_departures(fleet: Fleet, kept: KeptDepartures) -> None:
    try:
        fleet.ledger.restore(kept)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None


def _restore_counted(fleet: Fleet, kept: _Counted) -> None:
    """When the status knows of more pods that left than was kept, it is newer: then it alone says what they had counted."""
    older = kept.departed_pods < fleet.departed_pods
    pods = {
        uid: Known(epoch, taken, Totals() if older else Totals(*counted)) for uid, epoch, taken, *counted in kept.pods
    }  # fmt: skip
    departed = fleet.before.counted if older else Totals(*kept.departed)
    fleet.departed_pods = max(fleet.departed_pods, kept.departed_pods)
    fleet.before.restore(departed, Totals(*kept.shown), pods)
