"""What `/` finds."""

from __future__ import annotations

import pytest

from rollcall.cli.top.filters import parse

FIELDS = {"state": "silent", "node": "", "slot": "newsfeed-03"}


def found(text: str, words: str = "newsfeed-03 silent") -> bool:
    wanted = parse(text, tuple(FIELDS))
    assert wanted is not None
    return wanted.matches(lambda: words, lambda: FIELDS)


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
    assert wanted.matches(lambda: "newsfeed(3)", dict)
    assert not wanted.matches(lambda: "newsfeed", dict)


def test_a_field_that_there_is_not_is_named() -> None:
    wanted = parse("-l colour=red", ("state", "node"))
    assert wanted is not None
    assert wanted.problem == "no field colour; there are state, node"
