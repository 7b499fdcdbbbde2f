"""The live API over real HTTP: who may read what, in which words they are refused, and frames as the folds come."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from rollcall.kube.client import KubeError
from rollcall.serve.access import Access
from rollcall.serve.live import make_live_app
from rollcall_agent.wire import facts as wire
from tests.unit.serve.conftest import Live, Rights

ALICE = {"Authorization": "Bearer t-alice"}
FACTS = {"version": "0.1.0", "millicores": 3.5, "memoryBytes": 5}
PATHS = [
    "/v1/services",
    "/v1/services/stream",
    "/v1/services/shop/newsfeed",
    "/v1/services/shop/newsfeed/stream",
    "/v1/services/shop/newsfeed/history",
    "/v1/services/shop/newsfeed/points",
    "/v1/why/shop/newsfeed-7c9-x2",
    "/v1/operator",
]
ANSWER = {"pod": "newsfeed-7c9-x2", "sentence": "newsfeed-7c9-x2 is serving"}


async def answer(namespace: str, pod: str) -> object:
    """What the operator would say of pods: it knows one, and cannot ask for another."""
    if pod == "away":
        raise KubeError(500, "InternalError", "etcd is away")
    return ANSWER if (namespace, pod) == ("shop", ANSWER["pod"]) else None


@pytest.fixture
async def http(live: Live, rights: Rights) -> AsyncIterator[TestClient[Any, Any]]:
    app = make_live_app(live.publisher, Access(rights), lambda: dict(FACTS), answer)  # type: ignore[arg-type]
    async with TestClient(TestServer(app)) as client:
        yield client


async def sentence(response: ClientResponse) -> str:
    assert response.content_type == "application/json"
    body = await response.json()
    assert set(body) == {"error"}
    return str(body["error"])


async def frame(response: ClientResponse) -> dict[str, Any]:
    async with asyncio.timeout(5):
        line = await response.content.readline()
        assert line[:4] == b"id: ", line
        assert line[4:].strip().isdigit()
        line = await response.content.readline()
        assert line.startswith(b"data: "), line
        assert await response.content.readline() == b"\n"
        return dict(json.loads(line[6:]))


@pytest.mark.parametrize("path", PATHS)
async def test_strangers_are_refused_everywhere(http: TestClient[Any, Any], rights: Rights, live: Live, path: str) -> None:
    for header, words in (
        ({}, "send a bearer token or a client certificate of this cluster"),
        ({"Authorization": "Basic YTpi"}, "send a bearer token"),
        ({"Authorization": "Bearer "}, "send a bearer token"),
        ({"Authorization": "Bearer wrong"}, "the bearer token is not valid in this cluster"),
    ):
        response = await http.get(path, headers=header)
        assert response.status == 401
        assert words in await sentence(response)
    rights.away = True
    response = await http.get(path, headers=ALICE)
    assert response.status == 503
    assert "could not be asked who you are" in await sentence(response)
    rights.away, live.publisher.leading = False, False
    response = await http.get(path, headers=ALICE)
    assert response.status == 503
    assert "this replica does not lead" in await sentence(response)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/services", "in all namespaces"),
        ("/v1/services/stream", "in all namespaces"),
        ("/v1/services?namespace=bank", 'in namespace "bank"'),
        ("/v1/services/bank/ledger", 'in namespace "bank"'),
        ("/v1/services/bank/ledger/stream", 'in namespace "bank"'),
        ("/v1/services/bank/ledger/history", 'in namespace "bank"'),
        ("/v1/services/bank/ledger/points", 'in namespace "bank"'),
        ("/v1/services/bank/nothing", 'in namespace "bank"'),
        ("/v1/why/bank/ledger-1", 'in namespace "bank"'),
    ],
)
async def test_without_the_right_the_missing_right_is_named(
    http: TestClient[Any, Any], rights: Rights, path: str, words: str
) -> None:
    rights.may = lambda _, namespace, __: namespace == "shop"
    response = await http.get(path, headers=ALICE)
    assert response.status == 403
    text = await sentence(response)
    assert words in text
    assert 'user "alice" may not get monitoredservices/live' in text
    assert (await http.get("/v1/services?namespace=shop", headers=ALICE)).status == 200
    assert (await http.get("/v1/services/shop/newsfeed", headers=ALICE)).status == 200


async def test_why_a_pod_is_as_it_is(http: TestClient[Any, Any]) -> None:
    response = await http.get("/v1/why/shop/newsfeed-7c9-x2", headers=ALICE)
    assert (response.status, await response.json()) == (200, ANSWER)
    response = await http.get("/v1/why/shop/away", headers=ALICE)
    assert response.status == 503
    assert "could not be asked" in await sentence(response)


@pytest.mark.parametrize(
    "path", ["/v1/why/shop/..%2F..%2Fsecrets%2Fkey", "/v1/why/shop/A%20B", "/v1/why/..%2Fx/a", "/v1/why/shop/-a"]
)
async def test_what_is_no_name_is_asked_of_nobody(http: TestClient[Any, Any], path: str) -> None:
    response = await http.get(path, headers=ALICE)
    assert response.status in (400, 404)
    assert response.status == 404 or "names as Kubernetes has them" in await sentence(response)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v1/services/shop/nothing", 'no MonitoredService "nothing" in namespace "shop"'),
        ("/v1/services/shop/nothing/stream", 'no MonitoredService "nothing" in namespace "shop"'),
        ("/v1/services/shop/nothing/history", 'no MonitoredService "nothing" in namespace "shop"'),
        ("/v1/services/shop/nothing/points", 'no MonitoredService "nothing" in namespace "shop"'),
        ("/v1/services/shop/newsfeed/history?at=5", "nothing is kept of second 5"),
        ("/v1/why/shop/nobody", 'there is no pod "nobody" in namespace "shop"'),
        ("/v2/services", "/v2/services: Not Found; try /v1/services"),
        ("/v1", "try /v1/services"),
    ],
)
async def test_what_is_not_there(http: TestClient[Any, Any], path: str, words: str) -> None:
    response = await http.get(path, headers=ALICE)
    assert response.status == 404
    assert words in await sentence(response)


async def test_other_methods_are_refused(http: TestClient[Any, Any]) -> None:
    response = await http.post("/v1/services", headers=ALICE)
    assert response.status == 405
    assert "Method Not Allowed" in await sentence(response)


async def test_a_service_as_json(http: TestClient[Any, Any], live: Live) -> None:
    for _ in range(2):
        live.serve("newsfeed", "uid-a", [0.1] * 5, errors=1, in_flight=2, bands=(1, 1, 0, 0))
        live.turn()
    body = await (await http.get("/v1/services/shop/newsfeed", headers=ALICE)).json()
    assert body["pods"] == {
        "desired": None, "total": 1, "serving": 1, "unready": 0, "pending": 0, "silent": 0, "bare": 0, "leaving": 0,
    }  # fmt: skip
    assert body["totals"] == {"requests": 10, "errors": 2, "lost": 0, "durationMicroseconds": 1_000_000}
    assert body["traffic"]["requestsPerSecond"] == 10
    assert body["traffic"]["errorRatio"] == 0.2
    assert body["traffic"]["inFlight"] == {"total": 2, "bands": [1, 1, 0, 0], "oldest": 0.0}
    assert body["traffic"]["responseTime"]["p95"] == pytest.approx(0.1, rel=0.022)
    assert (body["coverage"], body["bandsMs"], body["bare"]) == (1.0, [1000, 3000, 8000], {})
    (pod,) = body["roll"]
    assert (pod["name"], pod["state"], pod["requests"], pod["requestsPerSecond"], pod["reason"]) == (
        "pod-a",
        "serving",
        10,
        10,
        None,
    )
    assert body["labelSets"][pod["labelSet"]] == {"app": "newsfeed"}
    assert body["health"]["state"] in ("Healthy", "Degraded", "Unknown")


async def test_summaries_are_sorted_filtered_and_without_pods(http: TestClient[Any, Any]) -> None:
    for query, names in (
        ("", ["ledger", "newsfeed"]),
        ("?namespace=shop", ["newsfeed"]),
        ("?namespace=none", []),
        ("?namespace=", ["ledger", "newsfeed"]),
    ):
        body = await (await http.get(f"/v1/services{query}", headers=ALICE)).json()
        assert [service["name"] for service in body["services"]] == names
        assert all(service["roll"] is None for service in body["services"])


async def test_no_data_is_null(http: TestClient[Any, Any]) -> None:
    traffic = (await (await http.get("/v1/services/shop/newsfeed", headers=ALICE)).json())["traffic"]
    assert (traffic["requestsPerSecond"], traffic["errorRatio"], traffic["inFlight"]) == (None, None, None)
    assert set(traffic["responseTime"].values()) == {None}


async def test_a_stream_begins_at_once_and_has_a_frame_per_fold(http: TestClient[Any, Any], live: Live) -> None:
    async with http.get("/v1/services/shop/newsfeed/stream", headers=ALICE) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        assert response.headers["Cache-Control"] == "no-store"
        assert (await frame(response))["totals"]["requests"] == 0
        for number in range(1, 4):
            live.serve("newsfeed", "uid-a", [0.1])
            live.turn()
            shown = await frame(response)
            assert (shown["totals"]["requests"], shown["at"]) == (number, live.now_s)


async def test_a_stream_of_all_follows_services_that_come(http: TestClient[Any, Any], live: Live) -> None:
    async with http.get("/v1/services/stream?namespace=bank", headers=ALICE) as response:
        assert [one["name"] for one in (await frame(response))["services"]] == ["ledger"]
        live.roll.drop(("bank", "ledger"))
        live.turn()
        assert await frame(response) == {"services": []}


@pytest.mark.parametrize("end", ["deleted", "not leading"])
async def test_a_stream_ends_with_a_word(http: TestClient[Any, Any], live: Live, end: str) -> None:
    async with http.get("/v1/services/shop/newsfeed/stream", headers=ALICE) as response:
        await frame(response)
        if end == "deleted":
            live.roll.drop(("shop", "newsfeed"))
        else:
            live.publisher.leading = False
        live.turn()
        async with asyncio.timeout(5):
            assert await response.content.read() == b"event: end\ndata: {}\n\n"


async def test_a_hundred_readers_cost_one_encoding(http: TestClient[Any, Any], live: Live) -> None:
    first = live.publisher.frame(("shop", "newsfeed"))
    assert live.publisher.frame(("shop", "newsfeed")) is first
    live.turn()
    assert live.publisher.frame(("shop", "newsfeed")) is not first
    assert live.publisher.summary(live.fleets["newsfeed"]) is live.publisher.summary(live.fleets["newsfeed"])


async def test_the_operators_own_facts(http: TestClient[Any, Any]) -> None:
    assert await (await http.get("/v1/operator", headers=ALICE)).json() == FACTS


async def test_lists_are_in_the_frame_of_one_service_and_not_in_summaries(http: TestClient[Any, Any], live: Live) -> None:
    live.serve("newsfeed", "uid-a", [0.05])
    live.turn()
    live.serve("newsfeed", "uid-a", [0.05])
    live.turn()
    session = live.roll.open("uid-a", "shop", "pod-a", "e1", 0, live.now_s)
    session.define(wire.pack_names(wire.ENDPOINT_NAMES, [(1, "GET /feed")]))
    session.accept_facts(wire.pack_facts(1, 0, [(wire.REQUESTS, 1, 0, 4), (wire.VISITOR, 0, 3 << 8 | 1, 1)]), live.now_s)
    live.turn(0.25)
    one = await (await http.get("/v1/services/shop/newsfeed", headers=ALICE)).json()
    assert [row["endpoint"] for row in one["endpoints"]["rows"]] == ["GET /feed"]
    assert (one["errors"]["byType"], one["errors"]["samples"], one["longest"]) == ([], [], [])
    services = (await (await http.get("/v1/services", headers=ALICE)).json())["services"]
    (summary,) = [each for each in services if each["name"] == "newsfeed"]
    lists = [
        summary["endpoints"],
        summary["errors"]["byType"],
        summary["errors"]["samples"],
        summary["longest"],
        summary["roll"],
    ]
    assert lists == [None] * 5
    assert summary["errors"]["perSecond"] == 0
    for shared in ("visitors", "imbalance", "resources", "workers"):
        assert summary[shared] == one[shared]
    assert summary["visitors"]["day"] == 1
    assert {"probed", "busyWorkers", "listenQueue", "resources", "revision"} <= set(one["roll"][0])
