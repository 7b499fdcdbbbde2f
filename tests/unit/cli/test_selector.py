"""Selectors: what the documentation of Kubernetes says of them, what is wrong with others, and that what is written is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.cli.selector import RULE, Selector, SelectorError, Term, parse, read

PODS: dict[str, dict[str, str]] = {
    "front": {"environment": "production", "tier": "frontend", "app": "guestbook"},
    "back": {"environment": "production", "tier": "backend", "app": "guestbook", "role": "replica"},
    "cache": {"environment": "qa", "tier": "cache", "partition": "customerA", "build": "9"},
    "bare": {},
}
DOCUMENTED = [
    ("environment = production", "front back"),
    ("tier != frontend", "back cache bare"),
    ("environment=production,tier!=frontend", "back"),
    ("environment in (production, qa)", "front back cache"),
    ("tier notin (frontend, backend)", "cache bare"),
    ("partition", "cache"),
    ("!partition", "front back bare"),
    ("partition,environment notin (qa)", ""),
    ("partition in (customerA, customerB),environment!=qa", ""),
    ("environment=production,tier=frontend", "front"),
    ("environment in (production),tier in (frontend)", "front"),
    ("environment,environment notin (frontend)", "front back cache"),
    ("role in (),app==guestbook", ""),
    ("", "front back cache bare"),
    ("  ", "front back cache bare"),
    ("build>8", "cache"),
    ("build<9", ""),
    ("tier>1", ""),
    ("build > 8 , build < 10", "cache"),
    ("! partition", "front back bare"),
    ("tier in(cache)", "cache"),
    ("role=", ""),
    ("role!=", "front back cache bare"),
]
"""Selectors, and the pods that they select: the page is tested with the same."""
WRONG = [
    ("=x", '"=x": a key is missing before ='),
    ("app=feed,,x", '",x": a key is missing before ,'),
    (",", '",": a key is missing before ,'),
    ("!", '"!": a key is missing before the end'),
    ("app=feed,", '"app=feed,": a key is missing after the comma'),
    ("app=a b", '"app=a b": after a comes b, and not a comma'),
    ("app=a=b", '"app=a=b": after a comes =, and not a comma'),
    ("app==!x", '"app==!x": after == comes !, and not a comma'),
    ("app feed", '"app feed": after app comes feed, and not =, !=, in, notin or a comma'),
    ("app ! x", '"app ! x": after app comes !, and not =, !=, in, notin or a comma'),
    ("ok,!app=feed", '"!app=feed": after !app comes =, and not a comma'),
    ("env in (prod", '"env in (prod": the list has no )'),
    ("env in prod", '"env in prod": a list in parentheses is missing after in'),
    ("env notin", '"env notin": a list in parentheses is missing after notin'),
    ("env in (a b)", '"env in (a b)": a b is no value; values are separated by commas'),
    ("env in (a) b", '"env in (a) b": after ) comes b, and not a comma'),
    ("env in (a=b)", '"env in (a=b)": a=b is no value; values are separated by commas'),
    ("-app=x", f'"-app": no key of a label: its name is {RULE}'),
    ("a/b/c=x", '"a/b/c": no key of a label: a/b before / is no DNS name in lower case'),
    ("/b=x", '"/b": no key of a label: nothing before / is no DNS name in lower case'),
    ("app=a:b", f'"app=a:b": a:b is no value of a label: {RULE}'),
    ("build>x", '"build>x": x after > is no whole number'),
    ("build<", '"build<": nothing after < is no whole number'),
]
"""What is no selector, and what is said of it."""


@pytest.mark.parametrize(("text", "names"), DOCUMENTED)
def test_what_the_documentation_selects(text: str, names: str) -> None:
    selector = parse(text)
    assert [name for name, labels in PODS.items() if selector.matches(labels)] == names.split()


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("x in (,a)", {"x": ""}, True),
        ("x in (a,)", {"x": ""}, True),
        ("x in (a,,b)", {"x": ""}, True),
        ("x in ()", {"x": ""}, True),
        ("x in (a)", {"x": ""}, False),
        ("x=", {"x": ""}, True),
        ("x", {"x": ""}, True),
        ("in in (in,notin)", {"in": "notin"}, True),
        ("notin notin (in)", {"notin": "in"}, False),
        ("in", {"in": "x"}, True),
        ("x=in", {"x": "in"}, True),
        ("app.kubernetes.io/name=feed", {"app.kubernetes.io/name": "feed"}, True),
        ("x=A", {"x": "a"}, False),
    ],
)
def test_corners_that_kubectl_knows(text: str, labels: dict[str, str], expected: bool) -> None:
    assert parse(text).matches(labels) is expected


@pytest.mark.parametrize(("text", "sentence"), WRONG)
def test_a_sentence_names_the_part_that_is_wrong(text: str, sentence: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse(text)
    assert str(caught.value) == sentence


def test_terms_come_one_by_one_until_something_is_wrong() -> None:
    terms = read("app=feed,track!=canary,env in (prod")
    assert [next(terms), next(terms)] == [Term("app", "=", ("feed",)), Term("track", "!=", ("canary",))]
    with pytest.raises(SelectorError):
        next(terms)


def test_a_free_value_is_any_text_up_to_the_comma() -> None:
    terms = list(read("endpoint=GET /feed/<id> (x=1), step in (recv a.py:8,db) , app=feed", ("endpoint", "step")))
    assert terms == [
        Term("endpoint", "=", ("GET /feed/<id> (x=1)",)),
        Term("step", "in", ("recv a.py:8", "db")),
        Term("app", "=", ("feed",)),
    ]


# --- whatever is written

names = st.from_regex(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,8}[A-Za-z0-9])?", fullmatch=True)
keys = st.one_of(names, st.builds("{}/{}".format, st.from_regex(r"[a-z0-9]{1,5}(\.[a-z]{1,3})?", fullmatch=True), names))
values = st.one_of(st.just(""), names)
lists = st.lists(values, min_size=1, max_size=4, unique=True).map(tuple)
terms = st.one_of(
    st.builds(Term, keys, st.sampled_from(["=", "!="]), values.map(lambda value: (value,))),
    st.builds(Term, keys, st.sampled_from(["in", "notin"]), lists),
    st.builds(Term, keys, st.sampled_from(["has", "lacks"])),
    st.builds(Term, keys, st.sampled_from([">", "<"]), st.integers(0, 10**17).map(lambda number: (str(number),))),
)


@given(st.lists(terms, max_size=5).map(lambda found: Selector(tuple(found))))
def test_what_is_written_is_read(selector: Selector) -> None:
    assert parse(str(selector)) == selector


@given(st.lists(terms, min_size=1, max_size=4), st.sampled_from(["", " ", "\t "]))
def test_spaces_mean_nothing(found: list[Term], space: str) -> None:
    text = ",".join(map(str, found))
    spaced = "".join(f"{space}{each}{space}" if each in "=!(),<>" else each for each in text)
    for joined in ("!=", "=="):
        spaced = spaced.replace(f"{space}{joined[0]}{space}{space}{joined[1]}{space}", f"{space}{joined}{space}")
    assert parse(spaced) == Selector(tuple(found))


@given(st.text(alphabet=st.sampled_from("ab1/.-:=!(),<> inot\t\x1b"), max_size=24))
def test_anything_is_a_selector_or_a_sentence(text: str) -> None:
    try:
        selector = parse(text)
    except SelectorError as error:
        said = str(error)
    else:
        said = str(selector)
        assert parse(said) == selector
    assert said or not text.strip()


@given(terms, st.one_of(st.none(), values, st.integers(0, 30).map(str)))
def test_each_term_is_as_the_documentation_says(term: Term, value: str | None) -> None:
    there = value is not None
    number = int(term.values[0]) if term.sign in "<>" else 0
    assert term.holds(value) is {
        "=": value in term.values, "in": value in term.values,
        "!=": value not in term.values, "notin": value not in term.values,
        "has": there, "lacks": not there, ">": str(value).isdecimal() and int(str(value)) > number,
        "<": str(value).isdecimal() and int(str(value)) < number,
    }[term.sign]  # fmt: skip
