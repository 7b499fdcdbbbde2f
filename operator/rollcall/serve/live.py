"""The live API: the picture of each service as JSON, and as a stream of server-sent events, four frames a second.

    GET /v1/services                      summaries, ?namespace=NS for one namespace
    GET /v1/services/stream               the same as a stream
    GET /v1/services/{ns}/{name}          one service with its pods
    GET /v1/services/{ns}/{name}/stream   the same as a stream
    GET /v1/why/{ns}/{pod}                what state a pod is in, why, and what to do
    GET /v1/operator                      version and own cost of the operator

Errors are {"error": sentence} with a fitting status. A slow reader gets fewer frames, never older ones.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

import aiohttp
import msgspec
from aiohttp import web

from rollcall.kube.client import KubeError
from rollcall.kube.review import User
from rollcall.serve.access import Access, RefusedError
from rollcall.serve.publisher import Publisher

Frame = Callable[[], bytes | None]
Why = Callable[[str, str], Awaitable[object]]
"""What is to be said of a pod, by namespace and name; None when there is none."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_STREAM_HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def make_live_app(
    publisher: Publisher, access: Access, operator_facts: Callable[[], dict[str, object]], why: Why
) -> web.Application:
    """The application behind the live API's port."""
    live = _Live(publisher, access, operator_facts, why)
    app = web.Application(middlewares=[_errors])
    app.router.add_get("/v1/services", live.services)
    app.router.add_get("/v1/services/stream", live.services_stream)
    app.router.add_get("/v1/services/{namespace}/{name}", live.service)
    app.router.add_get("/v1/services/{namespace}/{name}/stream", live.service_stream)
    app.router.add_get("/v1/why/{namespace}/{pod}", live.why)
    app.router.add_get("/v1/operator", live.operator)
    return app


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RefusedError as error:
        return _json(error.status, {"error": str(error)})
    except web.HTTPException as error:
        return _json(error.status, {"error": f"{request.path}: {error.reason}; try /v1/services"})


def _json(status: int, body: object) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")


class _Live:
    def __init__(self, publisher: Publisher, access: Access, operator_facts: Callable[[], dict[str, object]], why: Why) -> None:
        self._publisher = publisher
        self._access = access
        self._operator_facts = operator_facts
        self._why = why

    async def services(self, request: web.Request) -> web.StreamResponse:
        frame = await self._all(request)
        return web.Response(body=frame(), content_type="application/json")

    async def services_stream(self, request: web.Request) -> web.StreamResponse:
        return await self._stream(request, await self._all(request))

    async def service(self, request: web.Request) -> web.StreamResponse:
        frame = await self._one(request)
        return web.Response(body=frame(), content_type="application/json")

    async def service_stream(self, request: web.Request) -> web.StreamResponse:
        return await self._stream(request, await self._one(request))

    async def why(self, request: web.Request) -> web.StreamResponse:
        user = await self._caller(request)
        namespace, pod = request.match_info["namespace"], request.match_info["pod"]
        await self._access.check(user, namespace)
        if not (_NAME.fullmatch(namespace) and _NAME.fullmatch(pod)):
            raise RefusedError(400, "namespace and pod are names as Kubernetes has them: a-z, 0-9, - and .")
        try:
            answer = await self._why(namespace, pod)
        except (KubeError, aiohttp.ClientError, TimeoutError):
            raise RefusedError(503, "the API server could not be asked for this pod; try again") from None
        if answer is None:
            raise RefusedError(404, f'there is no pod "{pod}" in namespace "{namespace}"')
        return _json(200, answer)

    async def operator(self, request: web.Request) -> web.StreamResponse:
        await self._caller(request)
        return _json(200, self._operator_facts())

    async def _caller(self, request: web.Request) -> User:
        user = await self._access.caller(request)
        if not self._publisher.leading:
            raise RefusedError(503, "this replica does not lead; the live API is served by the one that does")
        return user

    async def _all(self, request: web.Request) -> Frame:
        user = await self._caller(request)
        namespace = request.query.get("namespace") or None
        if namespace is not None or not await self._access.may(user, None):
            await self._access.check(user, namespace)
        wanted = {namespace} if namespace else None
        return lambda: self._publisher.frame_of_all(wanted)

    async def _one(self, request: web.Request) -> Frame:
        user = await self._caller(request)
        key = (request.match_info["namespace"], request.match_info["name"])
        await self._access.check(user, *key)
        if self._publisher.frame(key) is None:
            raise RefusedError(404, f'there is no MonitoredService "{key[1]}" in namespace "{key[0]}"')
        return lambda: self._publisher.frame(key)

    async def _stream(self, request: web.Request, frame: Frame) -> web.StreamResponse:
        """First frame at once, then one per fold until the reader goes, the service is deleted or leadership ends."""
        response = web.StreamResponse(headers=_STREAM_HEADERS)
        await response.prepare(request)
        number = self._publisher.number
        try:
            while self._publisher.leading and (body := frame()) is not None:
                await response.write(b"data: " + body + b"\n\n")
                number = await self._publisher.after(number)
            await response.write(b"event: end\ndata: {}\n\n")
        except (ConnectionResetError, asyncio.CancelledError):
            pass  # the reader went away
        return response
