"""Label selectors: Kubernetes' semantics, and the same selector as a query text."""

from __future__ import annotations

from typing import Any

import pytest

from rollcall.inject.selectors import SelectorError, matches, to_query


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("selector", "labels", "expected"),
    [
        ({"matchLabels": {"app": "a"}}, {"app": "a", "tier": "web"}, True),
        ({"matchLabels": {"app": "a"}}, {"app": "b"}, False),
        ({"matchLabels": {"app": "a"}}, {}, False),
        ({"matchLabels": {"app": ""}}, {}, False),
        ({"matchLabels": {"app": ""}}, {"app": ""}, True),
        ({"matchLabels": {"app": "a", "tier": "web"}}, {"app": "a"}, False),
        (expression("app", "In", "a", "b"), {"app": "b"}, True),
        (expression("app", "In", "a", "b"), {"app": "c"}, False),
        (expression("app", "In", "a"), {}, False),
        (expression("app", "NotIn", "a"), {"app": "b"}, True),
        (expression("app", "NotIn", "a"), {"app": "a"}, False),
        (expression("app", "NotIn", "a"), {}, True),
        (expression("app", "Exists"), {"app": ""}, True),
        (expression("app", "Exists"), {}, False),
        (expression("app", "DoesNotExist"), {}, True),
        (expression("app", "DoesNotExist"), {"app": "a"}, False),
        ({"matchLabels": {"app": "a"}, **expression("tier", "In", "web")}, {"app": "a", "tier": "web"}, True),
        ({"matchLabels": {"app": "a"}, **expression("tier", "In", "web")}, {"app": "a", "tier": "db"}, False),
        ({}, {"app": "a"}, False),
        ({"matchLabels": None, "matchExpressions": None}, {"app": "a"}, False),
    ],
)
def test_matches(selector: dict[str, Any], labels: dict[str, str], expected: bool) -> None:
    assert matches(selector, labels) is expected


@pytest.mark.parametrize(
    ("selector", "query"),
    [
        ({"matchLabels": {"b": "2", "a": "1"}}, "a=1,b=2"),
        (expression("app", "In", "b", "a"), "app in (a,b)"),
        (expression("app", "NotIn", "a"), "app notin (a)"),
        (expression("app", "Exists"), "app"),
        (expression("app", "DoesNotExist"), "!app"),
        ({"matchLabels": {"a": "1"}, **expression("tier", "Exists")}, "a=1,tier"),
    ],
)
def test_to_query(selector: dict[str, Any], query: str) -> None:
    assert to_query(selector) == query


def test_what_cannot_be_used_is_refused() -> None:
    with pytest.raises(SelectorError, match="empty"):
        to_query({"matchLabels": {}})
    for use in (to_query, lambda selector: matches(selector, {"app": "a"})):
        with pytest.raises(SelectorError, match="Is"):
            use(expression("app", "Is", "a"))
