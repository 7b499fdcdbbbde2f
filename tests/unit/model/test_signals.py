"""Facts as they come: taken once, by the names of their own connection, whatever else is in them left aside."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcall.model import signals
from rollcall.model.names import MOST_FOLDED, Defined, Names, clean
from rollcall.model.roll import MOST_FACTS_BYTES
from rollcall_agent.wire import facts, frames, grid
from tests.unit.model.agents import Agent
from tests.unit.model.agents import facts as pod_facts
from tests.unit.model.tellers import Stage, Teller


def totals(stage: Stage) -> dict[str, tuple[int, int]]:
    stage.roll.fold(stage.now_s, stage.unix_s)
    return stage.fleet.signals.endpoints.totals()


def requests(teller: Teller, endpoint: str, count: int) -> tuple[int, int, int, int]:
    return facts.REQUESTS, teller.id_of(facts.ENDPOINT_NAMES, endpoint), 0, count


def test_what_comes_twice_counts_once() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    for number in (1, 1, 2, 1, 2, 3):
        teller.tell([requests(teller, "GET /a", 10**number)], stage.now_s, number=number)
    assert totals(stage) == {"GET /a": (1110, 0)}
    assert teller.session.taken == 3


def test_a_connection_that_comes_back_goes_on_with_names_of_its_own() -> None:
    stage = Stage()
    first = stage.pod("uid-a")
    first.tell([requests(first, "GET /a", 1), requests(first, "GET /b", 2)], stage.now_s)
    second = stage.connect("uid-a")  # before the fold: what is queued goes by the names it came with
    second.number = second.session.taken or 0
    assert second.number == 1
    second.tell([requests(second, "GET /b", 40), requests(second, "GET /a", 30)], stage.now_s)
    assert totals(stage) == {"GET /a": (31, 0), "GET /b": (42, 0)}


def test_another_epoch_counts_anew() -> None:
    stage = Stage()
    first = stage.pod("uid-a")
    first.tell([requests(first, "GET /a", 5)], stage.now_s)
    second = stage.connect("uid-a", Agent("uid-a", epoch="e2"))
    assert second.session.taken == 0
    second.tell([requests(second, "GET /a", 7)], stage.now_s)
    assert totals(stage) == {"GET /a": (12, 0)}


def test_a_pod_in_two_services_counts_in_both_and_later_ones_count_from_then_on() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    other = type(stage.fleet)("shop", "everything")
    teller.tell([requests(teller, "GET /a", 5)], stage.now_s)
    stage.roll.add(other)
    other.upsert(stage.fleet.pods["uid-a"].facts)
    stage.roll.pod_known(other, "uid-a", stage.now_s)
    teller.tell([requests(teller, "GET /a", 2)], stage.now_s)
    assert totals(stage) == {"GET /a": (7, 0)}
    assert other.signals.endpoints.totals() == {"GET /a": (2, 0)}, "names that were defined before are known to it"


def test_a_pod_that_comes_back_under_its_label_keeps_its_names() -> None:
    """Meanwhile another pod may have taken its row."""
    stage = Stage()
    teller = stage.pod("uid-a")
    teller.tell([requests(teller, "GET /a", 1)], stage.now_s)
    stage.turn(teller)
    stage.fleet.remove("uid-a", stage.now_s)
    for _ in range(25):
        stage.turn(teller)
    other = stage.pod("uid-b")
    other.tell([requests(other, "GET /b", 10)], stage.now_s)
    stage.fleet.upsert(pod_facts("uid-a"))
    stage.roll.pod_known(stage.fleet, "uid-a", stage.now_s)
    assert teller.session.taken == 1
    teller.tell([requests(teller, "GET /a", 100)], stage.now_s)
    assert totals(stage) == {"GET /a": (101, 0), "GET /b": (10, 0)}


def test_without_a_service_facts_are_left_and_not_said_to_be_taken() -> None:
    stage = Stage()
    teller = Teller(stage.roll.open("uid-x", "shop", "pod-x", "e1", 0, stage.now_s), Agent("uid-x"))
    assert teller.session.taken is None
    assert teller.tell([(facts.REQUESTS, 0, 0, 5)], stage.now_s) is None
    assert teller.session.taken is None


def test_facts_told_to_a_service_that_is_gone_send_the_agent_back() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    teller.tell([requests(teller, "GET /a", 5)], stage.now_s)
    stage.roll.drop(("shop", "newsfeed"))
    stage.fleet = type(stage.fleet)("shop", "newsfeed")
    stage.roll.add(stage.fleet)
    stage.fleet.upsert(pod_facts("uid-a"))
    stage.roll.pod_known(stage.fleet, "uid-a", stage.now_s)
    assert teller.session.forgotten() is not None, "also when it has nothing to tell"
    refused = teller.tell([requests(teller, "GET /a", 1)], stage.now_s)
    assert refused is not None
    assert refused.code == "FactsUnknown"
    assert totals(stage) == {}


HOSTILE = [
    (0, 1, 0, 1),
    (99, 1, 0, 1),
    (255, 65535, 2**32 - 1, 2**32 - 1),
    (facts.CELL, 1, grid.BUCKETS, 5),
    (facts.CELL, 1, 2**32 - 1, 5),
    (facts.VISITOR, 0, facts.HLL_REGISTERS << 8 | 1, 1),
    (facts.VISITOR, 0, 5 << 8, 1),
    (facts.VISITOR, 0, 5 << 8 | 52, 1),
    (facts.VISITOR, 0, 5 << 8 | 255, 1),
]


@pytest.mark.parametrize("record", HOSTILE)
def test_records_that_mean_nothing_are_skipped(record: tuple[int, int, int, int]) -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    assert teller.tell([record, requests(teller, "GET /a", 3)], stage.now_s) is None
    stage.turn(teller)
    stage.turn(teller)
    assert totals(stage) == {"GET /a": (3, 0)}
    view = stage.picture()
    assert view.endpoints is not None
    assert view.endpoints.rows[0].p95 is None
    assert view.visitors is None


@pytest.mark.parametrize("index", [0, 5, facts.MAX_IDS - 1, facts.MAX_IDS, 65535])
def test_ids_that_were_not_defined_are_other(index: int) -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    teller.tell([(facts.REQUESTS, index, 0, 4), (facts.ERRORS, index, 0, 2)], stage.now_s)
    assert totals(stage) == {facts.OTHER_ENDPOINT: (4, 0)}
    assert stage.fleet.signals.errors.totals() == {facts.OTHER_ERROR: 2}


def test_names_may_come_after_their_facts_within_a_fold() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    teller.tell([(facts.REQUESTS, 1, 0, 4)], stage.now_s)
    teller.id_of(facts.ENDPOINT_NAMES, "GET /late")
    assert totals(stage) == {"GET /late": (4, 0)}


def test_values_at_their_limit_overflow_nothing() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    index = teller.id_of(facts.ENDPOINT_NAMES, "GET /a")
    kinds = (facts.REQUESTS, facts.FAILURES, facts.DURATION, facts.CELL)
    for _ in range(10):
        teller.tell([(kind, index, 7, facts.MAX_VALUE) for kind in kinds] * 100, stage.now_s)
    stage.turn(teller)
    row = stage.picture().endpoints.rows[0]  # type: ignore[union-attr]
    assert row.requests == row.errors == 1000 * facts.MAX_VALUE
    assert row.error_ratio == 1.0
    assert row.p99 is not None


@pytest.mark.parametrize("body", [b"", b"x" * 15, facts.pack_facts(1, 0, [(1, 1, 0, 1)])[:-1]])
def test_a_body_that_is_cut_short_is_no_facts(body: bytes) -> None:
    with pytest.raises(frames.FrameError, match="FACTS of"):
        Stage().pod("uid-a").session.accept_facts(body, 1000.0)


def test_a_flood_is_refused_and_the_usual_is_not() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    records = [(facts.REQUESTS, 0, 0, 1)] * facts.MAX_RECORDS
    allowed = MOST_FACTS_BYTES // (facts.HEAD.size + facts.RECORD.size * facts.MAX_RECORDS)
    for _ in range(3):  # seconds
        assert all(teller.tell(records, stage.now_s) is None for _ in range(allowed))
        refused = teller.tell(records, stage.now_s)
        assert refused is not None
        assert refused.code == "TooMuch"
        teller.number -= 1
        stage.now_s += 1
    assert totals(stage) == {"other": (3 * allowed * facts.MAX_RECORDS, 0)}


def test_a_queue_that_grows_too_long_is_decoded_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signals, "QUEUE_BYTES", 1000)
    stage = Stage()
    teller = stage.pod("uid-a")
    for _ in range(50):
        teller.tell([(facts.REQUESTS, 0, 0, 1)] * 10, stage.now_s)
        assert stage.fleet.signals._queued_bytes <= 1000
    assert totals(stage) == {"other": (500, 0)}


def test_facts_of_a_pod_that_was_silent_are_of_the_past() -> None:
    """They come before the report that ends the silence."""
    stage = Stage()
    teller = stage.pod("uid-a")
    stage.turn(teller)
    stage.turn(teller)
    stage.now_s += 30
    teller.tell(teller.answered("GET /a", [0.1] * 1000), stage.now_s)
    stage.turn(teller, dt_s=0.0)
    teller.tell(teller.answered("GET /a", [0.1] * 5), stage.now_s)
    stage.turn(teller)
    row = stage.picture().endpoints.rows[0]  # type: ignore[union-attr]
    assert row.requests == 1005
    assert row.requests_per_second is not None
    assert row.requests_per_second <= 10


@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(0, 255), st.integers(0, 65535), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)),
            max_size=30,
        ),
        max_size=8,
    ),
    st.binary(max_size=300),
)
@settings(max_examples=150, deadline=None)
def test_whatever_a_pod_says_its_neighbour_counts_right(bodies: list[list[tuple[int, int, int, int]]], names: bytes) -> None:
    stage = Stage()
    hostile, honest = stage.pod("uid-a"), stage.pod("uid-b")
    honest.tell(honest.answered("GET /honest", [0.1] * 5, failures=2), stage.now_s)
    with suppress(frames.FrameError):
        hostile.session.define(names)
    for records in bodies:
        hostile.tell(records, stage.now_s)
    honest.tell(honest.answered("GET /honest", [0.1] * 5), stage.now_s)
    stage.turn(hostile, honest)
    stage.turn(hostile, honest)
    assert totals(stage)["GET /honest"] == (10, 2)
    stage.picture()


def test_names_of_pods_are_bounded_and_printable() -> None:
    defined = Defined()
    found = defined.define(facts.ENDPOINT_NAMES, 1, "GET /\x1b[2J\n\u202e\ud800x" + "y" * 300)
    assert found == "GET /\ufffd[2J\ufffd\ufffd\ufffdx" + "y" * 242
    assert defined.define(facts.ENDPOINT_NAMES, 1, "another") is None, "an id keeps its first name"
    for table, index in ((0, 1), (4, 1), (facts.ENDPOINT_NAMES, 0), (facts.ENDPOINT_NAMES, facts.MAX_IDS)):
        assert defined.define(table, index, "x") is None
    assert len(list(defined)) == 1
    assert clean("GET /größe/<id>") == "GET /größe/<id>"


def test_names_that_find_no_place_are_counted_up_to_a_bound() -> None:
    names = Names("other")
    for number in range(facts.MAX_IDS + MOST_FOLDED + 50):
        names.number_of(f"GET /{number}")
    names.number_of(f"GET /{facts.MAX_IDS}")
    assert len(names) == facts.MAX_IDS
    assert names.folded == MOST_FOLDED
    assert names.number_of("GET /0") == 1


def test_rows_that_are_used_again_do_not_inherit_names() -> None:
    stage = Stage()
    first = stage.pod("uid-a")
    first.tell([requests(first, "GET /first", 1)], stage.now_s)
    stage.fleet.remove("uid-a", stage.now_s)
    stage.now_s += 60
    stage.roll.fold(stage.now_s, stage.unix_s)
    for number in range(40):  # more than there were rows at first
        teller = stage.pod(f"uid-{number}")
        teller.tell([(facts.REQUESTS, 1, 0, 1)], stage.now_s)
    assert totals(stage) == {"GET /first": (1, 0), "other": (40, 0)}
    assert np.count_nonzero(stage.fleet.signals._maps) == 0
