"""A moment of the last 15 minutes: whole pictures as they were, of one service, of all, and one pod through time."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from tests.unit.model.agents import facts
from tests.unit.serve.conftest import Live

ALICE = {"Authorization": "Bearer t-alice"}
SERVICE = "/v1/services/shop/newsfeed"


async def get(http: TestClient[Any, Any], path: str, status: int = 200) -> Any:
    async with http.get(path, headers=ALICE) as response:
        assert response.status == status, await response.text()
        return await response.json()


async def test_a_picture_is_as_it_was(http: TestClient[Any, Any], live: Live) -> None:
    seen = {}
    for turn in range(60):
        live.serve("newsfeed", "uid-a", [0.1] * (turn // 10), in_flight=turn // 10, bands=(turn // 10, 0, 0, 0))
        live.fleets["newsfeed"].upsert(facts("uid-a", labels={"app": "newsfeed", "turn": str(turn // 10)}))
        live.fleets["newsfeed"].labels = {"turn": str(turn // 10)}
        live.turn()
        seen[live.now_s] = await get(http, SERVICE)
    kept = [picture.at for picture in live.fleets["newsfeed"].album]
    assert len(kept) >= 6
    for at in kept[1:]:
        assert await get(http, f"{SERVICE}?at={at + 0.25}") == seen[at]
        summaries = (await get(http, f"/v1/services?at={at + 0.25}"))["services"]
        assert [each["name"] for each in summaries] == ["ledger", "newsfeed"]
        assert summaries[1]["roll"] is None
        assert [summaries[1]["labels"] | {"app": "newsfeed"}] == seen[summaries[1]["at"]]["labelSets"]
        assert summaries[1]["traffic"]["inFlight"] == seen[summaries[1]["at"]]["traffic"]["inFlight"]
        assert abs(summaries[0]["at"] - at) <= 5
    assert [each["name"] for each in (await get(http, f"/v1/services?namespace=bank&at={kept[-1]}"))["services"]] == ["ledger"]


async def test_what_is_not_kept_is_said(http: TestClient[Any, Any], live: Live) -> None:
    live.turn(20)
    for path in (SERVICE, "/v1/services"):
        assert "nothing is kept of second 900" in (await get(http, f"{path}?at=900", 404))["error"]
        assert "number" in (await get(http, f"{path}?at=soon", 400))["error"]
    assert "pod-x" in (await get(http, f"{SERVICE}/pods/pod-x/history", 404))["error"]


async def test_one_pod_through_time(http: TestClient[Any, Any], live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollcall.serve.past.AT_ONCE", 1)
    for _ in range(60):
        live.serve("newsfeed", "uid-a", [0.1] * 5, in_flight=2, bands=(2, 0, 0, 0))
        live.turn()
    for _ in range(20):
        live.turn()
    told = await get(http, f"{SERVICE}/pods/pod-a/history")
    columns = {name: column for name, column in told.items() if name != "pod"}
    assert {len(column) for column in columns.values()} == {len(told["at"])}
    assert told["at"] == [picture.at for picture in live.fleets["newsfeed"].album][1:]
    assert (told["state"][0], told["state"][-1]) == ("serving", "silent")
    assert (told["inFlight"][0], told["inFlight"][-1]) == (2, None)
    assert told["requestsPerSecond"][1] == pytest.approx(10)


async def test_the_pictures_of_many_services_are_not_kept_in_one_turn(live: Live) -> None:
    from rollcall.model.fleet import Fleet

    for number in range(40):
        live.roll.add(Fleet("many", f"s{number}"))
    most = 0
    for _ in range(100):
        before = [len(list(fleet.album)) for fleet in live.roll]
        live.turn(0.25)
        most = max(most, sum(len(list(fleet.album)) for fleet in live.roll) - sum(before))
    assert most <= 3
    assert all(len(list(fleet.album)) >= 3 for fleet in live.roll)
