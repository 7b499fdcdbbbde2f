"""The live API: the picture of each service as JSON, and as a stream of server-sent events, four frames a second.

    GET /v1/services                      summaries, ?namespace=NS for one namespace, ?at=UNIX as they were
    GET /v1/services/stream               the same as a stream
    GET /v1/services/{ns}/{name}          one service with its pods, ?at=UNIX as it was
    GET /v1/services/{ns}/{name}/stream   the same as a stream, ?with=seconds,points for what follows beside it
    GET /v1/services/{ns}/{name}/history  the last 15 minutes by the second, ?seconds=N, or ?at=UNIX for one of them
    GET /v1/services/{ns}/{name}/points   finished requests one by one, ?since=UNIX
    GET /v1/services/{ns}/{name}/pods/{pod}/history   one pod in the last 15 minutes, as often as pictures are kept
    GET /v1/why/{ns}/{pod}                what state a pod is in, why, and what to do
    GET /v1/operator                      version and own cost of the operator
    GET /v1/openapi.json                  all this for programs
    GET /replica/kept                     for other replicas alone: what this one keeps
    GET /                                 the page that shows it (serve.web)

Errors are {"error": sentence} with a fitting status. A slow reader gets fewer frames, never older ones.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import aiohttp
import msgspec
from aiohttp import web

from rollcall.kube.client import KubeError
from rollcall.kube.review import User
from rollcall.model.fleet import Fleet
from rollcall.model.history import SECONDS
from rollcall.model.roll import Key
from rollcall.serve.access import Access, RefusedError
from rollcall.serve.openapi import document
from rollcall.serve.past import pod_history
from rollcall.serve.publisher import Publisher
from rollcall.serve.stream import Streams, number_of, wanted_of
from rollcall.serve.web import add_page

Why = Callable[[str, str], Awaitable[object]]
"""What is to be said of a pod, by namespace and name; None when there is none."""
Kept = Callable[[User, Mapping[str, str]], Awaitable[bytes]]
"""What a replica keeps, for another one; raises `RefusedError` for anybody else."""
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_JSON_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def make_live_app(
    publisher: Publisher,
    access: Access,
    operator_facts: Callable[[], dict[str, object]],
    why: Why,
    kept: Kept | None = None,
) -> web.Application:
    """The application behind the live API's port."""
    live = _Live(publisher, access, operator_facts, why, kept)
    app = web.Application(middlewares=[_errors])
    app.router.add_get("/v1/services", live.services)
    app.router.add_get("/v1/services/stream", live.services_stream)
    app.router.add_get("/v1/services/{namespace}/{name}", live.service)
    app.router.add_get("/v1/services/{namespace}/{name}/stream", live.service_stream)
    app.router.add_get("/v1/services/{namespace}/{name}/history", live.history)
    app.router.add_get("/v1/services/{namespace}/{name}/points", live.points)
    app.router.add_get("/v1/services/{namespace}/{name}/pods/{pod}/history", live.pod_history)
    app.router.add_get("/v1/why/{namespace}/{pod}", live.why)
    app.router.add_get("/v1/operator", live.operator)
    app.router.add_get("/v1/openapi.json", _openapi)
    app.router.add_get("/replica/kept", live.kept)
    add_page(app.router)
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
    return _encoded(msgspec.json.encode(body), status)


def _encoded(body: bytes | None, status: int = 200) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json", headers=_JSON_HEADERS)


async def _openapi(_: web.Request) -> web.StreamResponse:
    return _json(200, document())


T = TypeVar("T")


def _kept(at: float, found: T | None) -> T:
    if found is None:
        raise RefusedError(404, f"nothing is kept of second {int(at)}, but the last {SECONDS} of this replica's term")
    return found


class _Live:
    def __init__(
        self,
        publisher: Publisher,
        access: Access,
        operator_facts: Callable[[], dict[str, object]],
        why: Why,
        kept: Kept | None,
    ) -> None:
        self._kept = kept
        self._publisher = publisher
        self._streams = Streams(publisher)
        self._access = access
        self._operator_facts = operator_facts
        self._why = why

    async def services(self, request: web.Request) -> web.StreamResponse:
        at, scope = number_of(request, "at"), await self._all(request)
        if at is None:
            return _encoded(self._publisher.frame_of_all(scope))
        return _encoded(_kept(at, self._publisher.past_of_all(scope, at)))

    async def services_stream(self, request: web.Request) -> web.StreamResponse:
        wanted = wanted_of(request)
        if wanted.parts:
            raise RefusedError(400, "seconds and points are told of one service: ask for its stream")
        return await self._streams.serve(request, await self._all(request), wanted, lambda: self._all(request))

    async def service(self, request: web.Request) -> web.StreamResponse:
        at, key = number_of(request, "at"), await self._one(request)
        return _encoded(self._publisher.frame(key) if at is None else _kept(at, self._publisher.past(key, at)))

    async def service_stream(self, request: web.Request) -> web.StreamResponse:
        wanted = wanted_of(request)
        return await self._streams.serve(request, await self._one(request), wanted, lambda: self._one(request))

    async def history(self, request: web.Request) -> web.StreamResponse:
        at, seconds = number_of(request, "at"), number_of(request, "seconds")
        fleet = await self._fleet(request)
        if at is not None:
            found = fleet.history.picture(fleet, int(at) - 1, int(at) + 1)
            return _json(200, _kept(at, found if found.at else None))
        since = fleet.last.unix_s - min(SECONDS if seconds is None else seconds, SECONDS)
        return _encoded(self._publisher.seconds(fleet, int(since) - 1))

    async def pod_history(self, request: web.Request) -> web.StreamResponse:
        fleet, pod = await self._fleet(request), request.match_info["pod"]
        found = await pod_history(fleet.album, pod)
        if not found.at:
            raise RefusedError(404, f'nothing is kept of a pod "{pod}"')
        return _json(200, found)

    async def points(self, request: web.Request) -> web.StreamResponse:
        since = number_of(request, "since")
        fleet = await self._fleet(request)
        return _encoded(self._publisher.points(fleet, since or 0.0))

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

    async def kept(self, request: web.Request) -> web.StreamResponse:
        user = await self._access.caller(request)  # also of one that leads no more: it kept what its successor lacks
        if self._kept is None:
            raise RefusedError(404, "nothing is kept here")
        return web.Response(body=await self._kept(user, request.query), content_type="application/octet-stream")

    async def _caller(self, request: web.Request) -> User:
        user = await self._access.caller(request)
        if not self._publisher.leading:
            raise RefusedError(503, "this replica does not lead; the live API is served by the one that does")
        return user

    async def _all(self, request: web.Request) -> frozenset[str] | None:
        user = await self._caller(request)
        namespace = request.query.get("namespace") or None
        if namespace is not None or not await self._access.may(user, None):
            await self._access.check(user, namespace)
        return frozenset({namespace}) if namespace else None

    async def _one(self, request: web.Request) -> Key:
        user = await self._caller(request)
        key = (request.match_info["namespace"], request.match_info["name"])
        await self._access.check(user, *key)
        if key not in self._publisher.roll.fleets:
            raise RefusedError(404, f'there is no MonitoredService "{key[1]}" in namespace "{key[0]}"')
        return key

    async def _fleet(self, request: web.Request) -> Fleet:
        return self._publisher.roll.fleets[await self._one(request)]
