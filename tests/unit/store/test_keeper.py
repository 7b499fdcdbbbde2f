"""The leader keeps what it counts, agents are told when it is kept, and another replica goes on from a copy."""

from __future__ import annotations

import asyncio
import base64
import json
import sqlite3
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from rollcall.control.certificates import load_into, renewed
from rollcall.kube.client import Access, Client, KubeError
from rollcall.kube.review import User
from rollcall.model.fleet import Fleet
from rollcall.model.kept import restore
from rollcall.serve.access import RefusedError
from rollcall.serve.kept import KeptApi
from rollcall.store import keeper as module
from rollcall.store.database import Database
from rollcall.store.keeper import Keeper
from rollcall.store.mirror import Mirror, decode, encode
from tests.unit.model.tellers import Stage, Teller

UIDS = {("shop", "newsfeed"): "uid-service"}
OURSELVES = User("system:serviceaccount:rollcall-system:rollcall")


class Scene:
    """A stage whose roll is kept in a file."""

    def __init__(self, path: Path | None) -> None:
        self.stage = Stage()
        self.teller: Teller = self.stage.pod("uid-a")
        self.teller.session.facts_from = 1
        self.sure = True
        self.keeper = Keeper(path, self.stage.roll, lambda: UIDS, lambda: self.sure)

    def tell(self) -> None:
        self.teller.tell(self.teller.answered("GET /feed", [0.01]), self.stage.now_s)
        self.stage.turn(self.teller)


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    scene = Scene(tmp_path / "kept.db")
    await scene.keeper.open()
    await scene.keeper.load()
    yield scene
    await scene.keeper.close()


async def test_agents_are_told_of_what_is_kept(scene: Scene) -> None:
    """Also before the first moment of a term, and of services that come later."""
    assert scene.stage.fleet.keeping
    scene.stage.roll.add(later := Fleet("shop", "later"))
    assert later.keeping
    scene.tell()
    assert (scene.teller.session.taken, scene.teller.session.kept) == (1, 0)
    await scene.keeper.write()
    assert scene.teller.session.kept == 1


async def test_what_was_kept_is_read_from_a_volume_that_is_full(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.tell()
    await scene.keeper.write()

    def full(database: Database) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Database, "begin", full)
    assert set(await scene.keeper.load()) == {"uid-service"}
    assert scene.keeper.writes["failed"] == 1


async def test_what_a_former_leader_cannot_write_any_more_is_kept_by_the_agents(scene: Scene, tmp_path: Path) -> None:
    successor = Scene(tmp_path / "kept.db")
    await successor.keeper.open()
    await successor.keeper.load()
    scene.tell()
    for _ in range(2):
        await scene.keeper.write()
    assert scene.keeper.writes == {"refused": 2}
    assert (scene.teller.session.taken, scene.teller.session.kept) == (1, 0)
    await successor.keeper.close()


async def test_who_may_not_lead_any_more_tells_nobody(scene: Scene) -> None:
    """Another replica may lead by now, and does not have what comes here."""
    scene.tell()
    scene.sure = False
    await scene.keeper.write()
    assert (scene.teller.session.taken, scene.teller.session.kept) == (1, 0)
    scene.sure = True
    await scene.keeper.write()
    assert scene.teller.session.kept == 1


