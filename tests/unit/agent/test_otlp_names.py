"""Attributes → names and reasons, by both generations of the semantic conventions."""

from __future__ import annotations

from typing import Any

import pytest

from rollcall_agent.sources import otlp_names as names
from rollcall_agent.sources.otlp_spans import CLIENT, CONSUMER, SERVER, Span
from rollcall_agent.wire import facts


def span(kind: int = CLIENT, name: str = "", failed: bool = False, exceptions: tuple[Any, ...] = (), **found: Any) -> Span:
    attributes = {key.replace("__", "-").replace("_0_", "_").replace("_", "."): value for key, value in found.items()}
    attributes = {_LONG.get(key, key): value for key, value in attributes.items()}
    return kind, b"t", b"s", b"", name, 1, 2, failed, attributes, exceptions


_LONG = {
    "http.response.status.code": "http.response.status_code",
    "http.status.code": "http.status_code",
    "rpc.grpc.status.code": "rpc.grpc.status_code",
    "aws.dynamodb.table.names": "aws.dynamodb.table_names",
}


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (span(SERVER, "GET /a/{b}", http_request_method="GET", http_route="/a/{b}"), "GET /a/{b}"),
        (span(SERVER, "GET /a/{b}", http_method="GET", http_route="/a/{b}"), "GET /a/{b}"),
        (span(SERVER, "GET", http_request_method="GET"), "GET *"),
        (span(SERVER, "GET /users/17", http_method="GET"), "GET /users/*"),
        (span(SERVER, "GET /17", http_method="GET", http_status_code=404), "GET *"),
        (span(SERVER, "HTTP", http_request_method="_OTHER", http_route="/a"), "OTHER /a"),
        (span(SERVER, "POST /orders/{id}"), "POST /orders/*"),
        (span(SERVER, "shop.Cart/Add", rpc_system="grpc", rpc_service="shop.Cart", rpc_method="Add"), "RPC shop.Cart/Add"),
        (span(CONSUMER, "orders process", messaging_destination_name="orders"), "TASK orders"),
        (span(CONSUMER, "orders process", messaging_destination="orders"), "TASK orders"),
        (span(CONSUMER, "nightly"), "TASK nightly"),
        (span(SERVER, "websocket"), "websocket"),
        (span(SERVER, ""), "other"),
    ],
)
def test_endpoints(made: Span, expected: str) -> None:
    assert names.endpoint(made) == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"db.system.name": "postgresql", "db.namespace": "orders"}, "postgresql orders"),
        ({"db.system": "mysql", "db.name": "orders"}, "mysql orders"),
        ({"db.system.name": "mariadb", "db.namespace": "orders"}, "mysql orders"),
        ({"db.system": "postgresql", "server.address": "db.shop"}, "postgresql db.shop"),
        ({"db.system.name": "microsoft.sql_server", "db.namespace": "a"}, "mssql a"),
        ({"db.system": "sqlite", "db.name": "/var/lib/a.db"}, "sqlite a.db"),
        ({"db.system": "redis", "db.name": "0", "net.peer.name": "cache", "net.peer.port": 6379}, "redis cache"),
        ({"db.system.name": "redis", "server.address": "cache", "server.port": 6380}, "redis cache:6380"),
        ({"db.system": "mongodb", "db.name": "feed"}, "mongodb feed"),
        ({"db.system": "dynamodb", "aws.dynamodb.table_names": "newsfeed", "rpc.service": "DynamoDB"}, "dynamodb newsfeed"),
        ({"db.system.name": "aws.dynamodb", "db.collection.name": "newsfeed"}, "dynamodb newsfeed"),
        ({"rpc.system": "aws-api", "rpc.service": "S3", "aws.s3.bucket": "b", "http.method": "PUT"}, "s3 b"),
        ({"rpc.system": "aws-api", "rpc.service": "Kinesis"}, "kinesis"),
        ({"rpc.system": "grpc", "rpc.service": "shop.Cart", "server.address": "cart"}, "grpc cart"),
        ({"messaging.system": "kafka", "messaging.destination.name": "orders"}, "kafka orders"),
        ({"http.request.method": "GET", "server.address": "api.example.com", "server.port": 443}, "http api.example.com"),
        ({"http.method": "GET", "net.peer.name": "api", "net.peer.port": 8080}, "http api:8080"),
        ({"http.method": "GET", "http.url": "https://user:secret@api.example.com/a?b"}, "http api.example.com"),
        ({"http.request.method": "GET", "url.full": "http://api.example.com:81/a"}, "http api.example.com:81"),
        ({"http.method": "GET"}, "http other"),
        ({"peer.service": "billing"}, "service billing"),
        ({}, "other"),
    ],
)
def test_dependencies(found: dict[str, Any], expected: str) -> None:
    assert names.dependency(found) == expected


def thrown(kind: str, message: str = "") -> tuple[dict[str, str], ...]:
    return ({"exception.type": kind, "exception.message": message},)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (span(), None),
        (span(failed=True), "error"),
        (span(http_response_status_code=200), None),
        (span(failed=True, http_response_status_code=404), None),
        (span(failed=True, http_response_status_code=429), "throttled"),
        (span(http_status_code=503), "error"),
        (span(http_status_code=503, http_response_header_retry__after="1"), "throttled"),
        (span(failed=True, http_status_code=500), "error"),
        (span(failed=True, error_type="ProvisionedThroughputExceededException"), "throttled"),
        (span(failed=True, exceptions=thrown("botocore.ClientError", "An error occurred (ThrottlingException)")), "throttled"),
        (span(failed=True, exceptions=thrown("java.net.ConnectException", "Connection refused")), "refused"),
        (span(failed=True, error_type="ECONNREFUSED"), "refused"),
        (span(failed=True, exceptions=thrown("java.net.http.HttpTimeoutException", "request timed out")), "timeout"),
        (span(failed=True, error_type="redis.exceptions.TimeoutError"), "timeout"),
        (span(failed=True, exceptions=thrown("org.apache.http.conn.ConnectionPoolTimeoutException")), "exhausted"),
        (span(rpc_grpc_status_code=0), None),
        (span(rpc_grpc_status_code=5), "error"),
        (span(failed=True, rpc_grpc_status_code=4), "timeout"),
        (span(failed=True, rpc_grpc_status_code=8), "throttled"),
    ],
)
def test_reasons(made: Span, expected: str | None) -> None:
    found = names.reason(*made[7:])
    assert (None if found is None else facts.REASONS[found]) == expected


@pytest.mark.parametrize(
    ("made", "code", "expected"),
    [
        (span(SERVER, failed=True, exceptions=thrown("ValueError")), 500, "exception ValueError"),
        (span(SERVER, failed=True, exceptions=thrown("a.ReadTimeoutException")), 500, "timeout a.ReadTimeoutException"),
        (
            span(SERVER, failed=True, error_type="java.lang.IllegalStateException"),
            0,
            "exception java.lang.IllegalStateException",
        ),
        (span(SERVER, failed=True, error_type="503"), 503, "http 503"),
        (span(SERVER, failed=True), 504, "timeout http 504"),
        (span(SERVER, failed=True, error_type="_OTHER"), 0, "exception other"),
    ],
)
def test_errors(made: Span, code: int, expected: str) -> None:
    assert names.error(made, code) == expected
