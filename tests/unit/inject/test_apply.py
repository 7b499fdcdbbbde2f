"""Our small applier: what it does and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from rollcall.inject.apply import PatchError, apply


@pytest.mark.parametrize(
    ("document", "operation", "expected"),
    [
        ({}, {"op": "add", "path": "/a", "value": 1}, {"a": 1}),
        ({"a": 0}, {"op": "add", "path": "/a", "value": 1}, {"a": 1}),
        ({"a": [1]}, {"op": "add", "path": "/a/-", "value": 2}, {"a": [1, 2]}),
        ({"a": [1]}, {"op": "add", "path": "/a/0", "value": 0}, {"a": [0, 1]}),
        ({"a": [1]}, {"op": "add", "path": "/a/1", "value": 2}, {"a": [1, 2]}),
        ({}, {"op": "add", "path": "/a~1b~0c", "value": 1}, {"a/b~c": 1}),
        ({"a": 1, "b": 2}, {"op": "remove", "path": "/a"}, {"b": 2}),
        ({"a": [1, 2]}, {"op": "remove", "path": "/a/0"}, {"a": [2]}),
    ],
)
def test_operations(document: Any, operation: dict[str, Any], expected: Any) -> None:
    assert apply(document, [operation]) == expected


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "/a", "value": 1},
        {"op": "add", "path": "/missing/b", "value": 1},
        {"op": "add", "path": "/a/2", "value": 1},
        {"op": "add", "path": "/a/-1", "value": 1},
        {"op": "add", "path": "/a/x", "value": 1},
        {"op": "remove", "path": "/missing"},
        {"op": "remove", "path": "/a/5"},
    ],
)
def test_what_leads_nowhere_is_refused(operation: dict[str, Any]) -> None:
    with pytest.raises(PatchError):
        apply({"a": [1]}, [operation])
