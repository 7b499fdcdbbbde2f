"""The body of a REPORT frame: one fixed layout, so that the operator copies it into a matrix row without decoding it.

Everything that counts is cumulative since the agent's epoch: a report that is lost, late or sent twice changes no total, and
what was not acknowledged is contained in the next report. Fields are only ever appended; a reader takes the part it knows and
takes what is missing as zero.
"""

from __future__ import annotations

import struct
from typing import Any, Dict, NamedTuple, Tuple

from .bands import BANDS
from .grid import BUCKETS

FLAG_FINAL = 1
"""The agent is about to end and waits for the acknowledgement of this report."""
FLAG_PROBE = 2
"""At least one probe has attached to this agent since its epoch began."""
FLAG_NO_IN_FLIGHT = 4
"""No source of this pod can see requests before they end: in-flight figures are unknown, not zero."""
FLAG_RESOURCES = 8
"""A probe reads the application container's cgroup: `cpu_us` to `oom_kills` are valid, as of `resources_at_us`."""
FLAG_LISTEN_QUEUE = 16
"""The kernel tells of listening sockets: `listen_queue` is valid."""


class Field(NamedTuple):
    """One field of the layout: `code` is a struct format character, `size` > 1 makes an array."""

    name: str
    code: str
    size: int = 1


FIELDS: Tuple[Field, ...] = (
    Field("seq", "Q"),  # grows by one with each report of a connection
    Field("window_end_us", "Q"),  # agent's CLOCK_MONOTONIC when the facts were read
    Field("started", "Q"),  # requests begun
    Field("finished", "Q"),  # requests ended, in whatever way the application chose
    Field("errors", "Q"),  # of those: answered with 5xx, or ended by an uncaught exception
    Field("duration_us", "Q"),  # sum of response times of finished requests
    Field("responses", "Q", 5),  # finished requests by status class 1xx..5xx
    Field("lost", "Q"),  # in flight when their worker died: started, never finished
    Field("agent_cpu_us", "Q"),  # CPU time that the agent itself used
    Field("in_flight", "I"),  # started and not finished, now
    Field("bands", "I", BANDS),  # the same by elapsed time
    Field("oldest_ms", "I"),  # elapsed time of the oldest of them
    Field("workers", "I"),  # live application workers with a probe
    Field("agent_rss_kib", "I"),  # resident memory of the agent's processes
    Field("flags", "I"),
    Field("reserved", "I"),
    Field("histogram", "I", BUCKETS),  # finished requests by response time, see `grid`
    Field("resources_at_us", "Q"),  # agent's CLOCK_MONOTONIC when the next six were read
    Field("cpu_us", "Q"),  # CPU time of the application's container
    Field("throttled_us", "Q"),  # time for which its CPU limit held it back
    Field("memory_bytes", "Q"),  # its working set
    Field("memory_limit_bytes", "Q"),  # 0: none
    Field("cpu_quota_millis", "I"),  # its CPU limit in millicores; 0: none
    Field("oom_kills", "I"),  # processes in it that the kernel killed for want of memory
    Field("busy_workers", "I"),  # of `workers`: those that have a request in flight
    Field("listen_queue", "I"),  # connections that wait to be accepted, over all listening sockets of the pod
)

LAYOUT = struct.Struct("<" + "".join(f"{f.size}{f.code}" for f in FIELDS))
SIZE = LAYOUT.size
assert SIZE % 8 == 0


def offset(name: str) -> int:
    """Where a field begins in the body, in bytes; raises KeyError for a name that the layout does not have."""
    at = 0
    for field in FIELDS:
        if field.name == name:
            return at
        at += struct.calcsize("<" + field.code) * field.size
    raise KeyError(f"no such report field: {name}")


def pack(values: Dict[str, Any]) -> bytes:
    """The body of a report; `values` maps field names to an integer or, for arrays, a sequence of `size` integers.

    A name that is left out is zero. Raises KeyError for a name that the layout does not have and struct.error for a value
    that does not fit its field.
    """
    unknown = values.keys() - {f.name for f in FIELDS}
    if unknown:
        raise KeyError(f"no such report field: {sorted(unknown)}")
    flat: list[int] = []
    for field in FIELDS:
        value = values.get(field.name, 0 if field.size == 1 else (0,) * field.size)
        if field.size == 1:
            flat.append(value)
        else:
            flat.extend(value)
    return LAYOUT.pack(*flat)


def unpack(body: bytes) -> Dict[str, Any]:
    """The inverse of `pack`, for tests and tools; shorter and longer bodies (other wire versions) are taken as far as known."""
    known = bytes(body[:SIZE]).ljust(SIZE, b"\0")
    flat = LAYOUT.unpack(known)
    values: Dict[str, Any] = {}
    at = 0
    for field in FIELDS:
        values[field.name] = flat[at] if field.size == 1 else flat[at : at + field.size]
        at += field.size
    return values
