"""Requests of PHP: messages on one stream per FPM worker (see docs/wire.md), applied to the agent's own worker file.

A connection's number is its slot in that file, so the requests in flight survive a crash of this process: the supervisor keeps
every connection open, and the next worker process goes on reading where this one stopped. A connection that ends while a
request is open leaves that request unfinished: it is lost.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable

from ..ledger import Ledger
from ..log import say

BEGIN = 1
END = 2
PREFIX = struct.Struct("<HB")
BEGIN_BODY = struct.Struct("<Q")
END_BODY = struct.Struct("<QHB")
FLAG_ERROR = 1
MAX_MESSAGE_BYTES = 512
"""Largest `length`, which counts type and body."""
_MAX_ELAPSED_US = 7 * 86_400_000_000
_READ_BYTES = 65536


class BadMessageError(ValueError):
    """A peer does not speak our protocol."""


class PhpSource:
    """All connections of PHP probes. `closed` is called with the number of each connection that has ended."""

    def __init__(self, ledger: Ledger, closed: Callable[[int], None]) -> None:
        self._ledger = ledger
        ledger.resume()  # an earlier worker process has written to the same map
        self._closed = closed
        self._sockets: dict[int, tuple[int, socket.socket]] = {}
        self._partial: dict[int, bytes] = {}
        self._epoll = select.epoll()

    @property
    def fileno(self) -> int:
        """Readable when any connection is."""
        return self._epoll.fileno()

    @property
    def workers(self) -> int:
        """FPM workers that are connected."""
        return len(self._sockets)

    def add(self, number: int, connection: socket.socket) -> None:
        """Start to read a connection."""
        connection.setblocking(False)
        self._ledger.use_slots(number + 1)
        self._sockets[connection.fileno()] = (number, connection)
        self._epoll.register(connection.fileno(), select.EPOLLIN)

    def read(self, now_us: int) -> None:
        """Apply everything that has arrived; never waits."""
        for fd, _ in self._epoll.poll(0):
            number, connection = self._sockets[fd]
            try:
                data = connection.recv(_READ_BYTES)
                if data:
                    self._apply(number, data, now_us)
                    continue
            except BlockingIOError:
                continue
            except (OSError, BadMessageError) as error:
                say(f"PHP connection dropped: {error}", "php")
            self._drop(fd)

    def _drop(self, fd: int) -> None:
        number, connection = self._sockets.pop(fd)
        self._partial.pop(number, None)
        self._epoll.unregister(fd)
        connection.close()
        self._lose_open(number)
        self._closed(number)

    def _lose_open(self, number: int) -> None:
        if self._ledger.slot(number)[0]:
            self._ledger.lost()
            self._ledger.close_slot(number)

    def _apply(self, number: int, data: bytes, now_us: int) -> None:
        data = self._partial.pop(number, b"") + data
        at = 0
        while len(data) - at >= PREFIX.size:
            length, kind = PREFIX.unpack_from(data, at)
            if not 1 <= length <= MAX_MESSAGE_BYTES:
                raise BadMessageError(f"message of {length} bytes")
            end = at + 2 + length
            if len(data) < end:
                break
            body = data[at + PREFIX.size : end]
            if kind == BEGIN and len(body) >= BEGIN_BODY.size:
                self._begin(number, body, now_us)
            elif kind == END and len(body) >= END_BODY.size:
                self._end(number, body)
            at = end
        if at < len(data):
            self._partial[number] = data[at:]

    def _begin(self, number: int, body: bytes, now_us: int) -> None:
        (started_us,) = BEGIN_BODY.unpack_from(body)
        if not 0 < started_us <= now_us or now_us - started_us > _MAX_ELAPSED_US:
            started_us = now_us  # another clock than ours
        self._lose_open(number)  # the end of the one before did not reach us
        name = body[BEGIN_BODY.size :]
        self._ledger.open_slot(number, started_us, self._endpoint(name) if name else 0)

    def _end(self, number: int, body: bytes) -> None:
        duration_us, status, flags = END_BODY.unpack_from(body)
        ledger = self._ledger
        name = body[END_BODY.size :]
        endpoint = self._endpoint(name) if name else ledger.slot(number)[1]
        status_class = status // 100 if 100 <= status < 600 else 0
        error = bool(flags & FLAG_ERROR) or status_class == 5
        ledger.finished(endpoint, status_class, error, min(duration_us, _MAX_ELAPSED_US) * 1000)
        ledger.close_slot(number)

    def _endpoint(self, name: bytes) -> int:
        return self._ledger.endpoint(name.decode("utf-8", "replace"))
