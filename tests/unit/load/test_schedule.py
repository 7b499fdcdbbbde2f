"""The schedule: exact numbers, no drift, and delays that are made up for; all by a clock that only moves when told."""

from __future__ import annotations

import itertools

import pytest

from tests.harness.load.schedule import Step, offsets, on_time, parse_steps


class FakeClock:
    """A clock that stands still but for `sleep`, which oversleeps by `overshoot` seconds."""

    def __init__(self, overshoot: float = 0.0) -> None:
        self.now = 1000.0
        self.overshoot = overshoot

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds + self.overshoot


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("100:10", [Step(100, 10)]),
        ("100:10,300:60", [Step(100, 10), Step(300, 60)]),
        ("0:5,0.5:4", [Step(0, 5), Step(0.5, 4)]),
    ],
)
def test_steps_are_parsed(text: str, steps: list[Step]) -> None:
    assert parse_steps(text) == steps


@pytest.mark.parametrize("text", ["", "100", "100:", "x:1", "-1:5", "100:0", "100:10,", "100:10:5"])
def test_bad_steps_are_refused_with_the_part_that_is_wrong(text: str) -> None:
    with pytest.raises(ValueError, match=r"not RATE:SECONDS|a rate is 0 or more"):
        parse_steps(text)


def test_offsets_of_two_steps_with_a_pause_between() -> None:
    assert list(offsets([Step(2, 1), Step(0, 3), Step(4, 1)])) == [0.0, 0.5, 4.0, 4.25, 4.5, 4.75]


@pytest.mark.parametrize(("rate", "seconds"), [(300, 60), (7, 3600), (333.3, 30)])
def test_offsets_do_not_drift(rate: float, seconds: float) -> None:
    due = list(offsets([Step(rate, seconds)]))
    assert len(due) == round(rate * seconds)
    assert due[-1] == pytest.approx((len(due) - 1) / rate, abs=1e-9)


async def test_oversleeping_does_not_add_up() -> None:
    clock = FakeClock(overshoot=0.003)
    lateness = [clock.now - scheduled async for scheduled in on_time(offsets([Step(100, 50)]), clock.sleep, clock)]
    assert len(lateness) == 5000
    assert max(lateness) == pytest.approx(0.003)
    assert clock.now - 1000.0 == pytest.approx(49.99 + 0.003)


async def test_overdue_requests_come_at_once_and_keep_their_scheduled_time() -> None:
    clock = FakeClock()
    seen: list[tuple[float, float]] = []
    async for scheduled in on_time(offsets([Step(10, 1)]), clock.sleep, clock):
        seen.append((round(scheduled - 1000.0, 6), round(clock.now - 1000.0, 6)))
        if len(seen) == 3:
            clock.now += 0.45
    assert [due for due, _ in seen] == [n / 10 for n in range(10)]
    assert [now for _, now in seen] == [0.0, 0.1, 0.2, 0.65, 0.65, 0.65, 0.65, 0.7, 0.8, 0.9]


async def test_the_schedule_is_drawn_lazily() -> None:
    clock = FakeClock()
    endless = (float(second) for second in itertools.count())
    async for scheduled in on_time(endless, clock.sleep, clock):
        if scheduled == 1002.0:
            break
    assert clock.now == 1002.0
