"""The truth table of blame, played by a small Kubernetes: whoever is at fault, with whatever timing, the right one is found."""

from __future__ import annotations

import itertools
import os
import random

import pytest

from rollcall.model.blame import Blame, Ended, Release, Sight, Verdict
from tests.unit.model.kubelet import NEVER, Behaviour, Start, World

SEEDS = int(os.environ.get("ROLLCALL_BLAME_SEEDS", "3"))
"""How many worlds of each kind; 3 are a few seconds."""
BAD, GOOD = "agent:2", "agent:1"


def broken_probe(after_s: float, ready_s: float) -> Behaviour:
    """The application is fine; with the probe it is dead `after_s` after its start."""
    return lambda start: (after_s + start.random.uniform(0, 0.5), ready_s) if start.probe else (NEVER, ready_s)


SHAPES = list(itertools.product((1, 2, 3, 5), (True, False)))


@pytest.mark.parametrize(("replicas", "rolling"), SHAPES)
@pytest.mark.parametrize("after_s", [0.0, 0.4, 1.5, 3.0, 6.0])
@pytest.mark.parametrize("works_elsewhere", [False, True])
def test_a_broken_probe_is_taken_back_within_a_minute(
    replicas: int, rolling: bool, after_s: float, works_elsewhere: bool
) -> None:
    """`works_elsewhere`: the agent is new, and fine with other workloads. Then a pod that is alone proves nothing."""
    proven = {GOOD: 9e9} | ({BAD: 9e9} if works_elsewhere else {})
    for seed in range(SEEDS):
        world = World(seed, broken_probe(after_s, 1.0 + seed % 3), replicas, rolling, new=Release("r2", BAD), proven=proven)
        world.run()
        if replicas == 1 and not rolling and works_elsewhere:
            assert world.verdict is None
            assert all(world.now >= pod.ready_at for pod in world.pods.values()), "it runs all the same"
            continue
        assert world.verdict is not None, (seed, "not taken back")
        assert world.second_crash is not None
        assert world.verdict.since - world.second_crash <= 60, seed
        assert (world.verdict.workload, world.verdict.agent) == ("Deployment/web", BAD)


def after(low: float, high: float, ready_s: float = 0.5) -> Behaviour:
    return lambda start: (start.random.uniform(low, high), ready_s)


def at_random(mean_s: float) -> Behaviour:
    """A request that kills it comes now and then."""
    return lambda start: (start.random.expovariate(1 / mean_s), 0.5)


def until(time: float, crash_s: float) -> Behaviour:
    """A dependency comes `time` after the beginning; before, the application ends soon after its start."""
    return lambda start: (NEVER, 1.0) if start.at >= 1000 + time else (start.random.uniform(crash_s, crash_s + 0.4), NEVER)


def the_first(starts: int) -> Behaviour:
    return lambda start: (0.3, NEVER) if start.number < starts else (NEVER, 0.5)


def after_waiting(seconds: float) -> Behaviour:
    """Something else in the same pod must have come up first."""
    return lambda start: (0.3, NEVER) if start.age < seconds else (NEVER, 0.5)


def mostly(share: float) -> Behaviour:
    """Each start fails with this probability."""
    return lambda start: (0.2, NEVER) if start.random.random() < share else (NEVER, 0.5)


OWN_FAULTS = {
    "exits at start": after(0.0, 0.3),
    "exits after a second or so": after(1.0, 2.0),
    "exits after five seconds": after(5.0, 5.2),
    "exits after half a minute": after(29.0, 31.0),
    "is killed by its liveness probe": after(18.0, 22.0, NEVER),
    "runs out of memory after 15 s": after(13.0, 17.0),
    "runs out of memory at once": after(0.5, 1.5, NEVER),
    "crashes on a request, often": at_random(2.0),
    "crashes on a request, sometimes": at_random(8.0),
    "crashes on a request, rarely": at_random(60.0),
    "any time within half a minute": after(0.0, 30.0),
    "its dependency comes after 5 s": until(5.0, 0.3),
    "its dependency comes after 12 s": until(12.0, 1.0),
    "its dependency comes after 20 s": until(20.0, 0.1),
    "its dependency comes after 45 s": until(45.0, 3.0),
    "its dependency comes after 100 s": until(100.0, 0.2),
    "the first two starts fail": the_first(2),
    "the first three starts fail": the_first(3),
    "has to wait for its neighbour in the pod": after_waiting(8.0),
    "exits after a minute": after(55.0, 65.0),
}


@pytest.mark.parametrize("fault", OWN_FAULTS)
@pytest.mark.parametrize(("replicas", "rolling"), SHAPES)
def test_an_application_that_crashes_by_itself_blames_nobody(fault: str, replicas: int, rolling: bool) -> None:
    for seed in range(2 * SEEDS):
        world = World(seed, OWN_FAULTS[fault], replicas, rolling).run()
        assert world.verdict is None, (seed, world.verdict)


@pytest.mark.parametrize("fault", ["exits at start", "exits after five seconds", "crashes on a request, often"])
@pytest.mark.parametrize(("replicas", "rolling"), SHAPES)
def test_not_even_when_the_agent_is_new_as_well(fault: str, replicas: int, rolling: bool) -> None:
    for seed in range(SEEDS):
        world = World(seed, OWN_FAULTS[fault], replicas, rolling, new=Release("r2", BAD))
        assert world.run().verdict is None, seed


def test_an_outage_that_older_pods_feel_as_well_blames_nobody() -> None:
    def feels(start: Start) -> tuple[float, float]:
        if start.at < 990:
            return 1010 - start.at + start.random.uniform(0, 2), 0.0  # they ran for an hour
        return (0.5, NEVER) if start.at < 1040 else (NEVER, 0.5)

    for seed, (replicas, rolling) in itertools.product(range(SEEDS), SHAPES):
        world = World(seed, feels, replicas, rolling, new=Release("r2", BAD), old_behaviour=feels)
        assert world.run().verdict is None or replicas == 1, (seed, replicas, rolling)


