"""A service that finishes nothing any more, told from one that is idle and from one that is slow."""

from __future__ import annotations

import pytest

from rollcall.model.windows import WINDOW_S
from tests.unit.model.tellers import Stage, Teller


def run(
    stage: Stage, teller: Teller, seconds: float, *, begun: int, finished: int, flying: int, stuck: int, busy: int = 2
) -> None:
    """Each half-second so many requests begin and finish; so many are in flight, of which so many are in the last band."""
    for _ in range(round(2 * seconds)):
        teller.agent.answer([0.01] * finished)
        teller.number += begun  # it tells no facts here, so this is free to count
        teller.agent.in_flight, teller.agent.bands = flying, (flying - stuck, 0, 0, stuck)
        stage.turn(teller, started=teller.number, oldest_ms=9000 if stuck else 100, workers=4, busy_workers=busy)


def health(stage: Stage) -> tuple[str, str]:
    found = stage.picture().health
    return found.state.value, found.reason


def test_requests_begin_and_none_finishes() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    run(stage, teller, 15, begun=3, finished=3, flying=1, stuck=0)
    assert health(stage) == ("Healthy", "AsExpected")
    run(stage, teller, 6, begun=3, finished=0, flying=20, stuck=0)
    run(stage, teller, 3, begun=3, finished=0, flying=40, stuck=12)
    assert health(stage) == ("Degraded", "RequestsStuck")
    run(stage, teller, WINDOW_S, begun=3, finished=0, flying=60, stuck=40)
    assert health(stage) == ("Down", "NothingFinishes")
    assert "40 requests have been in flight for longer than 8 s, the oldest for 9 s" in stage.picture().health.message
    run(stage, teller, 3, begun=3, finished=30, flying=1, stuck=0)
    assert health(stage) == ("Down", "NothingFinishes"), "better only after five seconds"
    run(stage, teller, 3, begun=3, finished=3, flying=1, stuck=0)
    assert health(stage) == ("Healthy", "AsExpected")


@pytest.mark.parametrize("busy", [1, 4])
def test_what_hangs_in_an_idle_service_does_not_make_it_down(busy: int) -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    run(stage, teller, 3, begun=1, finished=1, flying=1, stuck=0)
    run(stage, teller, 30, begun=0, finished=0, flying=busy, stuck=busy, busy=busy)
    assert health(stage) == ("Degraded", "RequestsStuck")


def test_waiting_connections_tell_that_nothing_can_begin() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    run(stage, teller, 3, begun=1, finished=1, flying=1, stuck=0)
    for _ in range(40):
        teller.agent.in_flight, teller.agent.bands = 1, (0, 0, 0, 1)
        stage.turn(teller, started=teller.number, oldest_ms=9000, workers=4, busy_workers=1, listen_queue=7)
    assert health(stage) == ("Down", "NothingFinishes")


def test_slow_is_not_down() -> None:
    """Something finishes every few seconds, and the last band is never empty."""
    stage = Stage()
    teller = stage.pod("uid-a")
    for _ in range(8):
        run(stage, teller, 4.5, begun=2, finished=0, flying=9, stuck=3)
        run(stage, teller, 0.5, begun=2, finished=1, flying=9, stuck=3)
    assert health(stage) == ("Degraded", "RequestsStuck")


def test_idle_is_healthy() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    run(stage, teller, 30, begun=0, finished=0, flying=0, stuck=0, busy=0)
    assert health(stage) == ("Healthy", "AsExpected")
