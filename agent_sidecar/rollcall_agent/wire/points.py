"""POINTS: finished requests one by one, so that a screen can show each as a dot and tell what the slow ones waited for.

A sample, not a count: nothing is acknowledged or repeated, and what is lost is lost. All slow and failed requests are told as
far as there is room, and a fair sample of the others; the weight of a point says for how many requests it stands.

Imported by the agent and the operator: standard library only.
"""

from __future__ import annotations

import struct
from typing import Iterable, Iterator, NamedTuple

RECORD = struct.Struct("<HHIIIHHHBB")
MAX_POINTS = 1000
"""In one frame."""
DEFAULT_POINTS = 50
"""In one frame, where WELCOME says nothing of `points`."""
MAX_AGE_MS = 0xFFFF
CPU_UNKNOWN = 0xFFFFFFFF


class Point(NamedTuple):
    """One finished request. The age is that at the frame's report; ids are those of DEFINE, 0 where there is none."""

    age_ms: int
    weight: int
    elapsed_us: int
    waited_us: int
    cpu_us: int
    endpoint: int
    dependency: int
    error: int
    outcome: int
    reserved: int = 0


def pack_points(points: Iterable[Point]) -> bytes:
    """The body of POINTS; raises struct.error for a value that does not fit its field."""
    return b"".join(RECORD.pack(*point) for point in points)


def unpack_points(body: bytes) -> Iterator[Point]:
    """The points of a body; a part at its end that is no whole one is left."""
    whole = len(body) - len(body) % RECORD.size
    return (Point(*fields) for fields in RECORD.iter_unpack(body[:whole]))
