"""Points as a screen gets them: columns of equal length, and the names that their numbers stand for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from .points import POINT, UNKNOWN_CPU

if TYPE_CHECKING:
    from .fleet import Fleet

MOST = 4000
"""In one answer: the newest."""
_SAME_S = 0.001
"""Folds are further apart, and what is computed of their times differs by less."""


class Dots(msgspec.Struct, frozen=True, rename="camel"):
    """Finished requests one by one: all slow and failed ones as far as there is room, and a fair sample of the others. So many
    `points` stand for `requests`; `weight` says for how many each does. Times are seconds, `at` (when it ended) Unix
    milliseconds; `outcome` is the status class, + 8 for a failure. `endpoint`, `pod`, `error` and `dependency` (that it waited
    for longest) are places in the lists of names, -1 for none; `cpu` is null where it is not known."""

    until: float
    """Ask for what came later than this next time."""
    points: int
    requests: int
    at: list[int]
    elapsed: list[float]
    waited: list[float]
    cpu: list[float | None]
    weight: list[int]
    outcome: list[int]
    endpoint: list[int]
    pod: list[int]
    error: list[int]
    dependency: list[int]
    endpoints: list[str]
    pods: list[str]
    errors: list[str]
    dependencies: list[str]


def dots(fleet: Fleet, after: float) -> Dots:
    """What was told later than `after` (Unix time, as `until` of the answer before), at most `MOST` of it."""
    last, signals = fleet.last, fleet.signals
    wall_s = last.unix_s - last.at_s
    chunks = signals.points.after(after - wall_s + _SAME_S)
    points = np.concatenate([chunk.points for chunk in chunks])[-MOST:] if chunks else np.zeros(0, POINT)
    pods = np.concatenate([chunk.pods for chunk in chunks])[-MOST:] if chunks else np.zeros(0, object)
    endpoint, endpoints = _named(points["endpoint"].tolist(), signals.endpoints.names.names)
    error, errors = _named(points["error"].tolist(), signals.errors.names.names)
    dependency, dependencies = _named(points["dependency"].tolist(), signals.dependencies.names.names)
    pod, names = _places(pods.tolist())
    return Dots(
        until=last.unix_s,
        points=len(points),
        requests=int(points["weight"].sum(dtype=np.int64)),
        at=np.rint((points["at_s"] + wall_s) * 1000).astype(np.int64).tolist(),
        elapsed=_seconds(points["elapsed_us"]),
        waited=_seconds(points["waited_us"]),
        cpu=[None if us == UNKNOWN_CPU else us / 1e6 for us in points["cpu_us"].tolist()],
        weight=points["weight"].tolist(),
        outcome=points["outcome"].tolist(),
        endpoint=endpoint,
        pod=pod,
        error=error,
        dependency=dependency,
        endpoints=endpoints,
        pods=names,
        errors=errors,
        dependencies=dependencies,
    )


def _seconds(microseconds: npt.NDArray[Any]) -> list[float]:
    return [us / 1e6 for us in microseconds.tolist()]


def _named(numbers: list[int], names: list[str]) -> tuple[list[int], list[str]]:
    known: dict[int, int] = {}
    return (
        [known.setdefault(number, len(known)) if number >= 0 else -1 for number in numbers],
        [names[number] for number in known],
    )


def _places(values: Iterable[str]) -> tuple[list[int], list[str]]:
    known: dict[str, int] = {}
    return [known.setdefault(value, len(known)) for value in values], list(known)
