"""`rollcall dashboard`: the page on a local port, with the caller's own identity towards the operator.

Anybody on this machine, and any site in the browser, could talk to a local port. So it answers only who names it as its host
and knows the session's secret, which is sent as a header: no site can make a browser send it. The address that is printed
carries a key behind `#`, which browsers send to no server; it works once, so whoever reads it later, from a process list or a
browser's history, has nothing. The caller's token never reaches the browser.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
import webbrowser
from urllib.parse import quote

import aiohttp
from aiohttp import web

from rollcall.cli.connection import CHANGES_S, Caller, CliError, LiveApi, live_api, said_by

_SAFETY = (
    "Content-Security-Policy", "X-Frame-Options", "X-Content-Type-Options", "Referrer-Policy", "Cross-Origin-Opener-Policy",
    "Cross-Origin-Resource-Policy", "Permissions-Policy",
)  # fmt: skip
_PASSED_ON = ("Content-Type", "Cache-Control", "ETag", *_SAFETY)
_PAGE = ("/", "/app.js", "/style.css", "/icon.svg", "/licences.txt")
_AGAIN_S = 2.0
PORT = 7655
"""ROLL on the keys of a telephone: the same for everybody, so that an address that is shared leads somewhere."""


class Door:
    """The local server: which requests go on to the operator. `api` is None while there is no way to it."""

    def __init__(self) -> None:
        self.key = secrets.token_urlsafe(32)
        self.api: LiveApi | None = None
        self.trouble = "the way to the operator is not open yet"
        self.hosts: frozenset[str] = frozenset()
        self._token = secrets.token_urlsafe(32)
        self._used = False

    def app(self) -> web.Application:
        """Everything is one handler behind one check."""
        app = web.Application()
        app.router.add_post("/session", self.session)
        app.router.add_get("/{path:.*}", self.forward)
        return app

    async def session(self, request: web.Request) -> web.Response:
        """The key of the address, once, for the secret of the session."""
        if not self._is_for_us(request):
            return _refused(421, "this address is not served here")
        given = _bearer(request)
        if self._used or not hmac.compare_digest(given.encode(), self.key.encode()):
            return _refused(401, "this address was used before; run rollcall dashboard again")
        self._used = True
        return web.json_response({"token": self._token}, headers={"Cache-Control": "no-store"})

    async def forward(self, request: web.Request) -> web.StreamResponse:
        """A request of the page as one of the caller's."""
        if not self._is_for_us(request):
            return _refused(421, "this address is not served here")
        if request.path not in _PAGE:
            if not request.path.startswith("/v1/"):
                return _refused(404, f"{request.path}: Not Found")
            if not hmac.compare_digest(_bearer(request).encode(), self._token.encode()):
                return _refused(401, "this tab is not signed in; run rollcall dashboard again")
        if self.api is None:
            return _refused(503, self.trouble)
        try:
            return await self._pass_on(request, self.api)
        except (aiohttp.ClientError, TimeoutError, CliError) as error:
            return _refused(503, f"the operator does not answer: {said_by(error)}")

    async def _pass_on(self, request: web.Request, api: LiveApi) -> web.StreamResponse:
        wanted = {name: request.headers[name] for name in ("Last-Event-ID", "If-None-Match") if name in request.headers}
        async with api.any(request.raw_path, wanted) as answer:
            headers = {name: answer.headers[name] for name in _PASSED_ON if name in answer.headers}
            response = web.StreamResponse(status=answer.status, headers=headers)
            await response.prepare(request)
            try:
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
            except (aiohttp.ClientError, ConnectionResetError, TimeoutError):
                if request.transport is not None:
                    request.transport.abort()  # a part must not look like the whole
            return response

    def _is_for_us(self, request: web.Request) -> bool:
        """A name that somebody else's DNS points to us is not ours, and no other site may send its own script's requests."""
        ours = {f"http://{host}" for host in self.hosts}
        return request.host in self.hosts and request.headers.get("Origin") in {None, *ours}


def _bearer(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else ""


def _refused(status: int, sentence: str) -> web.Response:
    return web.json_response({"error": sentence}, status=status, headers={"Cache-Control": "no-store"})


def run_dashboard(caller: Caller, *, namespace: str | None, port: int | None, browser: bool) -> None:
    """Serve until ctrl-c. Without a port it is the usual one, or a free one where that is taken."""
    asyncio.run(_serve(caller, namespace, port, browser=browser))


async def _serve(caller: Caller, namespace: str | None, port: int | None, *, browser: bool) -> None:
    door = Door()
    runner = web.AppRunner(door.app(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await _listen(runner, port)
        here = f"127.0.0.1:{runner.addresses[0][1]}"
        door.hosts = frozenset({here, here.replace("127.0.0.1", "localhost")})
        where = f"&/?namespace={quote(namespace)}" if namespace else ""
        await _keep_open(caller, door, f"http://{here}/#key={door.key}{where}", browser=browser)
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, port: int | None) -> None:
    try:
        await web.TCPSite(runner, "127.0.0.1", PORT if port is None else port).start()
    except OSError as error:
        if port is not None:
            raise CliError(f"port {port} of 127.0.0.1 cannot be used: {error.strerror}; name another one by --port") from None
        await web.TCPSite(runner, "127.0.0.1", 0).start()


async def _keep_open(caller: Caller, door: Door, address: str, *, browser: bool) -> None:
    """A way to the operator, opened again whenever it breaks; the first must succeed, but for a moment."""
    told, until_s = False, asyncio.get_running_loop().time() + CHANGES_S
    while True:
        try:
            async with live_api(caller) as api:
                async with api.get("/v1/operator"):
                    door.api = api
                if not told:
                    told = True
                    print(f"{address}\nThis address works once. Ctrl-c ends it.", flush=True)
                    if browser:
                        await asyncio.to_thread(webbrowser.open, address)
                while True:
                    await asyncio.sleep(_AGAIN_S)
                    async with api.get("/v1/operator"):
                        pass
        except CliError as error:
            if not told and (not error.passing or asyncio.get_running_loop().time() > until_s):
                raise
            door.api, door.trouble = None, str(error)
        await asyncio.sleep(_AGAIN_S)
