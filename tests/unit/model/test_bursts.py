"""Fifty pods that leave for one cause are one piece of news; a crash is told soon."""

from __future__ import annotations

from rollcall.model.bursts import LONGEST_S, QUIET_S, Bursts
from rollcall.model.departures import Cause, Verdict

SCALE_IN = Verdict(Cause.SCALE_IN, "Deployment/newsfeed wants 5 pods, and had 6", True)
CRASHED = Verdict(Cause.CRASHED, "container web ended with exit code 3", True)


def told(bursts: Bursts, until_s: float) -> list[tuple[float, Cause, str]]:
    return [(at / 2, *news) for at in range(int(2 * until_s)) for news in bursts.over(at / 2)]


def test_a_scale_in_is_one_event() -> None:
    bursts = Bursts()
    for number in range(45):
        bursts.add(f"pod-{number}", "Deployment/newsfeed", SCALE_IN, number / 10)
    ((at_s, cause, sentence),) = told(bursts, 60)
    assert cause is Cause.SCALE_IN
    assert sentence == "45 pods left: ScaleIn: Deployment/newsfeed wants 5 pods, and had 6"
    assert 4.4 + QUIET_S[False] <= at_s <= 5 + QUIET_S[False]


def test_one_event_for_each_cause_and_the_abnormal_soon_with_names() -> None:
    bursts = Bursts()
    bursts.add("pod-a", "Deployment/newsfeed", SCALE_IN, 0.0)
    for number in range(7):
        bursts.add(f"pod-{number}", "Deployment/newsfeed", CRASHED, 0.0)
    crashed, scaled = told(bursts, 60)
    assert (crashed[0], scaled[0]) == (QUIET_S[True], QUIET_S[False])
    assert crashed[2] == (
        "7 pods left: Crashed: container web ended with exit code 3 (pod-0, pod-1, pod-2, pod-3, pod-4 and 2 more)"
    )
    assert scaled[2].startswith("1 pod left: ScaleIn")


def test_what_goes_on_for_long_is_told_from_time_to_time() -> None:
    bursts, found = Bursts(), []
    for second in range(300):
        bursts.add(f"pod-{second}", "Deployment/newsfeed", CRASHED, float(second))
        found += bursts.over(float(second))
    assert 300 / LONGEST_S[True] * 0.8 <= len(found) <= 300 / LONGEST_S[True]


def test_several_workloads_are_named() -> None:
    bursts = Bursts()
    for number in range(3):
        bursts.add("pod", "Deployment/a" if number else "Deployment/b", SCALE_IN, 0.0)
    ((_, sentence),) = bursts.over(QUIET_S[False])
    assert sentence.endswith("; 2 of Deployment/a, 1 of Deployment/b")
