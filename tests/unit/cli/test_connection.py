"""Where the operator's certificate comes from, and what is said when it does not come."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from kubernetes import client as kube

from rollcall.cli.connection import CliError, Target, _read_ca


class ApiServer(BaseHTTPRequestHandler):
    """Answers with what the test wants."""

    status, body = 200, b"{}"

    def do_GET(self) -> None:
        assert self.path == "/api/v1/namespaces/rollcall-system/configmaps/rollcall-ca"
        assert self.headers["Authorization"] == "Bearer t"
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def settings() -> Iterator[kube.Configuration]:
    server = HTTPServer(("127.0.0.1", 0), ApiServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    made = kube.Configuration(host=f"http://127.0.0.1:{server.server_port}")
    made.api_key = {"authorization": "Bearer t", "BearerToken": "Bearer t"}
    yield made
    server.shutdown()
    server.server_close()


def test_the_certificate_is_read_as_the_caller(settings: kube.Configuration, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ApiServer, "body", json.dumps({"data": {"ca.crt": "PEM"}}).encode())
    assert _read_ca(Target(), settings) == "PEM"


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (404, "{}", "Rollcall is not installed in namespace rollcall-system; install the chart"),
        (403, "{}", "you may not get configmaps/rollcall-ca in namespace rollcall-system: Forbidden"),
        (401, "{}", "you may not get configmaps/rollcall-ca"),
        (500, "{}", "the API server answered 500 Internal Server Error"),
        (200, "{}", "has no certificate"),
        (200, "not json", "has no certificate"),
    ],
)
def test_what_does_not_come_is_a_sentence(
    settings: kube.Configuration, monkeypatch: pytest.MonkeyPatch, status: int, body: str, said: str
) -> None:
    monkeypatch.setattr(ApiServer, "status", status)
    monkeypatch.setattr(ApiServer, "body", body.encode())
    with pytest.raises(CliError, match=said):
        _read_ca(Target(), settings)


def test_nobody_there_is_a_sentence() -> None:
    with pytest.raises(CliError, match=r"the API server cannot be reached: .*refused"):
        _read_ca(Target(), kube.Configuration(host="http://127.0.0.1:9"))


def test_a_command_does_not_import_the_models_of_all_resources() -> None:
    """They take half a second, of every command."""
    code = "import sys; from rollcall.cli import main; sys.exit('kubernetes.client.models.v1_pod' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
