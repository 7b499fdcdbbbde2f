"""Why a pod with an agent does not report: the truth table, and what people are told."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.model.coverage import CONNECTS_WITHIN_S, IMAGE_REASONS, PROBE_WITHIN_S, REMEDIES, Gap, Heard, gap_of, sentence
from rollcall.model.states import AgentContainer, PodState
from tests.unit.model.agents import facts

NOW = 1000.0
RUNS = AgentContainer(running=True)
PULLS = AgentContainer(waiting="ImagePullBackOff", message='Back-off pulling image "registry.example/agent:9"')
LOOPS = AgentContainer(restarts=4, waiting="CrashLoopBackOff", message="back-off 40s restarting failed container")
DEAD = AgentContainer(restarts=1)
AGAIN = AgentContainer(running=True, restarts=1, restarted_at=NOW - CONNECTS_WITHIN_S + 0.1)
SINCE = AgentContainer(running=True, restarts=1, restarted_at=NOW - CONNECTS_WITHIN_S)
SILENT, SERVING, PENDING = PodState.SILENT, PodState.SERVING, PodState.PENDING


@pytest.mark.parametrize(
    ("state", "agent", "heard", "gap"),
    [
        (PENDING, PULLS, Heard(), Gap.IMAGE_PULL),
        (SILENT, PULLS, Heard(), Gap.IMAGE_PULL),
        (PENDING, LOOPS, Heard(), Gap.AGENT_CRASHED),
        (SILENT, LOOPS, Heard(refused="TokenRejected"), Gap.AGENT_CRASHED),
        (SILENT, DEAD, Heard(report_age_s=9.0), Gap.AGENT_CRASHED),
        (SILENT, AGAIN, Heard(), Gap.AGENT_CRASHED),
        (SILENT, AGAIN, Heard(connected=True), Gap.AGENT_CRASHED),
        (SILENT, SINCE, Heard(), Gap.NETWORK_BLOCKED),
        (SILENT, SINCE, Heard(connected=True), Gap.NEVER_REPORTED),
        (PENDING, AgentContainer(waiting="CreateContainerConfigError", message="no such key"), Heard(), Gap.AGENT_CRASHED),
        (PENDING, AgentContainer(waiting="PodInitializing"), Heard(), None),
        (PENDING, AgentContainer(waiting="ContainerCreating"), Heard(), None),
        (PENDING, RUNS, Heard(), None),
        (PENDING, DEAD, Heard(), None),
        (SILENT, RUNS, Heard(refused="TokenRejected"), Gap.TOKEN_REJECTED),
        (SILENT, RUNS, Heard(refused="PodMismatch"), Gap.TOKEN_REJECTED),
        (SILENT, RUNS, Heard(refused="WireVersion"), Gap.AGENT_OUTDATED),
        (SILENT, RUNS, Heard(refused="NoHello"), Gap.NEVER_REPORTED),
        (SILENT, RUNS, Heard(connected=True), Gap.NEVER_REPORTED),
        (SILENT, RUNS, Heard(left=True), Gap.NEVER_REPORTED),
        (SILENT, AgentContainer(), Heard(), Gap.NEVER_REPORTED),
        (SILENT, RUNS, Heard(), Gap.NETWORK_BLOCKED),
        (SILENT, RUNS, Heard(report_age_s=60.0), Gap.NETWORK_BLOCKED),
        (SERVING, RUNS, Heard(connected=True, report_age_s=0.2), Gap.PROBE_INACTIVE),
        (PodState.UNREADY, RUNS, Heard(connected=True, report_age_s=0.2), Gap.PROBE_INACTIVE),
        (SERVING, RUNS, Heard(connected=True, report_age_s=0.2, tells=True), None),
        (SERVING, LOOPS, Heard(connected=True, report_age_s=0.2, tells=True), None),
        (PodState.LEAVING, PULLS, Heard(), None),
        (PodState.BARE, PULLS, Heard(), None),
    ],
)
def test_gap(state: PodState, agent: AgentContainer, heard: Heard, gap: Gap | None) -> None:
    assert gap_of(facts(agent=agent), state, heard, NOW) is gap


@pytest.mark.parametrize("reason", sorted(IMAGE_REASONS))
def test_every_way_of_having_no_image_is_one(reason: str) -> None:
    assert gap_of(facts(agent=AgentContainer(waiting=reason)), PENDING, Heard(), NOW) is Gap.IMAGE_PULL


def test_an_application_has_time_to_load_its_probe() -> None:
    heard = Heard(connected=True, report_age_s=0.1)
    assert gap_of(facts(agent=RUNS, started_at=NOW - PROBE_WITHIN_S + 1), SERVING, heard, NOW) is None
    assert gap_of(facts(agent=RUNS, started_at=NOW - PROBE_WITHIN_S), SERVING, heard, NOW) is Gap.PROBE_INACTIVE
    assert gap_of(facts(agent=RUNS, started_at=None), SERVING, heard, NOW) is None


def test_without_our_agent_there_is_no_gap_of_it() -> None:
    assert gap_of(facts(injected=False, agent=PULLS), PENDING, Heard(), NOW) is None


TEXT = st.none() | st.text(max_size=20)


@given(
    agent=st.builds(AgentContainer, st.booleans(), st.integers(0, 99), TEXT, st.text(max_size=30)),
    heard=st.builds(Heard, st.booleans(), st.none() | st.floats(0, 1e6), TEXT, st.booleans(), st.booleans()),
    state=st.sampled_from(PodState),
    injected=st.booleans(),
)
def test_whatever_is_known_a_silent_pod_has_exactly_one_reason_and_a_sentence(
    agent: AgentContainer, heard: Heard, state: PodState, injected: bool
) -> None:
    pod = facts(agent=agent, injected=injected)
    gap = gap_of(pod, state, heard, NOW)
    assert gap is not None or not (state is SILENT and injected)
    if gap is not None:
        assert len(sentence(pod, gap, heard)) > 20


@pytest.mark.parametrize(
    ("gap", "agent", "heard", "words"),
    [
        (Gap.IMAGE_PULL, PULLS, Heard(), 'ImagePullBackOff: Back-off pulling image "registry.example/agent:9"'),
        (Gap.AGENT_CRASHED, LOOPS, Heard(report_age_s=7.2), "restarted 4 times (CrashLoopBackOff: back-off 40s"),
        (Gap.AGENT_CRASHED, DEAD, Heard(report_age_s=7.2), "restarted once; its last report came 7 s ago"),
        (Gap.TOKEN_REJECTED, RUNS, Heard(refused="PodMismatch"), "its token is not accepted (PodMismatch)"),
        (Gap.NETWORK_BLOCKED, RUNS, Heard(), "no connection from 10.1.2.3 reaches the operator"),
        (Gap.NEVER_REPORTED, RUNS, Heard(connected=True), "its agent is connected, but has not reported"),
        (Gap.NEVER_REPORTED, RUNS, Heard(refused="NoHello"), "its agent came, and was turned away with NoHello"),
        (Gap.NEVER_REPORTED, RUNS, Heard(left=True), "its agent came, but has not reported"),
        (Gap.NEVER_REPORTED, AgentContainer(), Heard(), "its agent does not run yet"),
    ],
)
def test_people_are_told_what_is_known(gap: Gap, agent: AgentContainer, heard: Heard, words: str) -> None:
    assert words in sentence(facts(agent=agent, ip="10.1.2.3"), gap, heard)


def test_every_gap_has_a_remedy() -> None:
    remedies: dict[Any, str] = REMEDIES
    assert set(remedies) == set(Gap)
    assert all(len(remedy) > 20 for remedy in remedies.values())
