"""The HTTP/1.1 server behind the OTLP receiver: bounded in everything, and never waiting for anybody.

Non-blocking sockets in an epoll set of its own. At most one request is answered per turn, so that a flood of them cannot keep
the agent from its reports. What is sent too slowly, too large or in too many connections ends with a reason and harms no
other.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable

from ..log import say

MOST_CONNECTIONS = 64
MOST_HEADER_BYTES = 16 << 10
MOST_BODY_BYTES = 4 << 20
MOST_BUFFERED_BYTES = 8 << 20
"""Over all connections; whoever goes beyond is asked to come again."""
SLOW_US = 10_000_000
"""A request must be there, whole, so long after its first byte."""
IDLE_US = 120_000_000
"""For so long a connection may stay open between two requests."""
_READ_BYTES = 256 << 10
_MOST_CHUNKS = 4096
_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    411: "Length Required",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}
Headers = dict[bytes, bytes]
Answer = tuple[int, bytes, bytes]
"""status, content type, body."""
Handler = Callable[[bytes, Headers, bytes], Answer]
"""path, headers by their name in lower case, body → the answer."""


class HttpError(Exception):
    """A request that cannot be served: status and reason. Its connection is closed after the answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Connection:
    __slots__ = ("body_at", "buffer", "chunked", "chunks", "headers", "line", "scanned", "since_us", "socket", "wanted")

    def __init__(self, connection: socket.socket, now_us: int) -> None:
        self.socket = connection
        self.buffer = bytearray()
        self.since_us = now_us
        self.forget()

    def forget(self) -> None:
        """Be ready for the next request."""
        self.line: bytes | None = None
        self.headers: Headers = {}
        self.body_at = self.scanned = 0
        self.wanted = self.chunks = 0
        self.chunked = False

    def is_whole(self) -> bool:
        """Whether all of the request's body is here; raises HttpError."""
        return _unchunk(self) if self.chunked else len(self.buffer) - self.body_at >= self.wanted


class HttpServer:
    """Serves `listeners`, which belong to somebody else, until it is closed."""

    def __init__(self, listeners: list[socket.socket], handle: Handler) -> None:
        self._epoll = select.epoll()
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._handle = handle
        self._connections: dict[int, _Connection] = {}
        self._waiting: dict[int, None] = {}
        """Connections with a whole request that had to wait for a later turn."""
        for descriptor in self._listeners:
            self._epoll.register(descriptor, select.EPOLLIN)

    @property
    def fileno(self) -> int:
        """Readable when there is something to do."""
        return self._epoll.fileno()

    @property
    def connections(self) -> int:
        """Open connections."""
        return len(self._connections)

    @property
    def is_behind(self) -> bool:
        """Whether whole requests wait for the next turn."""
        return bool(self._waiting)

    def turn(self, now_us: int) -> None:
        """Accept, read, and answer one request."""
        for descriptor, _ in self._epoll.poll(0):
            if descriptor in self._listeners:
                self._accept(self._listeners[descriptor], now_us)
            elif descriptor in self._connections:
                self._read(descriptor, now_us)
        if self._waiting:
            descriptor = next(iter(self._waiting))
            del self._waiting[descriptor]
            self._serve(descriptor, now_us)

    def expire(self, now_us: int) -> None:
        """End what is too slow; to be called now and then."""
        for descriptor, connection in list(self._connections.items()):
            if descriptor in self._waiting:
                continue
            if connection.buffer and now_us - connection.since_us > SLOW_US:
                self._refuse(descriptor, HttpError(408, "the request took too long to arrive"))
            elif now_us - connection.since_us > IDLE_US:
                self._close(descriptor)

    def _accept(self, listener: socket.socket, now_us: int) -> None:
        while True:
            try:
                accepted, _ = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                say(f"cannot accept an OTLP connection: {error}", "otlp accept")
                return
            accepted.setblocking(False)
            if len(self._connections) >= MOST_CONNECTIONS and not self._make_room():
                accepted.close()
                continue
            self._connections[accepted.fileno()] = _Connection(accepted, now_us)
            self._epoll.register(accepted.fileno(), select.EPOLLIN)

    def _make_room(self) -> bool:
        """Close the connection that has been idle longest, if one is."""
        idle = [(each.since_us, fd) for fd, each in self._connections.items() if not each.buffer and fd not in self._waiting]
        if idle:
            self._close(min(idle)[1])
        return bool(idle)

    def _close(self, descriptor: int) -> None:
        connection = self._connections.pop(descriptor)
        self._waiting.pop(descriptor, None)
        self._epoll.unregister(descriptor)
        connection.socket.close()

    def _read(self, descriptor: int, now_us: int) -> None:
        connection = self._connections[descriptor]
        if descriptor in self._waiting:
            return
        try:
            data = connection.socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close(descriptor)
            return
        if not connection.buffer:
            connection.since_us = now_us
        connection.buffer += data
        self._look(descriptor)

    def _look(self, descriptor: int) -> None:
        """Put a connection whose request is whole in the queue, refuse one that breaks a limit."""
        connection = self._connections[descriptor]
        try:
            if connection.line is None:
                self._read_head(connection)
            if connection.line is None:
                return
            if sum(len(each.buffer) for each in self._connections.values()) > MOST_BUFFERED_BYTES:
                raise HttpError(503, "too much is under way; send it again")
            if connection.is_whole():
                self._waiting[descriptor] = None
                self._epoll.modify(descriptor, 0)
        except HttpError as error:
            self._refuse(descriptor, error)

    def _read_head(self, connection: _Connection) -> None:
        buffer = connection.buffer
        end = buffer.find(b"\r\n\r\n", max(0, connection.scanned - 3), MOST_HEADER_BYTES)
        if end < 0:
            connection.scanned = len(buffer)
            if len(buffer) >= MOST_HEADER_BYTES:
                raise HttpError(431, f"the head of a request may have {MOST_HEADER_BYTES} bytes")
            return
        line, *rest = bytes(buffer[:end]).split(b"\r\n")
        for entry in rest:
            name, colon, value = entry.partition(b":")
            if not colon:
                raise HttpError(400, "a header without a colon")
            connection.headers[name.strip().lower()] = value.strip()
        connection.body_at, connection.line = end + 4, line
        _expect_body(connection)

    def _serve(self, descriptor: int, now_us: int) -> None:
        connection = self._connections[descriptor]
        assert connection.line is not None
        headers, line = connection.headers, connection.line
        end = connection.body_at + connection.wanted
        body = bytes(memoryview(connection.buffer)[connection.body_at : end])
        del connection.buffer[:end]
        connection.forget()
        connection.since_us = now_us
        try:
            method, path, version = _request_line(line)
            if method != b"POST":
                raise HttpError(405, "exports are sent by POST")
            status, kind, content = self._handle(path.partition(b"?")[0], headers, body)
        except HttpError as error:
            self._refuse(descriptor, error)
            return
        last = headers.get(b"connection", b"").lower() == b"close" or version == b"HTTP/1.0"
        if not self._send(connection, status, kind, content, last) or last:
            self._close(descriptor)
            return
        self._epoll.modify(descriptor, select.EPOLLIN)
        if connection.buffer:
            self._look(descriptor)

    def _refuse(self, descriptor: int, error: HttpError) -> None:
        say(f"OTLP: {error.status} {error}", "otlp refused")
        self._send(self._connections[descriptor], error.status, b"text/plain", str(error).encode(), last=True)
        self._close(descriptor)

    @staticmethod
    def _send(connection: _Connection, status: int, kind: bytes, content: bytes, last: bool) -> bool:
        """Whether the answer went out; whoever does not read his answers is not waited for."""
        head = b"HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n" % (
            status,
            _REASONS.get(status, "Error").encode(),
            kind,
            len(content),
        )
        if status == 503:
            head += b"Retry-After: 1\r\n"
        if last:
            head += b"Connection: close\r\n"
        answer = head + b"\r\n" + content
        try:
            return connection.socket.send(answer, socket.MSG_NOSIGNAL) == len(answer)
        except OSError:
            return False


