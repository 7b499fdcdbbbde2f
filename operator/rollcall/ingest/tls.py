"""TLS for agents' connections, made for many small messages: one record in, one call that decrypts it, no buffer of its own.

The event loop's own TLS reads each connection until the library complains that there is no more, which costs an exception per
report, and keeps a buffer of 256 KiB of address space and several pages of memory per connection. Agents send one record per
half second, so a connection here reads as often as there is something to read.

A handshake costs as much as twenty reports, and after a restart thousands come at once. They take turns, a few in each round of
the event loop: else nothing else would happen for seconds, the lease would not be renewed, all agents would be sent away and
come again.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Any, cast

READ_BYTES = 65536
"""More than any record holds (16 KiB), so that one read returns a whole one."""
PIECE = 6144
"""So much is given to the library at a time. Its buffer never shrinks: what piled up once, while we were slow, would be kept by
each of thousands of connections."""
HANDSHAKE_S = 10.0
A_TURN_S = 0.003
"""In one round of the event loop no other handshake is begun after so long; half of one takes up to a millisecond."""


class Turns:
    """Connections that wait to get on with their handshakes, first come, first served."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._waiting: deque[TlsConnection] = deque()
        self._due = False

    def wait(self, connection: TlsConnection) -> None:
        """Have its `shake_hands` called soon."""
        self._waiting.append(connection)
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        until_s = self._clock() + A_TURN_S
        while self._waiting:
            self._waiting.popleft().shake_hands()
            if self._clock() >= until_s:
                break
        self._due = bool(self._waiting)
        if self._due:
            asyncio.get_running_loop().call_soon(self._turn)


class Sealed:
    """What the protocol inside sees as its transport: `write`, `close`, `is_closing`."""

    __slots__ = ("_outside",)

    def __init__(self, outside: TlsConnection) -> None:
        self._outside = outside

    def write(self, data: bytes) -> None:
        """Encrypt and send."""
        self._outside.seal(data)

    def close(self) -> None:
        """Say goodbye, send what waits, and close."""
        self._outside.finish()

    def is_closing(self) -> bool:
        """Whether the connection is at its end."""
        return self._outside.closing

    def get_extra_info(self, name: str) -> Any:
        """What the connection says of itself, such as `peername`."""
        return self._outside.about(name)


class TlsConnection(asyncio.Protocol):
    """The server's side of one connection; `inside` makes the protocol that hears what was decrypted, once hands are shaken."""

    __slots__ = ("_in", "_inside", "_make", "_out", "_ssl", "_timer", "_transport", "_turns", "_waits", "closing")

    def __init__(self, context: ssl.SSLContext, inside: Callable[[], asyncio.Protocol], turns: Turns | None = None) -> None:
        self._make: tuple[ssl.SSLContext, Callable[[], asyncio.Protocol]] | None = context, inside
        self._inside: asyncio.Protocol | None = None
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._ssl: ssl.SSLObject | None = None
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._turns: Turns | None = turns or Turns()
        self._waits = False
        self.closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._timer = asyncio.get_running_loop().call_later(HANDSHAKE_S, self._too_late)

    def about(self, name: str) -> Any:
        """What the connection outside says of itself; None when there is none any more."""
        return None if self._transport is None else self._transport.get_extra_info(name)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        self._stop_timer()
        if self._inside is not None:
            self._inside.connection_lost(exc)
        self._transport = None

    def data_received(self, data: bytes) -> None:
        if self._inside is not None:
            if len(data) <= PIECE:
                self._in.write(data)
                self._read()
                return
            for at in range(0, len(data), PIECE):
                self._in.write(data[at : at + PIECE])
                self._read()
            return
        self._in.write(data)
        if self._in.pending > READ_BYTES:  # that is no handshake
            self._abort()
        elif not self._waits and self._turns is not None:
            self._waits = True
            self._turns.wait(self)

    def _read(self) -> None:
        incoming = self._in
        try:
            while incoming.pending and not self.closing:
                plain = self._ssl.read(READ_BYTES)  # type: ignore[union-attr]
                if not plain:
                    self.finish()
                    return
                self._inside.data_received(plain)  # type: ignore[union-attr]
        except ssl.SSLWantReadError:
            pass  # a record that has not come whole
        except ssl.SSLZeroReturnError:
            self.finish()
        except ssl.SSLError:
            self._fail()
            return
        if self._out.pending:
            self._flush()

    def shake_hands(self) -> None:
        """It is this connection's turn: one step of the handshake, and when it is done, what came behind it."""
        self._waits = False
        if self.closing or self._make is None:
            return
        context, make = self._make
        if self._ssl is None:  # not before: a connection that says nothing costs little
            self._ssl = context.wrap_bio(self._in, self._out, server_side=True)
        try:
            self._ssl.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError:
            self._fail()
            return
        self._flush()
        self._stop_timer()
        self._inside, self._make, self._turns = make(), None, None
        self._inside.connection_made(cast("Any", Sealed(self)))
        self._read()

    def _fail(self) -> None:
        self._flush()  # the alert that tells why
        self._abort()

    def _too_late(self) -> None:
        """The other side has had its time, unless it is we who let it wait."""
        if self._waits:
            self._timer = asyncio.get_running_loop().call_later(HANDSHAKE_S, self._too_late)
        else:
            self._abort()

    def seal(self, data: bytes) -> None:
        """Encrypt and send."""
        if not self.closing and self._ssl is not None:
            self._ssl.write(data)
            self._flush()

    def finish(self) -> None:
        """End the connection in order."""
        if self.closing:
            return
        self.closing = True
        with contextlib.suppress(ssl.SSLError, OSError):  # the other side need not answer
            if self._ssl is not None:
                self._ssl.unwrap()
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def _abort(self) -> None:
        self.closing = True
        if self._transport is not None:
            self._transport.close()

    def _flush(self) -> None:
        if self._out.pending and self._transport is not None:
            self._transport.write(self._out.read())

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
