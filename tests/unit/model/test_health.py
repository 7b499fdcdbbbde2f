"""One word for a service: a table of judgements, and the time that a word must hold."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rollcall.model.health import HOLD_S, Health, HealthState, Objectives, SteadyHealth, Vitals, judge

FINE = Vitals(pods=4, serving=4, coverage=1.0, finished=1000, error_ratio=0.0, p95_s=0.1)
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
        ({"error_ratio": 0.5, "finished": 9}, HealthState.DEGRADED, "ErrorsAboveObjective"),
        ({"error_ratio": 0.5, "finished": 10}, HealthState.DOWN, "MostRequestsFail"),
        ({"error_ratio": 0.011}, HealthState.DEGRADED, "ErrorsAboveObjective"),
        ({"error_ratio": 0.01}, HealthState.HEALTHY, "AsExpected"),
        ({"p95_s": 0.301}, HealthState.DEGRADED, "SlowerThanObjective"),
        ({"p95_s": 0.3}, HealthState.HEALTHY, "AsExpected"),
        ({"error_ratio": 0.2, "p95_s": 9.0}, HealthState.DEGRADED, "ErrorsAboveObjective"),
        # no traffic is no failure
        ({"finished": 0, "error_ratio": None, "p95_s": None}, HealthState.HEALTHY, "AsExpected"),
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


GOOD, BAD, DOWN = (health(state) for state in (HealthState.HEALTHY, HealthState.DEGRADED, HealthState.DOWN))


@pytest.mark.parametrize(
    ("judged", "shown"),
    [
        # the first word stands at once
        ([(0.0, BAD)], BAD),
        # another one only after it has held
        ([(0.0, GOOD), (1.0, BAD)], GOOD),
        ([(0.0, GOOD), (1.0, BAD), (1.0 + HOLD_S - 0.01, BAD)], GOOD),
        ([(0.0, GOOD), (1.0, BAD), (1.0 + HOLD_S, BAD)], BAD),
        # a break begins the time anew
        ([(0.0, GOOD), (1.0, BAD), (2.0, GOOD), (2.5, BAD), (2.5 + HOLD_S - 0.01, BAD)], GOOD),
        ([(0.0, GOOD), (1.0, BAD), (2.0, GOOD), (2.5, BAD), (2.5 + HOLD_S, BAD)], BAD),
        # so does a third word
        ([(0.0, GOOD), (1.0, BAD), (2.5, DOWN), (3.1, DOWN)], GOOD),
        ([(0.0, GOOD), (1.0, BAD), (2.5, DOWN), (4.5, DOWN)], DOWN),
        # and the way back takes as long
        ([(0.0, BAD), (1.0, GOOD), (2.9, GOOD)], BAD),
        ([(0.0, BAD), (1.0, GOOD), (3.0, GOOD)], GOOD),
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
