"""The clock of a node may be wrong, or be set: nothing that an agent says carries the time of day."""

from __future__ import annotations

import msgspec
import pytest

from rollcall.model.picture import Picture
from tests.unit.model.tellers import Stage


def scene(offset_s: float, set_by_s: float = 0.0) -> Picture:
    """Ten seconds of a pod whose clock is `offset_s` off ours, and is set by `set_by_s` in between."""
    stage = Stage()
    teller = stage.pod("uid-a")
    for beat in range(20):
        teller.agent.answer([0.02] * 3, errors=1)
        teller.tell([*teller.answered("GET /feed", [0.02] * 3, failures=1)], stage.now_s)
        if beat == 10:
            teller.session.accept_event(
                {"type": "error", "error": "exception ValueError", "message": "no", "age_ms": 1500}, stage.now_s
            )
        off_s = offset_s + (set_by_s if beat >= 10 else 0.0)
        stage.now_s += 0.5
        end_us = round((stage.now_s + 1e6 + off_s) * 1e6)
        stage.report(teller, window_end_us=end_us, resources_at_us=end_us - 200_000)
        stage.roll.fold(stage.now_s, stage.unix_s)
    return stage.picture()


@pytest.mark.parametrize("offset_s", [-300.0, 300.0])
def test_a_clock_that_is_five_minutes_off_changes_nothing(offset_s: float) -> None:
    assert msgspec.json.encode(scene(offset_s)) == msgspec.json.encode(scene(0.0))


def test_reports_that_say_an_earlier_time_than_those_before_are_late() -> None:
    """An agent counts by CLOCK_MONOTONIC, which is never set back; a report that says otherwise is one that was overtaken."""
    shown = scene(0.0, set_by_s=-300.0)
    assert shown.totals.requests == 30
    assert shown.endpoints is not None
    assert shown.endpoints.rows[0].requests == 60
