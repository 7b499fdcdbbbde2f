"""The document says what the server does: every route is in it, it is valid, and every answer fits its schema."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import msgspec
import pytest
from aiohttp.test_utils import TestClient, TestServer
from openapi_spec_validator import validate

from rollcall.facts import ProcessFacts
from rollcall.serve.access import Access
from rollcall.serve.live import make_live_app
from rollcall.serve.openapi import Why, document
from rollcall_agent.wire import points
from tests.unit.serve.conftest import Live, Rights

ALICE = {"Authorization": "Bearer t-alice"}
PLACES = {"{namespace}": "shop", "{name}": "newsfeed", "{pod}": "pod-a"}


async def client_of(live: Live, rights: Rights) -> TestClient[Any, Any]:
    async def why(namespace: str, pod: str) -> object:
        return Why(namespace, pod, ["newsfeed"], "serving", None, f"{pod} is serving", "")

    app = make_live_app(live.publisher, Access(rights), ProcessFacts().read, why)  # type: ignore[arg-type]
    return TestClient(TestServer(app))


def test_the_document_is_valid() -> None:
    validate(json.loads(msgspec.json.encode(document())))


async def test_every_route_is_in_it(live: Live, rights: Rights) -> None:
    client = await client_of(live, rights)
    routes = {route.resource.canonical for route in client.app.router.routes() if route.resource is not None}
    documented = set(document()["paths"])
    assert {route for route in routes if route.startswith("/v1")} == documented | {"/v1/openapi.json"}
    await client.close()


@pytest.mark.parametrize("path", sorted(document()["paths"]))
async def test_answers_fit_their_schemas(live: Live, rights: Rights, path: str) -> None:
    for _ in range(12):
        live.serve("newsfeed", "uid-a", [0.1] * 5, errors=1, in_flight=1, bands=(1, 0, 0, 0))
        live.fleets["newsfeed"].accept_points(
            "uid-a", points.pack_points([points.Point(0, 4, 1000, 0, points.CPU_UNKNOWN, 0, 0, 0, 2)]), live.now_s
        )
        live.turn()
    whole = json.loads(msgspec.json.encode(document()))
    answers = whole["paths"][path]["get"]["responses"]
    for place, name in PLACES.items():
        path = path.replace(place, name)
    async with await client_of(live, rights) as client:
        assert (await (await client.get("/v1/openapi.json")).json()) == whole
        for headers, status in ((ALICE, "200"), ({}, "401")):
            async with client.get(path, headers=headers) as response:
                assert str(response.status) == status
                content = answers[status]["content"]
                assert response.content_type in content
                if response.content_type == "application/json":
                    schema = content["application/json"]["schema"] | {"components": whole["components"]}
                    jsonschema.Draft202012Validator(schema).validate(await response.json())
        rights.may = lambda *_: False
        if path != "/v1/operator":
            assert (await client.get(path, headers=ALICE)).status == 403
