"""Pods on their way out: one cause each, once, whatever order the news come in."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rollcall.model.departures import Cause, Verdict
from rollcall.model.leavers import MISSED_PATIENCE_S, PATIENCE_S, Leaver, Leavers

OPEN = Verdict(Cause.DELETED, "nothing better is known", False)
SCALE_IN = Verdict(Cause.SCALE_IN, "wants 5, had 50", True)


class Watched:
    """Leavers of one owner, judged by how many pods that wants."""

    def __init__(self, wanted: int, *uids: str) -> None:
        self.wanted, self.now_s = wanted, 0.0
        self.leavers: Leavers[str] = Leavers()
        self.left: dict[str, Cause] = {}
        for uid in uids:
            self.leavers.stays(uid, "owner")

    def judge(self, leaver: Leaver[str]) -> Verdict:
        return SCALE_IN if leaver.present > self.wanted else OPEN

    def leaves(self, uid: str, *, finished: bool = False) -> None:
        self.leavers.leaves(uid, "owner", uid, self.now_s, finished=finished, asked_first=not finished)

    def gone(self, uid: str, *, missed: bool = False) -> None:
        self.leavers.gone(uid, "owner", uid, self.now_s, missed=missed)

    def step(self, dt_s: float = 0.25) -> None:
        self.now_s += dt_s
        for leaver in self.leavers.step(self.now_s, self.judge).left:
            assert leaver.uid not in self.left, "one cause, once"
            assert leaver.verdict is not None
            self.left[leaver.uid] = leaver.verdict.cause


def test_a_scale_in_of_fifty() -> None:
    names = [f"pod-{number}" for number in range(50)]
    watched = Watched(5, *names)
    for name in names[:45]:
        watched.leaves(name)
    watched.step()
    assert watched.left == {}
    assert {watched.leavers.verdict(name) for name in names[:45]} == {SCALE_IN}
    for name in names[:45]:
        watched.gone(name)
    watched.step()
    assert list(watched.left.values()) == [Cause.SCALE_IN] * 45
    assert len(watched.leavers) == 0


def test_the_owner_is_heard_of_a_moment_later() -> None:
    watched = Watched(2, "a", "b")
    watched.leaves("a")
    watched.gone("a")
    watched.step(PATIENCE_S / 2)
    assert (watched.left, watched.leavers.verdict("a")) == ({}, OPEN)
    watched.wanted = 1
    watched.step()
    assert watched.left == {"a": Cause.SCALE_IN}


def test_later_news_change_nothing() -> None:
    watched = Watched(2, "a", "b")
    watched.leaves("a")
    watched.step(PATIENCE_S)
    watched.wanted = 1
    watched.step()
    watched.gone("a")
    watched.step()
    assert watched.left == {"a": Cause.DELETED}


def test_a_replaced_pod_is_no_surplus() -> None:
    watched = Watched(2, "a", "b")
    watched.leaves("a")
    watched.leavers.stays("c", "owner")
    watched.gone("a")
    watched.step(PATIENCE_S)
    assert watched.left == {"a": Cause.DELETED}


def test_after_a_gap_there_is_more_patience() -> None:
    watched = Watched(2, "a", "b")
    watched.gone("a", missed=True)
    watched.step(MISSED_PATIENCE_S - 1)
    assert watched.left == {}
    watched.wanted = 1
    watched.step(0.5)
    assert watched.left == {"a": Cause.SCALE_IN}


def test_a_pod_that_has_finished_is_counted_once_also_when_its_object_stays() -> None:
    watched = Watched(1, "a")
    watched.leaves("a", finished=True)
    watched.step(PATIENCE_S)
    assert watched.left == {"a": Cause.DELETED}
    watched.leaves("a", finished=True)
    watched.leavers.stays("a", "owner")
    watched.step(PATIENCE_S)
    watched.gone("a")
    watched.step(PATIENCE_S)
    assert list(watched.left) == ["a"]
    assert not watched.leavers._done


def test_what_had_finished_before_we_looked_is_none_of_ours() -> None:
    watched = Watched(1)
    watched.leaves("a", finished=True)
    watched.gone("a")
    watched.step(PATIENCE_S)
    assert watched.left == {}


def test_what_is_forgotten_has_not_left() -> None:
    watched = Watched(1, "a", "b")
    watched.leaves("b")
    for uid in ("a", "b"):
        watched.leavers.forget(uid)
    watched.step(PATIENCE_S)
    assert (watched.left, len(watched.leavers), watched.leavers._staying) == ({}, 0, {})


uids = st.sampled_from([f"pod-{number}" for number in range(6)])


class Machine(RuleBasedStateMachine):
    """Any order of news; what the API can say of a pod is a path: it stays, leaves or finishes, is gone, never comes back."""

    def __init__(self) -> None:
        super().__init__()
        self.watched = Watched(3)
        self.seen: set[str] = set()
        self.finished: set[str] = set()
        self.ours: set[str] = set()
        self.gone: set[str] = set()

    @rule(uid=uids)
    def stays(self, uid: str) -> None:
        if uid not in self.gone:
            self.watched.leavers.stays(uid, "owner")
            if uid not in self.seen:
                self.ours.add(uid)
            self.seen.add(uid)

    @rule(uid=uids)
    def leaves(self, uid: str) -> None:
        if uid not in self.gone | self.finished:
            self.watched.leaves(uid)
            self.ours.add(uid)
            self.seen.add(uid)

    @rule(uid=uids)
    def finishes(self, uid: str) -> None:
        if uid not in self.gone:
            self.watched.leaves(uid, finished=True)
            self.finished.add(uid)
            self.seen.add(uid)

    @rule(uid=uids, missed=st.booleans())
    def goes(self, uid: str, missed: bool) -> None:
        if uid in self.seen and uid not in self.gone:
            self.watched.gone(uid, missed=missed)
            self.gone.add(uid)

    @rule(dt_s=st.sampled_from([0.25, PATIENCE_S, MISSED_PATIENCE_S]), wanted=st.integers(0, 6))
    def step(self, dt_s: float, wanted: int) -> None:
        self.watched.wanted = wanted
        self.watched.step(dt_s)

    @invariant()
    def nobody_leaves_who_was_never_here(self) -> None:
        assert set(self.watched.left) <= self.ours & (self.gone | self.finished)

    def teardown(self) -> None:
        self.watched.step(MISSED_PATIENCE_S)
        self.watched.step(MISSED_PATIENCE_S)
        assert set(self.watched.left) == self.ours & (self.gone | self.finished), "everybody has a cause in the end"


Machine.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestLeavers = Machine.TestCase
