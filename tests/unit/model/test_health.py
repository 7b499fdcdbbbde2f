"""One word for a service: a table of judgements, and the time that a word must hold."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from rollcall.model.health import (
    BETTER_S,
    MET_AGAIN,
    WORSE_S,
    Health,
    HealthState,
    Missed,
    Objectives,
    SteadyHealth,
    Vitals,
    judge,
)

FINE = Vitals(pods=4, serving=4, coverage=1.0, ended=1000, error_ratio=0.0, p95_s=0.1)
WANTED = Objectives(p95_s=0.3, error_ratio=0.01, minimum_coverage=0.8)


@pytest.mark.parametrize(
    ("changes", "state", "reason"),
    [
        ({}, HealthState.HEALTHY, "AsExpected"),
        ({"pods": 0, "serving": 0, "coverage": None}, HealthState.UNKNOWN, "NoPods"),
        ({"serving": 0, "coverage": None}, HealthState.UNKNOWN, "NothingToReport"),
        ({"coverage": 0.79}, HealthState.UNKNOWN, "LowCoverage"),
        ({"coverage": 0.8}, HealthState.HEALTHY, "AsExpected"),
        # what is not seen is not judged, however bad the rest looks
        ({"coverage": 0.5, "serving": 0, "error_ratio": 1.0}, HealthState.UNKNOWN, "LowCoverage"),
        ({"serving": 0}, HealthState.DOWN, "NoServingPod"),
        ({"error_ratio": 0.5}, HealthState.DOWN, "MostRequestsFail"),
        ({"error_ratio": 0.5, "ended": 9}, HealthState.DEGRADED, "ErrorsAboveObjective"),
        ({"error_ratio": 0.5, "ended": 10}, HealthState.DOWN, "MostRequestsFail"),
        ({"error_ratio": 0.011}, HealthState.DEGRADED, "ErrorsAboveObjective"),
        ({"error_ratio": 0.01}, HealthState.HEALTHY, "AsExpected"),
        ({"p95_s": 0.301}, HealthState.DEGRADED, "SlowerThanObjective"),
        ({"p95_s": 0.3}, HealthState.HEALTHY, "AsExpected"),
        ({"error_ratio": 0.2, "p95_s": 9.0}, HealthState.DEGRADED, "ErrorsAboveObjective"),
        ({"stuck": 1}, HealthState.DEGRADED, "RequestsStuck"),
        ({"stuck": 1, "p95_s": 9.0}, HealthState.DEGRADED, "RequestsStuck"),
        ({"stuck": 1, "error_ratio": 0.2}, HealthState.DEGRADED, "ErrorsAboveObjective"),
        ({"stuck": 1, "nothing_finishes": True, "ended": 0}, HealthState.DOWN, "NothingFinishes"),
        ({"stuck": 1, "coverage": 0.5}, HealthState.UNKNOWN, "LowCoverage"),
        # no traffic is no failure
        ({"ended": 0, "error_ratio": None, "p95_s": None}, HealthState.HEALTHY, "AsExpected"),
    ],
)
def test_judgement(changes: dict[str, float], state: HealthState, reason: str) -> None:
    found = judge(replace(FINE, **changes), WANTED)
    assert (found.state, found.reason) == (state, reason)
    assert found.message


def test_what_is_not_expected_is_not_judged() -> None:
    assert judge(replace(FINE, error_ratio=0.4, p95_s=60.0), Objectives()).state is HealthState.HEALTHY


def health(state: HealthState, message: str = "") -> Health:
    return Health(state, "Reason", message)


GOOD, BAD, DOWN, UNSEEN = (
    health(state) for state in (HealthState.HEALTHY, HealthState.DEGRADED, HealthState.DOWN, HealthState.UNKNOWN)
)


@pytest.mark.parametrize(
    ("judged", "shown"),
    [
        # the first word stands at once
        ([(0.0, BAD)], BAD),
        # another one only after it has held
        ([(0.0, GOOD), (1.0, BAD)], GOOD),
        ([(0.0, GOOD), (1.0, BAD), (1.0 + WORSE_S - 0.01, BAD)], GOOD),
        ([(0.0, GOOD), (1.0, BAD), (1.0 + WORSE_S, BAD)], BAD),
        # a break begins the time anew
        ([(0.0, GOOD), (1.0, BAD), (2.0, GOOD), (2.5, BAD), (2.5 + WORSE_S - 0.01, BAD)], GOOD),
        ([(0.0, GOOD), (1.0, BAD), (2.0, GOOD), (2.5, BAD), (2.5 + WORSE_S, BAD)], BAD),
        # so does a third word
        ([(0.0, GOOD), (1.0, BAD), (2.5, DOWN), (3.1, DOWN)], GOOD),
        ([(0.0, GOOD), (1.0, BAD), (2.5, DOWN), (4.5, DOWN)], DOWN),
        # the way back takes longer
        ([(0.0, BAD), (1.0, GOOD), (1.0 + BETTER_S - 0.01, GOOD)], BAD),
        ([(0.0, BAD), (1.0, GOOD), (1.0 + BETTER_S, GOOD)], GOOD),
        ([(0.0, DOWN), (1.0, BAD), (1.0 + BETTER_S - 0.01, BAD)], DOWN),
        ([(0.0, DOWN), (1.0, BAD), (1.0 + BETTER_S, BAD)], BAD),
        # what is seen again is no improvement of the service
        ([(0.0, UNSEEN), (1.0, GOOD), (1.0 + WORSE_S - 0.01, GOOD)], UNSEEN),
        ([(0.0, UNSEEN), (1.0, GOOD), (1.0 + WORSE_S, GOOD)], GOOD),
        ([(0.0, DOWN), (1.0, UNSEEN), (1.0 + WORSE_S, UNSEEN)], UNSEEN),
    ],
)
def test_a_word_must_hold(judged: list[tuple[float, Health]], shown: Health) -> None:
    steady = SteadyHealth()
    for now_s, found in judged:
        last = steady.update(found, now_s)
    assert last == shown


def test_the_sentence_of_the_same_word_is_always_the_newest() -> None:
    steady = SteadyHealth()
    steady.update(health(HealthState.DEGRADED, "2 % fail"), 0.0)
    assert steady.update(health(HealthState.DEGRADED, "3 % fail"), 0.25).message == "3 % fail"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"stuck": 1}, "1 request has been in flight for longer than 8 s, the oldest for 43 s"),
        ({"stuck": 7, "stuck_after_s": 2.5}, "7 requests have been in flight for longer than 2.5 s, the oldest for 43 s"),
        (
            {"stuck": 2, "nothing_finishes": True},
            "no request finishes any more; 2 requests have been in flight for longer than 8 s, the oldest for 43 s",
        ),
    ],
)
def test_the_sentence_about_stuck_requests(changes: dict[str, float], sentence: str) -> None:
    given = {"stuck_after_s": 8.0, "oldest_s": 43.2} | changes
    assert judge(replace(FINE, **given), WANTED).message == sentence


@pytest.mark.parametrize("field", ["p95", "errors"])
@pytest.mark.parametrize(("share", "met"), [(1.0, False), (MET_AGAIN + 0.01, False), (MET_AGAIN, True), (0.5, True)])
def test_what_was_missed_is_harder_to_meet(field: str, share: float, met: bool) -> None:
    vitals = replace(FINE, p95_s=0.3 * share) if field == "p95" else replace(FINE, error_ratio=0.01 * share)
    assert judge(vitals, WANTED).state is HealthState.HEALTHY
    found = judge(vitals, WANTED, Missed(**{field: True}))
    assert (found.state is HealthState.HEALTHY) is met
    assert met or "met again below 90% of it" in found.message


def shown(p95_s_at: list[tuple[float, float | None]]) -> list[str]:
    """The words over time, folded four times a second; each p95 holds until the next one is given."""
    steady, words, given = SteadyHealth(), [], dict(p95_s_at)
    value: float | None = None
    for step in range(int(4 * p95_s_at[-1][0]) + 1):
        value = given.get(step / 4, value)
        words.append(steady.judge(replace(FINE, p95_s=value), WANTED, step / 4).state.value)
    return words


def test_a_service_at_the_edge_of_its_objective_does_not_flap() -> None:
    edge = [(second / 2, 0.31 if second % 2 else 0.29) for second in range(120)]
    words = shown([(0.0, 0.31), (4.0, 0.29), *((5 + at, value) for at, value in edge)])
    changes = sum(before != after for before, after in pairwise(words))
    assert words[0] == words[-1] == "Degraded"
    assert changes == 0


def test_an_excursion_shorter_than_it_takes_leaves_no_trace() -> None:
    assert set(shown([(0.0, 0.1), (2.0, 0.31), (3.5, 0.29), (20.0, 0.29)])) == {"Healthy"}


def test_with_room_below_the_objective_it_is_met_again() -> None:
    words = shown([(0.0, 0.1), (2.0, 0.4), (8.0, 0.28), (20.0, 0.26), (30.0, 0.26)])
    assert words[4 * 8] == "Degraded", "missed"
    assert words[4 * 19] == "Degraded", "280 ms is below 300 ms, but not far enough below"
    assert words[int(4 * (20 + BETTER_S)) - 1] == "Degraded"
    assert words[int(4 * (20 + BETTER_S))] == "Healthy"


def test_no_traffic_is_no_missed_objective() -> None:
    words = shown([(0.0, 0.4), (5.0, None), (15.0, 0.29), (16.0, 0.29)])
    assert words[-1] == "Healthy"
