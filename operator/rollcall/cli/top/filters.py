"""What `/` finds: a regular expression, its inverse with `!`, or a field with `-l`.

    /feed|mail           rows in which the expression is found, whatever the case
    /!serving            rows in which it is not
    /-l state=silent     rows whose field is that; also `!=`, several with commas, and `node` alone for "has one"

An expression that is not one yet (`feed(`) is looked for letter by letter, so that nothing
disappears while it is being written.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

Fields = dict[str, str]


@dataclass(frozen=True)
class Filter:
    """One expression, ready to be asked. `problem` says what is wrong with it, for the person who writes it."""

    text: str
    matches: Callable[[Callable[[], str], Callable[[], Fields]], bool]
    """Asked with the words of a row and with its fields, each made only when it is needed."""
    problem: str = ""


def parse(text: str, known: tuple[str, ...] = ()) -> Filter | None:
    """A filter; None for an empty one, which lets everything through. `known` are the fields that there are."""
    wanted = text.strip()
    if not wanted or wanted in ("!", "-l"):
        return None
    if wanted.startswith("-l"):
        return _fields(text, wanted[2:].strip(), known)
    inverse = wanted.startswith("!")
    pattern = wanted[1:] if inverse else wanted
    problem = ""
    try:
        found = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        found, problem = re.compile(re.escape(pattern), re.IGNORECASE), f"no regular expression: {error}"
    return Filter(text, lambda words, _: (found.search(words()) is None) is inverse, problem)


def _fields(text: str, wanted: str, known: tuple[str, ...]) -> Filter:
    terms = [_term(each.strip()) for each in wanted.split(",") if each.strip()]
    unknown = [name for name, _, _ in terms if known and name not in known]
    problem = f"no field {', '.join(unknown)}; there are {', '.join(known)}" if unknown else ""

    def matches(_: Callable[[], str], fields: Callable[[], Fields]) -> bool:
        have = fields()
        return all(_holds(have.get(name, ""), sign, value) for name, sign, value in terms)

    return Filter(text, matches, problem)


def _term(text: str) -> tuple[str, str, str]:
    for sign in ("!=", "==", "="):
        name, found, value = text.partition(sign)
        if found:
            return name.strip(), "!=" if sign == "!=" else "=", value.strip()
    return (text[1:].strip(), "none", "") if text.startswith("!") else (text, "any", "")


def _holds(have: str, sign: str, value: str) -> bool:
    if sign in ("any", "none"):
        return bool(have) is (sign == "any")
    return (have.lower() == value.lower()) is (sign == "=")
