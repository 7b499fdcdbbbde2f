"""Deaths of workers: counts that are exact, samples that name the place, and an alarm that a scale-in does not raise."""

from __future__ import annotations

from typing import Any

import pytest

from rollcall.model.causes import Crashes
from rollcall.model.crashes import ALARM_S, MOST_GROUPS, MOST_SAMPLES, SHOWN_GROUPS, SHOWN_SAMPLES, signal_name
from rollcall_agent.wire import facts
from tests.unit.model.agents import facts as pod_facts
from tests.unit.model.tellers import Stage

SEGV, ABRT = 11, 6
EVENT: dict[str, Any] = {
    "type": "death", "runtime": "php", "worker": 17, "signal": SEGV, "code": 1, "address": "0x0",
    "module": "/usr/lib/php/20220829/feed.so", "offset": "0x1139", "caller": None, "endpoint": "GET /feed", "elapsed_ms": 120,
    "step": "code feed_rank (feed.php:12)", "unanswered": 1, "age_ms": 400,
}  # fmt: skip


def told(stage: Stage) -> Crashes:
    found = stage.picture().crashes
    assert found is not None
    return found


def test_nothing_is_known_where_nobody_told() -> None:
    stage = Stage()
    stage.turn(stage.pod("uid-a"))
    assert stage.picture().crashes is None


def test_counts_by_signal() -> None:
    stage = Stage()
    one, two = stage.pod("uid-a"), stage.pod("uid-b")
    one.tell([(facts.DEATHS, 0, SEGV, 3), (facts.DEATHS, 0, ABRT, 1)], stage.now_s)
    two.tell([(facts.DEATHS, 0, SEGV, 2)], stage.now_s)
    two.tell([(facts.DEATHS, 0, ABRT, 9)], stage.now_s, past=True)
    stage.turn(one, two)
    found = told(stage)
    assert [(each.signal, each.total) for each in found.by_signal] == [("SIGABRT", 10), ("SIGSEGV", 5)]
    assert [each.per_second for each in found.by_signal] == [pytest.approx(0.1), pytest.approx(0.5)]
    assert (found.total, found.recent, found.per_second) == (15, 6, pytest.approx(0.6))
    assert (found.newest, found.last) == ("SIGSEGV", pytest.approx(stage.unix_s))
    assert stage.fleet.signals.crashes.totals() == {"SIGSEGV": 5, "SIGABRT": 10}


def test_what_is_past_raises_no_alarm() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    teller.tell([(facts.DEATHS, 0, SEGV, 3)], stage.now_s, past=True)
    stage.turn(teller)
    assert (told(stage).total, told(stage).recent, told(stage).last) == (3, 0, None)


def test_recent_ones_are_those_of_five_minutes() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    teller.tell([(facts.DEATHS, 0, SEGV, 3)], stage.now_s)
    stage.turn(teller)
    for _ in range(int(ALARM_S) - 2):
        stage.turn(teller, dt_s=1.0)
    assert told(stage).recent == 3
    for _ in range(4):
        stage.turn(teller, dt_s=1.0)
    assert (told(stage).recent, told(stage).total) == (0, 3)


def test_a_sample_names_what_is_known() -> None:
    stage = Stage()
    teller = stage.pod("uid-a", revision="7f9c", image="shop/feed:9")
    teller.session.accept_event(EVENT, stage.now_s)
    stage.turn(teller)
    (found,) = told(stage).samples or []
    assert (found.pod, found.revision, found.image, found.runtime, found.worker) == ("pod-a", "7f9c", "shop/feed:9", "php", 17)
    assert (found.signal, found.module, found.offset) == ("SIGSEGV", "/usr/lib/php/20220829/feed.so", "0x1139")
    assert (found.address, found.caller, found.endpoint, found.unanswered) == ("0x0", None, "GET /feed", 1)
    assert (found.step, found.elapsed) == ("code feed_rank (feed.php:12)", pytest.approx(0.12))
    assert found.at == pytest.approx(stage.unix_s - 0.5 - 0.4)
    assert told(stage).total == 0, "FACTS count those that a signal ended"


def test_what_nobody_knows_the_end_of_counts_by_its_event() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    teller.session.accept_event(EVENT | {"signal": None, "module": None, "offset": None}, stage.now_s)
    stage.turn(teller)
    found = told(stage)
    assert [(each.signal, each.total) for each in found.by_signal] == [("unknown", 1)]
    assert (found.recent, found.newest) == (1, "unknown")
    assert found.groups[0].signal is None


@pytest.mark.parametrize("leaving", [True, False])
def test_a_pod_that_was_told_to_end_raises_no_alarm(leaving: bool) -> None:
    """Its requests in flight are unanswered all the same; a fatal signal while it ends is a crash."""
    stage = Stage()
    teller = stage.pod("uid-a")
    if leaving:
        stage.fleet.upsert(pod_facts("uid-a", leaving=True))
    else:
        stage.fleet.remove("uid-a", stage.now_s)
    teller.session.accept_event(EVENT | {"signal": None}, stage.now_s)
    stage.turn(teller)
    assert (told(stage).recent, told(stage).last, told(stage).groups) == (0, None, [])
    assert len(told(stage).samples or []) == 1
    teller.session.accept_event(EVENT, stage.now_s)
    stage.turn(teller)
    assert told(stage).newest == "SIGSEGV"


