"""A shortage is told soon, a single failure is none, and it neither flaps nor lingers."""

from __future__ import annotations

import random

import pytest

from rollcall.model.causes import Throttled
from rollcall.model.fleet import FleetSettings
from rollcall.model.health import HealthState, Objectives
from rollcall.model.throttling import BEGINS
from tests.unit.model.tellers import Stage, Teller

BEAT_S = 0.5


class Shop:
    """One pod that calls one dependency; each `beat` is a report and two folds."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.teller: Teller = self.stage.pod("uid-a")
        self.stage.turn(self.teller)

    def beat(self, calls: int, failures: int, reason: str = "throttled", requests: int = 0) -> list[Throttled]:
        teller, stage = self.teller, self.stage
        teller.tell(
            teller.called("dynamodb newsfeed", [0.01] * calls, failures={reason: failures} if failures else {}), stage.now_s
        )
        teller.agent.answer([0.02] * requests, errors=failures if requests else 0)
        stage.turn(teller, dt_s=BEAT_S / 2)
        stage.turn(dt_s=BEAT_S / 2)
        return stage.picture().throttled


@pytest.mark.parametrize("reason", ["refused", "throttled", "exhausted"])
def test_it_begins_with_its_first_failures_and_says_since_when(reason: str) -> None:
    shop = Shop()
    for _ in range(40):
        assert shop.beat(50, 0) == []
    began = shop.stage.unix_s
    (found,) = shop.beat(50, 20, reason)
    assert (found.dependency, found.reason) == ("dynamodb newsfeed", reason)
    assert 0 <= found.since - began <= BEAT_S
    for _ in range(10):
        (found,) = shop.beat(50, 20, reason)
    assert found.per_second == pytest.approx(40, rel=0.25)
    assert found.ratio == pytest.approx(0.4)
    assert 0 <= found.since - began <= BEAT_S, "it does not move"


@pytest.mark.parametrize("reason", ["error", "timeout"])
def test_other_failures_are_no_shortage(reason: str) -> None:
    shop = Shop()
    assert not any(shop.beat(50, 50, reason) for _ in range(20))


@pytest.mark.parametrize(
    ("calls", "failures", "begins_after_s"),
    [
        (50, [1], None),  # one is no shortage
        (1, [1], None),  # also when it is the only call
        (1, [1, 0, 1], None),
        (50, [1, 1, 1], 1.5),
        (50, [3], 0.5),
        (1, [1, 0, 1, 0, 1], 2.5),  # one call a second, and all of them fail
        (5000, [1, *[0] * 9] * 6, None),  # 6 of 600,000 calls, 5 s apart
        (50, [1, *[0] * 5] * 6, None),  # one in 3 s, of 100 calls a second: 0.3 %
        (10, [1, *[0] * 5] * 6, 6.5),  # the same of 20 a second: 1.7 %
        (5000, [2] * 4, 1.0),
    ],
)  # fmt: skip
def test_when_it_begins(calls: int, failures: list[int], begins_after_s: float | None) -> None:
    shop = Shop()
    for _ in range(30):
        shop.beat(calls if calls > 1 else 0, 0)
    began_s, first = shop.stage.now_s, None
    for count in failures + [0] * 20:
        if shop.beat(max(calls, count) if calls > 1 else count, count) and first is None:
            first = shop.stage.now_s - began_s
    assert first == begins_after_s


@pytest.mark.parametrize("per_beat", [1, 3, 50, 5000])
def test_it_is_over_within_half_a_minute_and_not_at_once(per_beat: int) -> None:
    shop = Shop()
    for _ in range(60):
        shop.beat(per_beat, per_beat)
    assert shop.stage.picture().throttled
    ended_s = shop.stage.now_s
    while shop.beat(50, 0):
        assert shop.stage.now_s - ended_s < 30
    assert shop.stage.now_s - ended_s >= 15


def test_it_does_not_flap() -> None:
    """Failures come in bursts with pauses of up to 15 s: one shortage from the first to the last."""
    shop, dice = Shop(), random.Random(7)
    sinces = set()
    shop.beat(50, 10)
    for _ in range(40):
        for _ in range(dice.randint(1, 30)):
            (found,) = shop.beat(50, 0)
            sinces.add(found.since)
        (found,) = shop.beat(50, dice.randint(BEGINS, 40))
        sinces.add(found.since)
    assert len(sinces) == 1


def test_a_shortage_that_builds_up_slowly_is_told_before_the_error_objective_is_missed() -> None:
    """100 requests a second with a call each; the part that is throttled, and fails its request, grows by 0.1 % a second."""
    shop = Shop()
    shop.stage.fleet.settings = FleetSettings(objectives=Objectives(error_ratio=0.01))
    for _ in range(30):
        shop.beat(50, 0, requests=50)
    dice, told_s, missed_s = random.Random(1), None, None
    for beat in range(120):
        part = 0.001 * beat / 2
        throttled = sum(dice.random() < part for _ in range(50))
        found = shop.beat(50, throttled, requests=50)
        health = shop.stage.fleet.last.health
        told_s = beat / 2 if found and told_s is None else told_s
        if missed_s is None and health.state is not HealthState.HEALTHY:
            missed_s = beat / 2
    assert told_s is not None
    assert missed_s is not None
    assert told_s < missed_s


def test_the_worst_come_first() -> None:
    shop = Shop()
    for _ in range(4):
        shop.teller.tell(shop.teller.called("redis cache", [0.01] * 90, failures={"refused": 90}), shop.stage.now_s)
        found = shop.beat(50, 5)
    assert [(each.dependency, each.reason) for each in found] == [
        ("redis cache", "refused"),
        ("dynamodb newsfeed", "throttled"),
    ]
