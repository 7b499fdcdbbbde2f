"""An operator for tests of the agent: TLS on loopback, keeps what it is told, can be made to misbehave."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from rollcall_agent.wire import facts, frames, points, report

WELCOME = {"wire": 1, "operator": "test", "interval_ms": 100, "bands_ms": [1000, 3000, 8000], "max_frame": 65536}


def make_certificate(folder: Path, host: str = "localhost") -> tuple[Path, Path]:
    """(certificate, key) files of a self-signed CA that is its own server; valid for `host` and 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "ca.crt", folder / "tls.key"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file


class Facts:
    """Sums of FACTS as a careful operator has them: each number once."""

    def __init__(self) -> None:
        self.number = 0
        self.names: dict[tuple[int, int], str] = {}
        self.rows: dict[str, dict[int, int]] = {}
        self.cells: dict[str, dict[int, int]] = {}
        self.errors: dict[str, int] = {}
        self.calls: dict[str, dict[int, int]] = {}
        """By dependency: kind → sum; of CALL_FAILURES, by kind × 100 + reason."""
        self.call_cells: dict[str, dict[int, int]] = {}
        self.unanswered: dict[tuple[str, int], int] = {}
        """By (endpoint, signal)."""
        self.deaths: dict[int, int] = {}
        self.visitors: dict[int, int] = {}
        self.sightings: list[int] = []
        self.past: list[int] = []

    def take(self, kind: int, body: bytes) -> None:
        """A DEFINE or FACTS frame."""
        if kind == frames.DEFINE:
            self.names.update({(table, index): name for table, index, name in facts.unpack_names(body)})
            return
        number, flags, _ = facts.HEAD.unpack_from(body)
        if number <= self.number and self.number:
            return
        assert number == self.number + 1
        self.number = number
        if flags & facts.FLAG_PAST:
            self.past.append(number)
        for record in facts.RECORD.iter_unpack(body[facts.HEAD.size :]):
            self._add(*record)

    def _add(self, kind: int, _: int, index: int, argument: int, value: int) -> None:
        if kind in (facts.REQUESTS, facts.FAILURES, facts.DURATION):
            row = self.rows.setdefault(self.names[facts.ENDPOINT_NAMES, index], {})
            row[kind] = row.get(kind, 0) + value
        elif kind == facts.CELL:
            cells = self.cells.setdefault(self.names[facts.ENDPOINT_NAMES, index], {})
            cells[argument] = cells.get(argument, 0) + value
        elif kind == facts.ERRORS:
            name = self.names[facts.ERROR_NAMES, index]
            self.errors[name] = self.errors.get(name, 0) + value
        elif kind in (facts.CALLS, facts.CALL_FAILURES, facts.CALL_DURATION, facts.WAITED):
            calls = self.calls.setdefault(self.names[facts.DEPENDENCY_NAMES, index], {})
            key = kind * 100 + argument if kind == facts.CALL_FAILURES else kind
            calls[key] = calls.get(key, 0) + value
        elif kind == facts.CALL_CELL:
            cells = self.call_cells.setdefault(self.names[facts.DEPENDENCY_NAMES, index], {})
            cells[argument] = cells.get(argument, 0) + value
        elif kind == facts.UNANSWERED:
            place = self.names[facts.ENDPOINT_NAMES, index], argument
            self.unanswered[place] = self.unanswered.get(place, 0) + value
        elif kind == facts.DEATHS:
            self.deaths[argument] = self.deaths.get(argument, 0) + value
        elif kind == facts.VISITOR:
            self.visitors[argument >> 8] = max(argument & 0xFF, self.visitors.get(argument >> 8, 0))
        elif kind == facts.SIGHTING:
            self.sightings.append(argument)

    def describe(self, point: points.Point) -> tuple[str, str, str, points.Point]:
        """A point with the names of its ids."""
        dependency = self.names[facts.DEPENDENCY_NAMES, point.dependency] if point.dependency else ""
        error = self.names[facts.ERROR_NAMES, point.error] if point.error else ""
        return self.names[facts.ENDPOINT_NAMES, point.endpoint], dependency, error, point

    def counted(self) -> dict[str, tuple[int, int, int]]:
        """(requests, failures, duration_us) by endpoint."""
        kinds = (facts.REQUESTS, facts.FAILURES, facts.DURATION)
        return {name: (row.get(kinds[0], 0), row.get(kinds[1], 0), row.get(kinds[2], 0)) for name, row in self.rows.items()}


