"""Requests of PHP: messages on one stream per FPM worker (see docs/wire.md), applied to the agent's own worker file.

A connection's number is its slot in that file, so the requests in flight survive a crash of this process: the supervisor keeps
every connection open, and the next worker process goes on reading where this one stopped. A connection that ends while a
request is open leaves that request unfinished: it is lost.
"""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Callable, Iterator

from ..ledger import OTHER, Ledger
from ..log import say
from ..wire import facts, layout
from .deaths import Crash, Death, take_crash
from .php_calls import PhpCalls
from .php_warnings import PhpWarnings

BEGIN, END, ERROR, STEP, RESOURCES, CALLS, WARNING = 1, 2, 3, 4, 5, 6, 7
PREFIX = struct.Struct("<HB")
BEGIN_BODY = struct.Struct("<QIQ")
END_BODY = struct.Struct("<QHBI")
STEP_BODY = struct.Struct("<Q")
RESOURCES_BODY = struct.Struct("<5Q2I")
FLAG_ERROR = 1
FLAG_ABORTED = 2
MAX_MESSAGE_BYTES = 8192
"""Largest `length`, which counts type and body."""
ASK_EVERY_US = 1_000_000
KEY_BYTES = 64
NO_VISITORS = b"-" + bytes(KEY_BYTES) + b"\n"
"""The line down a worker's stream when no visitors are counted, else how they are known and hashed (see `visitors_line`). A
worker leaves the last line unread, so that its next requests find it again; one that finds another behind it answers with
RESOURCES."""
SAMPLE_EVERY_US = 1_000_000
"""Between two samples of one type of error."""
DEATH_AFTER_US = 300_000
"""A worker whose stream has ended in a request may have begun a new stream, and then tells that request's begin again. One that
has not after so long is dead."""
_MAX_ELAPSED_US = 7 * 86_400_000_000
_MAX_NAMES = 1024
_U32 = 0xFFFFFFFF
_READ_BYTES = 65536
_STEP_MASK = (1 << layout.STEP_BITS) - 1
_ERROR_FIELDS = 5
Begun = tuple[int, int, int]
"""A request that has begun: started_us, endpoint, process id of its worker."""


class BadMessageError(ValueError):
    """A peer does not speak our protocol."""


