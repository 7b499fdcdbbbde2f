"""What was: the service by the second as the operator keeps it, pods as this viewer saw them, and whole pictures for as long as
they fit.

The operator keeps 15 minutes of a service and nothing of its pods; for those there is what came while somebody looked.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from .cells import STATES
from .picture import Fleet, Service, Shown, decode

KEPT_S = 900
KEPT_BYTES = 32 * 1024 * 1024
TREND_S = 120
MOST_TRENDS = 1000
"""With more pods only of those that were looked at."""


class Second(msgspec.Struct):
    """One second of a service."""

    at: int
    requests_per_second: float | None
    errors_per_second: float | None
    p50: float | None
    p95: float | None
    p99: float | None
    users: float | None
    coverage: float | None
    bands: list[float | None]
    pods: dict[str, int]
    health: str


class Mark(msgspec.Struct):
    """A departure or a deployment."""

    at: float
    kind: str
    what: str
    count: int = 1


class History(msgspec.Struct, rename="camel"):
    """Columns of seconds, as the live API tells them."""

    at: list[int]
    requests_per_second: list[float | None]
    errors_per_second: list[float | None]
    p50: list[float | None]
    p95: list[float | None]
    p99: list[float | None]
    users: list[float | None]
    coverage: list[float | None]
    bands: list[list[float | None]]
    pods: dict[str, list[int]]
    health: list[str]
    marks: list[Mark] = []


_history = msgspec.json.Decoder(History)


class Past:
    """The last 15 minutes of one service."""

    def __init__(self) -> None:
        self._seconds: dict[int, Second] = {}
        self.marks: list[Mark] = []
        self.newest: int | None = None

    def take(self, data: bytes) -> None:
        """Some more seconds; raises msgspec.DecodeError for what is none."""
        told = _history.decode(data)
        for i, at in enumerate(told.at):
            self._seconds[at] = Second(
                at, told.requests_per_second[i], told.errors_per_second[i], told.p50[i], told.p95[i], told.p99[i],
                told.users[i], told.coverage[i], [band[i] for band in told.bands],
                {state: told.pods[state][i] for state in STATES if state in told.pods}, told.health[i],
            )  # fmt: skip
        if told.at:
            self.newest = max(told.at[-1], self.newest or 0)
            for at in [at for at in self._seconds if at <= self.newest - KEPT_S]:
                del self._seconds[at]
        known = {(mark.at, mark.kind, mark.what) for mark in self.marks}
        self.marks += [mark for mark in told.marks if (mark.at, mark.kind, mark.what) not in known]
        self.marks = [mark for mark in self.marks if mark.at > (self.newest or 0) - KEPT_S]

    @property
    def oldest(self) -> int | None:
        """The first second that is kept."""
        return min(self._seconds, default=None)

    def at(self, second: int) -> Second | None:
        """One second; None when nothing is kept of it."""
        return self._seconds.get(second)

    def window(
        self, value: Callable[[Second], float | None], end: int, columns: int, span_s: int, fold: Callable[[list[float]], float]
    ) -> list[float | None]:
        """The `columns × span_s` seconds up to `end`, folded into so many values."""
        start, seconds = end - columns * span_s + 1, self._seconds
        found: list[float | None] = []
        for column in range(columns):
            first = start + column * span_s
            known = [
                got
                for at in range(first, first + span_s)
                if (second := seconds.get(at)) is not None and (got := value(second)) is not None
            ]
            found.append(fold(known) if known else None)
        return found


def as_of(service: Service, second: Second) -> Service:
    """A service as it was in a second of which no picture is kept: what the operator keeps, and nothing of its pods."""
    pace, known = second.requests_per_second, [band for band in second.bands if band is not None]
    failing = second.errors_per_second / pace if pace and second.errors_per_second is not None else None
    bands = [round(band) for band in known]
    return msgspec.structs.replace(
        service, at=float(second.at), health={"state": second.health, "reason": "", "message": ""}, coverage=second.coverage,
        pods={"desired": None, "total": sum(second.pods.values()), **dict.fromkeys(STATES, 0), **second.pods},
        traffic=service.traffic | {
            "requestsPerSecond": pace, "errorRatio": failing and min(1.0, failing),
            "responseTime": {"mean": None, "p50": second.p50, "p95": second.p95, "p99": second.p99},
            "inFlight": {"total": sum(bands), "bands": bands, "oldest": None} if known else None,
        },
        visitors=None, imbalance=None, resources=None, throttled=[], crashes=None, roll=None, bottleneck=None,
    )  # fmt: skip


def with_pods(then: Service, told: Service) -> Service:
    """A second with the pods and lists of a picture that was kept shortly before it."""
    return msgspec.structs.replace(
        then, roll=told.roll, longest=told.longest, throttled=told.throttled, crashes=told.crashes, bottleneck=told.bottleneck,
        resources=told.resources,
    )  # fmt: skip


def unknown(service: Service, at: int) -> Service:
    """A second of which nothing is kept: the operator was away."""
    return as_of(service, Second(at, None, None, None, None, None, None, None, [], {}, "Unknown"))


def mean(values: list[float]) -> float:
    """For rates."""
    return sum(values) / len(values)


class Trends:
    """Requests/s and p95 of services or pods, by the second, as they were seen."""

    def __init__(self) -> None:
        self._seen: dict[str, deque[tuple[int, float | None, float | None, float | None]]] = {}
        self._at: dict[str, int] = {}
        self.watched = ""
        """A pod that is looked at, however many there are."""

    def take(self, shown: Shown) -> None:
        """A picture; the first of each second counts."""
        if isinstance(shown, Fleet):
            for service in shown.services:
                found = service.traffic
                self._note(
                    "/".join(service.key), service.at, found["requestsPerSecond"], found["responseTime"]["p95"], service.bands
                )
            return
        roll = shown.roll or []
        for pod in roll if len(roll) <= MOST_TRENDS else [pod for pod in roll if pod.uid == self.watched]:
            bands = pod.in_flight.bands if pod.in_flight else None
            self._note(pod.uid, shown.at, pod.requests_per_second, pod.p95, bands)
        if len(self._seen) > 2 * MOST_TRENDS:
            there = {pod.uid for pod in roll}
            self._seen = {uid: seen for uid, seen in self._seen.items() if uid in there}

    def watch(self, key: str) -> None:
        """This one is looked at: it is kept for as long as there is a past."""
        self.watched = key
        self._seen[key] = deque(self._seen.get(key, ()), maxlen=KEPT_S)

    def _note(self, key: str, at: float, rate: float | None, p95: float | None, bands: Iterable[int] | None) -> None:
        seen = self._seen.get(key)
        if seen is None:
            seen = self._seen[key] = deque(maxlen=TREND_S)
        second = int(at)
        if not seen or seen[-1][0] < second:
            seen.append((second, rate, p95, None if bands is None else sum(bands)))

    def seed(self, key: str, told: dict[str, Any]) -> None:
        """What was before somebody looked, as the operator keeps it."""
        seen = self._seen.get(key)
        first = seen[0][0] if seen else 1 << 40
        before = [
            (int(at), rate, p95, None)
            for at, rate, p95 in zip(told["at"], told["requestsPerSecond"], told["p95"], strict=True)
            if int(at) < first
        ]
        self._seen[key] = deque([*before, *(seen or ())], maxlen=KEPT_S if key == self.watched else TREND_S)

    def of(self, key: str, figure: int, columns: int, span_s: int = 1, end: int | None = None) -> list[float | None]:
        """The last `columns × span_s` seconds until `end`: figure 0 is requests/s, 1 p95, 2 requests in flight; the mean of
        what is known of each column."""
        seen = self._seen.get(key)
        if not seen:
            return [None] * columns
        start = (seen[-1][0] if end is None else end) - columns * span_s + 1
        known: list[list[float]] = [[] for _ in range(columns)]
        for each in reversed(seen):
            place, value = (each[0] - start) // span_s, each[figure + 1]
            if place < 0:
                break
            if place < columns and value is not None:
                known[place].append(value)
        return [mean(values) if values else None for values in known]


class Kept:
    """Whole pictures, one a second, packed; the oldest go when there are too many bytes."""

    def __init__(self, most_bytes: int = KEPT_BYTES) -> None:
        self._most = most_bytes
        self._packed: dict[int, bytes] = {}
        self._bytes = 0

    def wants(self, second: int) -> bool:
        """Whether there is none of this second yet."""
        return second not in self._packed

    def keep(self, second: int, packed: bytes) -> None:
        """Another one, packed by `pack`."""
        self._packed[second] = packed
        self._bytes += len(packed)
        while self._packed and (self._bytes > self._most or next(iter(self._packed)) <= second - KEPT_S):
            self._bytes -= len(self._packed.pop(next(iter(self._packed))))

    def at(self, second: int) -> Service | None:
        """The picture of a second, or of one of the two before it; None when nobody looked then."""
        for each in (second, second - 1, second - 2):
            if each in self._packed:
                found = decode(zlib.decompress(self._packed[each]))
                return found if isinstance(found, Service) else None
        return None


def pack(data: bytes) -> bytes:
    """A picture in few bytes."""
    return zlib.compress(data, 1)
