"""What is read of OTLP's spans, whichever encoding they came in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Value = str | bool | int | float
Attributes = dict[str, Value]
Span = tuple[int, bytes, bytes, bytes, str, int, int, bool, Attributes, Sequence[Attributes]]
"""kind, trace id, span id, parent's span id, name, start and end (ns of Unix time), whether its status is an error, those of
its attributes that WANTED names, and the same of each event that is an exception."""
Take = Callable[[Attributes, list[Span]], object]
"""Called with the attributes of a resource and spans of it that are of the kinds below."""

SERVER, CLIENT, PRODUCER, CONSUMER = 2, 3, 4, 5

WANTED = (
    "http.request.method",
    "http.method",
    "http.route",
    "http.response.status_code",
    "http.status_code",
    "http.response.header.retry-after",
    "server.address",
    "server.port",
    "net.peer.name",
    "net.peer.port",
    "http.host",
    "url.full",
    "http.url",
    "error.type",
    "db.system.name",
    "db.system",
    "db.namespace",
    "db.name",
    "db.collection.name",
    "aws.dynamodb.table_names",
    "aws.s3.bucket",
    "rpc.system.name",
    "rpc.system",
    "rpc.service",
    "rpc.method",
    "rpc.grpc.status_code",
    "rpc.response.status_code",
    "messaging.system",
    "messaging.destination.name",
    "messaging.destination",
    "peer.service",
    "exception.type",
    "exception.message",
    "exception.stacktrace",
    "service.name",
    "service.instance.id",
    "telemetry.sdk.language",
)
"""Old and new semantic conventions."""
