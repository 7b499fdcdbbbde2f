"""Databases, a cache and an HTTP server for the tests of dependencies: the real ones, on loopback, ended by process id."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.harness import environments, ferretdb
from tests.unit.agent.pod import free_port

AWS = ("boto3>=1.35", "moto[server]>=5")
"""What answers like AWS. In an environment of its own: botocore and kubernetes want different versions of python-dateutil."""
POSTGRESQL = "/usr/lib/postgresql/15/bin"


@contextmanager
def _folder(user: str | None) -> Iterator[Path]:
    """A folder for a server's files, which its user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="rollcall-"))
    try:
        folder.chmod(0o755)
        if user is not None:
            shutil.chown(folder, user)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _server(folder: Path, command: Sequence[str], answers: Callable[[], bool], user: str | None = None) -> Iterator[None]:
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, user=user, cwd=folder)
    try:
        deadline = time.monotonic() + 60
        while not answers():
            assert process.poll() is None, (folder / "server.log").read_text()
            assert time.monotonic() < deadline, f"{command[0]} does not answer"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _accepts(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def postgresql() -> Iterator[int]:
    """The port of a PostgreSQL with a database `orders`; user `postgres`, any password."""
    user = "postgres" if os.geteuid() == 0 else None  # it does not run as root
    port = free_port()
    with _folder(user) as folder:
        data = folder / "data"
        initdb = [
            f"{POSTGRESQL}/initdb",
            "-D",
            str(data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
        ]
        subprocess.run(initdb, check=True, capture_output=True, user=user, cwd=folder)
        options = ["-c", f"unix_socket_directories={folder}", "-c", "fsync=off", "-c", "max_connections=30"]
        command = [f"{POSTGRESQL}/postgres", "-D", str(data), "-p", str(port), "-h", "127.0.0.1", *options]
        ready = [f"{POSTGRESQL}/pg_isready", "-h", "127.0.0.1", "-p", str(port)]
        with _server(folder, command, lambda: subprocess.run(ready, capture_output=True).returncode == 0, user):
            create = [f"{POSTGRESQL}/createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "orders"]
            subprocess.run(create, check=True, capture_output=True)
            yield port


@contextmanager
def mariadb() -> Iterator[int]:
    """The port of a MariaDB with a database `shop`; user `app`, no password."""
    user = pwd.getpwuid(os.geteuid()).pw_name
    port = free_port()
    with _folder(None) as folder:
        data, path = folder / "data", folder / "socket"
        install = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", f"--user={user}"]
        subprocess.run([*install, "--auth-root-authentication-method=normal"], check=True, capture_output=True)
        options = ["--no-defaults", f"--datadir={data}", f"--socket={path}", f"--user={user}", f"--pid-file={folder}/pid"]
        quick = ["--skip-log-bin", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=16M", "--skip-name-resolve"]
        command = ["/usr/sbin/mariadbd", *options, *quick, "--bind-address=127.0.0.1", f"--port={port}"]
        client = ["mariadb", "--no-defaults", f"--socket={path}", "-uroot", "-e"]
        ready = [*client, "select 1"]
        with _server(folder, command, lambda: subprocess.run(ready, capture_output=True).returncode == 0):
            create = "drop user if exists ''@localhost; create database shop; create user app@'%'; grant all on *.* to app@'%'"
            subprocess.run([*client, create], check=True, capture_output=True)
            yield port


@contextmanager
def redis() -> Iterator[int]:
    """The port of a Redis."""
    port = free_port()
    with _folder(None) as folder:
        command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        with _server(folder, command, lambda: _accepts(port)):
            yield port


@contextmanager
def mongodb() -> Iterator[int]:
    """The port of a server of MongoDB's protocol."""
    port = free_port()
    with _folder(None) as folder:
        options = [
            "--handler=sqlite",
            f"--sqlite-url=file:{folder}/",
            f"--state-dir={folder}",
            f"--listen-addr=127.0.0.1:{port}",
        ]
        quiet = ["--telemetry=disable", "--debug-addr=-", "--log-level=error"]
        with _server(folder, [str(ferretdb.ensure()), *options, *quiet], lambda: _accepts(port)):
            yield port


@contextmanager
def aws() -> Iterator[int]:
    """The port of a server that answers like AWS."""
    port = free_port()
    with _folder(None) as folder:
        command = [str(environments.ensure(AWS)), "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        with _server(folder, command, lambda: _accepts(port)):
            yield port


class _Answers(BaseHTTPRequestHandler):
    """`/status/503`, with `?retry` and a header Retry-After; `/slow/0.5` takes half a second; `/moved` leads to the former."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one segment, without waiting for an acknowledgement in between

    def do_GET(self) -> None:
        kind, _, rest = self.path[1:].partition("/")
        number, _, query = rest.partition("?")
        if kind == "slow":
            time.sleep(float(number))
        self.send_response(int(number) if kind == "status" else 302 if kind == "moved" else 200)
        if query == "retry":
            self.send_header("Retry-After", "1")
        if kind == "moved":
            self.send_header("Location", "/status/200")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        return


class _Server(ThreadingHTTPServer):
    """Says nothing of clients that leave."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        return


@contextmanager
def http() -> Iterator[int]:
    """The port of an HTTP server that answers what it is asked to."""
    with _Server(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
