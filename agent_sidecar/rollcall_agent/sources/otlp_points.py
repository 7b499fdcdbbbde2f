"""Reads the metrics of OTLP that are asked for, from protobuf and from JSON. Rare and few, so there is no native part.

Source: opentelemetry-proto, metrics/v1/metrics.proto. What does not fit raises ValueError.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from . import otlp_json as js
from . import otlp_protobuf as pb
from .otlp_spans import Attributes

DURATIONS = {"http.server.request.duration": 1.0, "http.server.duration": 0.001}
"""Histograms of response times, new and old convention, and the seconds of their unit."""
ACTIVE = ("http.server.active_requests",)
DELTA = 1
MOST_BUCKETS = 1024
_SIGNED = struct.Struct("<q")
_DOUBLE = struct.Struct("<d")


class Point(NamedTuple):
    """One data point of a histogram, of which either the bounds or the scale are given, or the value of a gauge or sum."""

    attributes: Attributes
    start: int = 0
    """When it began to count, ns of Unix time."""
    counts: tuple[int, ...] = ()
    bounds: tuple[float, ...] = ()
    """Upper bounds of all buckets but the last."""
    scale: int | None = None
    offset: int = 0
    """Index of the first bucket, by the exponential scale."""
    zero: int = 0
    value: float = 0.0


class Metric(NamedTuple):
    """One metric of one resource."""

    resource: Attributes
    name: str
    is_delta: bool
    points: list[Point]


def from_protobuf(body: bytes) -> list[Metric]:
    """The metrics of an ExportMetricsServiceRequest that are asked for."""
    found = []
    for resource_metrics in pb.parts(body, 1):
        resource: Attributes = {}
        for content in pb.parts(resource_metrics, 1):
            resource = pb.attributes(content, 1)
        for scope in pb.parts(resource_metrics, 2):
            for each in pb.parts(scope, 2):
                name = b"".join(list(pb.parts(each, 1))[-1:]).decode("utf-8", "replace")
                if name in DURATIONS or name in ACTIVE:
                    found += _metrics(resource, name, each)
    return found


def _metrics(resource: Attributes, name: str, metric: bytes) -> list[Metric]:
    found = []
    readers = {5: _number, 7: _number, 9: _histogram, 10: _exponential}
    for number, read in readers.items():
        for data in pb.parts(metric, number):
            delta = any(n == 2 and value == DELTA for n, _, value, _ in pb.fields(data))
            found.append(Metric(resource, name, delta, [read(point) for point in pb.parts(data, 1)]))
    return found


def _number(data: bytes) -> Point:
    value = 0.0
    for number, _, _, content in pb.fields(data):
        if number == 4 and len(content) == 8:
            value = _DOUBLE.unpack(content)[0]
        elif number == 6 and len(content) == 8:
            value = float(_SIGNED.unpack(content)[0])
    return Point(pb.attributes(data, 7), value=value)


def _histogram(data: bytes) -> Point:
    start, counts, bounds = 0, [], []
    for number, wire, value, content in pb.fields(data):
        if number == 2:
            start = value
        elif number == 6:
            counts += pb.fixed64s(content)
        elif number == 7 and wire != 0:
            bounds += pb.doubles(content)
    return _checked(Point(pb.attributes(data, 9), start, tuple(counts), tuple(bounds)))


def _exponential(data: bytes) -> Point:
    start = scale = zero = offset = 0
    counts: list[int] = []
    for number, _, value, content in pb.fields(data):
        if number == 2:
            start = value
        elif number == 6:
            scale = _zigzag(value)
        elif number == 7:
            zero = value
        elif number == 8:
            for inner, wire, inner_value, inner_content in pb.fields(content):
                if inner == 1:
                    offset = _zigzag(inner_value)
                elif inner == 2:
                    counts += pb.varints(inner_content) if wire == 2 else [inner_value]
    return _checked(Point(pb.attributes(data, 1), start, tuple(counts), (), scale, offset, zero))


def _zigzag(value: int) -> int:
    return value >> 1 ^ -(value & 1)


def from_json(body: bytes) -> list[Metric]:
    """The same from JSON."""
    found = []
    for resource_metrics in js.objects(js.document(body), "resourceMetrics"):
        holder = resource_metrics.get("resource")
        resource = js.attributes(holder) if isinstance(holder, dict) else {}
        for scope in js.objects(resource_metrics, "scopeMetrics"):
            for each in js.objects(scope, "metrics"):
                name = each.get("name")
                if name in DURATIONS or name in ACTIVE:
                    found += _json_metrics(resource, str(name), each)
    return found


def _json_metrics(resource: Attributes, name: str, metric: dict[str, Any]) -> list[Metric]:
    found = []
    for key in ("gauge", "sum", "histogram", "exponentialHistogram"):
        data = metric.get(key)
        if isinstance(data, dict):
            delta = data.get("aggregationTemporality") in (DELTA, "AGGREGATION_TEMPORALITY_DELTA")
            found.append(Metric(resource, name, delta, [_json_point(point) for point in js.objects(data, "dataPoints")]))
    return found


def _json_point(point: dict[str, Any]) -> Point:
    attributes, start = js.attributes(point), js.number(point.get("startTimeUnixNano", 0))
    if "scale" in point:
        positive = point.get("positive")
        positive = positive if isinstance(positive, dict) else {}
        counts, offset = _numbers(positive.get("bucketCounts")), js.number(positive.get("offset", 0))
        scale, zero = js.number(point["scale"]), js.number(point.get("zeroCount", 0))
        return _checked(Point(attributes, start, counts, (), scale, offset, zero))
    if "bucketCounts" in point:
        bounds = point.get("explicitBounds") or []
        if not isinstance(bounds, list) or not all(isinstance(bound, int | float) for bound in bounds):
            raise ValueError("explicitBounds are no numbers")
        counts = _numbers(point["bucketCounts"])
        return _checked(Point(attributes, start, counts, tuple(float(bound) for bound in bounds)))
    value = point.get("asDouble", point.get("asInt", 0))
    return Point(attributes, start, value=float(value) if isinstance(value, int | float | str) else 0.0)


def _numbers(value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ValueError("bucketCounts is no list")
    return tuple(js.number(each) for each in value)


def _checked(point: Point) -> Point:
    if len(point.counts) > MOST_BUCKETS or any(count < 0 for count in point.counts):
        raise ValueError("a histogram has too many buckets, or fewer than none in one")
    if point.scale is None and point.counts and len(point.counts) != len(point.bounds) + 1:
        raise ValueError("a histogram has not one bucket more than bounds")
    if point.scale is not None and not (-10 <= point.scale <= 20 and abs(point.offset) < 1 << 31):
        raise ValueError("no such scale of a histogram")
    if any(a >= b for a, b in zip(point.bounds, point.bounds[1:], strict=False)):
        raise ValueError("the bounds of a histogram do not rise")
    return point
