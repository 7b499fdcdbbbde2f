"""Facts arrive exactly once, whatever breaks: the agent's own log on one side, the roll on the other, and between them
connections, processes and services that end at any moment."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from rollcall.model.fleet import LINGER_S, Fleet
from rollcall.model.roll import Roll, Session
from rollcall_agent.additions import Additions
from rollcall_agent.facts_log import FactsLog
from tests.unit.model.agents import Agent
from tests.unit.model.agents import facts as pod_facts

UIDS = ("uid-a", "uid-b")
UID = st.sampled_from(UIDS)
ENDPOINTS = ("GET /feed", "POST /post", "GET /user/<id>")
SERVICES = ("newsfeed", "everything")


@dataclass
class Pod:
    """One pod: the agent's log, its connection, and what it truly answered."""

    folder: str
    log: FactsLog
    agent: Agent
    session: Session | None = None
    told: int | None = None
    truth: dict[str, list[int]] = field(default_factory=dict)
    errors: int = 0


class Facts(RuleBasedStateMachine):
    """Two pods, two services that come and go."""

    @initialize()
    def begin(self) -> None:
        self.now_s = 1000.0
        self.folder = tempfile.mkdtemp()
        self.roll = Roll()
        self.pods: dict[str, Pod] = {}
        self.complete: set[str] = set()
        """Services that had the facts from the first on: one that comes while another has them counts from then on."""
        for uid in UIDS:
            folder = tempfile.mkdtemp(dir=self.folder)
            self.pods[uid] = Pod(folder, FactsLog(folder), Agent(uid))
        self._add("newsfeed")

    def teardown(self) -> None:
        self.settle()
        shutil.rmtree(self.folder)

    def _add(self, name: str) -> None:
        fleet = Fleet("shop", name)
        if not self.roll.fleets:
            self.complete.add(name)
        self.roll.add(fleet)
        for uid in UIDS:
            fleet.upsert(pod_facts(uid))
            self.roll.pod_known(fleet, uid, self.now_s)

    # --- what happens in a pod

    @rule(uid=UID, endpoint=st.sampled_from(ENDPOINTS), requests=st.integers(1, 9), failures=st.integers(0, 1))
    def answer(self, uid: str, endpoint: str, requests: int, failures: int) -> None:
        found, pod = Additions(), self.pods[uid]
        found.add_row(endpoint, requests, failures, requests * 10_000)
        found.add_cell(endpoint, 100, requests)
        if failures:
            found.add_error("exception ValueError", failures)
        pod.log.take(found)
        row = pod.truth.setdefault(endpoint, [0, 0])
        row[0], row[1] = row[0] + requests, row[1] + failures
        pod.errors += failures

    @rule(uid=UID)
    def connect(self, uid: str) -> None:
        pod = self.pods[uid]
        pod.session = self.roll.open(uid, "shop", uid, "e1", 0, self.now_s)
        self._welcome(pod, new=True)

    @precondition(lambda self: any(pod.session for pod in self.pods.values()))
    @rule(data=st.data())
    def disconnect(self, data: st.DataObject) -> None:
        self._close(data.draw(st.sampled_from([pod for pod in self.pods.values() if pod.session])))

    def _close(self, pod: Pod) -> None:
        assert pod.session is not None
        self.roll.close(pod.session)
        pod.session = None

    def _welcome(self, pod: Pod, *, new: bool) -> None:
        assert pod.session is not None
        pod.session.changed = False
        pod.told = pod.session.tell()
        pod.log.welcomed(pod.told, 0, new=new)

    @rule(uid=UID, arrive=st.integers(0, 5), acknowledged=st.booleans(), crash=st.booleans())
    def beat(self, uid: str, arrive: int, acknowledged: bool, crash: bool) -> None:
        """Half a second: names and facts, then the report. Only the first `arrive` frames do when the connection breaks."""
        pod = self.pods[uid]
        if pod.session is None:
            return
        sent = list(pod.log.frames(self.now_s, "e1"))
        broken = arrive < len(sent) or crash
        for table, body in sent[:arrive] if broken else sent:
            if table:
                pod.session.define(body)
            elif pod.session.accept_facts(body, self.now_s) is not None:
                self._close(pod)
                return
        if not broken:
            pod.session.accept(pod.agent.body(self.now_s), self.now_s)
        if acknowledged and not broken:
            pod.log.acknowledged(pod.session.taken or 0)
            if pod.told is not None and pod.session.forgotten():
                broken = True
            elif (pod.session.taken is None) != (pod.told is None):
                self._welcome(pod, new=False)
        if broken:
            self._close(pod)
        if crash:  # what is not in the file is read again from the files of the workers, which this test has none of
            pod.log.save("e1")
            pod.log = FactsLog(pod.folder)
            pod.log.load("e1")

    def _beat_connected(self, uid: str, *, hears: bool = True) -> None:
        if self.pods[uid].session is None:
            self.connect(uid)
        self.beat(uid, 1000, hears, False)

    # --- what the API says, and time

    @rule(name=st.sampled_from(SERVICES))
    def service(self, name: str) -> None:
        """A service comes, or goes and perhaps comes again."""
        if ("shop", name) in self.roll.fleets:
            self.roll.drop(("shop", name))
            self.complete.discard(name)
        else:
            self._add(name)

    @rule(uid=UID, away_s=st.sampled_from([0.0, 3.0, LINGER_S + 1]), answers=st.booleans(), deaf=st.booleans())
    def pod_leaves_the_selector_and_comes_back(self, uid: str, away_s: float, answers: bool, deaf: bool) -> None:
        """A label changes and changes back, while the agent goes on, perhaps without hearing of it; one that is silent
        meanwhile has left for good."""
        self._beat_connected(uid)
        self._beat_connected(uid)
        for fleet in self.roll.fleets.values():
            fleet.remove(uid, self.now_s)
        if answers:
            self.answer(uid, ENDPOINTS[0], 3, 1)
        for _ in range(int(2 * away_s)):
            self.wait(0.5)
            if answers:
                self.answer(uid, ENDPOINTS[1], 1, 0)
            self._beat_connected(uid, hears=not deaf)
        for fleet in self.roll.fleets.values():
            fleet.upsert(pod_facts(uid))
            self.roll.pod_known(fleet, uid, self.now_s)

    @rule(dt_s=st.sampled_from([0.25, 0.5, 5.0]))
    def wait(self, dt_s: float) -> None:
        self.now_s += dt_s
        self.roll.fold(self.now_s, self.now_s)

    # --- the truth

    @rule()
    def settle(self) -> None:
        """When everybody had time to say what they know, a service has all of it, once."""
        if not self.roll.fleets:
            self._add("newsfeed")
        for pod in self.pods.values():
            self.answer(pod.agent.uid, ENDPOINTS[2], 1, 0)  # what is missing is seen when there is more to tell
            for _ in range(4):
                self._beat_connected(pod.agent.uid)
        self.wait(0.25)
        for fleet in self.roll.fleets.values():
            self._check(fleet, exactly=fleet.name in self.complete)

    def _check(self, fleet: Fleet, *, exactly: bool) -> None:
        truth: dict[str, list[int]] = {}
        for pod in self.pods.values():
            for endpoint, (requests, failures) in pod.truth.items():
                row = truth.setdefault(endpoint, [0, 0])
                row[0], row[1] = row[0] + requests, row[1] + failures
        totals = {name: list(row) for name, row in fleet.signals.endpoints.totals().items()}
        errors = fleet.signals.errors.totals()
        if exactly:
            assert totals == truth
            assert sum(errors.values()) == sum(pod.errors for pod in self.pods.values())
        for endpoint, row in totals.items():
            assert row[0] <= truth[endpoint][0]
            assert row[1] <= truth[endpoint][1]


TestFacts = Facts.TestCase
TestFacts.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