async def test_a_copy_is_waited_for_while_it_comes(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    log, _ = scene.keeper.copied
    await scene.keeper.changes("standby", log, 0)
    scene.tell()
    await scene.keeper.write()
    assert scene.teller.session.kept == 0
    _, version = scene.keeper.copied
    await scene.keeper.changes("standby", log, version)
    assert scene.teller.session.kept == 1
    scene.tell()
    monkeypatch.setattr(module, "COPY_S", -1.0)  # it does not come any more
    await scene.keeper.write()
    assert scene.teller.session.kept == 2


async def test_a_copy_that_comes_and_does_not_get_on_is_not_waited_for(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The volume of that replica is full, for example."""
    log, version = scene.keeper.copied
    await scene.keeper.changes("standby", log, version)
    scene.tell()
    await scene.keeper.write()
    monkeypatch.setattr(module, "COPY_S", 0.05)
    until_s = asyncio.get_running_loop().time() + 10
    while scene.teller.session.kept == 0 and asyncio.get_running_loop().time() < until_s:
        await scene.keeper.changes("standby", log, version)
        await asyncio.sleep(0.01)
    assert scene.teller.session.kept == 1


async def test_a_volume_that_fails_keeps_nobody_waiting(scene: Scene) -> None:
    await scene.keeper.write()
    database = scene.keeper._database
    assert database is not None
    database.close()
    scene.tell()
    await scene.keeper.write()
    assert scene.teller.session.kept == scene.teller.session.taken == 1
    assert scene.keeper.writes["failed"] == 1


async def test_whatever_goes_wrong_the_term_goes_on(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr(module, "keep", fail)
    running = asyncio.create_task(scene.keeper.run())
    while not scene.keeper.writes["failed"]:
        await asyncio.sleep(0)
    assert not running.done()
    scene.tell()
    assert scene.teller.session.kept == 1
    running.cancel()


async def test_without_a_path_nothing_is_kept() -> None:
    scene = Scene(None)
    await scene.keeper.open()
    assert await scene.keeper.load() == {}
    running = asyncio.create_task(scene.keeper.run())
    await asyncio.sleep(0)
    assert not running.done(), "a job that ends ends the term"
    running.cancel()
    scene.tell()
    assert scene.teller.session.kept == 1
    assert await scene.keeper.changes("standby", "", 0) is None


async def test_the_last_moment_of_a_term_is_written(scene: Scene, tmp_path: Path) -> None:
    running = asyncio.create_task(scene.keeper.run())
    await asyncio.sleep(0)
    scene.tell()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    other = Keeper(tmp_path / "kept.db", scene.stage.roll, lambda: UIDS)
    await other.open()
    kept = await other.load()
    stage = Stage()
    restore(stage.fleet, kept["uid-service"], stage.now_s, stage.unix_s)
    assert stage.fleet.signals.endpoints.totals() == {"GET /feed": (1, 0)}
    await other.close()


async def test_everything_goes_on(scene: Scene) -> None:
    """Endpoints, errors with samples, dependencies, visitors, crashes, revisions: all that a picture shows of more than now."""
    from rollcall_agent.wire import facts

    stage, teller = scene.stage, scene.teller
    teller.tell(
        [
            *teller.answered("GET /feed", [0.01, 0.02], failures=1),
            *teller.called("db", [0.01], failures={"timeout": 1}),
            teller.failed("exception ValueError", 1),
            (facts.VISITOR, 0, 7 << 8 | 3, 1),
            (facts.DEATHS, 0, 11, 1),
            (facts.UNANSWERED, 1, 11, 2),
        ],
        stage.now_s,
    )
    teller.session.accept_event({"type": "error", "error": "exception ValueError", "message": "no"}, stage.now_s)
    teller.session.accept_event({"type": "death", "signal": 11, "module": "/m.so", "unanswered": 2}, stage.now_s)
    teller.agent.answer([0.01, 0.02], errors=1)
    stage.turn(teller)
    before = stage.picture()
    await scene.keeper.write()
    kept = (await scene.keeper.load())["uid-service"]
    after = Stage()
    after.now_s = stage.now_s + 100  # another machine's clock
    restore(after.fleet, kept, after.now_s, stage.unix_s)
    after.roll.fold(after.now_s, stage.unix_s)
    shown = after.picture()
    assert shown.totals == before.totals
    assert [(row.endpoint, row.requests, row.errors, row.unanswered) for row in shown.endpoints.rows] == [  # type: ignore[union-attr]
        ("GET /feed", 2, 1, 2)
    ]
    assert shown.dependencies.rows[0].calls == 1  # type: ignore[union-attr]
    assert shown.dependencies.rows[0].failed == 1  # type: ignore[union-attr]
    assert shown.errors.by_type[0].total == 1  # type: ignore[index, union-attr]
    assert [sample.message for sample in shown.errors.samples] == ["no"]  # type: ignore[union-attr]
    assert (shown.visitors.hour, shown.visitors.day) == (1, 1)  # type: ignore[union-attr]
    assert shown.crashes.total == before.crashes.total == 1  # type: ignore[union-attr]
    assert [group.module for group in shown.crashes.groups] == ["/m.so"]  # type: ignore[union-attr]


class Kube:
    """The API server: it knows where the leader's pod is, or that it is not there."""

    user = OURSELVES.name

    def __init__(self, answer: dict[str, Any] | None) -> None:
        self.answer = answer

    async def request(self, method: str, path: str) -> dict[str, Any]:
        if self.answer is None:
            raise KubeError(404, "NotFound", path)
        return self.answer

    def elsewhere(self, *_: object) -> Any:
        raise ConnectionRefusedError("nobody listens")


def mirror(kube: Kube, port: int, keeper: Keeper) -> Mirror:
    return Mirror(kube, keeper, "rollcall-system", "us", lambda: "them", lambda: b"", "rollcall-api", port)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("listened", "listens", "there", "gone"),
    [
        (True, True, True, False),
        (True, False, True, True),
        (False, False, True, False),
        (False, False, False, True),
        (False, True, False, True),
    ],
)
async def test_a_leader_is_gone_when_it_listens_no_more_or_its_pod_is_deleted(
    scene: Scene, listened: bool, listens: bool, there: bool, gone: bool
) -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    asks = mirror(Kube({"status": {"podIP": "127.0.0.1"}} if there else None), server.sockets[0].getsockname()[1], scene.keeper)
    if listened:
        assert not await asks.gone("them")
    if not listens:
        server.close()
        await server.wait_closed()
    assert await asks.gone("them") is gone
    server.close()


async def test_only_replicas_are_answered(scene: Scene) -> None:
    scene.tell()
    await scene.keeper.write()
    api = KeptApi(scene.keeper, lambda: OURSELVES.name)
    query = {"who": "us", "log": "", "version": "0"}
    copied = decode(await api.answer(OURSELVES, query))
    assert {row.service for row in copied.rows} == {"uid-service"}
    for user in (User(""), User("system:serviceaccount:shop:default"), User("kubernetes-admin", ("system:masters",))):
        with pytest.raises(RefusedError):
            await api.answer(user, query)
    with pytest.raises(RefusedError):
        await KeptApi(scene.keeper, lambda: "").answer(User(""), query)
    with pytest.raises(RefusedError):
        await api.answer(OURSELVES, query | {"version": "²"})
    with pytest.raises(ValueError, match=r".+"):
        decode(encode(copied)[:-3])


async def test_what_goes_wrong_with_a_copy_is_counted_and_tried_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod without an address, a port that refuses, an answer that cannot be read, a volume that is full."""
    for answer in ({}, {"status": {}}, {"status": {"podIP": "127.0.0.1"}}, None):
        asks = mirror(Kube(answer), 1, scene.keeper)
        monkeypatch.setattr(asks, "_context", lambda: None)
        await asks._copy("them", 1.0)
        assert asks.failing
    assert scene.keeper.copies == {"failed": 4}

    async def full(_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async def told(_: str) -> bytes:
        changes = await scene.keeper.changes("us", "", 0)
        assert changes is not None
        return encode(changes)

    asks = mirror(Kube({"status": {"podIP": "127.0.0.1"}}), 1, scene.keeper)
    monkeypatch.setattr(asks, "_ask", told)
    await asks._copy("them", 1.0)
    assert scene.keeper.copies == {"failed": 4, "taken": 1}
    monkeypatch.setattr(scene.keeper, "copy", full)
    await asks._copy("them", 1.0)
    assert scene.keeper.copies == {"failed": 5, "taken": 1}


def token_of(name: str) -> str:
    """What a service account's token looks like; who signed it is the API server's to know."""
    return "e30." + base64.urlsafe_b64encode(json.dumps({"sub": name}).encode()).decode().rstrip("=") + ".x"


async def test_a_replica_copies_from_another_as_who_it_is(scene: Scene, tmp_path: Path) -> None:
    """Over TLS with the operator's own certificate, through the client that talks to the API server."""
    certificates = renewed(None, ["rollcall-api"], datetime.now(UTC))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_into(tls, certificates)
    api = KeptApi(scene.keeper, lambda: OURSELVES.name)

    async def kept(request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == f"Bearer {token_of(OURSELVES.name)}"
        return web.Response(body=await api.answer(OURSELVES, request.query))

    app = web.Application()
    app.router.add_get("/replica/kept", kept)
    scene.tell()
    await scene.keeper.write()
    other = Keeper(tmp_path / "other.db", scene.stage.roll, lambda: UIDS)
    await other.open()
    server = TestServer(app)
    await server.start_server(ssl=tls)
    access = Access("http://127.0.0.1:1", ssl.create_default_context(), token=token_of(OURSELVES.name))
    async with Client(access) as client:
        assert client.user == OURSELVES.name
        client.request = Kube({"status": {"podIP": "127.0.0.1"}}).request  # type: ignore[assignment, method-assign]
        port, ca = server.port or 0, certificates.bundle
        asks = Mirror(client, other, "rollcall-system", "us", lambda: "them", lambda: ca, "rollcall-api", port)
        await asks._copy("them", 5.0)
        assert other.copies == {"taken": 1}
        assert other.copied == scene.keeper.copied
        await asks.last()
        assert other.copies == {"taken": 2}
    assert (await other.load())["uid-service"] == (await scene.keeper.load())["uid-service"]
    await other.close()
    await server.close()


@pytest.mark.parametrize("token", [None, "", "opaque", "a.b.c", "a.W10.c"])
def test_who_has_no_token_of_a_service_account_is_nobody(token: str | None) -> None:
    assert Client(Access("https://localhost", ssl.create_default_context(), token=token)).user == ""
