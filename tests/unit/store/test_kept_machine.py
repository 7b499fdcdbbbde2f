"""An operator that is killed at any moment goes on from what was last written: nothing is counted twice, and nothing is lost
but what pods told between the last writing and the kill, if they left before the next operator came."""

from __future__ import annotations

import shutil
import tempfile
from copy import deepcopy
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from rollcall.model.fleet import LINGER_S, Fleet
from rollcall.model.kept import Keepsake, keep, restore
from rollcall.model.roll import Roll, Session
from rollcall_agent.additions import Additions
from rollcall_agent.facts_log import FactsLog
from tests.unit.model.agents import Agent
from tests.unit.model.agents import facts as pod_facts

PODS = ("a", "b", "c")
POD = st.sampled_from(PODS)
ARRIVE = st.sampled_from([0, 1, 2, 99, 99])
"""So many frames of half a second, before the connection breaks."""
ENDPOINTS = ("GET /feed", "POST /post")
Counts = dict[str, int]


@dataclass
class Pod:
    """One life of a pod: what it truly answered, and what of that the operator was told."""

    uid: str
    log: FactsLog
    agent: Agent
    session: Session | None = None
    truth: Counts = field(default_factory=dict)
    marks: dict[int, Counts] = field(default_factory=dict)
    """What its FACTS up to each number add up to."""


