"""The last 15 minutes of a service, second by second: for charts, for a moment that somebody shares, for what was missed.

A ring of fixed size, so a service costs the same whatever it does. Each second is what was counted between two folds about a
second apart, so no request is in two of them; requests per second are the mean of what the folds in it said, which each agent
measures by its own clock. NaN is "no data".
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt

from .causes import Shares
from .health import HealthState
from .rows import Sums
from .sketch import quantiles
from .states import PodState

if TYPE_CHECKING:
    from .fleet import Fleet

SECONDS = 900
BANDS = 4
"""As many as a report has."""
MOST_MARKS = 200
_STATES = tuple(state.value for state in PodState)
_HEALTH = tuple(state.value for state in HealthState)
_FIGURES = ("requests_per_second", "errors_per_second", "p50", "p95", "p99", "users", "visitors", "coverage")
_SHARES = Shares.__struct_fields__
_SECOND = np.dtype(
    [("at", "i8"), *((name, "f4") for name in _FIGURES), ("bands", "f4", (BANDS,)), ("states", "u4", (len(_STATES),)),
     ("shares", "f4", (len(_SHARES),)), ("health", "u1")]
)  # fmt: skip
Series = list[float | None]


class Mark(msgspec.Struct, frozen=True, rename="camel"):
    """Something that happened at `at` (Unix seconds): pods that left for a `cause`, or a revision that was seen first."""

    at: float
    kind: str
    """departure or deployment."""
    what: str
    """The cause, or workload and revision."""
    count: int = 1


class History(msgspec.Struct, frozen=True, rename="camel"):
    """Columns of equal length, one entry per second in `at` (Unix seconds); a second that nobody looked at is left out.
    Percentiles are of the requests that finished in that second, `users` at the same time, `visitors` different ones in five
    minutes. `bands[i]`, `pods[state]` and `shares[class]` (where the time goes) are columns too."""

    namespace: str
    name: str
    bands_ms: list[int]
    at: list[int]
    requests_per_second: Series
    errors_per_second: Series
    p50: Series
    p95: Series
    p99: Series
    users: Series
    visitors: Series
    coverage: Series
    bands: list[Series]
    shares: dict[str, Series]
    pods: dict[str, list[int]]
    health: list[str]
    marks: list[Mark]


class HistoryRing:
    """The ring of one service. `observe` at each fold; everything else reads."""

    def __init__(self) -> None:
        self._ring = np.zeros(SECONDS, _SECOND)
        self._newest: int | None = None
        self._before: tuple[float, Sums] | None = None
        self._paces: list[float] = []
        self._revisions: set[tuple[str, str]] | None = None
        self._deployments: deque[Mark] = deque(maxlen=MOST_MARKS)

    @property
    def newest(self) -> int | None:
        """The last second that is complete, Unix time; None before the first."""
        return self._newest

    def observe(self, fleet: Fleet, sums: Sums) -> None:
        """Another fold was made; `sums` is all that was counted until it and belongs to windows."""
        last = fleet.last
        if last.requests_per_second is not None:
            self._paces.append(last.requests_per_second)
        second = math.floor(last.unix_s)
        if self._before is None:
            self._before, self._newest = (last.at_s, sums), second - 1
            return
        if self._newest is not None and second - 1 <= self._newest:
            return  # the same second, or a clock that was set back: wait until it is new again
        before_s, before = self._before
        self._write(second - 1, fleet, sums.minus(before), max(last.at_s - before_s, 1e-3))
        self._before, self._newest, self._paces = (last.at_s, sums), second - 1, []
        self._look_for_revisions(fleet, last.unix_s)

    def _write(self, second: int, fleet: Fleet, counted: Sums, span_s: float) -> None:
        last, row = fleet.last, self._ring[second % SECONDS]
        row["at"] = second
        for name in _FIGURES:
            row[name] = np.nan
        row["bands"] = row["shares"] = np.nan
        visitors = fleet.signals.visitors.lately(last.at_s, last.unix_s)
        if visitors is not None:
            row["visitors"] = visitors
        if self._paces and last.tells:
            ended = counted.scalars["errors"] + counted.scalars["lost"]
            pace = sum(self._paces) / len(self._paces)
            row["requests_per_second"], row["errors_per_second"] = pace, max(0, ended) / span_s
            ranks = quantiles(np.maximum(counted.histogram, 0), (0.5, 0.95, 0.99))
            row["p50"], row["p95"], row["p99"] = (np.nan if rank is None else rank for rank in ranks)
            users = fleet.signals.visitors.concurrent_users(pace)
            row["users"] = np.nan if users is None else users
            judged = fleet.bottlenecks.last(last.at_s)
            if judged is not None:
                row["shares"] = [getattr(judged.shares, name) for name in _SHARES]
        if last.coverage is not None:
            row["coverage"] = last.coverage
        if last.in_flight is not None:
            row["bands"] = (list(last.in_flight[1]) + [0] * BANDS)[:BANDS]
        row["states"] = [last.counts[state] for state in PodState]
        row["health"] = _HEALTH.index(last.health.state.value)

    def _look_for_revisions(self, fleet: Fleet, unix_s: float) -> None:
        found = {(pod.facts.workload, pod.facts.revision or "") for pod in fleet.pods.values() if pod.facts.revision}
        known = self._revisions
        if known is None:
            self._revisions = found
            return
        workloads = {workload for workload, _ in known}
        for workload, revision in sorted(found - known):
            if workload in workloads:  # the first pods of a workload are no deployment of another revision
                self._deployments.append(Mark(unix_s, "deployment", f"{workload} {revision}"))
        known |= found
        if len(known) > MOST_MARKS:
            self._revisions = found

    def picture(self, fleet: Fleet, after: int, before: int | None = None) -> History:
        """All seconds later than `after`, and earlier than `before` where it is given (Unix times), with their marks."""
        rows = self._between(after, before)
        return History(
            namespace=fleet.namespace,
            name=fleet.name,
            bands_ms=list(fleet.settings.bands_ms),
            at=rows["at"].tolist(),
            **{name: _numbers(rows[name]) for name in _FIGURES},
            bands=[_numbers(rows["bands"][:, band]) for band in range(BANDS)],
            shares={name: _numbers(rows["shares"][:, place]) for place, name in enumerate(_SHARES)},
            pods={state: rows["states"][:, place].tolist() for place, state in enumerate(_STATES)},
            health=[_HEALTH[number] for number in rows["health"].tolist()],
            marks=[mark for mark in self._marks(fleet) if after < math.floor(mark.at) < (before or math.inf)],
        )

    def _between(self, after: int, before: int | None) -> npt.NDArray[np.void]:
        """Complete seconds between both, in order of time."""
        if self._newest is None:
            return self._ring[:0]
        first = max(after + 1, self._newest - SECONDS + 1)
        wanted = np.arange(first, min(self._newest + 1, before or self._newest + 1))
        rows: npt.NDArray[np.void] = self._ring[wanted % SECONDS]
        kept: npt.NDArray[np.void] = rows[rows["at"] == wanted]
        return kept

    def _marks(self, fleet: Fleet) -> list[Mark]:
        recent = fleet.ledger.picture(fleet.last.unix_s, with_lists=True).recent or []
        left: dict[tuple[int, str], int] = {}
        for departure in recent:
            moment = math.floor(departure.at), departure.cause
            left[moment] = left.get(moment, 0) + 1
        marks = [Mark(float(at), "departure", cause, count) for (at, cause), count in left.items()]
        return sorted([*marks, *self._deployments], key=lambda mark: (mark.at, mark.kind, mark.what))


def _numbers(column: Iterable[float]) -> Series:
    """Rounded to five digits, as JSON has it: a screen shows three."""
    return [None if math.isnan(value) else float(f"{value:.5g}") for value in column]
