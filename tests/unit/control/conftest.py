"""Services over a fake API server, with pods and agents given by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rollcall.control.services import Services
from rollcall.control.watch import ServiceWatch
from rollcall.model.roll import Roll, Session
from tests.unit.control.fakes import Clock, FakeClient, manifest
from tests.unit.model.agents import Agent, facts


class Scene:
    """A roll, its services, and time."""

    def __init__(self) -> None:
        self.client, self.clock, self.roll = FakeClient(), Clock(), Roll()
        self.changes = 0
        self.services = Services(self.client, self.roll, self._changed, "key of {}".format)  # type: ignore[arg-type]
        self.sessions: dict[str, Session] = {}

    def _changed(self) -> None:
        self.changes += 1

    def put(self, name: str = "newsfeed", **changes: Any) -> ServiceWatch:
        """A MonitoredService appears or changes; its lists count as complete."""
        self.services.put(manifest(name, **changes))
        watch = self.services.get(("shop", name))
        assert watch is not None
        watch._informer.synced.set()
        for informer in watch._workloads._informers:
            informer.synced.set()
        return watch

    def serve(self, watch: ServiceWatch, agent: Agent, requests: int = 0) -> None:
        """A pod of a service reports, connecting first if need be."""
        watch.fleet.upsert(facts(agent.uid))
        agent.answer([0.05] * requests)
        self.serve_as_is(watch, agent)

    def serve_as_is(self, watch: ServiceWatch, agent: Agent) -> None:
        """A pod that is on the roll already reports."""
        if agent.uid not in self.sessions or not self.sessions[agent.uid].fleets:
            self.sessions[agent.uid] = self.roll.open(agent.uid, "shop", agent.uid, agent.epoch, 0, self.clock.now_s)
        self.sessions[agent.uid].accept(agent.body(self.clock.now_s), self.clock.now_s)

    def fold(self, dt_s: float = 0.25) -> None:
        self.clock.now_s += dt_s
        self.roll.fold(self.clock.now_s, self.clock.now_s)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    yield made
    for key in [(watch.service.namespace, watch.service.name) for watch in made.services]:
        made.services.remove(key)
    await asyncio.sleep(0)
