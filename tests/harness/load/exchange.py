"""One HTTP/1.1 exchange on a connection of its own, with nothing in between that could retry, pool or hide an error.

A new connection per request is on purpose: a Kubernetes service spreads connections, not requests, over its pods.
"""

from __future__ import annotations

import asyncio
import re

_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})[ \r]")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_HEAD_LIMIT = 65536


class ExchangeError(Exception):
    """An exchange without a whole answer. `kind` is its class in the truth: ConnectRefused, Reset, Closed, ..."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class Exchange(asyncio.Protocol):
    """Sends one request as soon as it is connected and settles `answer` with the status once the whole body is in."""

    def __init__(self, request: bytes, answer: asyncio.Future[int]) -> None:
        self._request = request
        self._answer = answer
        self._head: bytes | None = b""
        self._status = 0
        # Bytes of the body still to come; None while unknown, which means until the server closes.
        self._remaining: int | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        body = data if self._head is None else self._read_head(data)
        if body is None or self._remaining is None:
            return
        self._remaining -= len(body)
        if self._remaining <= 0:
            self._settle(self._status)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self._settle(ExchangeError("Reset"))
        elif self._head is None and self._remaining is None:
            self._settle(self._status)
        else:
            self._settle(ExchangeError("Closed"))

    def abort(self) -> None:
        """Drop the connection, whatever its state."""
        if self._transport is not None:
            self._transport.abort()

    def _read_head(self, data: bytes) -> bytes | None:
        """The part of the body that came with the head; None while the head is incomplete or when it is no HTTP."""
        assert self._head is not None
        self._head += data
        head, end, body = self._head.partition(b"\r\n\r\n")
        status = _STATUS.match(head) if end else None
        if not end and len(head) < _HEAD_LIMIT:
            return None
        if status is None:
            self._settle(ExchangeError("NotHttp"))
            return None
        self._status = int(status[1])
        length = _LENGTH.search(head)
        self._remaining = int(length[1]) if length else None
        self._head = None
        return body

    def _settle(self, result: int | ExchangeError) -> None:
        if not self._answer.done():
            if isinstance(result, int):
                self._answer.set_result(result)
            else:
                self._answer.set_exception(result)
        if self._transport is not None:
            self._transport.close()


async def exchange(host: str, port: int, request: bytes, timeout_s: float) -> int:
    """Send `request` to an address and return the status of the complete answer.

    Raises ExchangeError: ConnectRefused, ConnectTimeout or ConnectFailed before there is a connection; Reset, Closed (before
    the whole answer), NotHttp or Timeout after.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[int] = loop.create_future()
    protocol: Exchange | None = None
    try:
        async with asyncio.timeout(timeout_s):
            _, protocol = await loop.create_connection(lambda: Exchange(request, answer), host, port)
            return await answer
    except TimeoutError:
        raise ExchangeError("ConnectTimeout" if protocol is None else "Timeout") from None
    except ConnectionRefusedError:
        raise ExchangeError("ConnectRefused") from None
    except OSError:
        raise ExchangeError("ConnectFailed") from None
    finally:
        if protocol is not None and not answer.done():
            protocol.abort()
        answer.cancel()