def test_alike_crashes_are_one_group_and_the_newest_comes_first() -> None:
    stage = Stage()
    tellers = [stage.pod("uid-a", revision="7f9c"), stage.pod("uid-b", revision="7f9c")]
    for teller in tellers:
        teller.session.accept_event(EVENT, stage.now_s)
    stage.turn(*tellers)
    tellers[0].session.accept_event(EVENT | {"endpoint": "GET /other", "age_ms": 0}, stage.now_s)
    stage.turn(*tellers)
    groups = told(stage).groups
    assert [(group.endpoint, group.count) for group in groups] == [("GET /other", 1), ("GET /feed", 2)]
    assert groups[1].first == groups[1].last < groups[0].last <= stage.unix_s


def test_memory_is_bounded() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    for number in range(3 * MOST_GROUPS):
        teller.session.accept_event(EVENT | {"endpoint": f"GET /{number}"}, stage.now_s)
        stage.turn(teller)
    table = stage.fleet.signals.crashes
    assert (len(table._samples), len(table._groups)) == (MOST_SAMPLES, MOST_GROUPS)
    assert len(told(stage).samples or []) == SHOWN_SAMPLES
    assert len(told(stage).groups) == SHOWN_GROUPS
    assert told(stage).groups[0].endpoint == f"GET /{3 * MOST_GROUPS - 1}"


@pytest.mark.parametrize(
    "nonsense",
    [
        {"signal": "SIGSEGV"}, {"signal": -1}, {"signal": True}, {"signal": 2**70}, {"worker": [1]}, {"module": 7},
        {"module": ""},
        {"endpoint": "x" * 10_000}, {"step": "\x1b[2J"}, {"elapsed_ms": -5}, {"age_ms": 2**60}, {"age_ms": "x"},
        {"unanswered": None}, {"runtime": None},
    ],
)  # fmt: skip
def test_whatever_a_pod_says_it_is_bounded(nonsense: dict[str, Any]) -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    teller.session.accept_event(EVENT | nonsense, stage.now_s)
    stage.turn(teller)
    (found,) = told(stage).samples or []
    assert len(found.endpoint or "") <= 255
    assert found.step.isprintable()
    assert found.elapsed is None or found.elapsed >= 0
    assert stage.unix_s - 3700 <= found.at <= stage.unix_s


@pytest.mark.parametrize(
    ("number", "name"), [(11, "SIGSEGV"), (6, "SIGABRT"), (9, "SIGKILL"), (0, "unknown"), (63, "signal 63"), (64, "SIGRTMAX")]
)
def test_names_of_signals(number: int, name: str) -> None:
    assert signal_name(number) == name


# --- requests that were never answered


def test_what_was_never_answered_is_a_failure_and_no_finished_request() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    stage.turn(teller)
    index = teller.id_of(facts.ENDPOINT_NAMES, "GET /feed")
    teller.tell([*teller.answered("GET /feed", [0.1] * 8, failures=1), (facts.UNANSWERED, index, SEGV, 2)], stage.now_s)
    teller.agent.answer([0.1] * 8, errors=1)
    teller.agent.lost = 2
    stage.turn(teller)
    shown = stage.picture()
    assert shown.endpoints is not None
    (row,) = shown.endpoints.rows
    assert (row.requests, row.errors, row.unanswered) == (8, 1, 2)
    assert row.error_ratio == shown.traffic.error_ratio == pytest.approx(3 / 10)
    assert row.mean == pytest.approx(0.1), "they have no response time"
    assert (shown.totals.requests, shown.totals.errors, shown.totals.lost) == (8, 1, 2)
    assert (shown.roll or [])[0].error_ratio == pytest.approx(3 / 10)
    assert stage.fleet.signals.endpoints.unanswered() == {"GET /feed": 2}


def test_an_endpoint_that_never_answers_has_a_row() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    teller.tell([(facts.UNANSWERED, teller.id_of(facts.ENDPOINT_NAMES, "GET /dies"), 0, 3)], stage.now_s)
    teller.agent.lost = 3
    stage.turn(teller)
    endpoints = stage.picture().endpoints
    assert endpoints is not None
    (row,) = endpoints.rows
    assert (row.endpoint, row.requests, row.unanswered, row.error_ratio, row.mean) == ("GET /dies", 0, 3, 1.0, None)
    assert stage.picture().traffic.error_ratio == 1.0


def test_those_of_a_pod_that_is_gone_still_count() -> None:
    """Its agent tells of them in its last report, when the API has forgotten the pod already."""
    stage = Stage()
    teller, other = stage.pod("uid-a"), stage.pod("uid-b")
    teller.agent.answer([0.1] * 6)
    for _ in range(3):
        stage.turn(teller, other)
    stage.fleet.remove("uid-a", stage.now_s)
    teller.agent.lost = 2
    index = teller.id_of(facts.ENDPOINT_NAMES, "GET /feed")
    teller.tell([(facts.UNANSWERED, index, 0, 2)], stage.now_s)
    stage.turn(teller, other)
    assert stage.picture().totals.lost == 2
    assert stage.picture().traffic.error_ratio == pytest.approx(2 / 8)
    for _ in range(30):
        stage.turn(other)
    assert stage.picture().totals.lost == stage.fleet.departed().lost == 2
    assert stage.fleet.signals.endpoints.unanswered() == {"GET /feed": 2}


def test_health_counts_them() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    for _ in range(12):
        teller.agent.answer([0.1])
        teller.agent.lost += 4
        stage.turn(teller)
    assert (stage.fleet.last.health.state, stage.fleet.last.health.reason) == ("Down", "MostRequestsFail")
