"""The one connection to the operator: resolve, connect, TLS, HELLO, then reports out and acknowledgements in.

Nothing here blocks the loop: names are resolved in a short-lived thread, everything else is non-blocking. At most one report
waits to be sent; the next one contains it. A connection that ends is made again after a back-off with full jitter.
"""

from __future__ import annotations

import os
import select
import socket
from _thread import stack_size, start_new_thread
from collections.abc import Callable
from typing import Any

from .log import say
from .settings import Settings
from .tls import Tls, WantRead, WantWrite
from .wire import WIRE_VERSION, facts, frames, points, report
from .wire.bands import BANDS, DEFAULT_BOUNDS_MS

FIRST_BACKOFF_S = 0.2
LAST_BACKOFF_S = 10.0
REJECTED_BACKOFF_S = 5.0
CONNECT_TIMEOUT_S = 10.0
SILENCE_TIMEOUT_S = 30.0
"""The operator acknowledges every few seconds; one that says nothing for so long is gone without a word."""
_REJECTED = ("TokenRejected", "PodMismatch")
_THREAD_STACK_BYTES = 256 * 1024


def jitter(limit_s: float) -> float:
    """A random time in 0..limit_s."""
    return limit_s * int.from_bytes(os.urandom(4), "little") / 0xFFFFFFFF


