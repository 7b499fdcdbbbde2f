"""Services that were created a moment ago: looked up once for all who ask, and again for who asks later."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from rollcall.control import newest
from rollcall.control.newest import Newest
from rollcall.kube.client import KubeError
from tests.unit.control.fakes import manifest


class Server:
    """Answers a list when `answer` is set, with what was there when it was asked."""

    def __init__(self) -> None:
        self.services: list[str] = []
        self.paths: list[str] = []
        self.answer = asyncio.Event()
        self.error: Exception | None = None

    async def request(self, method: str, path: str) -> Any:
        assert method == "GET"
        self.paths.append(path)
        then = [manifest(name) for name in self.services]
        await self.answer.wait()
        if self.error is not None:
            raise self.error
        return {"items": [{key: value for key, value in each.items() if key not in ("apiVersion", "kind")} for each in then]}


class World:
    """A look-up, and what it was told."""

    def __init__(self) -> None:
        self.server, self.put = Server(), []
        self.newest = Newest(self.server, self.put.append)  # type: ignore[arg-type]

    def ask(self, namespace: str = "shop") -> asyncio.Task[None]:
        return asyncio.create_task(self.newest.look(namespace))

    def names(self) -> list[str]:
        return [each["metadata"]["name"] for each in self.put]


@pytest.fixture
async def world() -> World:
    return World()


async def turn() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_is_there_is_handed_over_whole(world: World) -> None:
    world.server.services = ["newsfeed", "legacy"]
    world.server.answer.set()
    await world.ask()
    assert world.put == [manifest("newsfeed"), manifest("legacy")]
    assert world.server.paths == ["/apis/rollcall.dev/v1alpha1/namespaces/shop/monitoredservices"]


async def test_who_asks_while_a_list_is_under_way_shares_the_next(world: World) -> None:
    first = world.ask()
    await turn()
    world.server.services = ["newsfeed"]
    later = [world.ask() for _ in range(50)]
    await turn()
    assert len(world.server.paths) == 1
    world.server.answer.set()
    await first
    await asyncio.gather(*later)
    assert len(world.server.paths) == 2
    assert world.names() == ["newsfeed"]
    await world.ask()
    assert len(world.server.paths) == 3


async def test_namespaces_do_not_wait_for_each_other_but_for_a_place(world: World) -> None:
    asked = [world.ask(f"team-{number}") for number in range(newest.AT_ONCE + 3)]
    await turn()
    assert len(world.server.paths) == newest.AT_ONCE
    world.server.answer.set()
    await asyncio.gather(*asked)
    assert len(world.server.paths) == newest.AT_ONCE + 3


@pytest.mark.parametrize("name", ["", "../secrets", "a/b", "Shop", "x" * 64, "shop\n"])
async def test_what_is_no_namespace_is_not_asked_for(world: World, name: str) -> None:
    await world.ask(name)
    assert world.server.paths == []


async def test_an_error_and_a_silent_server_leave_what_was_heard(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(newest, "PATIENCE_S", 0.05)
    await world.ask()  # no answer
    assert world.names() == []
    world.server.error = KubeError(500, "InternalError", "etcd")
    world.server.answer.set()
    await world.ask()
    world.server.error, world.server.services = None, ["newsfeed"]
    await world.ask()
    assert world.names() == ["newsfeed"]