class FakeOperator:
    """Listens on loopback; `on_hello` may replace the WELCOME by other frames. Use as a context manager."""

    def __init__(self, certificate: tuple[Path, Path] | None, welcome: dict[str, Any] | None = None) -> None:
        self._context: ssl.SSLContext | None = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*certificate)
        self.welcome = WELCOME if welcome is None else welcome
        self.acknowledge = True
        self.read = True
        self.answer_hello: Callable[[dict[str, Any]], bytes] | None = None
        self.hellos: list[dict[str, Any]] = []
        self.reports: list[dict[str, Any]] = []
        self.facts = Facts()
        """What FACTS added up to; None in the welcome's place wants no facts. A new one is an operator that knows nothing."""
        self.events: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.points: list[tuple[str, str, str, points.Point]] = []
        """(endpoint, dependency, error, point), "" where there is none."""
        self.changed = threading.Condition()
        self._connections: list[socket.socket] = []
        self._closed = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> FakeOperator:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._listener.close()
        self.drop_connections()

    def drop_connections(self) -> None:
        """End every connection, as an operator that is killed does.

        Each is closed by the thread that serves it: its number must not belong to another file while that may write to it.
        """
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._connections.clear()

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            self._connections.append(connection)
            decoder = frames.Decoder()
            while data := connection.recv(65536):
                for kind, body in decoder.feed(data):
                    self._handle(connection, kind, body)
        except (OSError, ValueError):
            return
        finally:
            connection.close()

    def _handle(self, connection: socket.socket, kind: int, body: bytes) -> None:
        with self.changed:
            if kind == frames.HELLO:
                hello = frames.decode_json(body)
                self.hellos.append(hello)
                self.facts.names.clear()
                welcome = {"facts": self.facts.number, **self.welcome}
                connection.sendall(
                    self.answer_hello(hello) if self.answer_hello else frames.encode_json(frames.WELCOME, welcome)
                )
            elif kind == frames.REPORT:
                values = report.unpack(body)
                self.reports.append(values)
                if self.acknowledge:
                    connection.sendall(frames.encode(frames.ACK, frames.ACK_BODY.pack(values["seq"], self.facts.number)))
            elif kind in (frames.DEFINE, frames.FACTS):
                self.facts.take(kind, body)
            elif kind == frames.EVENT:
                self.events.append(frames.decode_json(body))
            elif kind == frames.REQUESTS:
                self.requests.append(frames.decode_json(body))
            elif kind == frames.POINTS:
                self.points += [self.facts.describe(point) for point in points.unpack_points(body)]
            self.changed.notify_all()

    def wait_for(self, condition: Callable[[], Any], what: str = "", timeout_s: float = 15.0) -> Any:
        """The condition's value once it is true; fails with `what` and the last report after `timeout_s`."""
        with self.changed:
            value = self.changed.wait_for(condition, timeout_s)
            assert value, f"not seen within {timeout_s} s: {what}; last report {self._shown()}"
            return value

    @property
    def last(self) -> dict[str, Any]:
        """The newest report, without its histogram's zeros in the way of reading."""
        return self.reports[-1]

    def _shown(self) -> object:
        return {name: value for name, value in self.last.items() if name != "histogram"} if self.reports else None

    def wait_for_report(self, timeout_s: float = 15.0, **expected: Any) -> dict[str, Any]:
        """The first report from now on that has all the expected values."""

        def found() -> bool:
            return bool(self.reports) and all(self.last[name] == value for name, value in expected.items())

        self.wait_for(found, f"report with {expected}", timeout_s)
        return self.last
