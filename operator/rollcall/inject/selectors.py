"""Label selectors as Kubernetes defines them: does a pod match, and the same selector as a query text for the API server.

A selector is a mapping with `matchLabels` and `matchExpressions`, as in any Kubernetes object. One difference, on purpose: an
empty selector matches nothing here, for watching everything by an oversight is worse than watching nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class SelectorError(ValueError):
    """A selector that cannot be used: it is empty, or an operator is unknown."""


def matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a pod with these labels meets all conditions of the selector.

    >>> matches({"matchLabels": {"app": "newsfeed"}}, {"app": "newsfeed", "tier": "web"})
    True
    """
    equal = selector.get("matchLabels") or {}
    requirements = selector.get("matchExpressions") or ()
    if not equal and not requirements:
        return False
    return all(labels.get(key) == value for key, value in equal.items()) and all(
        _meets(requirement, labels) for requirement in requirements
    )


def to_query(selector: Mapping[str, Any]) -> str:
    """The selector as the text of a `labelSelector` parameter, in a fixed order.

    Raises SelectorError when it is empty, for an empty query would select every pod.
    """
    terms = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    terms += [_term(requirement) for requirement in selector.get("matchExpressions") or ()]
    if not terms:
        raise SelectorError("the selector is empty")
    return ",".join(terms)


def _meets(requirement: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    key, operator = requirement["key"], requirement["operator"]
    if operator == "In":
        return key in labels and labels[key] in requirement["values"]
    if operator == "NotIn":
        return key not in labels or labels[key] not in requirement["values"]
    if operator == "Exists":
        return key in labels
    if operator == "DoesNotExist":
        return key not in labels
    raise SelectorError(f"unknown operator {operator!r}")


def _term(requirement: Mapping[str, Any]) -> str:
    key, operator = requirement["key"], requirement["operator"]
    if operator in ("In", "NotIn"):
        return f"{key} {operator.lower()} ({','.join(sorted(requirement['values']))})"
    if operator == "Exists":
        return str(key)
    if operator == "DoesNotExist":
        return f"!{key}"
    raise SelectorError(f"unknown operator {operator!r}")
