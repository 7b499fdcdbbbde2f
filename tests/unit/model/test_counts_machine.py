"""Whatever happens in whatever order: buckets add up, totals are exact and never fall, windows hold only what is of now.

A state machine over pods, connections, reports, silences, restarts of agents and of the operator, checked after each step
against a ledger that is kept the slow way.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rollcall.model.fleet import FRESH_AGENT_MS, LINGER_S, Fleet
from rollcall.model.picture import Totals
from rollcall.model.roll import Roll, Session
from rollcall.model.rows import LATE_S
from rollcall.model.show import picture
from rollcall.model.states import PodFacts, PodState, state_of
from rollcall_agent.wire import report
from tests.unit.model.agents import Agent, facts

UIDS = ["uid-a", "uid-b", "uid-c"]
UID = st.sampled_from(UIDS)


class Ledger:
    """What must have been counted: per pod and epoch the newest count that could arrive, and what operators before kept."""

    def __init__(self) -> None:
        self.counted: dict[tuple[str, str], int] = {}
        self.kept = 0
        self.floor = 0

    @property
    def total(self) -> int:
        return max(self.floor, self.kept + sum(self.counted.values()))


class Counts(RuleBasedStateMachine):
    """One service, three pods."""

    @initialize()
    def begin(self) -> None:
        self.now_s = 1000.0
        self.ledger = Ledger()
        self.agents = {uid: Agent(uid) for uid in UIDS}
        self.born_s = dict.fromkeys(UIDS, self.now_s)
        self.answered: list[tuple[float, int]] = []
        self.reported: dict[str, list[bytes]] = {uid: [] for uid in UIDS}
        self.known: dict[str, PodFacts] = {}
        self.gone_s: dict[str, float] = {}
        self.sessions: dict[str, Session] = {}
        self.said: dict[str, bytes] = {}
        self.epochs = 1
        self.last_total = 0
        self._new_operator(Totals(), Totals())

    def _new_operator(self, departed: Totals, floor: Totals) -> None:
        self.roll, self.sessions, self.said = Roll(), {}, {}
        self.fleet = Fleet("shop", "newsfeed", departed=departed, floor=floor)
        self.roll.add(self.fleet)
        for pod in self.known.values():
            self.fleet.upsert(pod)
        self.gone_s.clear()
        self._fold()

    def _fold(self) -> None:
        self.roll.fold(self.now_s, self.now_s)
        for uid, since_s in list(self.gone_s.items()):
            if self.now_s - since_s >= LINGER_S:
                del self.gone_s[uid]

    def _listed(self, uid: str) -> bool:
        return uid in self.known or uid in self.gone_s

    def _count(self, uid: str, body: bytes) -> None:
        agent = self.agents[uid]
        key = (uid, agent.epoch)
        self.ledger.counted[key] = max(self.ledger.counted.get(key, 0), int(report.unpack(body)["finished"]))

    # --- what the API says

    @rule(
        uid=UID,
        changes=st.fixed_dictionaries(
            {
                "ready": st.booleans(),
                "running": st.booleans(),
                "leaving": st.booleans(),
                "injected": st.booleans(),
                "started_at": st.sampled_from([None, 0.0, 1005.0]),
            }
        ),
    )
    def upsert(self, uid: str, changes: dict[str, Any]) -> None:
        if uid not in self.known and uid not in self.gone_s and (uid, self.agents[uid].epoch) in self.ledger.counted:
            return  # a pod that has gone for good does not come back
        self.known[uid] = replace(facts(uid), **changes)
        self.gone_s.pop(uid, None)
        self.fleet.upsert(self.known[uid])
        self.roll.pod_known(self.fleet, uid, self.now_s)
        if uid in self.sessions and uid in self.said:
            self._count(uid, self.said[uid])

    @precondition(lambda self: self.known)
    @rule(data=st.data(), finished=st.booleans())
    def remove(self, data: st.DataObject, finished: bool) -> None:
        uid = data.draw(st.sampled_from(sorted(self.known)))
        pod = self.known.pop(uid)
        if self.fleet.attached(uid):
            self.gone_s[uid] = self.now_s
        if finished:
            self.fleet.upsert(replace(pod, finished=True, running=False))
        else:
            self.fleet.remove(uid, self.now_s)

    # --- what agents do

    @rule(uid=UID)
    def connect(self, uid: str) -> None:
        self.said.pop(uid, None)
        age_ms = round((self.now_s - self.born_s[uid]) * 1000)
        self.sessions[uid] = self.roll.open(uid, "shop", uid, self.agents[uid].epoch, age_ms, self.now_s)

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def disconnect(self, data: st.DataObject) -> None:
        uid = data.draw(st.sampled_from(sorted(self.sessions)))
        self.roll.close(self.sessions.pop(uid))

    @rule(uid=UID, requests=st.integers(1, 5))
    def answer(self, uid: str, requests: int) -> None:
        self.agents[uid].answer([0.01] * requests)
        self.answered.append((self.now_s, requests))

    @precondition(lambda self: self.sessions)
    @rule(data=st.data())
    def send(self, data: st.DataObject) -> None:
        uid = data.draw(st.sampled_from(sorted(self.sessions)))
        body = self.agents[uid].body(self.now_s)
        self.reported[uid].append(body)
        self.said[uid] = body
        self.sessions[uid].accept(body, self.now_s)
        if self._listed(uid):
            self._count(uid, body)

    @precondition(lambda self: any(self.reported[uid] for uid in self.sessions))
    @rule(data=st.data())
    def send_an_old_one_again(self, data: st.DataObject) -> None:
        uid = data.draw(st.sampled_from(sorted(uid for uid in self.sessions if self.reported[uid])))
        body = data.draw(st.sampled_from(self.reported[uid]))
        newest = self.sessions[uid].newest
        self.sessions[uid].accept(body, self.now_s)
        if newest is not None:
            self.sessions[uid].newest = newest
        else:
            self.said[uid] = body  # the first that this connection has said
        if self._listed(uid):
            self._count(uid, body)

    @rule(uid=UID)
    def forget_everything(self, uid: str) -> None:
        """A new epoch: the agent's memory volume was lost, so it connects anew."""
        self.epochs += 1
        self.agents[uid].restart(f"e{self.epochs}")
        self.reported[uid].clear()
        self.born_s[uid] = self.now_s
        if uid in self.sessions:
            self.roll.close(self.sessions.pop(uid))

    # --- time, and the operator

    @rule(dt_s=st.sampled_from([0.1, 0.25, 0.25, 0.5, LATE_S, 2.0, LINGER_S, 60.0]))
    def wait(self, dt_s: float) -> None:
        self.now_s += dt_s
        self._fold()

    @rule()
    def restart_operator(self) -> None:
        """What a status keeps is what the next operator begins with; agents come back by themselves."""
        departed, totals = self.fleet.departed(), self.fleet.totals()
        living = {(uid, self.fleet.pods[uid].epoch) for uid in self.known if self.fleet.attached(uid)}
        gone = {key: count for key, count in self.ledger.counted.items() if key not in living}
        assert departed.requests == self.ledger.kept + sum(gone.values())
        self.ledger.kept, self.ledger.counted, self.ledger.floor = departed.requests, {}, totals.requests
        for uid in set(UIDS) - set(self.known):  # what departed for good has another identity if it ever comes back
            self.agents[uid].restart(f"{self.agents[uid].epoch}-next")
            self.reported[uid].clear()
            self.born_s[uid] = self.now_s
        self._new_operator(departed, totals)

    # --- always

    @invariant()
    def buckets_add_up(self) -> None:
        self._fold()
        counts = self.fleet.last.counts
        view = picture(self.fleet, with_roll=True)
        assert set(self.fleet.pods) == set(self.known)
        assert view.pods.total == sum(counts[state] for state in PodState) == len(self.known)
        assert view.roll is not None
        assert sorted(pod.uid for pod in view.roll) == sorted(self.known)
        for state in PodState:
            assert sum(pod.state == state for pod in view.roll) == getattr(view.pods, state)
        assert sum(view.bare.values()) == view.pods.bare
        for uid, pod in self.fleet.pods.items():
            age_s = self.fleet.report_age_s(pod, self.now_s)
            assert pod.state is state_of(self.known[uid], age_s, self.now_s), "also where nothing seemed to have changed"

    @invariant()
    def totals_are_exact_and_never_fall(self) -> None:
        total = self.fleet.totals().requests
        assert total == self.ledger.total
        assert total >= self.last_total
        assert self.fleet.departed().requests <= total
        self.last_total = total

    @invariant()
    def windows_hold_what_is_of_now(self) -> None:
        window = self.fleet.last.window
        if window is None:
            return
        assert (window.sums.histogram >= 0).all()
        assert all(value >= 0 for value in window.sums.scalars.values())
        assert window.sums.histogram.sum() == window.finished
        earliest_s = self.now_s - window.span_s - LATE_S - FRESH_AGENT_MS / 1000
        assert window.finished <= sum(requests for at_s, requests in self.answered if at_s >= earliest_s)
        histograms, finished, errors = self.fleet.generations.window(self.fleet.rows)
        assert (histograms >= 0).all()
        assert (finished >= 0).all()
        assert (errors >= 0).all()

    @invariant()
    def rows_are_held_by_pods(self) -> None:
        rows = [pod.row for pod in (*self.fleet.pods.values(), *self.fleet._gone.values()) if pod.row is not None]
        assert len(rows) == len(set(rows)) == len(self.fleet.rows)


TestCounts = Counts.TestCase
TestCounts.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
