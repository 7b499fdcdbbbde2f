"""What is kept of pods that left: counts of the hour and the day, totals that go over to the next leader, last words."""

from __future__ import annotations

import msgspec
import pytest

from rollcall.model.departures import Cause, Verdict
from rollcall.model.fleet import LINGER_S, Fleet
from rollcall.model.ledger import MOST_RECENT, KeptDepartures, Ledger
from rollcall.model.picture import Departure
from rollcall_agent.wire import report
from tests.unit.model.agents import Agent, facts
from tests.unit.model.test_fleet import Service, serving

SCALE_IN = Verdict(Cause.SCALE_IN, "Deployment/newsfeed wants 5 pods, and had 6", True)
CRASHED = Verdict(Cause.CRASHED, "container web ended with exit code 3", True)
AT = 1_767_225_600.0
"""A full hour."""


def test_counts_of_an_hour_a_day_and_for_ever() -> None:
    ledger = Ledger()
    for minute in range(0, 120, 10):
        ledger.left(facts(f"uid-{minute}"), SCALE_IN, AT + 60 * minute)
    ledger.left(facts("uid-x"), CRASHED, AT + 7199)
    found = ledger.picture(AT + 7199, with_lists=True)
    assert found.last_hour == {"Crashed": 1, "ScaleIn": 6}
    assert found.last_day == found.total == {"Crashed": 1, "ScaleIn": 12}
    assert found.recent is not None
    assert [gone.uid for gone in found.recent][:2] == ["uid-x", "uid-110"]
    later = ledger.picture(AT + 86_400, with_lists=False)
    assert (later.last_hour, later.last_day, later.recent) == ({}, {"Crashed": 1, "ScaleIn": 6}, None)
    assert ledger.picture(AT + 200_000, with_lists=False).last_day == {}
    assert ledger.totals == {"Crashed": 1, "ScaleIn": 12}


def test_the_last_hundred() -> None:
    ledger = Ledger()
    for number in range(250):
        ledger.left(facts(f"uid-{number}"), SCALE_IN, AT + number)
    recent = ledger.picture(AT + 250, with_lists=True).recent
    assert recent is not None
    assert [gone.uid for gone in recent] == [f"uid-{number}" for number in range(249, 249 - MOST_RECENT, -1)]


def test_a_replica_goes_on_from_what_the_leader_has_written() -> None:
    standby = Ledger()
    standby.kept({"ScaleIn": 40})
    for number in range(3):  # the leader counts them as well, and writes
        standby.left(facts(f"uid-{number}"), SCALE_IN, AT)
    assert standby.totals == {"ScaleIn": 43}
    standby.kept({"ScaleIn": 43})
    assert standby.totals == {"ScaleIn": 43}
    standby.left(facts("uid-4"), CRASHED, AT)  # not written any more: the leader dies
    standby.kept({"ScaleIn": 43})
    assert standby.totals == {"Crashed": 1, "ScaleIn": 43}


def test_the_store_hands_over_all_of_it() -> None:
    first = Ledger()
    first.kept({"ScaleIn": 40})
    for number in range(120):
        first.left(facts(f"uid-{number}", node="node-1"), SCALE_IN if number % 2 else CRASHED, AT + number)
    kept = msgspec.msgpack.decode(msgspec.msgpack.encode(first.for_store()), type=KeptDepartures)
    heir = Ledger(AT + 200)
    heir.kept({"ScaleIn": 95, "Crashed": 58})
    heir.restore(kept)
    assert heir.picture(AT + 200, with_lists=True) == first.picture(AT + 200, with_lists=True)


def test_what_a_standby_has_seen_as_well_is_counted_once() -> None:
    leader, standby = Ledger(AT), Ledger(AT)
    for number in range(30):
        for each in (leader, standby):
            each.left(facts(f"uid-{number}"), SCALE_IN, AT + number)
    leader.left(facts("uid-x"), CRASHED, AT + 40)
    standby.restore(leader.for_store())
    assert standby.totals == leader.totals == {"Crashed": 1, "ScaleIn": 30}
    found = standby.picture(AT + 60, with_lists=True)
    assert len(found.recent or []) == 31
    assert found.last_hour == {"Crashed": 1, "ScaleIn": 30}
    standby.left(facts("uid-y"), CRASHED, AT + 70)
    assert standby.totals["Crashed"] == 2


