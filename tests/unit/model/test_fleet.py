"""One service: totals that are exact whatever agents and pods go through, windows that show only what is of now."""

from __future__ import annotations

import pytest

from rollcall.model.fleet import LINGER_S, MOST_AWAY, Fleet, FleetSettings
from rollcall.model.picture import Totals
from rollcall.model.show import picture, worst
from rollcall.model.states import PodState, ServiceFacts
from rollcall_agent.wire import report
from tests.unit.model.agents import Agent, facts


class Service:
    """A fleet with a clock and agents that report to it directly."""

    def __init__(self, departed: Totals | None = None, floor: Totals | None = None, at_s: float = 1000.0) -> None:
        self.fleet = Fleet("shop", "newsfeed", departed=departed, floor=floor)
        self.now_s = at_s
        self.fleet.fold(self.now_s, self.now_s)

    def connect(self, agent: Agent, age_ms: int = 0) -> None:
        self.live = self.fleet.attach(agent.uid, agent.epoch, age_ms)

    def report(self, agent: Agent, requests: int = 0, **changes: int) -> None:
        agent.answer([0.1] * requests)
        self.fleet.accept(agent.uid, agent.body(self.now_s, **changes), self.now_s, live=self.live)
        self.live = True

    def step(self, dt_s: float = 0.25) -> None:
        self.now_s += dt_s
        self.fleet.fold(self.now_s, self.now_s)

    def beat(self, *agents: Agent, requests: int = 0) -> None:
        """Half a second: everybody reports once, two folds."""
        for agent in agents:
            self.report(agent, requests)
        self.step()
        self.step()

    @property
    def requests(self) -> int:
        return self.fleet.totals().requests

    @property
    def window(self) -> int:
        assert self.fleet.last.window is not None
        return self.fleet.last.window.finished


def serving(*agents: Agent) -> Service:
    service = Service()
    for agent in agents:
        service.fleet.upsert(facts(agent.uid))
        service.connect(agent)
    service.beat(*agents)
    return service


def test_requests_of_now_are_in_total_window_and_rate() -> None:
    agent = Agent()
    service = serving(agent)
    for _ in range(10):
        service.beat(agent, requests=5)
    assert service.requests == 50
    assert service.window == 50
    assert service.fleet.last.requests_per_second == 10
    assert picture(service.fleet, with_roll=False).traffic.window_requests_per_second == pytest.approx(10, rel=0.1)


def test_nothing_known_is_not_zero() -> None:
    service = Service()
    service.fleet.upsert(facts())
    service.step()
    traffic = picture(service.fleet, with_roll=True).traffic
    assert (traffic.requests_per_second, traffic.window_requests_per_second, traffic.error_ratio, traffic.in_flight) == (
        None,
    ) * 4
    assert (traffic.response_time.mean, traffic.response_time.p95) == (None, None)


def test_a_first_report_has_no_rate_yet() -> None:
    agent = Agent()
    service = serving(agent)
    assert service.fleet.last.requests_per_second is None
    service.beat(agent)
    assert service.fleet.last.requests_per_second == 0


def test_a_minute_of_silence_is_counted_but_not_shown_as_traffic_of_now() -> None:
    agent, other = Agent(), Agent("uid-b")
    service = serving(agent, other)
    service.beat(agent, other, requests=5)
    for _ in range(120):
        agent.answer([0.1] * 5)
        service.beat(other)
    assert service.fleet.last.counts[PodState.SILENT] == 1
    service.beat(agent, other)
    assert service.requests == 10 + 600
    assert service.window == 0
    assert service.fleet.last.requests_per_second == 0
    pods = {pod.uid: pod for pod in picture(service.fleet, with_roll=True).roll or []}
    assert pods[agent.uid].requests_per_second is None
    assert pods[agent.uid].error_ratio is None
    assert pods[agent.uid].requests == 605


