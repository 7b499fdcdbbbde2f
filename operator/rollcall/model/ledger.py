"""What is kept of the pods that left a service: how many for which cause, and the last ones with what they did at the end.

Counts of an hour go by minutes, those of a day by hours. What they add up to since counting began, the totals, is kept in the
status as well: `kept` tells what stands there, so that a replica that takes over goes on from it.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from rollcall_agent.wire.report import FLAG_FINAL, FLAG_NO_IN_FLIGHT, FLAG_PROBE

from .departures import Verdict
from .pace import Generations, Pace
from .picture import Departure, Departures
from .rows import Rows
from .sketch import quantiles
from .states import PodFacts
from .tally import Pod

MOST_RECENT = 100
_Row = tuple[
    str | None, str, str, str | None, str, str | None, str, str, float, float | None, float | None, float | None, float | None,
    int | None, bool | None,
]  # fmt: skip
MOST_OPEN = 20_000
"""Pods that have left the roll and whose cause is not known yet; the oldest are forgotten."""


@dataclass(frozen=True, slots=True)
class LastTraffic:
    """What a pod did when it was told to leave, or at its end when nobody told it: in its last seconds."""

    requests_per_second: float | None = None
    error_ratio: float | None = None
    p95: float | None = None


def last_traffic(rows: Rows, pace: Pace, generations: Generations, row: int | None) -> LastTraffic:
    """Of the pod in this row; nothing where no probe told of its requests."""
    if row is None or not int(rows.reports["flags"][row]) & FLAG_PROBE:
        return LastTraffic()
    histogram, ended, failed = generations.window_of(rows, row)
    rate = float(pace.requests_per_second[row]) if row < len(pace.requests_per_second) else math.nan
    return LastTraffic(
        requests_per_second=None if math.isnan(rate) else rate,
        error_ratio=failed / ended if ended > 0 else None,
        p95=quantiles(histogram, (0.95,))[0],
    )


@dataclass(slots=True)
class _Parting:
    """A pod that is off the roll, and has no cause yet."""

    facts: PodFacts
    slot: str | None
    traffic: LastTraffic
    in_flight: int | None = None
    final: bool | None = None


class _Buckets:
    """Counts by cause of the last `many` spans of `span_s` seconds, the present one among them."""

    def __init__(self, span_s: float, many: int) -> None:
        self._span_s, self._many = span_s, many
        self._buckets: deque[tuple[int, Counter[str]]] = deque()
        self._sum: dict[str, int] | None = None
        """What `sum` found, while nothing has changed: pictures are made several times a second."""

    def add(self, cause: str, unix_s: float) -> None:
        number = int(unix_s // self._span_s)
        if not self._buckets or self._buckets[-1][0] < number:
            self._buckets.append((number, Counter()))
        self._buckets[-1][1][cause] += 1
        self._sum = None
        self._drop(unix_s)

    def sum(self, unix_s: float) -> dict[str, int]:
        self._drop(unix_s)
        if self._sum is None:
            total: Counter[str] = Counter()
            for _, counts in self._buckets:
                total.update(counts)
            self._sum = dict(sorted(total.items()))
        return self._sum

    def tell(self) -> list[tuple[int, dict[str, int]]]:
        """All spans, for `begin`."""
        return [(number, dict(counts)) for number, counts in self._buckets]

    def begin(self, told: list[tuple[int, dict[str, int]]], since: float) -> None:
        """What was counted before this time, somebody else knows."""
        first = int(since // self._span_s)
        own = dict(self._buckets)
        for number, counts in told:
            if number <= first:
                own[number] = Counter(counts) | own.get(number, Counter())
        self._buckets = deque(sorted(own.items()))
        self._sum = None

    def _drop(self, unix_s: float) -> None:
        oldest = int(unix_s // self._span_s) - self._many
        while self._buckets and self._buckets[0][0] <= oldest:
            self._buckets.popleft()
            self._sum = None


class _Told(msgspec.Struct):
    """What `Ledger.tell` makes: spans of counts by cause, by their number."""

    minutes: list[tuple[int, dict[str, int]]]
    hours: list[tuple[int, dict[str, int]]]


class KeptDepartures(msgspec.Struct, frozen=True, array_like=True):
    """What the store keeps of a ledger; `recent` are Departures, field by field, the oldest first."""

    totals: dict[str, int]
    counts: str
    recent: list[_Row]


class Ledger:
    """Of one service. A pod is `parted` when it is off the roll and `left` when its cause is known. What left before `since`
    (Unix seconds), this replica has not seen."""

    def __init__(self, since: float = 0.0) -> None:
        self._since_unix = since
        self._open: dict[str, _Parting] = {}
        self._recent: dict[str, Departure] = {}
        self._hour = _Buckets(60.0, 60)
        self._day = _Buckets(3600.0, 24)
        self._base: Counter[str] = Counter()
        self._since: Counter[str] = Counter()
        self._kept: Counter[str] | None = None

    @property
    def totals(self) -> dict[str, int]:
        """How many left for each cause since counting began."""
        return dict(sorted((self._base + self._since).items()))

    def kept(self, totals: Mapping[str, int]) -> None:
        """What the status says now, as the replica that leads has written it: what that replica has counted, and what this one
        counts from here on."""
        told = Counter(totals)
        if told != self._kept:
            self._kept, self._base = told, Counter(told)
            self._since.clear()

    def tell(self) -> str:
        """The counts of hour and day, for a replica that has not seen them; empty when there are none."""
        minutes, hours = self._hour.tell(), self._day.tell()
        return msgspec.json.encode(_Told(minutes, hours)).decode() if hours else ""

    def begin(self, told: str) -> None:
        """Take over what `tell` of another replica said; raises msgspec.DecodeError when that cannot be read."""
        found = msgspec.json.decode(told, type=_Told)
        self._hour.begin(found.minutes, self._since_unix)
        self._day.begin(found.hours, self._since_unix)

    def for_store(self) -> KeptDepartures:
        """All that should outlive this process."""
        recent: list[Any] = [msgspec.structs.astuple(gone) for gone in self._recent.values()]
        return KeptDepartures(self.totals, self.tell(), recent)

    def restore(self, kept: KeptDepartures) -> None:
        """Go on from what another process has kept: what this one has not seen is added, nothing is counted twice. Raises
        msgspec.DecodeError when the counts cannot be read."""
        seen = self.totals
        for cause, count in kept.totals.items():
            self._base[cause] += max(0, count - seen.get(cause, 0))
        if kept.counts:
            self.begin(kept.counts)
        recent = {gone.uid: gone for gone in (Departure(*row) for row in kept.recent)} | self._recent
        newest = sorted(recent.values(), key=lambda gone: gone.at)[-MOST_RECENT:]
        self._recent = {gone.uid: gone for gone in newest}

    def parted(self, pod: Pod, slot: str | None, traffic: LastTraffic) -> None:
        """A pod is off the roll. Whether it has left, or its labels have changed, is found out by others."""
        told = pod.traffic is not None and pod.traffic.requests_per_second is not None
        self._open[pod.facts.uid] = _Parting(pod.facts, slot, pod.traffic if told and pod.traffic else traffic)
        if len(self._open) > MOST_OPEN:
            del self._open[next(iter(self._open))]

    def stayed(self, uid: str) -> None:
        """It has not left after all."""
        self._open.pop(uid, None)

    def left(self, facts: PodFacts, verdict: Verdict, unix_s: float) -> None:
        """A pod has left for this cause; `facts` serve where it was not on the roll."""
        parting = self._open.pop(facts.uid, None) or _Parting(facts, None, LastTraffic())
        cause, traffic = verdict.cause.value, parting.traffic
        self._since[cause] += 1
        self._hour.add(cause, unix_s)
        self._day.add(cause, unix_s)
        created_at = parting.facts.created_at
        self._recent[facts.uid] = Departure(
            slot=parting.slot,
            name=parting.facts.name,
            uid=facts.uid,
            node=facts.node or parting.facts.node,
            workload=facts.workload,
            revision=parting.facts.revision,
            cause=cause,
            evidence=verdict.evidence,
            at=unix_s,
            age=max(0.0, unix_s - created_at) if created_at else None,
            requests_per_second=traffic.requests_per_second,
            error_ratio=traffic.error_ratio,
            p95=traffic.p95,
            in_flight=parting.in_flight,
            final=parting.final,
        )
        if len(self._recent) > MOST_RECENT:
            del self._recent[next(iter(self._recent))]

    def last_report(self, uid: str, rows: Rows, row: int) -> None:
        """What the last report of a pod says that is off the roll; called again while one may still be on its way."""
        flags = int(rows.reports["flags"][row])
        sees = bool(flags & FLAG_PROBE) and not flags & FLAG_NO_IN_FLIGHT
        in_flight = int(rows.reports["in_flight"][row]) if sees else None
        final = bool(flags & FLAG_FINAL) if rows.received_s[row] != -np.inf else None
        parting, departure = self._open.get(uid), self._recent.get(uid)
        if parting is not None:
            parting.in_flight, parting.final = in_flight, final
        elif departure is not None and (departure.in_flight, departure.final) != (in_flight, final):
            self._recent[uid] = msgspec.structs.replace(departure, in_flight=in_flight, final=final)

    def of_name(self, name: str) -> Departure | None:
        """The newest departure of a pod of this name, among the last hundred."""
        return next((gone for gone in reversed(self._recent.values()) if gone.name == name), None)

    def picture(self, unix_s: float, *, with_lists: bool) -> Departures:
        """As it is shown; the newest first."""
        return Departures(
            last_hour=self._hour.sum(unix_s),
            last_day=self._day.sum(unix_s),
            total=self.totals,
            recent=list(reversed(self._recent.values())) if with_lists else None,
        )
