"""Reads OTLP's protobuf: spans that count, and data points of the metrics that are asked for.

A decoder for the dozen fields that matter: the library would cost 6 MiB in every pod. Traces are read in C (`native/otlp.c`)
where that can be loaded, 0.5 µs per span, and by the same rules here where not, some 12 µs. The bytes are of somebody else:
whatever does not fit raises ValueError.

Source: opentelemetry-proto, trace/v1, metrics/v1 and common/v1; Protocol Buffers, "Encoding".
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

from .otlp_spans import WANTED, Attributes, Span, Take, Value

MOST_TEXT = 256
"""Bytes of a text that are read."""
MOST_EXCEPTIONS = 4
MOST_ATTRIBUTES = 64
"""Of those that are read: a span has each once."""
MOST_SPANS = 512
"""That are given at once: an export of 4 MiB would be 40 MiB of objects."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIZES = {_FIXED64: 8, _FIXED32: 4}
_STATUS_ERROR = 2
_DOUBLE = struct.Struct("<d")
_KEYS = {key.encode(): key for key in WANTED}
Field = tuple[int, int, int, bytes]
"""number, wire type, value of a number, content of everything else."""


def native_path() -> str:
    """Where the library for this kind of machine would be."""
    agent = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return os.path.join(agent, "native", f"{os.uname().machine}-{_c_library()}", "_rollcall_otlp.abi3.so")


def _c_library() -> str:
    """`gnu` or `musl`: which one this process runs on; a machine may have both."""
    try:
        return "gnu" if os.confstr("CS_GNU_LIBC_VERSION") else "musl"
    except (ValueError, OSError):
        return "musl"


def decoder() -> Callable[[bytes, Take], None]:
    """The function that reads a trace export, `traces` or its native counterpart where there is one."""
    if os.environ.get("ROLLCALL_NATIVE", "").lower() in ("off", "0", "false"):
        return traces
    try:
        from importlib.machinery import ExtensionFileLoader, ModuleSpec

        loader = ExtensionFileLoader("_rollcall_otlp", native_path())
        module: Any = loader.create_module(ModuleSpec("_rollcall_otlp", loader, origin=native_path()))
        loader.exec_module(module)
    except (ImportError, OSError):
        return traces
    read = module.traces
    return lambda body, take: read(body, WANTED, take)


