"""A small API server over real HTTP: one collection of objects with pages and watches, and whatever else a test routes."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from rollcall.kube.client import Access, Client

PATH = "/api/v1/namespaces/shop/pods"


def pod(name: str, version: int = 1, **metadata: Any) -> dict[str, Any]:
    """A pod as the API server sends it."""
    meta = {
        "name": name,
        "namespace": "shop",
        "uid": f"uid-{name}",
        "resourceVersion": str(version),
        "labels": {"app": "newsfeed"},
    }
    return {"kind": "Pod", "metadata": meta | metadata, "spec": {"nodeName": "node-1"}, "status": {"phase": "Running"}}


class ApiServer:
    """Objects by name. Watches deliver what is put into `say` (a line), and end on `BREAK` (the connection is cut) or `END`."""

    BREAK, END = object(), object()

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.version = 10
        self.page_size: int | None = None
        self.lists: list[dict[str, str]] = []
        self.watches: list[dict[str, str]] = []
        self.watching = asyncio.Event()
        self.lines: asyncio.Queue[Any] = asyncio.Queue()
        self.refuse: Callable[[web.Request], web.Response | None] = lambda _: None

    def say(self, kind: str, thing: dict[str, Any]) -> None:
        """A watch event."""
        self.lines.put_nowait(json.dumps({"type": kind, "object": thing}).encode() + b"\n")

    async def handle(self, request: web.Request) -> web.StreamResponse:
        query = dict(request.query)
        (self.watches if query.get("watch") else self.lists).append(query)
        if (refusal := self.refuse(request)) is not None:
            return refusal
        return await self._watch(request) if query.get("watch") else self._list(query)

    def _list(self, query: dict[str, str]) -> web.Response:
        size = self.page_size or int(query["limit"])
        start = int(query.get("continue") or 0)
        found = sorted(self.objects.values(), key=lambda each: str(each["metadata"]["name"]))
        meta = {"resourceVersion": str(self.version)}
        if start + size < len(found):
            meta["continue"] = str(start + size)
        return web.json_response({"kind": "PodList", "metadata": meta, "items": found[start : start + size]})

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        self.watching.set()
        while True:
            line = await self.lines.get()
            if line is self.END:
                return response
            if line is self.BREAK:
                assert request.transport is not None
                request.transport.abort()
                return response
            await response.write(line)


@pytest.fixture
async def api() -> ApiServer:
    return ApiServer()


@pytest.fixture
async def client(api: ApiServer) -> AsyncIterator[Client]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", api.handle)
    server = TestServer(app)
    await server.start_server()
    async with Client(Access(f"http://127.0.0.1:{server.port}", ssl.create_default_context())) as client:
        yield client
    await server.close()
