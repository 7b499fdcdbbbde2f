"""TLS of agents' connections: whatever pieces the network makes of it, and whoever does not speak it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import groupby

import pytest

from rollcall.control.certificates import Certificates, load_into, renewed
from rollcall.ingest import tls as module
from rollcall.ingest.tls import A_TURN_S, TlsConnection, Turns

NAME = "rollcall-ingest.rollcall-system.svc"


class Echo(asyncio.Protocol):
    """Sends back what it hears; ends when it hears "bye"."""

    made: list[Echo] = []  # noqa: RUF012

    def __init__(self) -> None:
        self.lost = False
        Echo.made.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)
        if data.endswith(b"bye"):
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True


@pytest.fixture(scope="module")
def certificates() -> Certificates:
    return renewed(None, [NAME], datetime.now(UTC))


@pytest.fixture
async def port(certificates: Certificates) -> AsyncIterator[int]:
    """A server that echoes over TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_into(context, certificates)
    Echo.made.clear()
    server = await asyncio.get_running_loop().create_server(lambda: TlsConnection(context, Echo), "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


class Client:
    """TLS by hand over a plain connection, so that a test decides how the bytes are cut."""

    def __init__(self, certificates: Certificates, version: ssl.TLSVersion) -> None:
        context = ssl.create_default_context(cadata=certificates.bundle.decode())
        context.maximum_version = version
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=NAME)

    async def connect(self, port: int, piece: int) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.piece = piece
        while True:
            try:
                self.tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                await self.flush()
                self.incoming.write(await self.reader.read(65536))
        await self.flush()

    async def flush(self) -> None:
        data = self.outgoing.read()
        for at in range(0, len(data), self.piece):
            self.writer.write(data[at : at + self.piece])
            await self.writer.drain()
            await asyncio.sleep(0)

    async def send(self, *messages: bytes) -> None:
        for message in messages:
            self.tls.write(message)
        await self.flush()

    async def read(self, size: int) -> bytes:
        found = b""
        while len(found) < size:
            try:
                part = self.tls.read(65536)
                if not part:
                    break
                found += part
            except ssl.SSLWantReadError:
                data = await asyncio.wait_for(self.reader.read(65536), 5)
                if not data:
                    break
                self.incoming.write(data)
        return found


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("piece", [1, 7, 1400, 1 << 20])
async def test_whatever_pieces_the_network_makes(
    port: int, certificates: Certificates, version: ssl.TLSVersion, piece: int
) -> None:
    client = Client(certificates, version)
    await client.connect(port, piece)
    messages = [b"first", b"x" * 3000, b"last"]
    await client.send(*messages)
    assert await client.read(3009) == b"".join(messages)
    large = bytes(range(256)) * (20 if piece < 100 else 400)  # more than one record holds
    await client.send(large)
    assert await client.read(len(large)) == large
    await client.send(b"bye")
    assert await client.read(4) == b"bye", "and then the end, in order"
    await asyncio.sleep(0.05)
    assert Echo.made[0].lost


async def test_a_client_that_says_goodbye_is_let_go(port: int, certificates: Certificates) -> None:
    client = Client(certificates, ssl.TLSVersion.TLSv1_3)
    await client.connect(port, 1 << 20)
    await client.send(b"hello")
    assert await client.read(5) == b"hello"
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.unwrap()
    await client.flush()
    assert await asyncio.wait_for(client.reader.read(), 5) is not None
    assert Echo.made[0].lost


@pytest.mark.parametrize("noise", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\0" * 70000, b"\0" * 100])
async def test_who_does_not_speak_tls_is_closed_and_nobody_hears_of_him(port: int, noise: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(noise)
    with contextlib.suppress(ConnectionResetError):
        await asyncio.wait_for(reader.read(), 5)
    assert Echo.made == []
    writer.close()


async def test_a_handshake_that_takes_too_long_is_given_up(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HANDSHAKE_S", 0.1)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await asyncio.wait_for(reader.read(), 5) == b""
    assert Echo.made == []
    writer.close()


async def test_a_connection_that_breaks_is_told_inside(port: int, certificates: Certificates) -> None:
    client = Client(certificates, ssl.TLSVersion.TLSv1_3)
    await client.connect(port, 1 << 20)
    await client.send(b"hello")
    await client.read(5)
    client.writer.transport.abort()
    for _ in range(100):
        if Echo.made[0].lost:
            break
        await asyncio.sleep(0.02)
    assert Echo.made[0].lost


async def test_handshakes_take_turns_and_leave_room_for_others(certificates: Certificates) -> None:
    """However many come at once, what else is to be done is done after every few milliseconds of them."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_into(context, certificates)
    log: list[str] = []
    now_s, each_s = [0.0], A_TURN_S / 2.5
    turns = Turns(lambda: now_s[0])

    class Waiting(TlsConnection):
        def shake_hands(self) -> None:
            log.append("step")
            now_s[0] += each_s
            super().shake_hands()

    hello = ssl.MemoryBIO()
    tls = ssl.create_default_context(cadata=certificates.bundle.decode()).wrap_bio(ssl.MemoryBIO(), hello, server_hostname=NAME)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    said = hello.read()
    for _ in range(9):
        connection = Waiting(context, Echo, turns)
        connection.data_received(said[:100])
        connection.data_received(said[100:])
    assert log == [], "not before the event loop comes round"
    while len(log) < 9 + 3:
        await asyncio.sleep(0)
        log.append("other")
    assert [len(list(run)) for what, run in groupby(log) if what == "step"] == [3] * 3


async def test_who_waits_for_a_turn_is_not_late(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HANDSHAKE_S", 0.01)
    connection = TlsConnection(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), Echo, Never())
    transport = Transport()
    connection.connection_made(transport)
    connection.data_received(b"\x16")
    await asyncio.sleep(0.05)
    assert not connection.closing
    connection.data_received(bytes(70000))
    assert connection.closing, "so much is no handshake"


class Never(Turns):
    """Nobody's turn ever comes."""

    def wait(self, connection: TlsConnection) -> None:
        pass


class Transport(asyncio.Transport):
    """Goes nowhere."""

    def close(self) -> None:
        pass
