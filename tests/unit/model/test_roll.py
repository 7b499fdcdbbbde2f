"""Sessions and services: reports find every service that lists their pod, whoever comes first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.model.fleet import LINGER_S, Fleet
from rollcall.model.roll import Roll, Session
from rollcall.model.show import picture
from rollcall.model.states import PodState
from rollcall_agent.wire import report
from tests.unit.model.agents import Agent, facts


class World:
    """A roll with services and a clock."""

    def __init__(self, *names: str) -> None:
        self.roll, self.now_s = Roll(), 1000.0
        self.fleets = {name: self.add(name) for name in names}
        self.fold()

    def add(self, name: str) -> Fleet:
        fleet = Fleet("shop", name)
        self.roll.add(fleet)
        return fleet

    def know(self, fleet: Fleet, uid: str) -> None:
        fleet.upsert(facts(uid))
        self.roll.pod_known(fleet, uid, self.now_s)

    def open(self, agent: Agent, age_ms: int = 0) -> Session:
        return self.roll.open(agent.uid, "shop", agent.uid, agent.epoch, age_ms, self.now_s)

    def report(self, session: Session, agent: Agent, requests: int = 0) -> None:
        agent.answer([0.1] * requests)
        session.accept(agent.body(self.now_s), self.now_s)

    def fold(self, dt_s: float = 0.5) -> None:
        self.now_s += dt_s
        self.roll.fold(self.now_s, self.now_s)


def window(fleet: Fleet) -> int | None:
    return fleet.last.window.finished if fleet.last.window else None


def test_a_report_before_its_pod_is_known_waits() -> None:
    world, agent = World("newsfeed"), Agent()
    fleet = world.fleets["newsfeed"]
    session = world.open(agent)
    world.report(session, agent, 5)
    world.fold()
    assert world.roll.waiting() == 1
    assert fleet.totals().requests == 0
    world.know(fleet, agent.uid)
    world.fold()
    assert world.roll.waiting() == 0
    assert (fleet.totals().requests, window(fleet)) == (5, 5), "a young agent's first requests are traffic of now"
    assert fleet.last.counts[PodState.SERVING] == 1
    world.report(session, agent, 5)
    world.fold()
    assert fleet.totals().requests == 10


def test_a_waiting_report_is_as_old_as_it_is() -> None:
    world, agent = World("newsfeed"), Agent()
    session = world.open(agent)
    world.report(session, agent, 5)
    world.fold(60.0)
    world.know(world.fleets["newsfeed"], agent.uid)
    world.fold(0.25)
    assert world.fleets["newsfeed"].last.counts[PodState.SILENT] == 1


def test_a_pod_in_two_services_is_whole_in_both() -> None:
    world, agent = World("newsfeed", "everything"), Agent()
    for fleet in world.fleets.values():
        world.know(fleet, agent.uid)
    session = world.open(agent)
    for _ in range(4):
        world.report(session, agent, 5)
        world.fold()
    for fleet in world.fleets.values():
        assert (fleet.totals().requests, fleet.last.requests_per_second) == (20, 10)
    world.roll.drop(("shop", "newsfeed"))
    world.report(session, agent, 5)
    world.fold()
    assert world.fleets["everything"].totals().requests == 25
    assert world.fleets["newsfeed"].totals().requests == 20
    assert world.roll.waiting() == 0


def test_a_new_service_over_an_old_pod_begins_without_a_spike() -> None:
    """The agent said its age when it connected; an hour later it is an hour older."""
    world, agent = World("newsfeed"), Agent()
    world.know(world.fleets["newsfeed"], agent.uid)
    session = world.open(agent, age_ms=100)
    for _ in range(20):
        world.report(session, agent, 5)
        world.fold()
    late = world.add("late")
    world.fold(0.1)
    world.know(late, agent.uid)
    world.fold(0.1)
    assert (late.totals().requests, window(late)) == (100, 0)
    world.report(session, agent, 5)
    world.fold(0.3)
    assert (late.totals().requests, window(late)) == (105, 5)


def test_a_second_connection_of_a_pod_replaces_the_first() -> None:
    world, agent = World("newsfeed"), Agent()
    fleet = world.fleets["newsfeed"]
    world.know(fleet, agent.uid)
    first = world.open(agent)
    world.report(first, agent, 5)
    overtaken = agent.body(world.now_s)
    second = world.open(agent)
    world.report(second, agent, 5)
    first.accept(overtaken, world.now_s)
    world.fold()
    assert fleet.totals().requests == 10
    world.roll.close(first)
    assert world.roll.sessions == {agent.uid: second}
    world.roll.close(second)
    assert not world.roll.sessions
    world.fold(2.0)
    assert fleet.last.counts[PodState.SILENT] == 1, "silent, not gone"


def test_a_pod_that_comes_back_after_its_row_was_given_away_reports_again() -> None:
    world, agent = World("newsfeed"), Agent()
    fleet = world.fleets["newsfeed"]
    world.know(fleet, agent.uid)
    session = world.open(agent)
    world.report(session, agent, 5)
    fleet.remove(agent.uid, world.now_s)
    world.fold(LINGER_S + 5)  # silent when its row is released: nothing is remembered
    world.know(fleet, agent.uid)
    world.report(session, agent, 5)
    world.fold()
    assert fleet.last.counts[PodState.SERVING] == 1


def test_removing_a_service_and_adding_it_again_takes_the_agents_over() -> None:
    world, agent = World("newsfeed"), Agent()
    world.know(world.fleets["newsfeed"], agent.uid)
    session = world.open(agent, age_ms=60_000)
    world.report(session, agent, 5)
    world.roll.drop(("shop", "newsfeed"))
    assert world.roll.waiting() == 1
    again = world.add("newsfeed")
    world.know(again, agent.uid)
    world.report(session, agent, 1)
    world.fold()
    assert again.totals().requests == 6
    assert again.last.counts[PodState.SERVING] == 1


@given(st.lists(st.tuples(st.integers(0, 2), st.binary(min_size=32, max_size=report.SIZE + 8)), max_size=12), st.data())
def test_no_body_can_break_the_fold_or_another_pod(bodies: list[tuple[int, bytes]], data: st.DataObject) -> None:
    """An agent may send anything of the right length; a fold that raised would end everybody's live picture."""
    world, honest = World("newsfeed"), Agent("uid-honest")
    fleet = world.fleets["newsfeed"]
    world.know(fleet, honest.uid)
    session = world.open(honest)
    liars = [Agent(f"uid-{number}") for number in range(3)]
    for liar in liars:
        world.know(fleet, liar.uid)
    sessions = [world.open(liar, age_ms=data.draw(st.integers(-(2**63), 2**63))) for liar in liars]
    for number, body in bodies:
        sessions[number].accept(body, world.now_s)
        world.report(session, honest, 3)
        world.fold()
        view = picture(fleet, with_roll=True)
        assert view.pods.total == 4
        assert view.roll is not None
        pod = next(pod for pod in view.roll if pod.uid == honest.uid)
        assert (pod.state, pod.requests) == ("serving", honest.finished)
        assert pod.requests_per_second in (None, 6)
        assert fleet.totals().requests >= honest.finished


@pytest.mark.parametrize("key", [("shop", "nothing"), ("other", "newsfeed")])
def test_dropping_what_is_not_there_is_nothing(key: tuple[str, str]) -> None:
    world = World("newsfeed")
    world.roll.drop(key)
    assert list(world.roll) == [world.fleets["newsfeed"]]