def fields(data: bytes) -> Iterator[Field]:
    """Each field of a message, in order."""
    at, size = 0, len(data)
    while at < size:
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if not 0 < number <= 0x1FFFFFFF:
            raise ValueError("no such field number")
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, wire, value, b""
            continue
        if wire == _BYTES:
            length, at = _varint(data, at)
        elif wire in _SIZES:
            length = _SIZES[wire]
        else:
            raise ValueError("no such type of a field")
        if length > size - at:
            raise ValueError("a field is cut off")
        content = data[at : at + length]
        at += length
        yield number, wire, int.from_bytes(content, "little") if wire != _BYTES else 0, content


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 64:
        if at >= len(data):
            raise ValueError("a number is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at
        shift += 7
    raise ValueError("a number has more than ten bytes")


def parts(data: bytes, wanted: int) -> Iterator[bytes]:
    """The content of each field `wanted` of a message."""
    for number, wire, _, content in fields(data):
        if number == wanted and wire == _BYTES:
            yield content


def text(data: bytes) -> str:
    """The beginning of a text."""
    return data[:MOST_TEXT].decode("utf-8", "replace")


def _value(data: bytes, in_array: bool = False) -> Value | None:
    kind = number_value = 0
    content = b""
    for number, wire, value, body in fields(data):
        if (number, wire) in ((1, _BYTES), (2, _VARINT), (3, _VARINT), (4, _FIXED64), (5, _BYTES)):
            kind, number_value, content = number, value, body
    if kind == 1:
        return text(content)
    if kind == 2:
        return bool(number_value)
    if kind == 3:
        return signed(number_value)
    if kind == 4:
        return float(_DOUBLE.unpack(content)[0])
    if kind == 5 and not in_array:
        for element in parts(content, 1):
            return _value(element, in_array=True)
    return None


def signed(value: int) -> int:
    """A 64-bit number in two's complement."""
    return value - (1 << 64) if value >> 63 else value


def attributes(data: bytes, number: int) -> Attributes:
    """The attributes, of those in WANTED, in field `number` of a message."""
    found: Attributes = {}
    pairs: list[tuple[str, bytes]] = []
    for pair in parts(data, number):
        key: bytes | None = None
        content: bytes | None = None
        for inner, wire, _, body in fields(pair):
            if wire == _BYTES and inner == 1:
                key = body
            elif wire == _BYTES and inner == 2:
                content = body
        name = _KEYS.get(key) if key is not None and content is not None else None
        if name is not None and content is not None:
            pairs.append((name, content))
            if len(pairs) == MOST_ATTRIBUTES:
                raise ValueError("a span has too many attributes")
    for name, content in pairs:
        value = _value(content)
        if value is not None:
            found[name] = value
    return found


def traces(body: bytes, take: Take) -> None:
    """Give `take` the attributes of each resource of an ExportTraceServiceRequest and its spans that count, up to MOST_SPANS at
    a time. What comes before something that cannot be read is given."""
    for resource_spans in parts(body, 1):
        resource = b""
        for content in parts(resource_spans, 1):
            resource = content
        found, spans = attributes(resource, 1), []
        for scope in parts(resource_spans, 2):
            for each in parts(scope, 2):
                span = _span(each)
                if span is not None:
                    spans.append(span)
                    if len(spans) >= MOST_SPANS:
                        take(found, spans)
                        spans = []
        take(found, spans)


def _span(data: bytes) -> Span | None:
    trace = identity = parent = name = b""
    kind = start = end = 0
    failed = events = False
    for number, wire, value, content in fields(data):
        if wire == _BYTES:
            if number == 1:
                trace = content
            elif number == 2:
                identity = content
            elif number == 4:
                parent = content
            elif number == 5:
                name = content
            elif number == 11:
                events = True
            elif number == 15:
                failed = _is_failed(content, failed)
        elif number == 6 and wire == _VARINT:
            kind = value
        elif wire == _FIXED64:
            start, end = (value, end) if number == 7 else (start, value) if number == 8 else (start, end)
    if not 2 <= kind <= 5:
        return None
    exceptions = _exceptions(data) if events else ()
    return kind, trace, identity, parent, text(name), start, end, failed, attributes(data, 9), exceptions


def _is_failed(status: bytes, failed: bool) -> bool:
    for number, wire, value, _ in fields(status):
        if number == 3 and wire == _VARINT:
            failed = value == _STATUS_ERROR
    return failed


def _exceptions(span: bytes) -> list[Attributes]:
    found: list[Attributes] = []
    for event in parts(span, 11):
        names = [content for number, wire, _, content in fields(event) if number == 2 and wire == _BYTES]
        if names and names[-1] == b"exception":
            found.append(attributes(event, 3))
            if len(found) == MOST_EXCEPTIONS:
                break
    return found


def doubles(packed: bytes) -> list[float]:
    """A packed list of doubles."""
    return [value for (value,) in _DOUBLE.iter_unpack(packed)] if len(packed) % 8 == 0 else _bad_list()


def fixed64s(packed: bytes) -> list[int]:
    """A packed list of fixed64."""
    return [value for (value,) in struct.iter_unpack("<Q", packed)] if len(packed) % 8 == 0 else _bad_list()


def varints(packed: bytes) -> list[int]:
    """A packed list of numbers of variable length."""
    found, at = [], 0
    while at < len(packed):
        value, at = _varint(packed, at)
        found.append(value)
    return found


def _bad_list() -> Any:
    raise ValueError("a list of numbers is cut off")


assert sys.byteorder == "little"  # as in the worker file
