"""Agents that tell facts, over a real roll: they know what they told, so tests can ask for the truth."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from rollcall.model.fleet import Fleet
from rollcall.model.picture import Picture
from rollcall.model.roll import Refusal, Roll, Session
from rollcall.model.show import picture
from rollcall_agent.wire import facts, grid
from tests.unit.model.agents import Agent
from tests.unit.model.agents import facts as pod_facts

Record = tuple[int, int, int, int]


@dataclass
class Teller:
    """One pod's agent, and its connection."""

    session: Session
    agent: Agent
    number: int = 0
    ids: dict[tuple[int, str], int] = field(default_factory=dict)

    def id_of(self, table: int, name: str) -> int:
        """The id of a name, defined when it is new; every agent numbers for itself."""
        key = (table, name)
        if key not in self.ids:
            self.ids[key] = 1 + sum(known == table for known, _ in self.ids)
            self.session.define(facts.pack_names(table, [(self.ids[key], name)]))
        return self.ids[key]

    def tell(self, records: list[Record], now_s: float, *, past: bool = False, number: int | None = None) -> Refusal | None:
        """FACTS with the next number."""
        self.number = self.number + 1 if number is None else number
        return self.session.accept_facts(facts.pack_facts(self.number, facts.FLAG_PAST if past else 0, records), now_s)

    def answered(self, endpoint: str, times_s: list[float], failures: int = 0) -> list[Record]:
        """Records of requests of an endpoint."""
        index = self.id_of(facts.ENDPOINT_NAMES, endpoint)
        cells: dict[int, int] = defaultdict(int)
        for time_s in times_s:
            cells[grid.bucket_of_ns(round(time_s * 1e9))] += 1
        return [
            (facts.REQUESTS, index, 0, len(times_s)),
            (facts.FAILURES, index, 0, failures),
            (facts.DURATION, index, 0, round(sum(times_s) * 1e6)),
            *((facts.CELL, index, bucket, count) for bucket, count in cells.items()),
        ]

    def called(
        self, dependency: str, times_s: list[float], waited_s: float = 0.0, failures: dict[str, int] | None = None
    ) -> list[Record]:
        """Records of calls of a dependency, and of what requests waited for it."""
        index = self.id_of(facts.DEPENDENCY_NAMES, dependency)
        cells: dict[int, int] = defaultdict(int)
        for time_s in times_s:
            cells[grid.bucket_of_ns(round(time_s * 1e9))] += 1
        return [
            (facts.CALLS, index, 0, len(times_s)),
            (facts.CALL_DURATION, index, 0, round(sum(times_s) * 1e6)),
            (facts.WAITED, index, 0, round(waited_s * 1e6)),
            *((facts.CALL_CELL, index, bucket, count) for bucket, count in cells.items()),
            *((facts.CALL_FAILURES, index, facts.REASONS.index(why), count) for why, count in (failures or {}).items()),
        ]

    def failed(self, error: str, count: int) -> Record:
        """A record of errors of one type."""
        return facts.ERRORS, self.id_of(facts.ERROR_NAMES, error), 0, count


class Stage:
    """A roll with one service, pods that serve, and a clock; `turn` is a fold."""

    def __init__(self) -> None:
        self.roll, self.now_s = Roll(), 1000.0
        self.fleet = Fleet("shop", "newsfeed")
        self.roll.add(self.fleet)
        self.roll.fold(self.now_s, self.unix_s)

    @property
    def unix_s(self) -> float:
        return self.now_s + 1_700_000_000

    def pod(self, uid: str, **changes: Any) -> Teller:
        """A pod appears and its agent connects."""
        self.fleet.upsert(pod_facts(uid, **changes))
        return self.connect(uid)

    def connect(self, uid: str, agent: Agent | None = None) -> Teller:
        agent = agent or Agent(uid)
        return Teller(self.roll.open(uid, "shop", uid, agent.epoch, 0, self.now_s), agent)

    def report(self, *tellers: Teller, **changes: Any) -> None:
        for teller in tellers:
            teller.session.accept(teller.agent.body(self.now_s, **changes), self.now_s)

    def turn(self, *tellers: Teller, dt_s: float = 0.5, **changes: Any) -> None:
        """Time goes on, everybody reports, the fold."""
        self.now_s += dt_s
        self.report(*tellers, **changes)
        self.roll.fold(self.now_s, self.unix_s)

    def picture(self) -> Picture:
        return picture(self.fleet, with_roll=True)