class PhpSource:
    """All connections of PHP probes. `closed` is called with the number of each connection that has ended; `visitors_file` is
    what `orders` writes.

    `deaths` are the workers that ended with a request in flight, since the caller last cleared it.
    """

    def __init__(self, ledger: Ledger, closed: Callable[[int], None], visitors_file: str) -> None:
        self._ledger = ledger
        self._calls = PhpCalls(ledger)
        self._crash_dir = os.path.dirname(ledger.path)
        self._warnings = PhpWarnings(self._crash_dir, ledger)
        self.deaths: list[Death] = []
        self._vanished: dict[tuple[int, int], tuple[int, Death]] = {}
        self._visitors_file = visitors_file
        self._line = visitors_line(visitors_file)
        ledger.resume()  # an earlier worker process has written to the same map
        self._closed = closed
        self._sockets: dict[int, tuple[int, socket.socket]] = {}
        self._partial: dict[int, bytes] = {}
        self._endpoints: dict[bytes, int] = {}
        self._failures: dict[int, list[str]] = {}
        self._counted: set[int] = set()
        self._sampled: dict[str, int] = {}
        self._last_begun = -1
        self._asked: set[int] = set()
        self._ask_at_us = 0
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
        self._send_line(connection)

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
            except ConnectionResetError:
                pass  # it has ended, and left our line unread
            except (OSError, BadMessageError) as error:
                say(f"PHP connection dropped: {error}", "php")
            self._drop(fd, now_us)
        self._warnings.take()
        if self._vanished:
            self._bury(now_us)
        if now_us >= self._ask_at_us:
            self._tell(now_us)

    def _tell(self, now_us: int) -> None:
        """Send the line to all when it has changed, else, to be told the resources, to the worker that has begun a request
        last: it is likely to begin another soon. One that has been asked and has not begun a request since is not asked again.
        """
        number, self._last_begun = self._last_begun, -1
        if number < 0:
            return
        self._ask_at_us = now_us + ASK_EVERY_US
        if not self._renew_visitors() and number not in self._asked:
            self._asked.add(number)
            for known, connection in self._sockets.values():
                if known == number:
                    self._send_line(connection)

    def _renew_visitors(self) -> bool:
        """Tell all workers when visitors are known by something else; whether they are."""
        line = visitors_line(self._visitors_file)
        if line == self._line:
            return False
        self._line = line
        for number, connection in self._sockets.values():
            self._send_line(connection)
            self._asked.add(number)
        return True

    def _send_line(self, connection: socket.socket) -> None:
        try:  # noqa: SIM105 - importing contextlib costs 900 KiB
            connection.send(self._line, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except OSError:
            pass  # it is about to end

    def _drop(self, fd: int, now_us: int) -> None:
        number, connection = self._sockets.pop(fd)
        self._partial.pop(number, None)
        self._failures.pop(number, None)
        self._counted.discard(number)
        self._asked.discard(number)
        self._epoll.unregister(fd)
        connection.close()
        self._mourn(number, now_us)
        self._lose_open(number)
        self._calls.forget(number)
        self._closed(number)

    def _mourn(self, number: int, now_us: int) -> None:
        """A stream has ended: what its worker was doing, if that was a request, and what a fatal signal left behind."""
        at = layout.OFF_SLOTS + number * layout.SLOT.size
        started_us, endpoint, worker, _, step = layout.SLOT.unpack_from(self._ledger.memory, at)
        if not started_us:
            return
        length, text = layout.STEP.unpack_from(self._ledger.memory, layout.OFF_STEPS + (step & _STEP_MASK) * layout.STEP.size)
        crash = self._take_crash(worker)
        death = Death("php", worker, crash, 1, self._ledger.endpoint_name(endpoint), started_us, text[:length].decode())
        if crash is not None:
            self.deaths.append(death)
        else:
            self._vanished[worker, started_us] = now_us + DEATH_AFTER_US, death

    def _bury(self, now_us: int) -> None:
        for key, (due_us, death) in list(self._vanished.items()):
            if now_us >= due_us:
                del self._vanished[key]
                self.deaths.append(death)

    def _take_crash(self, worker: int) -> Crash | None:
        """A worker's `<pid>.crash`; None when there is none."""
        try:
            return take_crash(f"{self._crash_dir}/{worker}{layout.CRASH_SUFFIX}")
        except OSError:
            return None

    def _lose_open(self, number: int) -> None:
        if self._ledger.slot(number)[0]:
            self._ledger.lost()
            self._ledger.close_slot(number)

    def _apply(self, number: int, data: bytes, now_us: int) -> None:
        """Most requests begin and end within what is read at once: those never take their slot."""
        begun: Begun | None = None
        try:
            for kind, body in self._messages(number, data):
                if kind == BEGIN and len(body) >= BEGIN_BODY.size:
                    if begun is None:
                        self._lose_open(number)  # the end of the one before did not reach us
                    else:
                        self._ledger.lost()
                    begun = self._begun(number, body, now_us)
                elif kind == END and len(body) >= END_BODY.size:
                    self._end(number, begun, body, now_us)
                    begun = None
                else:
                    if begun is not None:
                        self._ledger.open_slot(number, *begun)
                        begun = None
                    self._rare(number, kind, body, now_us)
        finally:
            if begun is not None:
                self._ledger.open_slot(number, *begun)

    def _messages(self, number: int, data: bytes) -> Iterator[tuple[int, bytes]]:
        """(type, body) of each whole message; the rest is kept until more comes."""
        if number in self._partial:
            data = self._partial.pop(number) + data
        at, size = 0, len(data)
        while size - at >= PREFIX.size:
            length, kind = PREFIX.unpack_from(data, at)
            if not 1 <= length <= MAX_MESSAGE_BYTES:
                raise BadMessageError(f"message of {length} bytes")
            end = at + 2 + length
            if size < end:
                break
            yield kind, data[at + PREFIX.size : end]
            at = end
        if at < size:
            self._partial[number] = data[at:]

    def _rare(self, number: int, kind: int, body: bytes, now_us: int) -> None:
        """What not every request has; its request, if it is about one, is in its slot."""
        if kind == STEP and len(body) >= STEP_BODY.size:
            self._step(number, body, now_us)
        elif kind in (ERROR, WARNING):
            self._error(number, body, is_counted=kind == WARNING)
        elif kind == CALLS:
            self._calls.take(number, body)
        elif kind == RESOURCES and len(body) >= RESOURCES_BODY.size:
            self._asked.discard(number)
            self._ledger.resources(*RESOURCES_BODY.unpack_from(body))

    def _begun(self, number: int, body: bytes, now_us: int) -> Begun:
        started_us, worker, visitor = BEGIN_BODY.unpack_from(body)
        if not 0 < started_us <= now_us or now_us - started_us > _MAX_ELAPSED_US:
            started_us = now_us  # another clock than ours
        self._last_begun = number
        if self._vanished:
            self._vanished.pop((worker, started_us), None)
        if visitor:
            self._ledger.visit(visitor)
        name = body[BEGIN_BODY.size :]
        return started_us, self._endpoint(name) if name else 0, worker

    def _end(self, number: int, begun: Begun | None, body: bytes, now_us: int) -> None:
        duration_us, status, flags, cpu_us = END_BODY.unpack_from(body)
        ledger = self._ledger
        name = body[END_BODY.size :]
        started_us, known = ledger.slot(number) if begun is None else begun[:2]
        endpoint = self._endpoint(name) if name else known
        elapsed_us = min(duration_us, _MAX_ELAPSED_US)
        status_class = status // 100 if 100 <= status < 600 else 0
        error = bool(flags & FLAG_ERROR) or status_class == 5
        ledger.finished(endpoint, status_class, error, elapsed_us * 1000)
        if begun is None:
            ledger.close_slot(number)
        failure = 0
        if error or flags or number in self._failures:
            failure = self._note(number, status, flags, endpoint, now_us)
        waited_us, dependency = self._calls.end(number, elapsed_us)
        ended_us = min(started_us + elapsed_us, now_us) if started_us else now_us
        outcome = status_class | layout.OUTCOME_ERROR if error else status_class
        if cpu_us != layout.CPU_UNKNOWN:
            cpu_us = min(cpu_us, elapsed_us)
        ledger.point(ended_us, elapsed_us, waited_us, cpu_us, endpoint, dependency, failure, outcome)

    def _error(self, number: int, body: bytes, *, is_counted: bool) -> None:
        """Kept until the end of its request, which may tell another endpoint."""
        fields = body.decode("utf-8", "replace").split("\0")
        if len(fields) == _ERROR_FIELDS and fields[0].partition(" ")[0] in facts.ERROR_KINDS:
            self._failures[number] = fields
            if is_counted and fields[0].startswith("warning "):
                self._counted.add(number)
            else:
                self._counted.discard(number)

    def _note(self, number: int, status: int, flags: int, endpoint: int, now_us: int) -> int:
        """Count by its type what went wrong in a request that has ended; the index of what made it a failure, 0 without."""
        fields = self._failures.pop(number, None)
        kind = fields[0].partition(" ")[0] if fields else ""
        failure = 0
        if fields and number in self._counted:
            self._counted.discard(number)
            self._sample(fields, endpoint, now_us)
        elif fields:
            index = self._count(fields, endpoint, now_us)
            failure = index if kind in facts.FAILURE_KINDS else 0
        if kind not in facts.FAILURE_KINDS:
            if flags & FLAG_ERROR:
                failure = self._count(["fatal error", "", "", "", "0"], endpoint, now_us)
            elif 500 <= status < 600:
                failure = self._count([f"http {status}", "", "", "", "0"], endpoint, now_us)
        if flags & FLAG_ABORTED:
            self._ledger.error("abort client")
        return failure

    def _count(self, fields: list[str], endpoint: int, now_us: int) -> int:
        index = self._ledger.error(fields[0])
        self._sample(fields, endpoint, now_us)
        return index

    def _sample(self, fields: list[str], endpoint: int, now_us: int) -> None:
        name, message, function, file, line = fields
        if now_us - self._sampled.get(name, -SAMPLE_EVERY_US) < SAMPLE_EVERY_US:
            return
        if len(self._sampled) >= _MAX_NAMES:
            self._sampled.clear()
        self._sampled[name] = now_us
        known = next((key for key, value in self._endpoints.items() if value == endpoint), OTHER.encode())
        values = (name, message, function, file, int(line) if line.isdecimal() else 0, known.decode("utf-8", "replace"), now_us)
        self._ledger.sample(dict(zip(facts.SAMPLE_FIELDS, values, strict=True)))

    def _step(self, number: int, body: bytes, now_us: int) -> None:
        """What the request in flight is at, if there is one."""
        (since_us,) = STEP_BODY.unpack_from(body)
        ledger = self._ledger
        if not ledger.slot(number)[0]:
            return
        if not 0 < since_us <= now_us or now_us - since_us > _MAX_ELAPSED_US:
            since_us = now_us
        text = body[STEP_BODY.size :].decode("utf-8", "replace")
        if text:
            ledger.step_slot(number, ledger.step(text), since_us)
        else:
            ledger.step_slot(number, 0, 0)

    def _endpoint(self, name: bytes) -> int:
        index = self._endpoints.get(name)
        if index is None:
            if len(self._endpoints) >= _MAX_NAMES:
                self._endpoints.clear()
            index = self._endpoints[name] = self._ledger.endpoint(name.decode("utf-8", "replace"))
        return index


def visitors_line(visitors_file: str) -> bytes:
    """What the workers are told of visitors: `c` (a cookie) or `s` (an entry of $_SERVER), the key to hash it with, filled
    up as HMAC would, its name, and a line feed; NO_VISITORS when none are counted."""
    try:
        with open(visitors_file, encoding="ascii") as file:
            source, hex_key = file.read(512).split()
        key = bytes.fromhex(hex_key)
    except (OSError, ValueError):
        return NO_VISITORS
    if len(key) > KEY_BYTES:
        return NO_VISITORS
    kind, _, name = source.partition(":")
    if kind == "header":
        name = "HTTP_" + name.upper().replace("-", "_")
    elif kind == "clientIP":
        name = "REMOTE_ADDR"
    return b"%c%s%s\n" % (b"c" if kind == "cookie" else b"s", key.ljust(KEY_BYTES, b"\0"), name.encode())
