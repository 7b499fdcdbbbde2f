"""What is special of aiohttp's own server: sub-applications, raised answers, web sockets, clients that leave."""

from __future__ import annotations

import base64
import os
import socket
import sys
import time
from pathlib import Path

from rollcall_agent.sources.harvest import Harvest
from rollcall_agent.sources.worker_file import WorkerFile
from rollcall_agent.wire.facts import visitor_hash
from tests.unit.agent.fake_operator import FakeOperator
from tests.unit.agent.pod import Pod, free_port, poll_until
from tests.unit.probes.client import get

APPS = Path(__file__).parent / "apps"


class Server:
    """The application of apps/aiohttp_app.py, and what its probe has counted."""

    def __init__(self, pod: Pod) -> None:
        self.port = free_port()
        pod.start_application([sys.executable, str(APPS / "aiohttp_app.py"), str(self.port)], self.port, APPS)
        self._pod = pod
        self._harvest: Harvest | None = None
        self._file: WorkerFile | None = None
        self.errors: dict[str, int] = {}
        self.requests: dict[str, int] = {}
        self.visits: list[int] = []

    def read(self) -> None:
        if self._harvest is None or self._file is None:
            [path] = self._pod.worker_files()
            self._file = WorkerFile(str(path))
            self._harvest = Harvest(self._file)
        self._file.read(time.monotonic_ns() // 1000, (1000, 3000, 8000))
        found = self._harvest.take()
        if found is None:
            return
        for name, count in found.errors.items():
            self.errors[name] = self.errors.get(name, 0) + count
        for endpoint, row in found.rows.items():
            self.requests[endpoint] = self.requests.get(endpoint, 0) + row[0]
        self.visits += found.visits

    def until(self, requests: int) -> None:
        """Read until so many requests have ended."""

        def ended() -> bool:
            self.read()
            return sum(self.requests.values()) >= requests

        poll_until(ended, f"{requests} requests ended")


def test_endpoints_and_errors(pod: Pod) -> None:
    server = Server(pod)
    expected = {"/item/1": 200, "/below/deep/7x": 404, "/boom": 500, "/unavailable": 503, "/none": 404}
    for path in expected:
        get(server.port, path)
    server.until(5)
    assert server.requests == {
        "GET /item/{number}": 1,
        "GET /boom": 1,
        "GET /unavailable": 1,
        "GET other": 1,
        "GET /below/deep/{name}": 1,
    }
    assert server.errors == {"exception RuntimeError": 1, "http 503": 1, "exception KeyError": 1}


def test_a_client_that_leaves_is_an_abort(pod: Pod) -> None:
    server = Server(pod)
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        client.recv(1000)
    server.until(1)
    assert server.errors == {"abort client": 1}


def test_a_web_socket_is_no_request(pod: Pod) -> None:
    server = Server(pod)
    key = base64.b64encode(os.urandom(16))
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        head = b"GET /socket HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        client.sendall(head + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n")
        assert b" 101 " in client.recv(1000)
        assert get(server.port, "/item/1")[0] == 200
        server.until(1)
        assert server.requests == {"GET /item/{number}": 1}


def test_visitors(pod: Pod) -> None:
    (pod.run / "agent").mkdir()
    (pod.run / "agent/visitors").write_text("header:X-User\n00ff\n")
    server = Server(pod)
    get(server.port, "/item/1")  # makes the recorder

    def seen() -> bool:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"GET /item/1 HTTP/1.1\r\nHost: x\r\nX-User: anna\r\nConnection: close\r\n\r\n")
            while client.recv(1000):
                pass
        server.read()
        return bool(server.visits)

    poll_until(seen, "a visit")
    assert set(server.visits) == {visitor_hash(b"\0\xff", b"anna")}


def test_a_request_in_flight_has_its_endpoint_and_step(pod: Pod, operator: FakeOperator) -> None:
    operator.welcome = {**operator.welcome, "bands_ms": [100, 300, 60_000]}
    pod.start_agent()
    server = Server(pod)
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"GET /hang/3.0 HTTP/1.1\r\nHost: x\r\n\r\n")
        operator.wait_for_report(bands=(0, 0, 1, 0))
        [path] = pod.worker_files()
        file = WorkerFile(str(path))
        assert [name for _, name in file.requests_in_flight(2**62)] == ["GET /hang/{seconds}"]
        file.close()
        assert b"woke up" in client.recv(1000)
    operator.wait_for_report(in_flight=0, finished=1, errors=0)
