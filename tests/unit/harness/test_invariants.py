"""The checker that runs beside cluster tests: it is silent about what is right, and finds each thing that is wrong."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.cluster.invariants import STATES, Invariants


def pod(uid: str, state: str = "serving", slot: str | None = None) -> dict[str, Any]:
    return {"uid": uid, "name": f"pod-{uid}", "state": state, "slot": slot}


def left(uid: str, cause: str) -> dict[str, Any]:
    return {"uid": uid, "name": f"pod-{uid}", "cause": cause}


def picture(
    *roll: dict[str, Any], requests: int = 0, recent: list[dict[str, Any]] | None = None, **changes: Any
) -> dict[str, Any]:
    counts = {state: sum(entry["state"] == state for entry in roll) for state in STATES}
    given = {
        "namespace": "shop", "name": "newsfeed", "at": 1.0, "pods": counts | {"total": len(roll)}, "roll": list(roll),
        "totals": {"requests": requests, "errors": 0}, "bare": {}, "departures": {"recent": recent or []},
    }  # fmt: skip
    return given | changes


def seen(*pictures: dict[str, Any]) -> list[str]:
    checker = Invariants()
    for each in pictures:
        checker.see([each])
    return checker.violations


def test_what_is_right_is_not_spoken_of() -> None:
    before = picture(pod("a", slot="newsfeed-01"), pod("b", "pending"), requests=5)
    after = picture(pod("a", slot="newsfeed-01"), requests=7, recent=[left("b", "ScaleIn")])
    assert seen(before, after, after) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (picture(pod("a"), pods=dict.fromkeys(STATES, 0) | {"serving": 1, "total": 2}), "do not add up"),
        (picture(pod("a"), pods=dict.fromkeys(STATES, 0) | {"silent": 1, "total": 1}), "the roll has"),
        (picture(pod("a"), pod("a")), "twice"),
        (picture(pod("a", "bare")), "but reasons {}"),
        (picture(pod("a", slot="n-01"), pod("b", slot="n-01")), "slot n-01 is taken 2 times"),
        (picture(recent=[left("a", "ScaleIn"), left("a", "ScaleIn")]), "told 2 times"),
        (picture(pod("a"), recent=[left("a", "ScaleIn")]), "has left, and is on the roll"),
    ],
)
def test_each_thing_that_is_wrong_is_found(wrong: dict[str, Any], words: str) -> None:
    (said,) = seen(wrong)
    assert words in said
    assert said.startswith("shop/newsfeed at 1.00: ")


def test_totals_that_fall() -> None:
    assert seen(picture(requests=5), picture(requests=4)) == ["shop/newsfeed at 1.00: totals.requests fell from 5 to 4"]


def test_a_cause_that_changes() -> None:
    (said,) = seen(picture(recent=[left("a", "Deleted")]), picture(recent=[left("a", "ScaleIn")]))
    assert "left by Deleted, and then by ScaleIn" in said


def test_after_a_restart_totals_may_come_late_but_not_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    checker = Invariants()
    checker.see([picture(requests=5)])
    checker.away()
    checker.see([picture(requests=2)])
    assert checker.violations == []
    now[0] += 60
    checker.see([picture(requests=4)])
    assert len(checker.violations) == 1


def test_a_service_that_is_made_again_begins_again() -> None:
    checker = Invariants()
    checker.see([picture(requests=5)])
    checker.see([])
    checker.see([picture(requests=1)])
    assert checker.violations == []
    assert checker.looked == 3
