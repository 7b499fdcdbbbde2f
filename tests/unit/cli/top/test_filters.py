"""What `/` finds."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from rollcall.cli.top.filters import parse

FIELDS = {"state": "silent", "node": "", "slot": "newsfeed-03"}
LABELS = {"app": "Feed", "track": "canary", "state": "ca", "build": "12", "old": ""}


def found(text: str, words: str = "newsfeed-03 silent") -> bool:
    wanted = parse(text, tuple(FIELDS), tuple(LABELS))
    assert wanted is not None
    return wanted.matches(lambda: words, lambda: FIELDS, lambda: LABELS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("silent", True),
        ("SILENT", True),
        ("serving|silent", True),
        ("^newsfeed", True),
        ("^silent", False),
        ("!silent", False),
        ("!serving", True),
        ("-l state=silent", True),
        ("-l state==Silent", True),
        ("-l state!=silent", False),
        ("-l state=silent,slot=newsfeed-03", True),
        ("-l state=silent,slot=newsfeed-04", False),
        ("-l slot", True),
        ("-l node", False),
        ("-l !node", True),
        ("-lstate=silent", True),
        ("-l node=", True),
        ("-l node!=x", True),
        ("-l state in (serving,SILENT)", True),
        ("-l state notin (silent)", False),
        ("-l track=canary", True),
        ("-l track=Canary", False),
        ("-l app=feed", False),
        ("-l track!=canary", False),
        ("-l zone!=eu", True),
        ("-l track in (canary, stable),app=Feed,!zone,old", True),
        ("-l build>11,build<13", True),
        ("-l state=ca", False),
        ("-l label:state=ca", True),
        ("-l label:track=canary,state=silent", True),
        ("-l !label:node", True),
        ("-l track=canary,state=serving", False),
    ],
)
def test_an_expression(text: str, expected: bool) -> None:
    assert found(text) is expected


@pytest.mark.parametrize("text", ["", "  ", "!", "-l"])
def test_nothing_lets_everything_through(text: str) -> None:
    assert parse(text) is None


def test_an_expression_that_is_not_finished_is_looked_for_as_it_is() -> None:
    wanted = parse("feed(")
    assert wanted is not None
    assert "no regular expression" in wanted.problem
    assert wanted.matches(lambda: "newsfeed(3)", dict, dict)
    assert not wanted.matches(lambda: "newsfeed", dict, dict)


@pytest.mark.parametrize("rest", [",", ",app in (Fe", ",app in", ",=", ",x=y z", ",-x"])
def test_of_a_selector_that_is_not_finished_the_terms_count_that_are(rest: str) -> None:
    for text, expected in (("-l state=silent", True), ("-l track=stable", False)):
        wanted = parse(text + rest, tuple(FIELDS), tuple(LABELS))
        assert wanted is not None
        assert wanted.problem
        assert wanted.matches(str, lambda: FIELDS, lambda: LABELS) is expected


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (None, "no field colour; there are state, node"),
        (("app", "colour"), ""),
        (("track", "app"), "no field or label colour; labels are app, track; fields are state, node"),
        ((), "no field or label colour; no row has labels; fields are state, node"),
        ("abcdefghi", "no field or label colour; labels are a, b, c, d, e, f, g, h, …; fields are state, node"),
    ],
)
def test_a_name_that_there_is_not_is_told_with_those_that_there_are(labels: Collection[str] | None, problem: str) -> None:
    for text in ("-l colour=red", "-l !colour", "-l state=x,colour"):
        wanted = parse(text, ("state", "node"), labels)
        assert wanted is not None
        assert wanted.problem == problem


def test_before_there_are_rows_no_label_is_unknown() -> None:
    wanted = parse("-l colour=red", ("state",), (), rows=False)
    assert wanted is not None
    assert not wanted.problem


def test_values_of_fields_are_any_text() -> None:
    wanted = parse("-l endpoint=GET /feed/<id> (all),step!=db", ("endpoint", "step"))
    assert wanted is not None
    assert wanted.matches(str, lambda: {"endpoint": "get /feed/<id> (all)", "step": "recv"}, dict)