def test_an_agent_that_restarts_with_its_epoch_goes_on() -> None:
    agent = Agent()
    service = serving(agent)
    service.beat(agent, requests=5)
    service.connect(agent, age_ms=0)
    service.beat(agent, requests=5)
    assert (service.requests, service.window) == (10, 10)


def test_a_new_epoch_adds_to_the_old_one() -> None:
    agent = Agent()
    service = serving(agent)
    service.beat(agent, requests=7)
    agent.restart("e2")
    service.connect(agent, age_ms=10)
    service.beat(agent, requests=5)
    assert (service.requests, service.window) == (12, 12)
    agent.restart("e3")
    agent.answer([0.1] * 1000)
    service.connect(agent, age_ms=600_000)
    service.beat(agent)
    assert (service.requests, service.window) == (1012, 12)


def test_a_connection_that_ended_before_its_first_report_leaves_no_spike() -> None:
    """An old agent comes to a new operator, is cut off, and comes again: its past is still its past."""
    agent = Agent()
    agent.answer([0.1] * 5000)
    service = Service()
    service.fleet.upsert(facts())
    service.connect(agent, age_ms=600_000)
    service.step()
    service.connect(agent, age_ms=601_000)
    service.beat(agent)
    assert (service.requests, service.window) == (5000, 0)


def test_the_last_report_of_a_pod_that_is_gone_still_counts() -> None:
    agent, other = Agent(), Agent("uid-b")
    service = serving(agent, other)
    service.beat(agent, other, requests=5)
    service.fleet.remove(agent.uid, service.now_s)
    service.step()
    service.report(agent, 3)
    service.step()
    assert (service.requests, service.window) == (13, 13)
    assert service.fleet.departed().requests == 8
    service.step(LINGER_S)
    service.report(agent, 100)
    assert service.requests == 13, "its row is given back"
    assert service.fleet.departed().requests == 8
    assert service.fleet.departed_pods == 1
    assert len(service.fleet.rows) == 1


def test_a_pod_that_is_gone_does_nothing_now() -> None:
    agent, other = Agent(), Agent("uid-b")
    service = serving(agent, other)
    for each in (agent, other):
        each.in_flight, each.bands = 3, (3, 0, 0, 0)
    service.beat(agent, other, requests=5)
    assert service.fleet.last.in_flight == (6, [6, 0, 0, 0], 0.0)
    service.fleet.remove(agent.uid, service.now_s)
    service.beat(other, requests=5)
    assert service.fleet.last.in_flight == (3, [3, 0, 0, 0], 0.0)
    assert service.fleet.last.requests_per_second == 10


def test_what_a_silent_pod_last_said_is_not_live() -> None:
    agent, other = Agent(), Agent("uid-b")
    service = serving(agent, other)
    agent.in_flight, agent.bands = 9, (0, 0, 0, 9)
    service.beat(agent, other, requests=5)
    for _ in range(4):
        service.beat(other, requests=5)
    assert service.fleet.last.in_flight == (0, [0, 0, 0, 0], 0.0)
    assert service.fleet.last.requests_per_second == 10
    pod = next(pod for pod in picture(service.fleet, with_roll=True).roll or [] if pod.uid == agent.uid)
    assert (pod.state, pod.in_flight, pod.requests_per_second, pod.p95, pod.agent) == ("silent", None, None, None, None)
    assert pod.requests == 5
    for _ in range(4):
        service.step(0.5)
    assert service.fleet.last.in_flight is None
    assert service.fleet.last.requests_per_second is None


def test_in_flight_that_nobody_can_see_is_unknown() -> None:
    agent = Agent()
    service = serving(agent)
    agent.flags |= report.FLAG_NO_IN_FLIGHT
    service.beat(agent)
    view = picture(service.fleet, with_roll=True)
    assert view.traffic.in_flight is None
    assert view.roll is not None
    assert view.roll[0].in_flight is None


