"""Streams: what came in between is told once, a broken connection goes on where it broke, a slow reader holds up nobody."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

from rollcall.serve import stream
from rollcall_agent.wire import points
from tests.unit.serve.conftest import Live, Rights

ALICE = {"Authorization": "Bearer t-alice"}
SERVICE = "/v1/services/shop/newsfeed"
POINT = points.Point(0, 4, 1000, 0, 0, 0, 0, 0, 2)


async def event(response: ClientResponse) -> tuple[str, dict[str, Any], str | None]:
    """Name, data and id of the next event."""
    fields: dict[str, str] = {}
    async with asyncio.timeout(5):
        while (line := (await response.content.readline()).decode().rstrip("\n")) or not fields:
            assert line or not response.content.at_eof(), "the stream ended"
            name, _, value = line.partition(": ")
            fields[name] = value
    return fields.get("event", "message"), json.loads(fields["data"]), fields.get("id")


def work(live: Live, points_told: int = 2) -> None:
    live.serve("newsfeed", "uid-a", [0.1] * 5)
    live.fleets["newsfeed"].accept_points("uid-a", points.pack_points([POINT] * points_told), live.now_s)
    live.turn()


async def test_seconds_and_points_come_once_and_the_picture_last(http: TestClient[Any, Any], live: Live) -> None:
    for _ in range(6):
        work(live)
    async with http.get(f"{SERVICE}/stream?with=seconds,points&since=0", headers=ALICE) as response:
        name, seconds, _ = await event(response)
        assert (name, seconds["at"]) == ("seconds", [1000, 1001, 1002])
        name, told, _ = await event(response)
        assert (name, told["points"], told["requests"]) == ("points", 12, 48)
        assert (await event(response))[2] == str(round(live.now_s * 1000))
        work(live, 3)
        assert (await event(response))[1]["at"] == [1003]
        assert (await event(response))[1]["points"] == 3
        assert (await event(response))[0] == "message"
        work(live, 1)
        assert [(await event(response))[1].get("points"), (await event(response))[0]] == [1, "message"]


async def test_a_reader_goes_on_where_it_broke_off(http: TestClient[Any, Any], live: Live) -> None:
    for _ in range(20):
        work(live, 1)
    headers = ALICE | {"Last-Event-ID": str(round((live.now_s - 3) * 1000))}
    async with http.get(f"{SERVICE}/stream?with=seconds,points", headers=headers) as response:
        _, seconds, _ = await event(response)
        assert seconds["at"] == [1006, 1007, 1008, 1009][-len(seconds["at"]) :]
        assert seconds["at"][-1] == int(live.now_s) - 1
        assert (await event(response))[1]["points"] == 6
    async with http.get(f"{SERVICE}/stream?with=seconds,points", headers=ALICE | {"Last-Event-ID": "x"}) as response:
        assert (await event(response))[0] == "message"


async def test_calm_readers_get_as_many_as_they_ask_for(http: TestClient[Any, Any], live: Live) -> None:
    live.publisher._clock = lambda: live.now_s
    live.turn(0.1)
    async with http.get(f"{SERVICE}/stream?rate=1", headers=ALICE) as response:
        await event(response)
        seen = []
        for _ in range(40):
            live.turn(0.1)
            await asyncio.sleep(0)
        live.publisher.leading = False
        live.turn(0.1)
        while (found := await event(response))[0] != "end":
            seen.append(found[1]["at"])
    assert len(seen) <= 4
    assert all(later - earlier > 0.85 for earlier, later in itertools.pairwise(seen))


@pytest.mark.parametrize(
    ("query", "words"),
    [("with=gossip", "seconds and points"), ("rate=3", "rate is 1 or 4"), ("since=-1", "number"), ("since=x", "number")],
)
async def test_what_is_not_known_is_refused(http: TestClient[Any, Any], query: str, words: str) -> None:
    response = await http.get(f"{SERVICE}/stream?{query}", headers=ALICE)
    assert response.status == 400
    assert words in (await response.json())["error"]
    assert (await http.get("/v1/services/stream?with=points", headers=ALICE)).status == 400


async def test_who_may_read_no_more_is_told_the_end(
    http: TestClient[Any, Any], live: Live, rights: Rights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "CHECK_S", -1.0)
    async with http.get(f"{SERVICE}/stream", headers=ALICE) as response:
        await event(response)
        live.turn()
        assert (await event(response))[0] == "message"
        rights.may = lambda *_: False
        live.turn()
        assert (await event(response))[0] == "end"


async def test_who_comes_after_the_last_has_left_gets_each_picture_once(http: TestClient[Any, Any], live: Live) -> None:
    async with http.get(f"{SERVICE}/stream", headers=ALICE) as response:
        await event(response)
    async with http.get(f"{SERVICE}/stream", headers=ALICE) as response:
        seen = [(await event(response))[2]]
        for _ in range(5):
            live.turn()
            seen.append((await event(response))[2])
        live.publisher.leading = False
        live.turn()
        assert (await event(response))[0] == "end"
    assert len(set(seen)) == 6


async def test_what_goes_wrong_for_one_does_not_end_the_others(http: TestClient[Any, Any], live: Live) -> None:
    right = live.publisher.frame

    def wrong(key: tuple[str, str]) -> bytes | None:
        if key[0] == "bank" and live.publisher.number > 1:
            raise ValueError("no")
        return right(key)

    live.publisher.frame = wrong  # type: ignore[method-assign]
    async with (
        http.get("/v1/services/bank/ledger/stream", headers=ALICE) as bad,
        http.get(f"{SERVICE}/stream", headers=ALICE) as good,
    ):
        await event(bad)
        await event(good)
        live.turn()
        assert (await event(bad))[0] == "end"
        assert (await event(good))[0] == "message"


@pytest.mark.parametrize("accepted", ["gzip", "identity", "br, gzip;q=0.5"])
async def test_calm_readers_get_it_packed_if_they_take_that(http: TestClient[Any, Any], live: Live, accepted: str) -> None:
    work(live)
    headers = ALICE | {"Accept-Encoding": accepted}
    async with (
        http.get(f"{SERVICE}/stream?rate=4&with=seconds,points&since=0", headers=headers) as first,
        http.get(f"{SERVICE}/stream?rate=4&with=seconds,points", headers=headers) as second,
    ):
        assert first.headers.get("Content-Encoding") == ("gzip" if "gzip" in accepted else None)
        assert [(await event(first))[0] for _ in range(3)] == ["seconds", "points", "message"]
        assert (await event(second))[0] == "message"
        live.publisher._clock = lambda: live.now_s
        for _ in range(3):
            work(live)
            for response in (first, second):
                told = [await event(response), await event(response)]
                if told[0][0] == "seconds":
                    told.append(await event(response))
                assert told[-2][1]["points"] == 2
                assert told[-1][1]["at"] == live.now_s
        live.publisher.leading = False
        live.turn()
        assert (await event(first))[0] == (await event(second))[0] == "end"
    async with http.get(f"{SERVICE}/stream", headers=headers) as plain:
        assert "Content-Encoding" not in plain.headers


async def idle_reader(http: TestClient[Any, Any], live: Live) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Asks for a stream of large frames and reads nothing of it."""
    live.publisher.frame = lambda _: b"%d" % live.publisher.number + b" " * 2**20  # type: ignore[method-assign]
    reader, writer = await asyncio.open_connection(http.server.host, http.server.port, limit=1000)  # type: ignore[union-attr]
    writer.write(f"GET {SERVICE}/stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer t-alice\r\n\r\n".encode())
    return reader, writer


