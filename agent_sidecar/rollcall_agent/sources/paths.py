"""Endpoints from raw paths, for sources that know no routes. Pure.

Only the first segment of a path is kept, `<id>` where it looks like one, and `/*` for whatever follows: `/feed/*`. More would
be one name for each user, and an endpoint's name must not tell who was here.
"""

from __future__ import annotations

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"))
_MOST_SEGMENT = 40
_DIGITS = frozenset("0123456789")
_HEX = frozenset("0123456789abcdefABCDEF-")
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~")


def shape(path: str) -> str:
    """`/` for itself, `/feed` for `/feed`, `/feed/*` for `/feed/12/likes`, `/<id>/*` for `/5f2c…/likes`."""
    first, slash, rest = path[1:].partition("/")
    first = first.partition("?")[0]
    if is_id(first):
        first = "<id>"
    return f"/{first}/*" if slash and rest else f"/{first}"


def is_id(segment: str) -> bool:
    """Whether a segment says which one rather than what: a number, a UUID or other hex with digits, what is long or has unusual
    characters, or more digits than a version or a year has."""
    if not segment:
        return False
    if len(segment) > _MOST_SEGMENT or not _PLAIN.issuperset(segment):
        return True
    digits = sum(1 for character in segment if character in _DIGITS)
    if digits == len(segment) or digits > 4:
        return True
    return digits > 0 and len(segment) >= 8 and _HEX.issuperset(segment)