def _request_line(line: bytes) -> tuple[bytes, bytes, bytes]:
    words = line.split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
        raise HttpError(400, "this is no HTTP/1.1")
    return words[0], words[1], words[2]


def _expect_body(connection: _Connection) -> None:
    """Find out how the body of a request comes, from its headers."""
    headers = connection.headers
    assert connection.line is not None
    _request_line(connection.line)
    coding = headers.get(b"transfer-encoding")
    if coding is not None:
        if coding.lower() != b"chunked":
            raise HttpError(411, "a transfer encoding other than chunked")
        connection.chunked = True
        connection.scanned = connection.body_at
    else:
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or len(length) > 12:
            raise HttpError(400, "Content-Length is no number")
        connection.wanted = int(length)
        if connection.wanted > MOST_BODY_BYTES:
            raise HttpError(413, f"a body may have {MOST_BODY_BYTES} bytes: let the exporter send smaller batches")
    if headers.get(b"expect", b"").lower() == b"100-continue":
        try:
            connection.socket.send(b"HTTP/1.1 100 Continue\r\n\r\n", socket.MSG_NOSIGNAL)
        except OSError:
            return  # the next read tells


def _unchunk(connection: _Connection) -> bool:
    """Take the chunks that are there out of their wrapping, in place; whether the last one is."""
    buffer = connection.buffer
    while True:
        at = connection.scanned
        end = buffer.find(b"\r\n", at, at + 64)
        if end < 0:
            if len(buffer) - at > 64:
                raise HttpError(400, "this is no chunk")
            return False
        try:
            size = int(bytes(buffer[at:end]).partition(b";")[0], 16)
        except ValueError:
            raise HttpError(400, "the size of a chunk is no number") from None
        if size < 0 or connection.wanted + size > MOST_BODY_BYTES:
            raise HttpError(413, f"a body may have {MOST_BODY_BYTES} bytes: let the exporter send smaller batches")
        if len(buffer) < end + 2 + size + 2:
            return False
        connection.chunks += 1
        if buffer[end + 2 + size : end + 4 + size] != b"\r\n" or connection.chunks > _MOST_CHUNKS:
            raise HttpError(400, "a chunk that does not end where it says, something behind the last one, or too many of them")
        if size == 0:
            del buffer[at : end + 4]
            return True
        del buffer[at : end + 2]
        connection.wanted += size
        at += size
        del buffer[at : at + 2]
        connection.scanned = at