async def test_a_reader_that_takes_nothing_holds_up_nobody(http: TestClient[Any, Any], live: Live) -> None:
    _, writer = await idle_reader(http, live)
    async with http.get(f"{SERVICE}/stream", headers=ALICE) as response, asyncio.timeout(20):
        newest = b""
        for _ in range(20):
            live.turn()
            while b"data: %d " % live.publisher.number not in newest:
                newest = newest[-100:] + await response.content.readany()
                assert not response.content.at_eof()
    writer.close()


async def test_a_reader_that_takes_nothing_is_left(
    http: TestClient[Any, Any], live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "STALLED_S", 0.1)
    reader, writer = await idle_reader(http, live)
    async with asyncio.timeout(20):
        while not writer.is_closing() and not reader.at_eof():
            live.turn()
            await asyncio.sleep(0.02)
            if live.publisher.number > 20:  # more than the buffers on the way hold
                with contextlib.suppress(ConnectionResetError):
                    while await reader.read(2**20):
                        pass
    writer.close()


async def test_history_and_points_at_once(http: TestClient[Any, Any], live: Live) -> None:
    for _ in range(12):
        work(live)
    history = await (await http.get(f"{SERVICE}/history", headers=ALICE)).json()
    assert history["at"] == list(range(1000, 1006))
    assert (await (await http.get(f"{SERVICE}/history?seconds=2", headers=ALICE)).json())["at"] == [1004, 1005][-2:]
    one = await (await http.get(f"{SERVICE}/history?at=1003.7", headers=ALICE)).json()
    assert (one["at"], one["requestsPerSecond"]) == ([1003], history["requestsPerSecond"][3:4])
    told = await (await http.get(f"{SERVICE}/points", headers=ALICE)).json()
    assert told["points"] == 24
    later = await (await http.get(f"{SERVICE}/points?since={told['until']}", headers=ALICE)).json()
    assert later["points"] == 0
