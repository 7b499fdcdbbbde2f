"""TLS for agents' connections, made for many small messages: one record in, one call that decrypts it, no buffer of its own.

The event loop's own TLS reads each connection until the library complains that there is no more, which costs an exception per
report, and keeps a buffer of 256 KiB of address space and several pages of memory per connection. Agents send one record per
half second, so a connection here reads as often as there is something to read.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
from typing import Any, cast

READ_BYTES = 65536
"""More than any record holds (16 KiB), so that one read returns a whole one."""
HANDSHAKE_S = 10.0


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

    __slots__ = ("_in", "_inside", "_make", "_out", "_ssl", "_timer", "_transport", "closing")

    def __init__(self, context: ssl.SSLContext, inside: Callable[[], asyncio.Protocol]) -> None:
        self._make: Callable[[], asyncio.Protocol] | None = inside
        self._inside: asyncio.Protocol | None = None
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._in, self._out, server_side=True)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._timer = asyncio.get_running_loop().call_later(HANDSHAKE_S, self._abort)

    def about(self, name: str) -> Any:
        """What the connection outside says of itself; None when there is none any more."""
        return None if self._transport is None else self._transport.get_extra_info(name)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        self._transport = None
        self._stop_timer()
        if self._inside is not None:
            self._inside.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        incoming = self._in
        incoming.write(data)
        try:
            if self._inside is None and not self._shake_hands():
                return
            while incoming.pending and not self.closing:
                plain = self._ssl.read(READ_BYTES)
                if not plain:
                    self.finish()
                    return
                self._inside.data_received(plain)  # type: ignore[union-attr]
        except ssl.SSLWantReadError:
            pass  # a record that has not come whole
        except ssl.SSLZeroReturnError:
            self.finish()
        except ssl.SSLError:
            self._flush()  # the alert that tells why
            self._abort()
            return
        if self._out.pending:
            self._flush()

    def _shake_hands(self) -> bool:
        """One step of the handshake; whether it is done."""
        try:
            self._ssl.do_handshake()
        finally:
            self._flush()
        self._stop_timer()
        assert self._make is not None
        self._inside, self._make = self._make(), None
        self._inside.connection_made(cast("Any", Sealed(self)))
        return True

    def seal(self, data: bytes) -> None:
        """Encrypt and send."""
        if not self.closing:
            self._ssl.write(data)
            self._flush()

    def finish(self) -> None:
        """End the connection in order."""
        if self.closing:
            return
        self.closing = True
        with contextlib.suppress(ssl.SSLError, OSError):  # the other side need not answer
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