# --- what a pod did at its end


def newest(fleet: Fleet) -> Departure:
    recent = fleet.ledger.picture(AT, with_lists=True).recent
    assert recent is not None
    return recent[0]


def busy(agent: Agent) -> Service:
    """A pod that answers ten requests each half-second, one of them with a failure."""
    service = serving(agent)
    service.fleet.slots.open({})
    for _ in range(30):
        agent.errors += 1
        service.beat(agent, requests=10)
    return service


def test_its_last_seconds_and_its_last_word() -> None:
    agent = Agent("uid-a")
    service = busy(agent)
    service.fleet.upsert(facts("uid-a", leaving=True, created_at=AT - 90, node="node-1", revision="7d9c"))
    agent.in_flight = 2
    for _ in range(20):
        service.beat(agent)
    service.report(agent, flags=agent.flags | report.FLAG_FINAL)
    service.fleet.remove("uid-a", service.now_s)
    service.fleet.ledger.left(facts("uid-a", node="node-1"), SCALE_IN, AT)
    gone = newest(service.fleet)
    assert (gone.slot, gone.name, gone.node, gone.revision) == ("newsfeed-01", "pod-a", "node-1", "7d9c")
    assert (gone.cause, gone.evidence, gone.at, gone.age) == ("ScaleIn", SCALE_IN.evidence, AT, 90.0)
    assert gone.requests_per_second == pytest.approx(20)
    assert gone.error_ratio == pytest.approx(0.1)
    assert gone.p95 == pytest.approx(0.1, rel=0.03)
    assert (gone.in_flight, gone.final) == (2, True)


def test_without_warning_it_is_the_end_that_counts() -> None:
    agent = Agent("uid-a")
    service = busy(agent)
    agent.in_flight = 3
    service.report(agent, requests=10)
    service.step()
    service.fleet.remove("uid-a", service.now_s)
    service.fleet.ledger.left(facts("uid-a"), CRASHED, AT)
    gone = newest(service.fleet)
    assert gone.requests_per_second == pytest.approx(20)
    assert (gone.in_flight, gone.final) == (3, False)


def test_a_last_report_that_comes_late_still_counts() -> None:
    agent = Agent("uid-a")
    service = busy(agent)
    agent.in_flight = 3
    service.report(agent)
    service.fleet.remove("uid-a", service.now_s)
    service.fleet.ledger.left(facts("uid-a"), CRASHED, AT)
    agent.in_flight = 0
    service.report(agent, requests=3, flags=agent.flags | report.FLAG_FINAL)
    for _ in range(int(LINGER_S * 4) + 2):
        service.step()
    assert (newest(service.fleet).in_flight, newest(service.fleet).final) == (0, True)


def test_of_a_pod_without_an_agent_nothing_is_known() -> None:
    service = Service()
    service.fleet.upsert(facts("uid-a", injected=False))
    service.fleet.remove("uid-a", service.now_s)
    service.fleet.ledger.left(facts("uid-a"), CRASHED, AT)
    gone = newest(service.fleet)
    assert (gone.requests_per_second, gone.error_ratio, gone.p95, gone.in_flight, gone.final) == (None,) * 5


def test_a_pod_that_comes_back_has_not_left() -> None:
    agent = Agent("uid-a")
    service = busy(agent)
    service.fleet.remove("uid-a", service.now_s)
    service.fleet.ledger.stayed("uid-a")
    service.fleet.upsert(facts("uid-a"))
    service.step()
    assert service.fleet.ledger.picture(AT, with_lists=True).recent == []
    assert service.fleet.slot_of("uid-a") == "newsfeed-01"
