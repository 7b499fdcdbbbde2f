"""Listeners that nobody can fill up: who connects asks something soon, and there are only so many."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

FIRST_REQUEST_S = 10.0
"""A connection that has asked nothing whole after so long is closed; so is one whose TLS handshake takes longer."""
KEEP_ALIVE_S = 120.0
"""Between two requests. Clients give up before (the API server after 90 s), so that none sends into a connection that ends."""
MOST = 2000
"""Connections of one listener; 48 KiB each with TLS."""
DRAIN_STEP_S = 0.1
_Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def serve(app: web.Application, port: int, tls: ssl.SSLContext | None) -> web.AppRunner:
    """Begin to answer on a port of all addresses, for as long as the runner is not cleaned up."""
    guard = _Guard()
    app.middlewares.insert(0, guard.middleware)
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0, keepalive_timeout=KEEP_ALIVE_S)
    await runner.setup()
    await _Site(runner, guard, port, tls).start()
    return runner


async def drain(runners: Sequence[web.AppRunner], seconds: float) -> None:
    """Go on serving, but let nobody keep a connection: the API server's next question would go into one about to end."""
    for _ in range(int(seconds / DRAIN_STEP_S)):
        for runner in runners:
            if runner.server is not None:
                runner.server.pre_shutdown()
        await asyncio.sleep(DRAIN_STEP_S)


class _Guard:
    """Makes the protocol of each connection, and knows those that have asked nothing yet."""

    def __init__(self) -> None:
        self._silent: set[asyncio.BaseProtocol] = set()

    def protocol(self, server: web.Server) -> asyncio.BaseProtocol:
        if len(server.connections) >= MOST:
            return _TurnedAway()
        made = server()
        self._silent.add(made)
        asyncio.get_running_loop().call_later(FIRST_REQUEST_S, self._look, made)
        return made

    @web.middleware
    async def middleware(self, request: web.Request, handler: _Answer) -> web.StreamResponse:
        self._silent.discard(request.protocol)
        return await handler(request)

    def _look(self, made: web.RequestHandler) -> None:
        if made in self._silent:
            self._silent.discard(made)
            if isinstance(made.transport, asyncio.Transport):
                made.transport.abort()


class _TurnedAway(asyncio.Protocol):
    """One too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


class _Site(web.BaseSite):
    """Where a runner listens."""

    def __init__(self, runner: web.AppRunner, guard: _Guard, port: int, tls: ssl.SSLContext | None) -> None:
        super().__init__(runner, ssl_context=tls)
        self._guard, self._port = guard, port

    @property
    def name(self) -> str:
        return f"port {self._port}"

    async def start(self) -> None:
        await super().start()
        server = self._runner.server
        assert server is not None
        self._server = await asyncio.get_running_loop().create_server(
            lambda: self._guard.protocol(server),
            None,
            self._port,
            ssl=self._ssl_context,
            backlog=1024,
            reuse_address=True,
            ssl_handshake_timeout=FIRST_REQUEST_S if self._ssl_context is not None else None,
        )
