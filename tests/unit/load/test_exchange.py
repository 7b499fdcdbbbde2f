"""One exchange against real sockets on loopback that answer well, badly, late or not at all."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from tests.harness.load.exchange import ExchangeError, exchange

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def served(*chunks: bytes, hold: bool = False, reset: bool = False) -> AsyncIterator[int]:
    """A port on which each connection gets `chunks` after its request, then is closed, held open or reset."""
    done = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for chunk in chunks:
            writer.write(chunk)
            await writer.drain()
            await asyncio.sleep(0)
        if hold:
            await done.wait()
        if reset:
            # Lingering for 0 s turns the close into a reset.
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        done.set()
        server.close()


@pytest.mark.parametrize(
    ("chunks", "hold", "status"),
    [
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"], False, 200, id="whole"),
        pytest.param([b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"], True, 200, id="does not wait for the close"),
        pytest.param([b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"], True, 404, id="empty body"),
        pytest.param([b"HTTP/1.1 500 Internal", b" Server Error\r\n\r", b"\nsome text"], False, 500, id="until the close"),
        pytest.param([b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", b"a", b"bc"], True, 200, id="body in parts"),
        pytest.param([b"HTTP/1.1 204 \r\nContent-Length: 0\r\n\r\n"], True, 204, id="no reason phrase"),
    ],
)
async def test_status_of_a_whole_answer(chunks: list[bytes], hold: bool, status: int) -> None:
    async with served(*chunks, hold=hold) as port:
        assert await exchange("127.0.0.1", port, REQUEST, 5.0) == status


@pytest.mark.parametrize(
    ("chunks", "hold", "reset", "kind"),
    [
        pytest.param([], False, False, "Closed", id="closed at once"),
        pytest.param([b"HTTP/1.1 200"], False, False, "Closed", id="closed within the head"),
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"], False, False, "Closed", id="closed within the body"),
        pytest.param([], False, True, "Reset", id="reset"),
        pytest.param([b"SSH-2.0-x\r\n\r\n"], True, False, "NotHttp", id="another protocol"),
        pytest.param([b"x" * 70_000], True, False, "NotHttp", id="a head without end"),
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"], True, False, "Timeout", id="the rest never comes"),
    ],
)
async def test_error_of_an_answer_that_is_not_whole(chunks: list[bytes], hold: bool, reset: bool, kind: str) -> None:
    timeout_s = 0.2 if kind == "Timeout" else 5.0
    async with served(*chunks, hold=hold, reset=reset) as port:
        with pytest.raises(ExchangeError) as error:
            await exchange("127.0.0.1", port, REQUEST, timeout_s)
    assert error.value.kind == kind


async def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ExchangeError) as error:
            await exchange("127.0.0.1", unused.getsockname()[1], REQUEST, 5.0)
    assert error.value.kind == "ConnectRefused"


async def test_nobody_accepts() -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        # These fill the backlog, after which the kernel ignores who else would connect.
        for client in (first, second):
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        with pytest.raises(ExchangeError) as error:
            await exchange("127.0.0.1", full.getsockname()[1], REQUEST, 0.2)
    assert error.value.kind == "ConnectTimeout"