def test_a_row_is_used_again_without_a_trace() -> None:
    agent = Agent()
    service = serving(agent)
    service.beat(agent, requests=50)
    row = service.fleet.pods[agent.uid].row
    service.fleet.remove(agent.uid, service.now_s)
    service.step(LINGER_S)
    heir = Agent("uid-b")
    service.fleet.upsert(facts(heir.uid))
    service.connect(heir)
    service.beat(heir, requests=2)
    service.beat(heir, requests=2)
    assert service.fleet.pods[heir.uid].row == row
    assert service.requests == 54
    pod = (picture(service.fleet, with_roll=True).roll or [])[0]
    assert (pod.requests, pod.requests_per_second) == (4, 4)


def test_a_pod_that_comes_back_is_not_counted_twice() -> None:
    """Its label was taken off and put on again: at once, and after its row was given away."""
    agent = Agent()
    service = serving(agent)
    service.beat(agent, requests=5)
    service.fleet.remove(agent.uid, service.now_s)
    service.beat(agent)
    assert service.fleet.departed_pods == 1
    service.fleet.upsert(facts())
    service.beat(agent, requests=5)
    assert (service.requests, service.fleet.departed_pods) == (10, 0)

    service.fleet.remove(agent.uid, service.now_s)
    for _ in range(int(LINGER_S) * 3):
        service.beat(agent)
    assert len(service.fleet.rows) == 0
    assert service.fleet.departed().requests == 10
    agent.answer([0.1] * 40)
    service.fleet.upsert(facts())
    service.step()
    assert service.requests == 10, "no dip"
    service.beat(agent)
    assert (service.requests, service.window, service.fleet.departed_pods) == (50, 0, 0)
    assert service.fleet.departed().requests == 0


def test_memory_of_pods_that_left_is_bounded() -> None:
    service = Service()
    for number in range(MOST_AWAY + 20):
        agent = Agent(f"uid-{number}")
        service.fleet.upsert(facts(agent.uid))
        service.connect(agent)
        service.fleet.remove(agent.uid, service.now_s)
        service.fleet.accept(agent.uid, report.pack({"finished": 1}), service.now_s + LINGER_S)
    service.step(LINGER_S)
    assert len(service.fleet._away) == MOST_AWAY
    assert len(service.fleet.rows) == 0
    assert service.requests == MOST_AWAY + 20


def test_a_finished_pod_leaves_the_roll_with_its_counts() -> None:
    agent = Agent()
    service = serving(agent)
    service.beat(agent, requests=5)
    service.fleet.upsert(facts(finished=True, running=False))
    service.step()
    assert (len(service.fleet.pods), service.requests, service.fleet.departed().requests) == (0, 5, 5)


def test_operator_restart_continues_the_totals_without_a_spike_or_a_dip() -> None:
    agents = [Agent(f"uid-{number}") for number in range(4)]
    service = serving(*agents)
    for _ in range(20):
        service.beat(*agents, requests=3)
    service.fleet.remove(agents[0].uid, service.now_s)
    service.step()
    before, kept = service.fleet.totals(), service.fleet.departed()
    assert (before.requests, kept.requests) == (240, 60)

    for agent in agents[1:]:
        agent.answer([0.1] * 50)  # while nobody leads
    after = Service(departed=kept, floor=before, at_s=service.now_s + 8)
    for number, agent in enumerate(agents[1:]):
        after.fleet.upsert(facts(agent.uid))
        after.connect(agent, age_ms=60_000)
        after.beat(*agents[1 : number + 1])
        assert after.requests >= 240
        after.live = False
        after.beat(agent)
        assert after.window == 0
        assert after.fleet.last.requests_per_second in (None, 0)
    after.beat(*agents[1:])
    assert after.requests == 240 + 150
    after.beat(*agents[1:], requests=2)
    assert (after.requests, after.window) == (396, 6)


