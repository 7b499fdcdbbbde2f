"""The receiver against whoever misbehaves: limits, reasons, slowness, noise; and it always goes on."""

from __future__ import annotations

import gzip
import http.client
import os
import signal
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse

from rollcall_agent.ledger import Ledger
from rollcall_agent.sources import otlp_http
from rollcall_agent.sources.otlp import OtlpSource
from rollcall_agent.wire import layout
from tests.unit.agent.fake_operator import FakeOperator
from tests.unit.agent.pod import Pod, free_port, poll_until

PROTOBUF, JSON = "application/x-protobuf", "application/json"


def request_export(count: int = 1, **fields: Any) -> ExportTraceServiceRequest:
    """An export of `count` requests."""
    made = ExportTraceServiceRequest()
    spans = made.resource_spans.add().scope_spans.add().spans
    for number in range(1, count + 1):
        span = spans.add(trace_id=struct.pack(">QQ", 1, number), span_id=struct.pack(">Q", number), name="GET /a", kind=2)
        span.start_time_unix_nano, span.end_time_unix_nano = time.time_ns() - 5_000_000, time.time_ns()
        for key, value in fields.items():
            setattr(span, key, value)
    return made


class Receiver:
    """The receiver in this process, turned by the test."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger(str(folder), layout.RUNTIME_OTLP, "otlp")
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        self.source = OtlpSource(self.ledger, [listener])
        self.now_us = 1_000_000

    def connect(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self.port))
        client.settimeout(0.01)
        return client

    def answer(self, client: socket.socket, data: bytes = b"", turns: int = 400) -> bytes:
        """Send, turn, and return what comes back."""
        client.setblocking(False)
        found = b""
        for _ in range(turns):
            if data:
                try:
                    data = data[client.send(data) :]
                except BlockingIOError:
                    pass
                except OSError:
                    data = b""
            self.source.turn(self.now_us)
            try:
                part = client.recv(65536)
            except BlockingIOError:
                continue
            except ConnectionResetError:
                return found
            found += part
            if not part or (b"\r\n\r\n" in found and b" 100 " not in found[:14]):
                return found
        return found

    def post(self, body: bytes, kind: str = PROTOBUF, path: str = "/v1/traces", **headers: str) -> tuple[int, bytes]:
        """(status, body) of one export over a connection of its own."""
        lines = [f"POST {path} HTTP/1.1", "Host: a", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        with self.connect() as client:
            answer = self.answer(client, "\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        head, _, content = answer.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), content


@pytest.fixture
def receiver(tmp_path: Path) -> Receiver:
    return Receiver(tmp_path)


def test_an_export_is_counted_and_answered(receiver: Receiver) -> None:
    status, body = receiver.post(request_export(3).SerializeToString())
    assert (status, body) == (200, b"")
    assert receiver.ledger.finished_count == 3
    assert receiver.post(b"{}", JSON) == (200, b"{}")
    assert receiver.post(b"anything", path="/v1/logs") == (200, b"")


def test_spans_that_cannot_be_counted_are_a_partial_success(receiver: Receiver) -> None:
    status, body = receiver.post(request_export(2, end_time_unix_nano=1).SerializeToString())
    told = ExportTraceServiceResponse.FromString(body)
    assert (status, told.partial_success.rejected_spans) == (200, 2)
    assert "end before they begin" in told.partial_success.error_message
    assert receiver.ledger.finished_count == 0
    text = b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"kind":2,"traceId":"","endTimeUnixNano":"5"}]}]}]}'
    assert receiver.post(text, JSON)[1].startswith(b'{"partialSuccess":{"rejectedSpans":"1"')


@pytest.mark.parametrize(
    ("body", "kind", "path", "headers", "status", "reason"),
    [
        (b"\xff", PROTOBUF, "/v1/traces", {}, 400, b"cut off"),
        (b"\x0a\x05a", PROTOBUF, "/v1/metrics", {}, 400, b"cut off"),
        (b"{", JSON, "/v1/traces", {}, 400, b"no /v1/traces export"),
        (b"[" * 100_000, JSON, "/v1/traces", {}, 400, b"nested"),
        (b"", "text/plain", "/v1/traces", {}, 415, b"application/json"),
        (b"", PROTOBUF, "/v1/traces", {"Content_Encoding": "zstd"}, 415, b"gzip"),
        (b"no gzip", PROTOBUF, "/v1/traces", {"Content_Encoding": "gzip"}, 400, b"gzip"),
        (gzip.compress(b"x" * 999, mtime=0)[:-9], PROTOBUF, "/v1/traces", {"Content_Encoding": "gzip"}, 400, b"cut off"),
        (b"", PROTOBUF, "/v1/profiles", {}, 404, b"/v1/metrics"),
        (b" " * (2 << 20), JSON, "/v1/traces", {}, 413, b"protobuf"),
    ],
)
def test_reasons(
    receiver: Receiver, body: bytes, kind: str, path: str, headers: dict[str, str], status: int, reason: bytes
) -> None:
    told = receiver.post(body, kind, path, **headers)
    assert told[0] == status
    assert reason in told[1]
    assert receiver.post(request_export().SerializeToString())[0] == 200, "and it goes on"


def test_a_bomb_unpacks_to_its_bound_and_no_further(receiver: Receiver) -> None:
    bomb = zlib.compress(b"\0" * (512 << 20), 9)
    assert len(bomb) < otlp_http.MOST_BODY_BYTES
    before = _resident_kib()
    assert receiver.post(bomb, PROTOBUF, Content_Encoding="deflate")[0] == 413
    assert _resident_kib() - before < 24 << 10


def _resident_kib() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /v1/traces HTTP/1.1\r\n\r\n", b"405"),
        (b"POST /v1/traces HTTP/1.1\r\nContent-Length: 5000000\r\n\r\n", b"413"),
        (b"POST /v1/traces HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"POST /v1/traces HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", b"411"),
        (b"POST /v1/traces HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n500000\r\n", b"413"),
        (b"POST /v1/traces HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"POST /v1/traces HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", b"400"),
        (b"POST /v1/traces HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 5000, b"400"),
        (b"POST /v1/traces HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\n" + b"a: b\r\n" * 5000, b"431"),
    ],
)
def test_what_is_no_request_is_refused_and_its_connection_closed(receiver: Receiver, data: bytes, status: bytes) -> None:
    with receiver.connect() as client:
        answer = receiver.answer(client, data)
        assert answer.split(b" ")[1] == status
        assert b"Connection: close" in answer
    receiver.source.turn(receiver.now_us)
    assert receiver.source.connections == 0


def test_one_connection_carries_many_exports_chunked_and_not(receiver: Receiver) -> None:
    body = request_export(2).SerializeToString()
    whole = (
        b"POST /v1/traces HTTP/1.1\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n" % (PROTOBUF.encode(), len(body)) + body
    )
    head = b"POST /v1/traces HTTP/1.1\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % PROTOBUF.encode()
    chunked = head + b"".join(b"%x;a=b\r\n%s\r\n" % (len(body[i : i + 7]), body[i : i + 7]) for i in range(0, len(body), 7))
    with receiver.connect() as client:
        for data in (whole, chunked + b"0\r\n\r\n", whole):
            assert b"200 OK" in receiver.answer(client, data)
        client.setblocking(True)
        client.sendall(whole * 3)  # pipelined, and cut anywhere
        for _ in range(50):
            receiver.source.turn(receiver.now_us)
    assert receiver.ledger.finished_count == 12


def test_a_client_that_waits_for_continue_gets_it(receiver: Receiver) -> None:
    body = request_export().SerializeToString()
    head = b"POST /v1/traces HTTP/1.1\r\nContent-Type: application/x-protobuf\r\nExpect: 100-continue\r\n"
    head += b"Content-Length: %d\r\n\r\n"
    with receiver.connect() as client:
        assert receiver.answer(client, head % len(body), turns=5) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert b"200 OK" in receiver.answer(client, body)


def test_slow_clients_end_and_idle_ones_make_room(receiver: Receiver) -> None:
    slow = receiver.connect()
    slow.sendall(b"POST /v1/traces HTTP/1.1\r\nContent-Le")
    idle = [receiver.connect() for _ in range(otlp_http.MOST_CONNECTIONS - 1)]
    for _ in range(3):
        receiver.source.turn(receiver.now_us)
    assert receiver.source.connections == otlp_http.MOST_CONNECTIONS
    assert receiver.post(request_export().SerializeToString())[0] == 200, "an idle one makes room"
    receiver.now_us += otlp_http.SLOW_US + 1
    receiver.source.tick(receiver.now_us)
    slow.settimeout(1)
    assert b"408" in slow.recv(1000)
    receiver.now_us += otlp_http.IDLE_US
    receiver.source.tick(receiver.now_us)
    assert receiver.source.connections == 0
    for client in idle:
        client.close()


def test_much_at_once_is_asked_to_come_again(receiver: Receiver) -> None:
    clients = [receiver.connect() for _ in range(4)]
    half = b"POST /v1/traces HTTP/1.1\r\nContent-Length: 4000000\r\n\r\n" + b"\0" * 3_500_000
    answers = [receiver.answer(client, half, turns=200) for client in clients]
    assert any(b"503" in answer and b"Retry-After: 1" in answer for answer in answers)
    for client in clients:
        client.close()
    for _ in range(10):
        receiver.source.turn(receiver.now_us)
    assert receiver.post(request_export().SerializeToString())[0] == 200


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(st.binary(max_size=2000))
def test_any_bytes_are_answered_or_refused(receiver: Receiver, data: bytes) -> None:
    with receiver.connect() as client:
        receiver.answer(client, data, turns=3)
    for kind in (PROTOBUF, JSON):
        for path in ("/v1/traces", "/v1/metrics"):
            assert receiver.post(data, kind, path)[0] in (200, 400)


@pytest.fixture
def pod(tmp_path: Path, operator: FakeOperator, certificate: tuple[Path, Path]) -> Iterator[Pod]:
    with Pod(tmp_path, f"localhost:{operator.port}", certificate[0], ROLLCALL_OTLP_PORT=str(free_port())) as made:
        yield made


def test_what_was_answered_survives_the_death_of_the_agents_worker(pod: Pod, operator: FakeOperator) -> None:
    agent = pod.start_agent()
    operator.wait_for_report(seq=1)
    port, answered = int(pod._env["ROLLCALL_OTLP_PORT"]), 0
    body = request_export(50).SerializeToString()
    for kill in range(4):
        for _ in range(10):
            while True:
                try:
                    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                    client.request("POST", "/v1/traces", body, {"Content-Type": PROTOBUF})
                    assert client.getresponse().status == 200
                    break
                except (OSError, http.client.HTTPException):
                    continue  # as an SDK does
            answered += 50
        if kill < 3:
            [worker] = poll_until(lambda: pod.children(agent), "a worker")
            os.kill(worker, signal.SIGKILL)
    seen = operator.wait_for_report(finished=answered)
    assert (seen["started"], seen["lost"]) == (answered, 0)


def test_a_flood_does_not_keep_the_agent_from_its_reports_nor_fill_its_memory(pod: Pod, operator: FakeOperator) -> None:
    agent = pod.start_agent()
    operator.wait_for_report(seq=1)
    port = int(pod._env["ROLLCALL_OTLP_PORT"])
    body = request_export(15_000, name="GET /" + "x" * 180).SerializeToString()
    assert len(body) > 3 << 20
    begun, reports = time.monotonic(), len(operator.reports)
    clients = []
    while time.monotonic() - begun < 3:
        client = socket.create_connection(("127.0.0.1", port))
        client.setblocking(False)
        head = b"POST /v1/traces HTTP/1.1\r\nContent-Type: application/x-protobuf\r\nContent-Length: %d\r\n\r\n" % len(body)
        for data in (head, body):
            try:
                client.send(data)
            except OSError:
                break
        clients = [*clients, client][-100:]
        time.sleep(0.002)
    rate = (len(operator.reports) - reports) / 3
    assert rate > 2, f"{rate:.1f} reports a second of the ten that were asked for"
    for client in clients:
        client.close()
    operator.wait_for_report(seq=operator.last["seq"] + 2)
    [worker] = pod.children(agent)
    status = Path(f"/proc/{worker}/status").read_text()
    peak_kib = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
    assert peak_kib < 44 << 10, "within the limit of its container, 48 MiB"


def test_a_port_that_is_taken_leaves_the_agent_without_otlp(tmp_path: Path, operator: FakeOperator, certificate: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with Pod(tmp_path, f"localhost:{operator.port}", certificate[0], ROLLCALL_OTLP_PORT=port) as pod:
            agent = pod.start_agent()
            operator.wait_for_report(seq=2)
            assert f"no OTLP in this pod: port {port}" in pod.log(agent)