# --- one rule each, by hand

R = Release("r1", GOOD)


def sight(uid: str, started: float | None = None, release: Release = R, ready: bool = True) -> Sight:
    return Sight(uid, "Deployment/web", release, started, ready)


def crashed(blame: Blame, uid: str, *lives: tuple[float, float], release: Release = R) -> None:
    blame.see(sight(uid, None, release), [Ended(*life) for life in lives])


def test_one_crash_or_a_long_life_starts_nothing() -> None:
    blame = Blame()
    crashed(blame, "a", (0, 1))
    blame.step(1, {"a"}, {})
    assert blame.off == set()
    crashed(blame, "a", (2, 400))
    blame.step(400, {"a"}, {})
    assert blame.off == set()


def test_the_experiment_takes_half_of_the_crashing_and_only_pods_that_hear() -> None:
    blame = Blame()
    for uid in "abcde":
        crashed(blame, uid, (0, 1), (2, 3))
    blame.see(sight("healthy", 2))
    blame.step(4, {"b", "c", "healthy"}, {})
    assert blame.off == {"b", "c"}
    assert blame.trying == {"Deployment/web": 2}


def test_a_bare_pod_that_crashes_acquits() -> None:
    blame = Blame()
    crashed(blame, "a", (0, 1), (2, 3))
    crashed(blame, "bare", (0, 1), release=Release("r1", None))
    blame.step(4, {"a"}, {})
    assert blame.off == set()


def test_bare_pods_that_started_later_and_live_are_a_control_group() -> None:
    blame = Blame()
    crashed(blame, "a", (0, 1), (2, 3))
    blame.see(sight("bare", 3, Release("r1", None)))
    blame.step(4, set(), {GOOD: 9e9})
    crashed(blame, "a", (13, 14))
    assert blame.step(17, set(), {GOOD: 9e9}) == []
    (verdict,) = blame.step(18, set(), {GOOD: 9e9})
    assert verdict == Verdict(
        "Deployment/web",
        18,
        GOOD,
        "with the probe 3 crashes, at most 1 s after the start; without it the application has been running for 15 s",
    )


def test_bare_pods_of_long_ago_are_none() -> None:
    """They found their dependency; what starts now may not."""
    blame = Blame()
    blame.see(sight("bare", -9000, Release("r1", None)))
    crashed(blame, "a", (0, 1), (2, 3), (13, 14), (35, 36))
    assert blame.step(37, set(), {GOOD: 9e9}) == []


def test_what_starts_while_the_agent_is_being_told_is_not_judged() -> None:
    blame = Blame()
    crashed(blame, "a", (0, 1), (2, 3))
    blame.step(4, {"a"}, {GOOD: 9e9})
    crashed(blame, "a", (6, 7))
    blame.step(8, {"a"}, {GOOD: 9e9})
    assert blame.off == {"a"}, "it may have had the probe yet"
    crashed(blame, "a", (17, 18))
    blame.step(19, {"a"}, {GOOD: 9e9})
    assert blame.off == set(), "it had not: the application is at fault"
    crashed(blame, "a", (40, 41), (82, 83))
    blame.step(84, {"a"}, {GOOD: 9e9})
    assert blame.off == set(), "and stays acquitted"


def test_an_unready_application_is_not_yet_running() -> None:
    blame = Blame()
    crashed(blame, "a", (0, 1), (2, 3))
    blame.step(4, {"a"}, {})
    blame.see(sight("a", 13, ready=False))
    assert blame.step(60, {"a"}, {}) == []
    blame.see(sight("a", 13))
    assert len(blame.step(61, {"a"}, {})) == 1


def test_a_verdict_takes_the_probe_out_everywhere_and_is_lifted() -> None:
    blame = Blame([Verdict("Deployment/web", 1, GOOD, "why")])
    crashed(blame, "a", (0, 1), (2, 3))
    blame.see(sight("b", 2))
    blame.see(sight("bare", 2, Release("r1", None)))
    assert blame.step(5, {"a"}, {}) == []
    assert blame.off == {"a", "b"}
    blame.lift("Deployment/web", 6)
    assert blame.off == set()
    blame.step(7, {"a"}, {})
    assert blame.off == set(), "what led to it is forgotten"


def test_memory_is_bounded_and_forgets_who_left() -> None:
    blame, chance = Blame(), random.Random(1)
    for number in range(5000):
        at = number * 10.0
        blame.see(sight(f"uid-{number % 50}", None, Release(f"r{number // 500}", GOOD)), [Ended(at, at + chance.random())])
        blame.step(at + 5, {f"uid-{number % 50}"}, {})
    (case,) = blame._cases.values()
    assert len(case.crashes) <= 61
    assert len(case.acquitted) <= 2
    for number in range(50):
        blame.gone(f"uid-{number}", 50_000)
    blame.step(50_001, (), {})
    blame.step(51_000, (), {})
    assert not blame._cases
    assert blame.off == set()


@pytest.mark.parametrize("share", [0.5, 0.8])
def test_an_application_whose_starts_fail_by_chance_is_rarely_mistaken(share: float) -> None:
    """What cannot be told apart within a minute: all starts with the probe failed by chance, and the one without did not."""
    worlds = [World(seed, mostly(share), replicas, rolling) for seed in range(12 * SEEDS) for replicas, rolling in SHAPES]
    blamed = sum(world.run().verdict is not None for world in worlds)
    assert blamed / len(worlds) < 0.08
