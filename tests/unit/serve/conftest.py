"""A publisher over a real model, with pods and agents given by hand, and callers whose rights a test decides."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from rollcall.kube.client import KubeError
from rollcall.kube.review import User
from rollcall.model.fleet import Fleet
from rollcall.model.roll import Roll
from rollcall.serve.access import Access
from rollcall.serve.live import make_live_app
from rollcall.serve.publisher import Publisher
from tests.unit.model.agents import Agent, facts


@dataclass
class Rights:
    """Stands for the API server's reviews: tokens are user names; `may` decides over (user, namespace, name)."""

    users: dict[str, User] = field(default_factory=lambda: {"t-alice": User("alice", ("dev",))})
    may: Callable[[User, str | None, str], bool] = lambda *_: True
    away: bool = False
    speaks_for: set[tuple[str, str, str]] = field(default_factory=set)
    """(who, `users` or `groups`, whom)."""

    async def user(self, token: str, audience: str | None = None) -> User | None:
        assert audience is None
        if self.away:
            raise KubeError(500, "InternalError", "no")
        return self.users.get(token)

    async def may_impersonate(self, user: User, resource: str, name: str) -> bool:
        if self.away:
            raise KubeError(500, "InternalError", "no")
        return (user.name, resource, name) in self.speaks_for

    async def may_read(self, user: User, namespace: str | None, name: str = "") -> bool:
        if self.away:
            raise KubeError(500, "InternalError", "no")
        return self.may(user, namespace, name)


class Live:
    """Two services in two namespaces; `turn` is a fold."""

    def __init__(self) -> None:
        self.roll, self.now_s = Roll(), 1000.0
        self.fleets = {name: Fleet(namespace, name) for namespace, name in (("shop", "newsfeed"), ("bank", "ledger"))}
        for fleet in self.fleets.values():
            self.roll.add(fleet)
        self.publisher = Publisher(self.roll)
        self.publisher.leading = True
        self.agents: dict[str, Agent] = {}
        self.turn()

    def serve(self, name: str, uid: str, times_s: list[float], errors: int = 0, **changes: Any) -> None:
        """A pod of a service answers requests and reports."""
        fleet = self.fleets[name]
        if uid not in self.agents:
            self.agents[uid] = Agent(uid)
            fleet.upsert(facts(uid, labels={"app": name}))
            fleet.attach(uid, "e1", 0)
        agent = self.agents[uid]
        agent.answer(times_s, errors)
        for key, value in changes.items():
            setattr(agent, key, value)
        fleet.accept(uid, agent.body(self.now_s), self.now_s)

    def turn(self, dt_s: float = 0.5) -> None:
        self.now_s += dt_s
        self.roll.fold(self.now_s, self.now_s)
        self.publisher.turn()


@pytest.fixture
def live() -> Live:
    return Live()


@pytest.fixture
def rights() -> Rights:
    return Rights()


@pytest.fixture
async def http(live: Live, rights: Rights) -> AsyncIterator[TestClient[Any, Any]]:
    """The live API over real HTTP; nobody explains a pod."""

    async def nobody(*_: str) -> None: ...

    app = make_live_app(live.publisher, Access(rights), dict, nobody)  # type: ignore[arg-type]
    async with TestClient(TestServer(app)) as client:
        yield client
