"""What is counted of spans and of histograms."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from rollcall_agent.ledger import Ledger
from rollcall_agent.sources import otlp_json, otlp_metrics, otlp_points, otlp_traces
from rollcall_agent.sources.otlp_metrics import TRIAL_US, MetricCounter
from rollcall_agent.sources.otlp_points import Point
from rollcall_agent.sources.otlp_spans import CLIENT, PRODUCER, SERVER, Span
from rollcall_agent.sources.otlp_traces import TraceCounter
from rollcall_agent.wire import grid, layout

MS = 1_000_000
START = 10**15


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(str(tmp_path), layout.RUNTIME_OTLP, "otlp")


def made(kind: int, begin: int, end: int, span: int, parent: int = 0, trace: int = 1, **attributes: Any) -> Span:
    """Times in ms since START."""
    found = {key.replace("_", "."): value for key, value in attributes.items()}
    ids = bytes([trace]), bytes([span]), bytes([parent])
    return kind, *ids, "GET /a", START + begin * MS, START + end * MS, False, found, ()  # type: ignore[return-value]


def row(ledger: Ledger, name: str) -> tuple[int, int, int]:
    """(calls, µs of them, µs waited) of a dependency."""
    at = layout.OFF_DEPENDENCIES + ledger.dependency(name) * layout.DEPENDENCY.size
    calls, _, _, _, _, _, duration_us, waited_us, _, _ = layout.DEPENDENCY.unpack_from(ledger.memory, at)
    return calls, duration_us, waited_us


def call(begin: int, end: int, span: int, system: str, **more: Any) -> Span:
    return made(CLIENT, begin, end, span, 1, peer_service=system, **more)


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([call(10, 30, 2, "a")], {"a": 20}),
        ([call(10, 30, 2, "a"), call(40, 50, 3, "a")], {"a": 30}),
        ([call(10, 30, 2, "a"), call(10, 30, 3, "b")], {"a": 10, "b": 10}),
        ([call(0, 100, 2, "a"), call(20, 70, 3, "b")], {"a": 66.666, "b": 33.333}),
        ([call(80, 500, 2, "a")], {"a": 20}),
        ([call(-50, 50, 2, "a"), call(60, 70, 3, "b")], {"a": 0, "b": 10}),
        ([call(-50, 50, 2, "a")], {"a": 0}),
    ],
)
def test_what_a_request_has_waited_for(ledger: Ledger, calls: list[Span], expected: dict[str, float]) -> None:
    """Together at most the time in which at least one was under way, within the request; also from an earlier export."""
    counter = TraceCounter(ledger)
    counter.count(calls, 10**9)
    counter.count([made(SERVER, 0, 100, 1)], 10**9)
    for system, waited_ms in expected.items():
        assert row(ledger, f"service {system}")[2] == pytest.approx(waited_ms * 1000, abs=1)


Facts = list[tuple[int, int, bool]]
"""Index, how long it took (ns), whether it failed."""
FACTS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 10**12), st.booleans()), max_size=30)


def emptied(folder: Path) -> Ledger:
    ledger = Ledger(str(folder), layout.RUNTIME_OTLP, "otlp")
    for name in ("a", "b", "c"):
        ledger.dependency(name)
        ledger.endpoint(name)
    return ledger


@given(exports=st.lists(FACTS, max_size=4), before=st.integers(0, 3))
def test_what_is_counted_together_is_what_is_counted_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, exports: list[Facts], before: int
) -> None:
    """Also over the end of the rings, of which `before` places are left."""
    folder = tmp_path_factory.mktemp("ledgers")
    single, together = emptied(folder), emptied(folder)
    for ledger in (single, together):
        ledger.finished_all([(0, 2, False, 1)] * (layout.JOURNAL - before))
        ledger.called_all({}, [0] * (layout.CALLS - before))
        ledger.points_all([bytes(layout.POINT.size)] * (layout.POINTS - before))
    for facts in exports:
        sums: dict[int, list[int]] = {}
        for index, elapsed_ns, failed in facts:
            single.called(index, elapsed_ns, 1 if failed else None)
            single.finished(index, 5 if failed else 2, failed, elapsed_ns)
            single.point(7, elapsed_ns // 1000, 0, layout.CPU_UNKNOWN, index, 0, 0, 2)
            added = sums.setdefault(index, [0] * 8)
            added[0], added[2], added[6] = added[0] + 1, added[2] + failed, added[6] + elapsed_ns // 1000
        together.called_all(sums, [index << 16 | grid.bucket_of_ns(max(elapsed_ns, 1)) for index, elapsed_ns, _ in facts])
        together.finished_all([(index, 5 if failed else 2, failed, elapsed_ns) for index, elapsed_ns, failed in facts])
        times = ((7, elapsed_ns // 1000, 0, layout.CPU_UNKNOWN, index) for index, elapsed_ns, _ in facts)
        together.points_all([layout.POINT.pack(*each, 0, 0, 2, 0, 0) for each in times])
    found = [bytes(ledger.memory[layout.OFF_STARTED :]) for ledger in (single, together)]
    for ledger in (single, together):
        ledger.discard()
    assert found[0] == found[1]


def test_a_call_below_a_call_is_part_of_it(ledger: Ledger) -> None:
    inner = made(CLIENT, 11, 29, 3, 2, http_request_method="POST", server_address="dynamodb.example.com")
    outer = made(CLIENT, 10, 30, 2, 1, rpc_system="aws-api", rpc_service="DynamoDB")
    message = made(PRODUCER, 40, 41, 4, 1, messaging_system="kafka")
    TraceCounter(ledger).count([inner, outer, message, made(SERVER, 0, 100, 1)], 10**9)
    assert row(ledger, "dynamodb") == (1, 20_000, 20_000)
    assert row(ledger, "kafka") == (1, 1000, 1000)
    assert row(ledger, "http dynamodb.example.com")[0] == 0


def test_calls_wait_for_their_request_in_bounded_memory(ledger: Ledger) -> None:
    counter = TraceCounter(ledger)
    for number in range(3 * otlp_traces.MOST_KEPT):
        span = (CLIENT, number.to_bytes(16, "big"), b"s", b"", "", START, START + MS, False, {"peer.service": "a"}, ())
        counter.count([span], 10**9)
    assert len(counter._calls) + len(counter._old) <= otlp_traces.MOST_KEPT + 2
    for _ in range(1000):
        counter.count([call(0, 1, 2, "b")], 10**9)
    assert max(len(calls) for calls in counter._calls.values()) <= otlp_traces.MOST_CALLS


RESOURCE = {"service.name": "a"}
SERIES = {"http.request.method": "GET", "http.route": "/a", "http.response.status_code": 200}


def histogram(ledger: Ledger) -> dict[int, int]:
    counts = ledger.memory[layout.OFF_HISTOGRAM : layout.OFF_HISTOGRAM + layout.HISTOGRAM_BYTES].cast("I").tolist()
    return {bucket: count for bucket, count in enumerate(counts) if count}


def take(counter: MetricCounter, point: Point, now_us: int, delta: bool = False) -> None:
    counter.take([otlp_points.Metric(RESOURCE, "http.server.request.duration", delta, [point])], now_us)


def told(counter: MetricCounter, now_us: int) -> int:
    """Everything that may be counted is; how many requests there were in all."""
    for _ in range(100):
        counter.turn(now_us)
    return counter.requests


def test_a_cumulative_histogram_counts_what_was_added(ledger: Ledger) -> None:
    counter = MetricCounter(ledger)
    take(counter, Point(SERIES, 1, (5, 3), (0.1,)), 0)
    assert told(counter, TRIAL_US - 1) == 0, "its first span may still come"
    assert told(counter, TRIAL_US) == 8
    take(counter, Point(SERIES, 1, (5, 4), (0.1,)), TRIAL_US)
    assert told(counter, TRIAL_US) == 9
    take(counter, Point(SERIES, 2, (2, 0), (0.1,)), TRIAL_US)
    assert told(counter, TRIAL_US) == 11, "its process has started again"
    assert ledger.endpoint_name(1) == "GET /a"


def test_a_delta_histogram_counts_all_of_it(ledger: Ledger) -> None:
    counter = MetricCounter(ledger)
    for _ in range(2):
        take(counter, Point(SERIES, 1, (5, 3), (0.1,)), 0, delta=True)
    assert told(counter, TRIAL_US) == 16


def test_what_sends_spans_is_not_counted_from_its_histograms(ledger: Ledger) -> None:
    counter = MetricCounter(ledger)
    take(counter, Point(SERIES, 1, (5, 3), (0.1,)), 0)
    counter.traced(RESOURCE)
    take(counter, Point(SERIES, 1, (9, 9), (0.1,)), 5)
    assert told(counter, 10 * TRIAL_US) == 0


def test_a_large_export_is_counted_a_part_at_a_time(ledger: Ledger) -> None:
    counter = MetricCounter(ledger)
    take(counter, Point(SERIES, 1, (10_000, 0), (0.1,)), 0)
    counter.turn(TRIAL_US)
    assert counter.requests == otlp_metrics.MOST_PER_TURN
    assert told(counter, TRIAL_US) == 10_000


def test_requests_in_flight_are_known_as_long_as_they_are_told(ledger: Ledger) -> None:
    counter = MetricCounter(ledger)
    assert counter.active(0) is None
    points = [Point({}, value=2.0), Point({}, value=1.0)]
    counter.take([otlp_points.Metric(RESOURCE, "http.server.active_requests", False, points)], 0)
    assert counter.active(otlp_metrics.ACTIVE_US) == 3
    assert counter.active(otlp_metrics.ACTIVE_US + 1) is None, "an old number is none of now"


@given(st.lists(st.floats(1e-5, 500), min_size=1, max_size=200), st.integers(-1, 12))
def test_an_exponential_histogram_falls_into_ours(values: list[float], scale: int) -> None:
    """Exactly where it is as fine as ours; else within its own bucket."""
    base = 2.0 ** (2.0**-scale)
    indexes = [math.ceil(math.log(value, base)) - 1 for value in values]
    counts = tuple(indexes.count(index) for index in range(min(indexes), max(indexes) + 1))
    if len(counts) > 5000:
        return
    found: dict[int, int] = {}
    for lower, upper, count in otlp_metrics.buckets(Point({}, 1, counts, (), scale, min(indexes))):
        inside = otlp_metrics.spread(lower, upper, count)
        assert sum(inside.values()) == count
        for bucket, part in inside.items():
            found[bucket] = found.get(bucket, 0) + part
            assert grid.upper_bound_s(bucket) >= lower * (1 - 1e-9)
            assert grid.upper_bound_s(bucket) / grid.BASE <= upper * (1 + 1e-9) or bucket == 0
    if scale == grid.SCALE:
        ours = [min(max(index - grid.LOWEST, 0), grid.BUCKETS - 1) for index in indexes]
        assert found == {bucket: ours.count(bucket) for bucket in set(ours)}


def test_a_histogram_that_becomes_coarser_is_differenced_all_the_same() -> None:
    fine = Point({}, 1, (1, 2, 3, 4), (), 3, 8)
    coarse = Point({}, 1, (3, 9), (), 2, 4)
    assert otlp_metrics.since(coarse, fine).counts == (0, 2)


def test_explicit_buckets_are_spread_over_ours() -> None:
    found = otlp_metrics.spread(0.1, 0.25, 100)
    assert sum(found.values()) == 100
    assert min(found) == grid.bucket_of_ns(100_000_001)
    assert max(found) == grid.bucket_of_ns(250_000_000)
    assert max(found.values()) - min(found.values()) <= 1
    assert sum(otlp_metrics.spread(10, float("inf"), 7).values()) == 7
    assert sum(otlp_metrics.spread(0, 0.005, 7).values()) == 7


def test_both_encodings_of_metrics_say_the_same() -> None:
    from google.protobuf.json_format import MessageToJson

    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "a"
    metrics = resource.scope_metrics.add().metrics
    explicit = metrics.add(name="http.server.request.duration", unit="s").histogram
    explicit.aggregation_temporality = 2
    point = explicit.data_points.add(count=8, sum=1.5, bucket_counts=[5, 3], explicit_bounds=[0.1], start_time_unix_nano=7)
    point.attributes.add(key="http.route").value.string_value = "/a"
    exponential = metrics.add(name="http.server.duration", unit="ms").exponential_histogram
    exponential.aggregation_temporality = 1
    made = exponential.data_points.add(count=6, scale=-1, zero_count=1)
    made.positive.offset, made.positive.bucket_counts[:] = -3, [2, 3]
    metrics.add(name="http.server.active_requests").sum.data_points.add(as_int=4)
    metrics.add(name="process.cpu.time").sum.data_points.add(as_int=4)
    text = MessageToJson(request, use_integers_for_enums=True).encode()
    assert otlp_points.from_json(text) == otlp_points.from_protobuf(request.SerializeToString())
    first, second, third = otlp_points.from_json(text)
    assert (first.is_delta, first.points[0].counts, first.points[0].bounds, first.points[0].start) == (False, (5, 3), (0.1,), 7)
    assert (second.is_delta, second.points[0].scale, second.points[0].offset, second.points[0].zero) == (True, -1, -3, 1)
    assert third.points[0].value == 4


def test_json_says_what_protobuf_says_of_spans() -> None:
    text = b"""{"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"a"}}]},"scopeSpans":[
    {"spans":[{"traceId":"0102","spanId":"03","name":"GET","kind":"SPAN_KIND_SERVER","startTimeUnixNano":"5","endTimeUnixNano":9,
    "attributes":[{"key":"http.response.status_code","value":{"intValue":"503"}},{"key":"db.system","value":{"arrayValue":
    {"values":[{"stringValue":"x"}]}}}],"status":{"code":"STATUS_CODE_ERROR"},"events":[{"name":"exception","attributes":
    [{"key":"exception.type","value":{"stringValue":"E"}}]}]},{"kind":1}]}]}]}"""
    attributes = {"http.response.status_code": 503, "db.system": "x"}
    span = (2, b"\x01\x02", b"\x03", b"", "GET", 5, 9, True, attributes, [{"exception.type": "E"}])
    found: list[Any] = []
    otlp_json.traces(text, lambda resource, spans: found.append((resource, spans)))
    assert found == [({"service.name": "a"}, [span])]
