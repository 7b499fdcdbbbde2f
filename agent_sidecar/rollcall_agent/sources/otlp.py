"""The OTLP receiver: an application in any language sends what OpenTelemetry's SDK has made of its requests.

POST /v1/traces and /v1/metrics, protobuf and JSON, plain and gzip; logs are taken and dropped. An export is answered after it
was counted in the agent's own worker file, which outlives this process, and clients repeat what was not answered: so a crash of
this process loses nothing, and counts at most the one export twice that it was at.

Spans tell of requests at their end, so requests in flight are not known from them. Beside a probe of ours in the same language
spans are not counted: it has counted the same requests.
"""

from __future__ import annotations

import socket
import zlib

from ..ledger import Ledger
from ..log import say
from . import otlp_json, otlp_points, otlp_protobuf
from .otlp_http import MOST_BODY_BYTES, Answer, Headers, HttpError, HttpServer
from .otlp_metrics import MetricCounter
from .otlp_spans import CONSUMER, SERVER, Attributes, Span
from .otlp_traces import TraceCounter

MOST_JSON_BYTES = 1 << 20
"""JSON becomes up to twenty times as large while it is read."""
_PROTOBUF, _JSON = b"application/x-protobuf", b"application/json"


class OtlpSource:
    """Everything of one pod that speaks OTLP. `probed` are the languages that a probe of ours counts in."""

    def __init__(self, ledger: Ledger, listeners: list[socket.socket]) -> None:
        ledger.resume()  # an earlier worker process has written to the same map
        self._http = HttpServer(listeners, self._answer)
        self._traces = TraceCounter(ledger)
        self._metrics = MetricCounter(ledger)
        self._read_traces = otlp_protobuf.decoder()
        self._now_us = self._rejected = 0
        self.probed: frozenset[str] = frozenset()

    @property
    def fileno(self) -> int:
        """Readable when there is something to do."""
        return self._http.fileno

    @property
    def is_behind(self) -> bool:
        """Whether a turn is due at once."""
        return self._http.is_behind

    @property
    def connections(self) -> int:
        """Connections that are open: more may come over them."""
        return self._http.connections

    @property
    def seen(self) -> bool:
        """Whether this process has counted a request."""
        return bool(self._traces.requests or self._metrics.requests)

    def turn(self, now_us: int) -> None:
        """Accept, read, answer one export."""
        self._now_us = now_us
        self._http.turn(now_us)

    def tick(self, now_us: int) -> None:
        """To be called before each report."""
        self.turn(now_us)
        self._http.expire(now_us)
        self._metrics.turn(now_us)

    def in_flight(self, now_us: int) -> int | None:
        """Requests in flight, where a metric has told of them lately."""
        return self._metrics.active(now_us)

    def _answer(self, path: bytes, headers: Headers, body: bytes) -> Answer:
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if path not in (b"/v1/traces", b"/v1/metrics", b"/v1/logs"):
            return _failure(404, kind, "there are /v1/traces, /v1/metrics and /v1/logs")
        if kind not in (_PROTOBUF, _JSON):
            return _failure(415, kind, "Content-Type must be application/x-protobuf or application/json")
        self._rejected = 0
        try:
            content = _plain(headers.get(b"content-encoding", b"identity").lower(), body)
            if kind == _JSON and len(content) > MOST_JSON_BYTES:
                raise HttpError(413, f"JSON may have {MOST_JSON_BYTES} bytes: smaller batches, or protobuf")
            if path == b"/v1/traces":
                read = otlp_json.traces if kind == _JSON else self._read_traces
                read(content, self._take_spans)
            elif path == b"/v1/metrics":
                self._metrics.take(
                    otlp_points.from_json(content) if kind == _JSON else otlp_points.from_protobuf(content), self._now_us
                )
        except HttpError as error:
            return _failure(error.status, kind, str(error))
        except (ValueError, OverflowError) as error:
            say(f"OTLP: an export cannot be read: {error}", "otlp export")
            return _failure(400, kind, f"this is no {path.decode()} export: {error}")
        return _success(kind, self._rejected)

    def _take_spans(self, resource: Attributes, spans: list[Span]) -> None:
        if resource.get("telemetry.sdk.language") in self.probed:
            return
        if any(span[0] in (SERVER, CONSUMER) for span in spans):
            self._metrics.traced(resource)
        self._rejected += self._traces.count(spans, self._now_us)


def _plain(encoding: bytes, body: bytes) -> bytes:
    """A body without its compression, as far as it stays within bounds."""
    if encoding in (b"identity", b""):
        return body
    if encoding not in (b"gzip", b"deflate"):
        raise HttpError(415, "Content-Encoding must be gzip, deflate or none")
    try:
        unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)
        content = unpack.decompress(body, MOST_BODY_BYTES + 1)
    except zlib.error as error:
        raise ValueError(f"{encoding.decode()}: {error}") from None
    if len(content) > MOST_BODY_BYTES:
        raise HttpError(413, f"a body may unpack to {MOST_BODY_BYTES} bytes: let the exporter send smaller batches")
    if not unpack.eof:
        raise ValueError("its compressed body is cut off")
    return content


def _success(kind: bytes, rejected: int) -> Answer:
    """An Export…ServiceResponse; `rejected` spans make it a partial success."""
    message = b"spans without an id, or that end before they begin"
    if kind == _JSON:
        partial = b'{"partialSuccess":{"rejectedSpans":"%d","errorMessage":"%s"}}' % (rejected, message)
        return 200, kind, partial if rejected else b"{}"
    if not rejected:
        return 200, kind, b""
    inner = b"\x08" + _varint(rejected) + b"\x12" + _varint(len(message)) + message
    return 200, kind, b"\x0a" + _varint(len(inner)) + inner


def _failure(status: int, kind: bytes, message: str) -> Answer:
    """A google.rpc.Status with the reason."""
    text = message.encode("utf-8", "replace")[:1000]
    if kind == _JSON:
        return status, kind, b'{"message":"%s"}' % text.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    if kind == _PROTOBUF:
        return status, kind, b"\x12" + _varint(len(text)) + text
    return status, b"text/plain", text


def _varint(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return found + bytes((value,))
