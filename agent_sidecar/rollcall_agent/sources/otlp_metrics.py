"""Requests from OTLP's histograms, for what sends no traces, and requests in flight from `http.server.active_requests`.

A histogram counts what traces count too, so it is a fallback: a resource that has ever sent a span of a request is not read
here, and one that has not is given some time to send its first. Cumulative ones are differenced against the point before.

Their buckets are not ours. An exponential histogram of scale 4 or more falls into our grid exactly. What is coarser is spread
over our buckets evenly on a logarithmic scale, so that a quantile is wrong by at most the width of the bucket that it came in.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import log2

from ..ledger import Ledger
from ..wire import grid
from . import otlp_names as names
from .otlp_points import ACTIVE, DURATIONS, Metric, Point
from .otlp_spans import SERVER, Attributes

TRIAL_US = 10_000_000
"""A resource whose first histogram is so old and that has sent no span sends none."""
ACTIVE_US = 5_000_000
"""For so long a number of requests in flight is one of now."""
MOST_PER_TURN = 1000
"""Requests that are counted at a time: each is an entry of the worker file's journal, which has 4,096."""
MOST_SERIES = 512
MOST_REQUESTS = 1 << 24
"""In one bucket of one export; more is noise."""
Cell = tuple[int, int, bool, int]
"""endpoint, status class, whether it failed, bucket of our grid."""


class MetricCounter:
    """Applies exports to `ledger`. Times are CLOCK_MONOTONIC in µs."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._before: dict[object, Point] = {}
        """By series of a cumulative histogram: its last point."""
        self._first_us: dict[object, int] = {}
        self._traced: set[object] = set()
        self._untold: dict[object, dict[Cell, int]] = {}
        self._active: dict[object, tuple[int, int]] = {}
        self.requests = 0
        """Requests that were counted by this process."""

    def traced(self, resource: Attributes) -> None:
        """This resource sends spans of requests: its histograms are not read any more."""
        key = _identity(resource)
        if key not in self._traced and len(self._traced) < MOST_SERIES:
            self._traced.add(key)
            self._untold.pop(key, None)

    def take(self, metrics: list[Metric], now_us: int) -> None:
        """Take in an export."""
        for metric in metrics:
            key = _identity(metric.resource)
            if metric.name in ACTIVE:
                total = sum(max(0, int(point.value)) for point in metric.points if abs(point.value) < 1e9)
                if key in self._active or len(self._active) < MOST_SERIES:
                    self._active[key] = now_us, total
            elif key not in self._traced and (key in self._first_us or len(self._first_us) < MOST_SERIES):
                self._first_us.setdefault(key, now_us)
                for point in metric.points:
                    self._add(key, metric, point)

    def _add(self, key: object, metric: Metric, point: Point) -> None:
        series = (key, metric.name, tuple(sorted(point.attributes.items(), key=lambda item: item[0])))
        if not metric.is_delta:
            before = self._before.get(series)
            if before is None and len(self._before) >= MOST_SERIES:
                return
            self._before[series] = point
            if before is not None and before.start == point.start:
                point = since(point, before)
        code = names.status(point.attributes)
        failed = code >= 500 or (code == 0 and "error.type" in point.attributes)
        name = names.endpoint((SERVER, b"", b"", b"", "", 0, 0, False, point.attributes, ()))
        endpoint = self._ledger.endpoint(name)
        untold = self._untold.setdefault(key, {})
        unit_s = DURATIONS[metric.name]
        for lower, upper, count in buckets(point):
            if 0 < count < MOST_REQUESTS:
                for bucket, part in spread(lower * unit_s, upper * unit_s, count).items():
                    cell = endpoint, code // 100, failed, bucket
                    untold[cell] = untold.get(cell, 0) + part

    def turn(self, now_us: int) -> None:
        """Count some of what there is to count, of resources whose time of trial is over."""
        room = MOST_PER_TURN
        for key, cells in self._untold.items():
            if now_us - self._first_us.get(key, now_us) < TRIAL_US:
                continue
            while cells and room:
                cell, count = cells.popitem()
                told = min(count, room)
                if told < count:
                    cells[cell] = count - told
                endpoint, status_class, failed, bucket = cell
                for _ in range(told):
                    self._ledger.finished(endpoint, status_class, failed, int(grid.midpoint_s(bucket) * 1e9))
                room -= told
                self.requests += told

    def active(self, now_us: int) -> int | None:
        """Requests in flight, None where nobody has told of them lately."""
        fresh = [total for at_us, total in self._active.values() if now_us - at_us <= ACTIVE_US]
        return sum(fresh) if fresh else None


def _identity(resource: Attributes) -> object:
    return resource.get("service.name"), resource.get("service.instance.id")


def since(point: Point, before: Point) -> Point:
    """What a cumulative histogram has counted since its point before. An exponential one may have become coarser meanwhile."""
    if point.scale is None or before.scale is None:
        if point.bounds != before.bounds:
            return point._replace(counts=(), zero=0)  # another histogram under the same name: it begins here
        return point._replace(counts=tuple(a - b for a, b in zip(point.counts, before.counts, strict=False)))
    coarser = before.scale - point.scale
    if coarser < 0:
        return point._replace(counts=(), zero=0)
    counts = dict(enumerate(point.counts, point.offset))
    for index, count in enumerate(before.counts, before.offset):
        counts[index >> coarser] = counts.get(index >> coarser, 0) - count
    fresh = tuple(counts[index] for index in range(point.offset, point.offset + len(point.counts)))
    return point._replace(counts=fresh, zero=point.zero - before.zero)


def buckets(point: Point) -> Iterator[tuple[float, float, int]]:
    """(lower bound, upper bound, count) of each bucket that has any, in the histogram's own unit."""
    if point.scale is None:
        bounds = (0.0, *point.bounds, float("inf"))
        yield from ((a, b, count) for a, b, count in zip(bounds, bounds[1:], point.counts, strict=False) if count)
        return
    width = 2.0**-point.scale
    for index, count in enumerate(point.counts, point.offset):
        if count and abs(index * width) < 60:
            yield 2.0 ** (index * width), 2.0 ** ((index + 1) * width), count
    if point.zero:
        yield 0.0, 0.0, point.zero


def spread(lower_s: float, upper_s: float, count: int) -> dict[int, int]:
    """`count` requests between two bounds, over our buckets: evenly on a logarithmic scale, the remainder in the middle.

    What has no upper bound is taken as just above its lower one, what has no lower one as in the octave below its upper one.
    """
    if upper_s == float("inf"):
        upper_s = lower_s * grid.BASE
    if lower_s <= 0:
        lower_s = upper_s / 2
    first, last = (_bucket(bound, above) for bound, above in ((lower_s, True), (upper_s, False)))
    size = max(1, last - first + 1)
    share, rest = divmod(count, size)
    found = dict.fromkeys(range(first, first + size), share) if share else {}
    begin = first + (size - rest) // 2
    for bucket in range(begin, begin + rest):
        found[bucket] = found.get(bucket, 0) + 1
    return found


def _bucket(bound_s: float, above: bool) -> int:
    """The bucket just above, or just below, a bound."""
    if bound_s <= 0:
        return 0
    position = log2(bound_s) * grid.PER_OCTAVE - grid.LOWEST
    nearest = round(position)
    exact = abs(position - nearest) < 1e-6
    bucket = (nearest if above else nearest - 1) if exact else int(position // 1)
    return min(max(bucket, 0), grid.BUCKETS - 1)
