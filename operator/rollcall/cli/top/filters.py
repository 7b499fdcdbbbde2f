"""What `/` finds: a regular expression, its inverse with `!`, or fields and labels with `-l`.

    /feed|mail             rows in which the expression is found, whatever the case
    /!serving              rows in which it is not
    /-l state=silent       rows whose field is that; also `!=`, and `node` alone for "has one"
    /-l track!=canary      rows whose label is not that: all of kubectl's selectors

A name that is a field of the table is that field; `label:state` is the label of this name. Fields go by whatever case.

An expression that is not one yet (`feed(`) is looked for letter by letter, and of a selector those terms count that are
whole, so that nothing disappears while it is being written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from rollcall.cli.selector import Selector, SelectorError, Term, checked, read

Fields = dict[str, str]
LABEL = "label:"
"""Before the name of a label that is a field's, too."""
MOST_NAMED = 8
"""So many labels are named to who writes another one."""


EVERYTHING = Selector()


@dataclass(frozen=True)
class Filter:
    """One expression, ready to be asked. `problem` says what is wrong with it, for the person who writes it."""

    text: str
    matches: Callable[[Callable[[], str], Callable[[], Fields], Callable[[], Fields]], bool]
    """Asked with the words of a row, its fields and its labels, each made only when it is needed."""
    problem: str = ""
    labels: Selector = EVERYTHING
    """The part of it that kubectl understands."""


def parse(text: str, known: tuple[str, ...] = (), labels: Collection[str] | None = None, *, rows: bool = True) -> Filter | None:
    """A filter; None for an empty one, which lets everything through. `known` are the fields that there are, `labels` the
    labels that some row has; None where rows have none. Before there are `rows`, nobody knows which."""
    wanted = text.strip()
    if not wanted or wanted in ("!", "-l"):
        return None
    if wanted.startswith("-l"):
        found = _selected(text, wanted[2:].strip(), known)
        unknown = [term.key for term in found.labels.terms if term.key not in (labels or ())]
        if unknown and not found.problem and (rows or labels is None):
            return replace(found, problem=_unknown(unknown, known, labels))
        return found
    inverse = wanted.startswith("!")
    pattern = wanted[1:] if inverse else wanted
    problem = ""
    try:
        expression = re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        expression, problem = re.compile(re.escape(pattern), re.IGNORECASE), f"no regular expression: {error}"
    return Filter(text, lambda words, *_: (expression.search(words()) is None) is inverse, problem)


def _selected(text: str, wanted: str, known: tuple[str, ...]) -> Filter:
    of_fields: list[Term] = []
    of_labels: list[Term] = []
    problem = ""
    try:
        for term in read(wanted, known):
            if term.key in known:
                of_fields.append(replace(term, values=tuple(value.lower() for value in term.values)))
            else:
                of_labels.append(checked(replace(term, key=term.key.removeprefix(LABEL))))
    except SelectorError as error:
        problem = str(error)
    selector = Selector(tuple(of_labels))

    def matches(_: Callable[[], str], fields: Callable[[], Fields], labels_of: Callable[[], Fields]) -> bool:
        have = fields() if of_fields else {}
        if not all(_holds(term, have.get(term.key, "").lower()) for term in of_fields):
            return False
        return not of_labels or selector.matches(labels_of())

    return Filter(text, matches, problem, selector)


def _unknown(names: list[str], known: tuple[str, ...], labels: Collection[str] | None) -> str:
    fields = ", ".join(known)
    if labels is None:
        return f"no field {', '.join(names)}; there are {fields}"
    there = sorted(labels)[:MOST_NAMED]
    named = f"labels are {', '.join(there)}{', …' if len(labels) > MOST_NAMED else ''}" if there else "no row has labels"
    return f"no field or label {', '.join(names)}; {named}; fields are {fields}"


def _holds(term: Term, have: str) -> bool:
    """A field that is empty is none, and equals an empty text."""
    return term.holds((have or None) if term.sign in ("has", "lacks") else have)
