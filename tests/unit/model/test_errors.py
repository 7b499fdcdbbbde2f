"""Errors by type and their samples: counted apart by kind, bounded, and the rare ones are not pushed out."""

from __future__ import annotations

from typing import Any

import pytest

from rollcall.model.errors import MOST_SAMPLES, MOST_TYPES, SAMPLES_PER_PLACE, SHOWN_SAMPLES, ErrorTable, split
from rollcall.model.picture import Errors
from rollcall.model.roll import MOST_EVENTS
from rollcall.model.show import picture
from tests.unit.model.tellers import Stage

SAMPLE: dict[str, Any] = {
    "type": "error", "error": "exception ValueError", "message": "no such page", "function": "feed", "file": "app/feed.py",
    "line": 42, "endpoint": "GET /feed", "age_ms": 1500,
}  # fmt: skip


def told(stage: Stage) -> Errors:
    return stage.picture().errors


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("exception ValueError", ("exception", "ValueError")),
        ("http 503", ("http", "503")),
        ("timeout", ("timeout", "other")),
        ("abort client left", ("abort", "client left")),
        ("Nonsense here", ("exception", "Nonsense here")),
        ("", ("exception", "")),
    ],
)
def test_kind_and_type(name: str, parts: tuple[str, str]) -> None:
    assert split(name) == parts


def test_rates_and_totals_by_type_over_pods() -> None:
    stage = Stage()
    one, two = stage.pod("uid-a"), stage.pod("uid-b")
    for _ in range(20):  # 10 s
        one.tell([one.failed("http 503", 3), one.failed("exception ValueError", 1)], stage.now_s)
        two.tell([two.failed("exception ValueError", 1), two.failed("abort client", 5)], stage.now_s)
        stage.turn(one, two)
    found = told(stage)
    assert found.by_type is not None
    assert [(each.kind, each.type, each.total) for each in found.by_type] == [
        ("abort", "client", 100), ("http", "503", 60), ("exception", "ValueError", 40),
    ]  # fmt: skip
    rates = {each.type: each.per_second or 0 for each in found.by_type}
    assert rates["503"] == pytest.approx(6, rel=0.1)
    assert found.per_second == pytest.approx(rates["503"] + rates["ValueError"]), "a client that left is no failure"


def test_no_pod_that_tells_is_not_no_error() -> None:
    stage = Stage()
    assert told(stage) == Errors(None, [], [])
    teller = stage.pod("uid-a")
    teller.tell([teller.failed("http 500", 4)], stage.now_s)
    stage.turn(teller)
    assert (told(stage).per_second or 0) > 0
    stage.turn(dt_s=5.0)
    found = told(stage)
    assert found.by_type is not None
    assert (found.per_second, found.by_type[0].per_second, found.by_type[0].total) == (None, None, 4)


def test_a_sample_names_the_place_the_pod_and_its_revision() -> None:
    stage = Stage()
    teller = stage.pod("uid-a", revision="7d9c")
    stage.turn(teller)
    stage.now_s += 0.2
    teller.session.accept_event(SAMPLE, stage.now_s)
    stage.turn(teller)
    samples = told(stage).samples
    assert samples is not None
    (sample,) = samples
    assert (sample.kind, sample.type, sample.message) == ("exception", "ValueError", "no such page")
    assert (sample.function, sample.file, sample.line, sample.endpoint) == ("feed", "app/feed.py", 42, "GET /feed")
    assert (sample.pod, sample.revision) == ("pod-a", "7d9c")
    assert sample.at == pytest.approx(stage.unix_s - 0.5 - 1.5)


@pytest.mark.parametrize(
    ("changes", "field", "value"),
    [
        ({"message": "x\x1b[31m\n" + "y" * 2000}, "message", "x\ufffd[31m\ufffd" + "y" * 493),
        ({"message": None}, "message", ""),
        ({"line": "42"}, "line", None),
        ({"line": -1}, "line", None),
        ({"line": 2**70}, "line", None),
        ({"error": 7}, "type", "other"),
        ({"error": "x" * 500}, "type", "x" * 120),
        ({"endpoint": {"a": 1}}, "endpoint", ""),
        ({"function": "\ud800"}, "function", "\ufffd"),
        ({"age_ms": -5}, "at", 1000.0),
        ({"age_ms": "old"}, "at", 1000.0),
        ({"age_ms": 10**30}, "at", 1000.0 - 3600),
    ],
)
def test_whatever_a_pod_says_in_a_sample(changes: dict[str, Any], field: str, value: object) -> None:
    table = ErrorTable()
    table.sample(SAMPLE | {"age_ms": 0} | changes, "pod-a", None, 1000.0)
    samples = table.picture(1000.0, 1000.0, live=True, with_lists=True).samples
    assert samples is not None
    assert getattr(samples[0], field) == value


def test_a_frequent_error_does_not_push_out_the_rare_ones() -> None:
    table = ErrorTable()
    table.sample(SAMPLE | {"error": "fatal OutOfMemory"}, "pod-a", None, 1000.0)
    for number in range(1000):
        table.sample(SAMPLE | {"message": str(number)}, "pod-a", None, 1001.0 + number)
    samples = table.picture(3000.0, 3000.0, live=True, with_lists=True).samples
    assert samples is not None
    assert [sample.message for sample in samples] == ["999", "998", "997", "996", "995", "no such page"]
    assert len(samples) == SAMPLES_PER_PLACE + 1


def test_samples_and_types_are_bounded() -> None:
    table = ErrorTable()
    for number in range(500):
        table.sample(SAMPLE | {"line": 1 + number}, "pod-a", None, 1000.0 + number)
    assert len(table._samples) == MOST_SAMPLES
    stage = Stage()
    teller = stage.pod("uid-a")
    teller.tell([teller.failed(f"exception E{number}", 1 + number) for number in range(60)], stage.now_s)
    stage.turn(teller)
    found, samples = told(stage), table.picture(2000.0, 2000.0, live=True, with_lists=True).samples
    assert found.by_type is not None
    assert samples is not None
    assert [each.type for each in found.by_type] == [f"E{59 - rank}" for rank in range(MOST_TYPES)]
    assert [sample.line for sample in samples] == [500 - rank for rank in range(SHOWN_SAMPLES)]


def test_a_flood_of_samples_is_dropped_and_counted() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    for number in range(MOST_EVENTS + 30):
        teller.session.accept_event(SAMPLE | {"line": 1 + number}, stage.now_s)
    assert teller.tell([teller.failed("exception ValueError", 1)], stage.now_s) is None, "facts have a budget of their own"
    teller.session.accept_event(None, stage.now_s + 2)
    assert len(told(stage).samples or []) == MOST_EVENTS
    assert stage.fleet.dropped["event"] == 31
    teller.session.accept_event({"type": "of a later version"}, stage.now_s + 2)
    assert stage.fleet.dropped["event"] == 31


def test_a_summary_has_the_rate_and_no_lists() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    teller.tell([teller.failed("http 500", 4)], stage.now_s)
    stage.turn(teller)
    summary, lists = picture(stage.fleet, with_roll=False), picture(stage.fleet, with_roll=False, with_lists=True)
    assert (summary.errors.by_type, summary.errors.samples) == (None, None)
    assert summary.errors.per_second == told(stage).per_second
    assert lists.errors == told(stage)
    assert lists.roll is None