class Kept(RuleBasedStateMachine):
    """Three pods that come and go, one service, one operator after the other."""

    @initialize()
    def begin(self) -> None:
        self.now_s = 1000.0
        self.folder = tempfile.mkdtemp()
        self.lives = 0
        self.counted: dict[str, int] = {}
        """Requests by pod that are in reports the operator took."""
        self.told: dict[str, Counts] = {}
        """The same by endpoint, of FACTS."""
        self.writing: tuple[Keepsake, dict[str, int], dict[str, Counts]] | None = None
        self.written: tuple[Keepsake, dict[str, int], dict[str, Counts]] | None = None
        self.pods: dict[str, Pod] = {}
        self.shown = 0
        self._operator()
        for name in PODS:
            self._born(name)

    def teardown(self) -> None:
        self.settle()
        shutil.rmtree(self.folder)

    def _operator(self) -> None:
        self.roll, self.fleet = Roll(), Fleet("shop", "newsfeed")
        self.roll.keep(True)
        self.roll.add(self.fleet)
        if self.written is not None:
            restore(self.fleet, self.written[0].parts, self.now_s, self.now_s + 1e9)
        for pod in self.pods.values():
            pod.session = None
            self.fleet.upsert(pod_facts(pod.uid))
        self.fleet.departed_pods += self.fleet.before.settle(self.fleet.pods)

    def _born(self, name: str) -> None:
        self.lives += 1
        uid = f"uid-{name}-{self.lives}"
        self.pods[name] = Pod(uid, FactsLog(tempfile.mkdtemp(dir=self.folder)), Agent(uid))
        self.fleet.upsert(pod_facts(uid))
        self.roll.pod_known(self.fleet, uid, self.now_s)

    # --- what happens in pods

    @rule(name=POD, endpoint=st.sampled_from(ENDPOINTS), requests=st.integers(1, 9), arrive=ARRIVE, acknowledged=st.booleans())
    def live(self, name: str, endpoint: str, requests: int, arrive: int, acknowledged: bool) -> None:
        """Requests are answered, and told or not."""
        self.answer(name, endpoint, requests)
        if self.pods[name].session is None and arrive:
            self.connect(name)
        self.beat(name, arrive, acknowledged)

    def answer(self, name: str, endpoint: str, requests: int) -> None:
        pod, found = self.pods[name], Additions()
        found.add_row(endpoint, requests, 0, requests * 10_000)
        pod.log.take(found)
        pod.agent.answer([0.01] * requests)
        pod.truth[endpoint] = pod.truth.get(endpoint, 0) + requests

    def connect(self, name: str) -> None:
        pod = self.pods[name]
        pod.session = self.roll.open(pod.uid, "shop", pod.uid, "e1", 0, self.now_s, pod.log.first)
        pod.session.changed = False
        pod.log.welcomed(pod.session.tell(), 0, new=True)

    def beat(self, name: str, arrive: int, acknowledged: bool) -> None:
        """Half a second: names and facts, then the report; only the first frames when the connection breaks."""
        pod = self.pods[name]
        if pod.session is None:
            return
        sent = list(pod.log.frames(self.now_s, "e1"))
        pod.marks[pod.log.number] = dict(pod.truth)
        for table, body in sent[:arrive]:
            if table:
                pod.session.define(body)
            else:
                assert pod.session.accept_facts(body, self.now_s) is None, "the agent has what is asked for"
        if pod.session.taken:
            self.told[pod.uid] = pod.marks[pod.session.taken]
        if arrive < len(sent):
            self._lose(pod)
            return
        pod.session.accept(pod.agent.body(self.now_s), self.now_s)
        self.counted[pod.uid] = pod.agent.finished
        if acknowledged:
            pod.log.acknowledged(pod.session.kept)

    def _lose(self, pod: Pod) -> None:
        if pod.session is not None:
            self.roll.close(pod.session)
            pod.session = None

    def _say_all(self, name: str) -> None:
        if self.pods[name].session is None:
            self.connect(name)
        for _ in range(3):
            self.beat(name, 99, True)

    @rule(name=POD, away=st.booleans())
    def replaced(self, name: str, away: bool) -> None:
        """A pod says all it knows, or nothing more, and leaves; another comes."""
        if not away:
            self._say_all(name)
        pod = self.pods[name]
        self._lose(pod)
        self.fleet.remove(pod.uid, self.now_s)
        self._born(name)

    # --- writing, and the end of operators

    @rule(done=st.booleans())
    def write(self, done: bool) -> None:
        """What was begun ends; another is begun, and perhaps ends at once."""
        self._end_to_write()
        self.writing = keep(self.fleet, self.now_s, self.now_s + 1e9), deepcopy(self.counted), deepcopy(self.told)
        if done:
            self._end_to_write()

    def _end_to_write(self) -> None:
        if self.writing is not None:
            self.writing[0].is_kept()
            self.written, self.writing = self.writing, None

    @rule(leave=st.sets(POD), told=st.booleans())
    def kill(self, leave: set[str], told: bool) -> None:
        """Whatever was being written arrives or not; some pods leave before the next one looks."""
        if self.writing is not None and told:
            self.written = self.writing
        self.writing = None
        living = {pod.uid for name, pod in self.pods.items() if name not in leave}
        kept = self.written or (None, {}, {})
        self.counted, self.told = deepcopy(kept[1]), deepcopy(kept[2])
        for name in leave:
            del self.pods[name]
        self._operator()
        assert set(self.fleet.pods) == living
        for name in leave:
            self._born(name)
        self.shown = 0  # what is shown may fall by what is lost

    @rule(dt_s=st.sampled_from([0.25, 2.0, LINGER_S + 1]))
    def wait(self, dt_s: float) -> None:
        self.now_s += dt_s
        self.roll.fold(self.now_s, self.now_s + 1e9)

    # --- the truth

    @invariant()
    def never_more_than_was_answered_and_never_less_than_shown(self) -> None:
        shown = self.fleet.totals().requests
        assert shown >= self.shown
        self.shown = shown

    @rule()
    def settle(self) -> None:
        """When everybody had time to say what they know, all of it is there, once."""
        for name in PODS:
            self._say_all(name)
        self.wait(0.25)
        living = {pod.uid: pod for pod in self.pods.values()}
        for uid, pod in living.items():
            assert self.told.get(uid, {}) == pod.truth
        assert self.fleet.before.facts_lost == 0
        truth: Counts = {}
        for counts in self.told.values():
            for endpoint, requests in counts.items():
                truth[endpoint] = truth.get(endpoint, 0) + requests
        assert {name: row[0] for name, row in self.fleet.signals.endpoints.totals().items()} == truth
        assert self.fleet.totals().requests == max(sum(self.counted.values()), self.fleet.before.floor.requests)
        gone = sum(count for uid, count in self.counted.items() if uid not in living)
        assert self.fleet.departed().requests == gone


TestKept = Kept.TestCase
TestKept.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