class Uplink:
    """A connection that keeps itself up. `step` and the `on_*` methods are called by the loop with its time in seconds."""

    def __init__(self, settings: Settings, epoll: select.epoll, hello: Callable[[], dict[str, Any]]) -> None:
        self._settings = settings
        self._epoll = epoll
        self._hello = hello
        self._tls = Tls(settings.ca_file) if settings.tls else None
        self._socket: socket.socket | None = None
        self._mask = 0
        self._phase = "idle"  # idle → resolving → connecting → handshaking → greeting → live
        self._next_try = 0.0
        self._give_up = 0.0
        self._failures = 0
        self._addresses: list[Any] = []
        self._resolved: list[Any] | OSError | None = None
        self._decoder = frames.Decoder()
        self._out = b""
        self._goodbye = ""
        self._seq = 0
        self.acked = 0
        self.facts_acked = 0
        """Highest number of FACTS that an ACK of this connection has named."""
        self.welcome: dict[str, Any] | None = None
        """The operator's newest WELCOME, until somebody has taken it from here."""
        self.connections = 0
        self.interval_s = 0.5
        self.bounds_ms: tuple[int, ...] = DEFAULT_BOUNDS_MS
        self.most_points = points.DEFAULT_POINTS
        self.wakeup = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        epoll.register(self.wakeup, select.EPOLLIN)
        stack_size(_THREAD_STACK_BYTES)

    @property
    def ready(self) -> bool:
        """Whether a report can be sent now: greeted, and the previous one is on its way."""
        return self._phase == "live" and not self._out

    @property
    def live(self) -> bool:
        """Whether the operator has welcomed us."""
        return self._phase == "live"

    @property
    def fileno(self) -> int:
        """The socket's descriptor, -1 without one."""
        return self._socket.fileno() if self._socket is not None else -1

    def next_seq(self) -> int:
        """The number for the next report on this connection."""
        return self._seq + 1

    def deadline(self) -> float:
        """When `step` wants to be called at the latest."""
        return self._next_try if self._phase == "idle" else self._give_up

    def hurry(self, now: float) -> None:
        """The agent is about to end: do not sit out a long back-off."""
        self._failures = 0
        if self._phase == "idle":
            self._next_try = min(self._next_try, now + jitter(FIRST_BACKOFF_S))

    def step(self, now: float) -> None:
        """Start what is due, and give up what takes too long."""
        if self._phase == "idle":
            if now >= self._next_try:
                self._resolve(now)
        elif now >= self._give_up:
            if self._phase == "resolving":
                self._give_up = now + CONNECT_TIMEOUT_S  # the thread cannot be stopped; wait for it
                say(f"resolving {self._settings.operator_host} takes long", "uplink")
            else:
                self._fail(now, "no answer from the operator")

    def send(self, body: bytes, others: bytes, now: float) -> None:
        """Send one report, and before it other frames, in one piece; only while `ready`."""
        self._seq += 1
        self._send(others + frames.encode(frames.REPORT, body), now)

    def close(self) -> None:
        """Drop the connection, if any."""
        if self._socket is not None:
            if self._mask:
                self._epoll.unregister(self._socket.fileno())
                self._mask = 0
            self._socket.close()
            self._socket = None

    def _fail(self, now: float, reason: str) -> None:
        code = self._goodbye
        self._goodbye = ""
        self.close()
        self._phase = "idle"
        self._out = b""
        if code in _REJECTED:
            wait = REJECTED_BACKOFF_S + jitter(REJECTED_BACKOFF_S)
        else:
            wait = jitter(min(LAST_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(self._failures, 10)))
        self._failures += 1
        self._next_try = now + wait
        say(f"not connected to {self._settings.operator_host}:{self._settings.operator_port}: {reason}", "uplink")

    def _resolve(self, now: float) -> None:
        self._phase = "resolving"
        self._give_up = now + CONNECT_TIMEOUT_S
        host, port = self._settings.operator_host, self._settings.operator_port
        self._resolved = None
        start_new_thread(self._resolve_in_thread, (host, port))

    def _resolve_in_thread(self, host: str, port: int) -> None:
        try:
            self._resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            self._resolved = error
        except Exception as error:
            self._resolved = OSError(str(error))
        os.eventfd_write(self.wakeup, 1)

    def on_wakeup(self, now: float) -> None:
        """The resolving thread has written its result."""
        try:
            os.eventfd_read(self.wakeup)
        except BlockingIOError:
            return
        if self._phase != "resolving":
            return
        if isinstance(self._resolved, list) and self._resolved:
            self._addresses = self._resolved
            self._connect(now)
        else:
            self._fail(now, f"name not resolved: {self._resolved}")

    def _connect(self, now: float) -> None:
        family, kind, protocol, _, address = self._addresses[self._failures % len(self._addresses)]
        self._phase = "connecting"
        self._give_up = now + CONNECT_TIMEOUT_S
        try:
            self._socket = socket.socket(family, kind, protocol)
            self._socket.setblocking(False)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.connect_ex(address)
            self._epoll.register(self._socket.fileno(), select.EPOLLOUT)
            self._mask = select.EPOLLOUT
        except OSError as error:
            self._fail(now, str(error))

    def on_ready(self, now: float) -> None:
        """The socket is readable, writable or broken."""
        try:
            if self._phase == "connecting":
                self._connected(now)
            if self._phase == "handshaking":
                self._shake_hands(now)
            elif self._phase in ("greeting", "live"):
                self._flush()
                self._receive(now)
        except (OSError, ValueError) as error:
            self._fail(now, str(error) or repr(error))

    def _connected(self, now: float) -> None:
        assert self._socket is not None
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
        if self._tls is None:
            self._greet(now)
            return
        plain = self._socket
        self._epoll.unregister(plain.fileno())
        self._mask = 0
        self._socket = self._tls.wrap(plain, self._settings.operator_host)
        self._epoll.register(self._socket.fileno(), select.EPOLLOUT)
        self._mask = select.EPOLLOUT
        self._phase = "handshaking"

    def _shake_hands(self, now: float) -> None:
        assert self._socket is not None
        try:
            self._socket.do_handshake()  # type: ignore[attr-defined]
        except WantRead:
            self._watch(select.EPOLLIN)
            return
        except WantWrite:
            self._watch(select.EPOLLOUT)
            return
        self._greet(now)

    def _greet(self, now: float) -> None:
        self._phase = "greeting"
        self._decoder = frames.Decoder()
        self._seq = 0
        self.acked = self.facts_acked = 0
        self.welcome = None
        self.connections += 1
        with open(self._settings.token_file, encoding="ascii") as file:
            token = file.read().strip()
        hello = {"wire": WIRE_VERSION, **self._hello(), "token": token}
        self._send(frames.encode_json(frames.HELLO, hello), now)

    def _send(self, frame: bytes, now: float) -> None:
        self._out += frame
        try:
            self._flush()
        except OSError as error:
            self._fail(now, str(error))

    def _flush(self) -> None:
        assert self._socket is not None
        while self._out:
            try:
                sent = self._socket.send(self._out)
            except (BlockingIOError, WantRead, WantWrite):
                break
            self._out = self._out[sent:]
        self._watch(select.EPOLLIN | (select.EPOLLOUT if self._out else 0))

    def _watch(self, mask: int) -> None:
        if mask != self._mask:
            assert self._socket is not None
            self._epoll.modify(self._socket.fileno(), mask)
            self._mask = mask

    def _receive(self, now: float) -> None:
        while self._socket is not None:
            try:
                data = self._socket.recv(16384)
            except (BlockingIOError, WantRead, WantWrite):
                return
            if not data:
                raise OSError(self._goodbye or "closed by the operator")
            self._give_up = now + SILENCE_TIMEOUT_S
            for kind, body in self._decoder.feed(data):
                self._handle(kind, body)

    def _handle(self, kind: int, body: bytes) -> None:
        if kind == frames.ACK and len(body) >= 8:  # an older operator names no facts
            seq, number = frames.ACK_BODY.unpack(body[: frames.ACK_BODY.size].ljust(frames.ACK_BODY.size, b"\0"))
            self.acked, self.facts_acked = max(self.acked, seq), max(self.facts_acked, number)
        elif kind == frames.WELCOME:
            self._welcome(frames.decode_json(body))
        elif kind == frames.GOODBYE:
            goodbye = frames.decode_json(body)
            self._goodbye = str(goodbye.get("code", ""))[:100]
            raise OSError(f"{self._goodbye}: {str(goodbye.get('message', ''))[:200]}")

    def _welcome(self, welcome: dict[str, Any]) -> None:
        self.interval_s = clamp_interval_ms(welcome.get("interval_ms")) / 1000
        self.bounds_ms = checked_bounds_ms(welcome.get("bands_ms"))
        most = welcome.get("points", points.DEFAULT_POINTS)
        self.most_points = min(most, points.MAX_POINTS) if isinstance(most, int) and most >= 0 else points.DEFAULT_POINTS
        self.welcome = welcome
        if self._phase == "greeting":
            self._phase = "live"
            self._failures = 0
            say(f"connected to operator {str(welcome.get('operator', '?'))[:40]}", "uplink")
        limit = welcome.get("max_frame")
        least = max(report.SIZE, facts.HEAD.size + facts.MAX_RECORDS * facts.RECORD.size) + 1
        if isinstance(limit, int) and limit < least:
            raise OSError(f"the operator takes frames of {limit} bytes only, ours have up to {least}")


def clamp_interval_ms(value: object) -> int:
    """The report interval asked for, within 100 ms .. 10 s; 500 ms when it is no number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return 500
    return int(min(10_000, max(100, value)))


def checked_bounds_ms(value: object) -> tuple[int, ...]:
    """The bounds asked for when they are BANDS - 1 rising positive integers, else the default."""
    if (
        isinstance(value, list)
        and len(value) == BANDS - 1
        and all(isinstance(bound, int) and not isinstance(bound, bool) for bound in value)
        and 0 < value[0] < value[1] < value[2] <= 86_400_000
    ):
        return tuple(value)
    return DEFAULT_BOUNDS_MS
