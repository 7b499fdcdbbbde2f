"""Whoever connects to our web applications and does not ask, or asks without end: sent away, and nobody else waits."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp import web

from rollcall.control import certificates
from rollcall.serve import listen, webhook
from tests.golden.injection import SETTINGS

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Site:
    """A small application behind a listener."""

    def __init__(self, runner: web.AppRunner) -> None:
        [site] = runner.sites
        self.runner = runner
        # Of the two addresses that it listens at, each with a port of its own, and in any order.
        sockets = site._server.sockets  # type: ignore[attr-defined]
        self.port = next(each.getsockname()[1] for each in sockets if each.family == socket.AF_INET)

    async def connect(self) -> Streams:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, *, tls: bool = False) -> int:
        address = f"http{'s' if tls else ''}://127.0.0.1:{self.port}/"
        async with aiohttp.ClientSession() as session, session.get(address, ssl=False) as response:
            return response.status


async def closed_within(reader: asyncio.StreamReader, seconds: float) -> bool:
    """Whether the other side ends the connection."""
    try:
        async with asyncio.timeout(seconds):
            while await reader.read(1000):
                pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


async def hello(_: web.Request) -> web.Response:
    return web.Response(text="hello")


@pytest.fixture
async def site(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    monkeypatch.setattr(listen, "FIRST_REQUEST_S", 0.3)
    app = web.Application()
    app.router.add_get("/", hello)
    runner = await listen.serve(app, 0, None)
    yield Site(runner)
    await runner.cleanup()


async def test_a_head_byte_by_byte_ends_and_others_are_answered(site: Site) -> None:
    reader, writer = await site.connect()

    async def trickle() -> None:
        for byte in b"GET / HTTP/1.1\r\nHost: here\r\n" + b"X-More: and more\r\n" * 1000:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.02)

    sending = asyncio.create_task(trickle())
    assert await site.ask() == 200
    assert await closed_within(reader, 5)
    sending.cancel()


async def test_who_asked_may_keep_the_connection(site: Site) -> None:
    reader, writer = await site.connect()
    writer.write(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
    assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
    assert not await closed_within(reader, 1.0)
    writer.write(b"GET /nothing HTTP/1.1\r\nHost: here\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 404")
    writer.close()


async def test_one_too_many_is_turned_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "MOST", 3)
    held = [await site.connect() for _ in range(3)]
    while len(site.runner.server.connections) < 3:  # type: ignore[union-attr]
        await asyncio.sleep(0.01)
    fourth, _ = await site.connect()
    assert await closed_within(fourth, 5)
    for reader, _ in held:
        assert await closed_within(reader, 5), "they asked nothing"
    assert await site.ask() == 200


async def test_a_handshake_that_does_not_end_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listen, "FIRST_REQUEST_S", 0.5)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificates.load_into(tls, certificates.renewed(None, ("localhost",), datetime.now(UTC)))
    app = web.Application()
    app.router.add_get("/", hello)
    runner = await listen.serve(app, 0, tls)
    site = Site(runner)
    reader, writer = await site.connect()
    writer.write(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc")  # the begin of a ClientHello of 512 bytes
    assert await site.ask(tls=True) == 200
    assert await closed_within(reader, 10)
    await runner.cleanup()


async def test_the_body_of_a_question_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod whose manifest never ends to arrive."""
    monkeypatch.setattr(webhook, "READ_S", 0.3)

    class Counter:
        reasons: list[str] = []  # noqa: RUF012

        def on_decision(self, namespace: str, reason: str, seconds: float) -> None:
            self.reasons.append(reason)

    async def look(namespace: str) -> None: ...

    counter = Counter()
    runner = await listen.serve(webhook.make_webhook_app(lambda _: (), look, lambda: SETTINGS, counter), 0, None)
    site = Site(runner)
    reader, writer = await site.connect()
    writer.write(b"POST /inject HTTP/1.1\r\nHost: here\r\nContent-Length: 1000000\r\n\r\n{")
    async with asyncio.timeout(5):
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert counter.reasons == ["Malformed"]
    writer.close()
    await runner.cleanup()
