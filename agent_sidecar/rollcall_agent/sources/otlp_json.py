"""Reads OTLP's JSON, the encoding that the JavaScript SDK prefers, into what `otlp_protobuf` makes of the other one.

Source: OpenTelemetry protocol, "JSON Protobuf Encoding": lowerCamelCase keys, ids in hex, 64-bit numbers as text or number.
Whatever does not fit raises ValueError.
"""

from __future__ import annotations

import json
from typing import Any

from .otlp_protobuf import MOST_EXCEPTIONS, MOST_TEXT
from .otlp_spans import CONSUMER, SERVER, WANTED, Attributes, Span, Take, Value

_WANTED = frozenset(WANTED)
_KINDS = {f"SPAN_KIND_{name}": number for number, name in enumerate(("SERVER", "CLIENT", "PRODUCER", "CONSUMER"), 2)}
_STATUS_ERROR = (2, "STATUS_CODE_ERROR")


def document(body: bytes) -> dict[str, Any]:
    """The object that a body holds."""
    try:
        value = json.loads(body)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    return value


def objects(holder: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The list of objects that `key` holds."""
    value = holder.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise ValueError(f"{key} is no list of objects")
    return value


def number(value: Any) -> int:
    """A whole number, written as a number or as text."""
    if isinstance(value, bool) or not isinstance(value, int | str | float):
        raise ValueError("a number is missing")
    found = int(value)
    if not -(1 << 63) <= found < 1 << 64:
        raise ValueError("a number is out of range")
    return found


def attributes(holder: dict[str, Any]) -> Attributes:
    """The attributes, of those in WANTED, of an object that has `attributes`."""
    found: Attributes = {}
    for pair in objects(holder, "attributes"):
        key = pair.get("key")
        if isinstance(key, str) and key in _WANTED and (value := _value(pair.get("value"))) is not None:
            found[key] = value
    return found


def _value(value: Any, in_array: bool = False) -> Value | None:
    if not isinstance(value, dict):
        return None
    if isinstance(text := value.get("stringValue"), str):
        return text.encode("utf-8", "replace")[:MOST_TEXT].decode("utf-8", "replace")
    if isinstance(truth := value.get("boolValue"), bool):
        return truth
    if "intValue" in value:
        return number(value["intValue"])
    if isinstance(real := value.get("doubleValue"), int | float):
        return float(real)
    array = value.get("arrayValue")
    if isinstance(array, dict) and not in_array:
        for element in objects(array, "values"):
            return _value(element, in_array=True)
    return None


def traces(body: bytes, take: Take) -> None:
    """Give `take` the attributes of each resource of an ExportTraceServiceRequest and its spans that count."""
    for resource_spans in objects(document(body), "resourceSpans"):
        resource = resource_spans.get("resource")
        spans = [
            span
            for scope in objects(resource_spans, "scopeSpans")
            for each in objects(scope, "spans")
            if (span := _span(each)) is not None
        ]
        take(attributes(resource) if isinstance(resource, dict) else {}, spans)


def _span(each: dict[str, Any]) -> Span | None:
    kind = each.get("kind")
    kind = _KINDS.get(kind, 0) if isinstance(kind, str) else kind
    if not isinstance(kind, int) or not SERVER <= kind <= CONSUMER:
        return None
    status = each.get("status")
    failed = isinstance(status, dict) and status.get("code") in _STATUS_ERROR
    ids = (_identity(each.get(name)) for name in ("traceId", "spanId", "parentSpanId"))
    start, end = (number(each.get(name, 0)) for name in ("startTimeUnixNano", "endTimeUnixNano"))
    name = str(each.get("name", "")).encode("utf-8", "replace")[:MOST_TEXT].decode("utf-8", "replace")
    exceptions = [attributes(event) for event in objects(each, "events") if event.get("name") == "exception"]
    trace, identity, parent = ids
    return kind, trace, identity, parent, name, start, end, failed, attributes(each), exceptions[:MOST_EXCEPTIONS]


def _identity(value: Any) -> bytes:
    return bytes.fromhex(value) if isinstance(value, str) else b""