def test_counts_of_every_kind_are_totalled() -> None:
    agent = Agent()
    service = serving(agent)
    agent.answer([0.5, 1.5], errors=1)
    agent.lost = 3
    service.beat(agent)
    assert service.fleet.totals() == Totals(requests=2, errors=1, lost=3, duration_microseconds=2_000_000)


@pytest.mark.parametrize(
    ("states", "coverage"),
    [
        ([], None),
        ([{"running": False}], None),
        ([{"leaving": True}], None),
        ([{"injected": False}], 0.0),
    ],
)
def test_coverage_without_reports(states: list[dict[str, bool]], coverage: float | None) -> None:
    service = Service()
    for number, changes in enumerate(states):
        service.fleet.upsert(facts(f"uid-{number}", **changes))
    service.step()
    assert service.fleet.last.coverage == coverage


def test_coverage_is_reporting_of_those_that_should() -> None:
    agents = [Agent(f"uid-{number}") for number in range(3)]
    service = serving(*agents)
    service.fleet.upsert(facts("uid-bare", injected=False))
    service.fleet.upsert(facts("uid-pending", running=False))
    service.fleet.upsert(facts(agents[0].uid, ready=False))
    service.beat(*agents)
    assert service.fleet.last.coverage == 0.75
    assert service.fleet.last.bare == {"WebhookUnavailable": 1}


def test_a_picture_is_of_its_fold_whatever_happens_until_somebody_asks() -> None:
    agents = [Agent("uid-a"), Agent("uid-b")]
    service = serving(*agents)
    service.fleet.remove("uid-a", service.now_s)
    service.fleet.upsert(facts("uid-c", injected=False))
    view = picture(service.fleet, with_roll=True)
    assert [(pod.uid, pod.state) for pod in view.roll or []] == [("uid-a", "serving"), ("uid-b", "serving")]
    assert (view.pods.total, view.pods.serving) == (2, 2)
    service.step()
    view = picture(service.fleet, with_roll=True)
    assert [(pod.uid, pod.state) for pod in view.roll or []] == [("uid-b", "serving"), ("uid-c", "bare")]
    assert (view.pods.total, view.pods.serving, view.pods.bare) == (2, 1, 1)


def test_bare_reasons_follow_the_services_settings() -> None:
    service = Service()
    service.fleet.upsert(facts(injected=False, created_at=5.0))
    service.step()
    assert service.fleet.last.bare == {"WebhookUnavailable": 1}
    service.fleet.settings = FleetSettings(facts=ServiceFacts(injection_off=True))
    service.step()
    assert service.fleet.last.bare == {"InjectionOff": 1}
    service.fleet.upsert(facts(injected=True))
    service.step()
    assert service.fleet.last.bare == {}


def test_an_awaited_pod_becomes_silent_by_time_alone() -> None:
    service = Service()
    service.fleet.upsert(facts(started_at=service.now_s))
    states = []
    for _ in range(12):
        service.step(1.0)
        states.append(service.fleet.pods["uid-a"].state)
    assert states == [PodState.PENDING] * 9 + [PodState.SILENT] * 3


def test_the_worst_come_first_and_are_few() -> None:
    agents = [Agent("uid-serving"), Agent("uid-unready")]
    service = serving(*agents)
    service.fleet.upsert(facts("uid-unready", ready=False))
    service.fleet.upsert(facts("uid-pending", running=False))
    service.fleet.upsert(facts("uid-silent"))
    service.fleet.upsert(facts("uid-leaving", leaving=True))
    for uid in ("uid-y", "uid-x"):
        service.fleet.upsert(facts(uid, injected=False, opted_out=True))
    service.beat(*agents)
    expected = [
        ("pod-x", "OptedOut"), ("pod-y", "OptedOut"), ("pod-silent", "silent"), ("pod-unready", "unready"),
        ("pod-pending", "pending"),
    ]  # fmt: skip
    assert worst(service.fleet, 10) == expected
    assert worst(service.fleet, 2) == expected[:2]
