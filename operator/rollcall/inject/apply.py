"""Applies the patches that we make to a JSON value: the `add` and `remove` of RFC 6902, which is all they use.

Not a general JSON Patch library; the API server has its own. `rollcall inject` needs it to print the patched manifest.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any


class PatchError(ValueError):
    """An operation that is unknown, or whose path leads nowhere."""


def apply(document: Any, patch: Iterable[Mapping[str, Any]]) -> Any:
    """A patched copy of the document; the document itself stays as it is. Raises PatchError."""
    patched = copy.deepcopy(document)
    for operation in patch:
        if operation["op"] not in ("add", "remove"):
            raise PatchError(f"operation {operation['op']!r} is not supported")
        *parents, last = [step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:]]
        try:
            target = patched
            for step in parents:
                target = target[int(step)] if isinstance(target, list) else target[step]
            if operation["op"] == "remove":
                del target[int(last) if isinstance(target, list) else last]
            else:
                _add(target, last, copy.deepcopy(operation["value"]))
        except (LookupError, TypeError, ValueError):
            raise PatchError(f"path {operation['path']!r} leads nowhere") from None
    return patched


def _add(target: Any, step: str, value: Any) -> None:
    if not isinstance(target, list):
        target[step] = value
        return
    index = len(target) if step == "-" else int(step)
    if not 0 <= index <= len(target):
        raise IndexError(index)
    target.insert(index, value)
