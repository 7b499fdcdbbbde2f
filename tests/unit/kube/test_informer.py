"""The informer against a real HTTP server: it holds what the server holds, through pages, breaks, expiry and garbage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from rollcall.kube import informer as module
from rollcall.kube.client import Client
from rollcall.kube.informer import PAGE, SLICE, Informer
from rollcall.kube.pods import Pod
from tests.unit.kube.conftest import PATH, ApiServer, pod


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_S", (0.001, 0.004))


class Follower:
    """An informer and what it told."""

    def __init__(self, client: Client, selector: str = "") -> None:
        self.told: list[str] = []
        self.missed: list[str] = []
        self.changed = asyncio.Event()
        self.informer = Informer(
            client,
            PATH,
            Pod,
            on_change=lambda one: self._tell("+", one),
            on_delete=lambda one: self._tell("-", one),
            selector=selector,
        )

    def _tell(self, sign: str, one: Pod) -> None:
        self.told.append(f"{sign}{one.metadata.name}:{one.metadata.resource_version}")
        if self.informer.catching_up:
            self.missed.append(self.told[-1])
        self.changed.set()

    @property
    def names(self) -> list[str]:
        return sorted(one.metadata.name for one in self.informer.objects.values())

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                await asyncio.sleep(0.001)

    async def hears(self, *told: str) -> None:
        await self.until(lambda: set(told) <= set(self.told))


@asynccontextmanager
async def following(client: Client, selector: str = "") -> AsyncIterator[Follower]:
    follower = Follower(client, selector)
    task = asyncio.create_task(follower.informer.run())
    try:
        async with asyncio.timeout(5):
            await follower.informer.synced.wait()
        yield follower
        assert not task.done(), task.exception()
    finally:
        task.cancel()


async def test_pages_are_joined(api: ApiServer, client: Client) -> None:
    api.page_size = 3
    api.objects = {f"p{number}": pod(f"p{number}") for number in range(8)}
    async with following(client, "app=newsfeed") as follower:
        assert follower.names == sorted(api.objects)
        assert len(follower.told) == 8
        assert [query.get("continue") for query in api.lists] == [None, "3", "6"]
        assert {query["labelSelector"] for query in api.lists} == {"app=newsfeed"}
        assert {query["limit"] for query in api.lists} == {PAGE}

        await follower.until(api.watching.is_set)
        assert api.watches[0]["resourceVersion"] == "10"
        assert api.watches[0]["allowWatchBookmarks"] == "true"


async def test_long_lists_leave_room_for_others_also_when_many_are_read_at_once(api: ApiServer, client: Client) -> None:
    """However many informers list, no more than a slice of one of them is taken in between two rounds of the loop."""
    api.objects = {f"p{number}": pod(f"p{number}") for number in range(3 * SLICE)}
    followers = [Follower(client) for _ in range(3)]
    tasks = [asyncio.create_task(follower.informer.run()) for follower in followers]
    most = before = 0
    async with asyncio.timeout(20):
        while not all(follower.informer.synced.is_set() for follower in followers):
            await asyncio.sleep(0)
            told = sum(len(follower.told) for follower in followers)
            most, before = max(most, told - before), told
    for task in tasks:
        task.cancel()
    assert before == 9 * SLICE
    assert most <= SLICE


async def test_an_empty_list_is_synced(client: Client) -> None:
    async with following(client) as follower:
        assert (follower.names, follower.told) == ([], [])


async def test_changes_are_told_in_order_and_once(api: ApiServer, client: Client) -> None:
    api.objects = {"a": pod("a")}
    async with following(client) as follower:
        api.say("MODIFIED", pod("a", 1))  # nothing new
        api.say("ADDED", pod("b", 11))
        api.say("MODIFIED", pod("b", 12))
        api.say("DELETED", pod("a", 13))
        api.say("UNHEARD-OF", pod("c", 14))
        await follower.hears("+c:14")
        assert follower.told == ["+a:1", "+b:11", "+b:12", "-a:13", "+c:14"]
        assert follower.names == ["b", "c"]


async def test_lines_may_come_in_any_pieces(api: ApiServer, client: Client) -> None:
    async with following(client) as follower:
        api.say("ADDED", pod("a", 11))
        api.say("ADDED", pod("b", 12))
        stream = b"".join([api.lines.get_nowait(), b"\n", api.lines.get_nowait()])
        for start in range(0, len(stream), 37):
            api.lines.put_nowait(stream[start : start + 37])
        await follower.hears("+a:11", "+b:12")


@pytest.mark.parametrize("ending", [ApiServer.END, ApiServer.BREAK])
async def test_a_watch_that_ends_goes_on_where_it_was(api: ApiServer, client: Client, ending: object) -> None:
    async with following(client) as follower:
        api.say("ADDED", pod("a", 11))
        api.say("BOOKMARK", {"kind": "Pod", "metadata": {"resourceVersion": "44"}})
        api.lines.put_nowait(b'{"type":"ADDED","object":{"meta' if ending is ApiServer.BREAK else b"")
        await follower.hears("+a:11")
        await follower.until(lambda: follower.informer._version == "44")
        api.lines.put_nowait(ending)
        await follower.until(lambda: len(api.watches) == 2)
        assert api.watches[1]["resourceVersion"] == "44"
        api.say("ADDED", pod("b", 45))
        await follower.hears("+b:45")
        assert follower.informer.relists == 1


async def test_a_server_that_ends_every_watch_at_once_is_not_hammered(
    api: ApiServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BACKOFF_S", (0.05, 10.0))
    api.refuse = lambda request: web.Response(text="") if "watch" in request.query else None
    async with following(client):
        await asyncio.sleep(0.3)
        assert 2 <= len(api.watches) <= 5
        assert len(api.lists) == 1


async def test_an_expired_version_lists_again_and_tells_what_was_deleted_meanwhile(api: ApiServer, client: Client) -> None:
    api.objects = {name: pod(name) for name in "abc"}
    async with following(client) as follower:
        api.objects = {"a": pod("a"), "b": pod("b", 20), "d": pod("d", 21)}
        api.version = 30
        api.say("ERROR", {"kind": "Status", "code": 410, "message": "too old resource version"})
        await follower.hears("-c:1", "+b:20", "+d:21")
        assert follower.told == ["+a:1", "+b:1", "+c:1", "-c:1", "+b:20", "+d:21"], "what left before what came"
        assert follower.missed == ["-c:1"]
        assert follower.names == ["a", "b", "d"]
        await follower.until(lambda: len(api.watches) == 2)
        assert api.watches[1]["resourceVersion"] == "30"


async def test_a_pod_that_was_replaced_under_its_name_is_another_pod(api: ApiServer, client: Client) -> None:
    """As with StatefulSets, in a gap of the watch."""
    api.objects = {"a": pod("a")}
    async with following(client) as follower:
        api.objects = {"a": pod("a", 20, uid="uid-a2")}
        api.say("ERROR", {"kind": "Status", "code": 410, "message": "gone"})
        await follower.hears("-a:1", "+a:20")
        assert list(follower.informer.objects) == ["uid-a2"]


@pytest.mark.parametrize(
    "trouble",
    [
        b"{not json\n",
        b'{"type":"ADDED","object":{"metadata":{"name":7}}}\n',
        b'{"type":"ERROR","object":{"kind":"Status","code":500,"message":"etcd is tired"}}\n',
    ],
)
async def test_what_cannot_be_understood_lists_again(api: ApiServer, client: Client, trouble: bytes) -> None:
    async with following(client) as follower:
        api.objects = {"a": pod("a", 15)}
        api.lines.put_nowait(trouble)
        await follower.hears("+a:15")
        api.say("DELETED", pod("a", 16))
        await follower.hears("-a:16")
        assert follower.informer.relists == 2


@pytest.mark.parametrize("status", [403, 410, 429, 500])
async def test_a_refused_watch_is_tried_again_with_pauses(
    api: ApiServer, client: Client, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setattr(module, "BACKOFF_S", (0.02, 10.0))
    api.refuse = lambda request: (
        web.json_response({"reason": "No", "message": "no"}, status=status) if "watch" in request.query else None
    )
    async with following(client) as follower:
        await follower.until(lambda: len(api.watches) >= 2)
        await asyncio.sleep(0.15)
        assert len(api.watches) <= 8, "with pauses that grow"
        api.refuse = lambda _: None
        api.objects = {"a": pod("a", 15)}
        await follower.hears("+a:15")


async def test_a_watch_that_says_nothing_at_all_is_opened_again(
    api: ApiServer, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.05)
    async with following(client) as follower:
        await follower.until(lambda: len(api.watches) >= 3)
        assert follower.informer.relists == 1


async def test_a_server_that_is_away_is_waited_for(api: ApiServer, client: Client) -> None:
    api.refuse = lambda _: web.Response(status=503, text="<html>starting</html>")
    follower = Follower(client)
    task = asyncio.create_task(follower.informer.run())
    await follower.until(lambda: len(api.lists) >= 2)
    assert not follower.informer.synced.is_set()
    api.objects = {"a": pod("a")}
    api.refuse = lambda _: None
    await follower.hears("+a:1")
    assert follower.informer.synced.is_set()
    task.cancel()
