"""Whether a revision crashes more often than the one before: the test's probabilities, its words, and what it is fed with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.model.causes import RevisionCrashes
from rollcall.model.revisions import MOST, Revisions, chance, compare
from rollcall_agent.wire import facts
from tests.unit.model.agents import facts as pod_facts
from tests.unit.model.tellers import Stage


@pytest.mark.parametrize(
    ("crashes", "exposure_s", "before", "exposure_before_s", "more", "less"),
    [
        (0, 10, 0, 10, 1.0, 1.0),
        (1, 10, 0, 10, 0.5, 1.0),
        (5, 10, 0, 10, 1 / 32, 1.0),
        (0, 10, 5, 10, 1.0, 1 / 32),
        (3, 100, 1, 300, 0.25**3 * 0.75 * 4 + 0.25**4, 1 - 0.25**4),
        (12, 180, 0, 2400, (180 / 2580) ** 12, 1.0),
    ],
)  # fmt: skip
def test_chance(crashes: int, exposure_s: float, before: int, exposure_before_s: float, more: float, less: float) -> None:
    assert chance(crashes, exposure_s, before, exposure_before_s) == (pytest.approx(more), pytest.approx(less))


@given(st.integers(0, 60), st.integers(0, 60), st.floats(1e-3, 1e6), st.floats(1e-3, 1e6))
def test_chance_is_a_probability_and_symmetric(one: int, two: int, t_one: float, t_two: float) -> None:
    more, less = chance(one, t_one, two, t_two)
    assert 0 <= more <= 1
    assert 0 <= less <= 1
    exactly = math.comb(one + two, one) * (t_one / (t_one + t_two)) ** one * (t_two / (t_one + t_two)) ** two
    assert more + less == pytest.approx(1 + exactly, abs=1e-9)
    assert chance(two, t_two, one, t_one) == (pytest.approx(less, abs=1e-9), pytest.approx(more, abs=1e-9))


def revision(name: str, crashes: int, minutes: float, pods: int = 2) -> RevisionCrashes:
    return RevisionCrashes(name, crashes, minutes * 60, minutes * 60 * pods)


@pytest.mark.parametrize(
    ("newest", "before", "differs", "message"),
    [
        (
            revision("7f9c", 12, 3), revision("6d5b", 0, 40), "higher",
            "12 crashes in 3 minutes since revision 7f9c; none in 40 minutes of 6d5b",
        ),
        (
            revision("7f9c", 0, 200), revision("6d5b", 9, 100), "lower",
            "no crash in 3 hours since revision 7f9c; 9 crashes in 1 hour of 6d5b",
        ),
        (
            revision("7f9c", 2, 3), revision("6d5b", 1, 3), "no",
            "2 crashes in 3 minutes since revision 7f9c; 1 crash in 3 minutes of 6d5b, which is no proven difference",
        ),
        (
            revision("7f9c", 1, 0.5), None, None,
            "1 crash in 30 s since revision 7f9c; no revision before it has been seen",
        ),
        (
            revision("7f9c", 4000, 60), revision("6d5b", 2000, 60 * 48), "higher",
            "4000 crashes in 1 hour since revision 7f9c; 2000 crashes in 2 days of 6d5b",
        ),
    ],
)  # fmt: skip
def test_compare(newest: RevisionCrashes, before: RevisionCrashes | None, differs: str | None, message: str) -> None:
    found = compare("Deployment/newsfeed", newest, before)
    assert (found.differs, found.message) == (differs, message)
    assert (found.p is None) == (differs is None)


def test_a_rollout_is_told_by_its_pods() -> None:
    """Pods of the old revision for a minute, then of the new one, which crash."""
    stage = Stage()
    old = [stage.pod(f"uid-old-{n}", revision="6d5b", workload="Deployment/newsfeed", created_at=10.0) for n in range(2)]
    for _ in range(120):
        stage.turn(*old)
    assert stage.fleet.revisions.picture() is None
    new = [stage.pod(f"uid-new-{n}", revision="7f9c", workload="Deployment/newsfeed", created_at=70.0) for n in range(3)]
    other = stage.pod("uid-other", revision="aaaa", workload="Deployment/worker", created_at=99.0)
    for _ in range(20):
        new[0].tell([(facts.DEATHS, 0, 11, 1)], stage.now_s)
        stage.turn(*new, other)
    crashes = stage.picture().crashes
    assert crashes is not None
    found = crashes.revisions
    assert found is not None
    assert found.before is not None
    assert (found.workload, found.newest.revision, found.before.revision) == ("Deployment/newsfeed", "7f9c", "6d5b")
    assert (found.newest.crashes, found.before.crashes, found.differs) == (20, 0, "higher")
    assert found.newest.seconds == pytest.approx(10, abs=0.6)
    assert found.newest.pod_seconds == pytest.approx(30, abs=1.6)
    assert found.before.pod_seconds == pytest.approx(2 * found.before.seconds)
    assert found.message == "20 crashes in 10 s since revision 7f9c; none in 1 minute of 6d5b"


def test_after_a_rollback_the_older_template_is_the_newest() -> None:
    revisions, at_s = Revisions(), 0.0
    for number, (name, created_at) in enumerate((("a", 1.0), ("b", 2.0), ("a", 3.0))):
        revisions.seat(number, pod_facts(revision=name, workload="Deployment/x", created_at=created_at))
        for _ in range(4):
            at_s += 1
            revisions.update(np.arange(3) == number, at_s)
    revisions.crashed(2, 1)
    found = revisions.picture()
    assert found is not None
    assert found.before is not None
    assert (found.newest.revision, found.before.revision) == ("a", "b")


def test_a_gap_between_folds_is_no_exposure() -> None:
    revisions = Revisions()
    revisions.seat(0, pod_facts(revision="a", workload="Deployment/x"))
    for at_s in (0.0, 1.0, 500.0, 501.0):
        revisions.update(np.array([True]), at_s)
    revisions.crashed(0, 1)
    found = revisions.picture()
    assert found is not None
    assert found.newest.pod_seconds == 2.0


def test_revisions_are_bounded_and_the_oldest_go() -> None:
    revisions = Revisions()
    fresh: Any = np.zeros(200, bool)
    for number in range(3 * MOST):
        revisions.seat(number, pod_facts(revision=f"r{number}", workload="Deployment/x", created_at=float(number)))
        fresh[:] = False
        fresh[number] = True
        revisions.update(fresh, number * 1.0)
        revisions.crashed(number, 1)
    found = revisions.picture()
    assert found is not None
    assert found.before is not None
    assert (found.newest.revision, found.before.revision) == (f"r{3 * MOST - 1}", f"r{3 * MOST - 2}")
    assert found.newest.crashes == found.before.crashes == 1
    assert len(revisions._figures) < MOST


def test_pods_without_a_revision_are_not_compared() -> None:
    revisions = Revisions()
    revisions.seat(0, pod_facts())
    revisions.update(np.array([True]), 1.0)
    revisions.crashed(0, 5)
    revisions.crashed(99, 5)
    assert revisions.picture() is None
