"""The decoders of OTLP: native and pure agree on any bytes, and JSON is read or refused."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from rollcall_agent.sources import otlp_json, otlp_points, otlp_protobuf

NATIVE = otlp_protobuf.decoder()


def test_the_native_one_is_there() -> None:
    assert NATIVE is not otlp_protobuf.traces, "build it with `make native`"


@given(st.binary(max_size=600))
def test_both_decoders_agree_on_any_bytes(data: bytes) -> None:
    assert _outcome(NATIVE, data) == _outcome(otlp_protobuf.traces, data)


ATTRIBUTE = st.tuples(
    st.sampled_from(["http.route", "db.system", "url.path", "exception.type", ""]),
    st.one_of(
        st.text(max_size=300), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.lists(st.text(max_size=5))
    ),
)


@given(
    st.lists(
        st.tuples(
            st.binary(max_size=17), st.text(max_size=300), st.integers(0, 6), st.integers(0, 2**64 - 1), st.lists(ATTRIBUTE),
            st.integers(0, 3),
        )
    ),
    st.integers(0, 10_000),
)  # fmt: skip
def test_both_decoders_agree_on_spans_whole_and_cut(spans: list[Any], cut: int) -> None:
    made = ExportTraceServiceRequest()
    resource = made.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "a"
    for identity, name, kind, start, attributes, status in spans:
        span = resource.scope_spans.add().spans.add(trace_id=identity, name=name, start_time_unix_nano=start)
        span.kind = kind  # type: ignore[assignment]
        span.status.code = status  # type: ignore[assignment]
        event = span.events.add(name="exception")
        for key, value in attributes:
            for holder in (span.attributes, event.attributes):
                _set(holder.add(key=key).value, value)
    data = made.SerializeToString()
    assert _outcome(NATIVE, data) == _outcome(otlp_protobuf.traces, data)
    assert _outcome(NATIVE, data)[0] == "read"
    data = data[:cut]
    assert _outcome(NATIVE, data) == _outcome(otlp_protobuf.traces, data)


def _set(holder: Any, value: Any) -> None:
    if isinstance(value, bool):
        holder.bool_value = value
    elif isinstance(value, list):
        for each in value:
            holder.array_value.values.add().string_value = each
    else:
        setattr(holder, {str: "string_value", int: "int_value", float: "double_value"}[type(value)], value)


def _outcome(decode: Any, data: bytes) -> tuple[str, str]:
    given: list[Any] = []
    try:
        decode(data, lambda *spans: given.append(spans))
    except ValueError as error:
        return f"refused: {error}", repr(given)  # by its text: a NaN is not equal to itself
    return "read", repr(given)


def test_many_spans_are_given_some_at_a_time() -> None:
    made = ExportTraceServiceRequest()
    for _ in range(3):
        resource = made.resource_spans.add()
        for scope in (resource.scope_spans.add(), resource.scope_spans.add()):
            for _ in range(400):
                scope.spans.add(kind=3)  # type: ignore[arg-type]
    for decode in (NATIVE, otlp_protobuf.traces):
        sizes: list[int] = []
        decode(made.SerializeToString(), lambda _, spans, sizes=sizes: sizes.append(len(spans)))  # type: ignore[misc]
        assert sizes == [512, 288] * 3


KEYS = st.sampled_from(
    [
        *("resourceSpans", "resourceMetrics", "scopeSpans", "scopeMetrics", "spans", "metrics", "resource", "kind", "name"),
        *("attributes", "value", "key", "events", "histogram", "dataPoints", "bucketCounts", "traceId", "scale", "positive"),
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["http.server.duration", "ff", ""])


@given(st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)))
def test_any_json_is_read_or_refused(value: Any) -> None:
    for read in (lambda body: otlp_json.traces(body, lambda *_: None), otlp_points.from_json):
        try:
            read(json.dumps(value).encode())
        except (ValueError, OverflowError):
            continue
