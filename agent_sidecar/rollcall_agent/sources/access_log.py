"""Requests from a web server's access log: over syslog to a port of the pod's loopback, or from a file.

Counted in the agent's own worker file. A log tells of requests at their end, so requests in flight are not known; the format
`combined` has no times, so those are not known either, which is not 0. An endpoint is made of the method and the first segment
of the path (see `paths`). Where a probe or OTLP tells of the same pod's requests, lines are read and not counted.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable

from ..ledger import Ledger
from ..log import say
from ..receivers import LogReceiver
from ..wire import facts, layout
from .access_log_file import LogFile
from .access_log_lines import MARK, Line, combined, rollcall, upstreams
from .paths import METHODS, shape

_PARSERS: dict[str, Callable[[bytes], Line | None]] = {"rollcall": rollcall, "combined": combined}
_MOST_NAMES = 1024
_MOST_DATAGRAMS = 2000
"""Per turn: the rest waits for the next, so that a flood cannot keep the agent from its reports."""
_DATAGRAM_BYTES = 8192
_SO_MEMINFO, _MEMINFO, _DROPS = 55, struct.Struct("=9I"), 8
"""What a socket says of its memory (linux/sock_diag.h); the last of nine is what it had to drop."""
_CLIENT_LEFT = 499
_REFUSED, _THROTTLED, _TIMEOUT = (facts.REASONS.index(name) for name in ("refused", "throttled", "timeout"))
_REASONS = {429: _THROTTLED, 502: _REFUSED, 504: _TIMEOUT}


class AccessLogSource:
    """One log. `is_told` says that another source tells of the same requests."""

    def __init__(self, receiver: LogReceiver) -> None:
        ledger = receiver.ledger
        ledger.resume()  # an earlier worker process has written to the same map
        self._ledger = ledger
        self._socket = receiver.socket
        self._is_plain = receiver.how.format == "rollcall"
        self._parse = _PARSERS[receiver.how.format]
        self._counter = LineCounter(ledger)
        self._file: LogFile | None = None
        if receiver.how.file:
            identity = ledger.path.rpartition("-")[2].encode()
            self._file = LogFile(
                receiver.how.file, receiver.how.ours, receiver.position, identity, lambda: ledger.finished_count
            )
        self._dropped = 0
        self.is_told = False

    @property
    def fileno(self) -> int | None:
        """Readable when lines have come to the port; None where they go to a file."""
        return self._socket.fileno() if self._socket is not None else None

    def receive(self, now_us: int) -> None:
        """Take the lines that have come to the port."""
        if self._socket is None:
            return
        receive = self._socket.recv
        try:
            for _ in range(_MOST_DATAGRAMS):
                data = receive(_DATAGRAM_BYTES)
                # What syslog puts before a message ends with the tag of nginx and a colon.
                at = data.find(MARK) if self._is_plain else data.find(b": ") + 2
                self._line(data[at:] if at > 0 else data, now_us)
        except BlockingIOError:
            return
        except OSError as error:
            say(f"access log: {error}", "access log")

    def tick(self, now_us: int) -> None:
        """Before each report: what the file has, and what the kernel had to drop."""
        self.receive(now_us)
        if self._file is not None:
            self._file.read(lambda line: self._line(line, now_us), lambda line: self._parse(line) is not None)
        elif self._socket is not None:
            self._count_drops(self._socket)

    def _line(self, text: bytes, now_us: int) -> None:
        """Count a line, if it is one."""
        line = self._parse(text)
        if line is None:
            say(f"access log: a line is not in the format that was asked for: {text[:80]!r}", "access log format")
        elif not self.is_told:
            self._counter.count(line, now_us)

    def _count_drops(self, receiver: socket.socket) -> None:
        try:
            drops = _MEMINFO.unpack(receiver.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))[_DROPS]
        except (OSError, struct.error):
            return  # a sandboxed kernel
        if drops != self._dropped:
            say(f"access log: {drops} lines came faster than they could be read, and are not counted", "access log drops")
            self._dropped = drops


class LineCounter:
    """Counts lines in a worker file."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._endpoints: dict[bytes, int] = {}
        self._dependencies: dict[bytes, int] = {}
        self._used = {ledger.endpoint_name(index) for index in range(ledger.endpoints_used)}

    def count(self, line: Line, now_us: int) -> None:
        """Count one request."""
        method, path, code, elapsed_us, proxy, addresses, times, codes = line
        ledger = self._ledger
        endpoint = self._endpoint(method, path, code)
        status_class = code // 100 if 100 <= code < 600 else 0
        failed = status_class == 5
        error = 0
        if failed:
            error = ledger.error(f"timeout http {code}" if code == 504 else f"http {code}")
        elif code == _CLIENT_LEFT:
            ledger.error("abort client")
        if elapsed_us is None:
            ledger.untimed(endpoint, status_class, failed)
            return
        waited_us = dependency = 0
        if times not in (b"-", b""):
            waited_us, dependency = self._calls(proxy, addresses, times, codes, elapsed_us)
        outcome = status_class | (layout.OUTCOME_ERROR if failed else 0)
        ledger.point(now_us, elapsed_us, waited_us, layout.CPU_UNKNOWN, endpoint, dependency, error, outcome)
        ledger.finished(endpoint, status_class, failed, elapsed_us * 1000)

    def _calls(self, proxy: bytes, addresses: bytes, times: bytes, codes: bytes, elapsed_us: int) -> tuple[int, int]:
        """Count the upstreams that were asked; (µs that the request waited for them, the last of them)."""
        waited: dict[int, int] = {}
        for address, took_us, code in upstreams(addresses, times, codes):
            name = proxy if proxy not in (b"-", b"") else address
            index = self._dependencies.get(name)
            if index is None:
                if len(self._dependencies) >= _MOST_NAMES:
                    self._dependencies.clear()
                text = "http " + name.decode("utf-8", "replace").removesuffix(":80")
                index = self._dependencies[name] = self._ledger.dependency(text)
            reason = _REASONS.get(code, 0) if code == 429 or code >= 500 else None
            self._ledger.called(index, took_us * 1000, reason)
            waited[index] = waited.get(index, 0) + took_us
        whole = sum(waited.values())
        for index, took_us in waited.items():
            self._ledger.waited(index, took_us * min(whole, elapsed_us) // whole if whole else 0)
        return min(whole, elapsed_us), max(waited, key=lambda index: waited[index], default=0)

    def _endpoint(self, method: bytes, path: bytes, code: int) -> int:
        end = path.find(b"/", 1)
        key = method + (b" " + path if end < 0 else b" " + path[:end] + b"/*" if end + 1 < len(path) else b" " + path[:end])
        index = self._endpoints.get(key)
        return index if index is not None else self._new_endpoint(key, method, path, code)

    def _new_endpoint(self, key: bytes, method: bytes, path: bytes, code: int) -> int:
        """The index of a name that is not remembered. What is asked for and not there (4xx) gets no place of its own: those who
        look for holes ask for a thousand names."""
        verb, where = method.decode("latin-1"), path.decode("utf-8", "replace")
        if verb not in METHODS or not where.startswith("/"):
            return 0
        name = f"{verb} {shape(where)}"
        if name not in self._used:
            if 400 <= code < 500:
                return 0
            self._used.add(name)
        index = self._ledger.endpoint(name)
        if len(self._used) > _MOST_NAMES:
            self._used.clear()
        if "<id>" not in name and b"?" not in key:  # of those there is no end
            if len(self._endpoints) >= _MOST_NAMES:
                self._endpoints.clear()
            self._endpoints[key] = index
        return index
