"""FACTS, DEFINE and the words in them: what a pod counts by endpoint, by type of error and by visitor.

A REPORT is cumulative and has a row for each pod; this would be too large for it (50 histograms), so FACTS carry what was added
since the FACTS before, and the operator adds it to the service. Each has a number, counted from 1 within an epoch. The operator
says in WELCOME and ACK up to which number it has taken them, and ignores one that it has; the agent keeps what is not
acknowledged and sends it again over the next connection, so nothing is lost or counted twice. An operator that knows nothing of
the epoch says 0: the agent then begins again at 1 with everything it ever counted, marked PAST.

Imported by the probe inside the application's process too: Python 3.8, standard library only.
"""

from __future__ import annotations

import struct
from typing import Iterable, List, Tuple

HEAD = struct.Struct("<QII")
"""number, flags, 0."""
FLAG_PAST = 1
"""What these add belongs to the totals and to no window: it was counted before this operator knew the pod."""

RECORD = struct.Struct("<BBHII")
"""kind, 0, id, argument, value."""
REQUESTS = 1
"""id: endpoint; value: requests that finished."""
FAILURES = 2
"""id: endpoint; value: requests of these that failed."""
DURATION = 3
"""id: endpoint; value: sum of response times, µs."""
CELL = 4
"""id: endpoint; argument: bucket of the grid; value: requests that fell into it. PAST facts have none."""
ERRORS = 5
"""id: type of error; value: how often it occurred."""
VISITOR = 6
"""argument: register << 8 | rank of a HyperLogLog sketch with 2**HLL_BITS registers: a visitor was here."""
SIGHTING = 7
"""argument: low half of a visitor's hash; value: age of the request in ms when the facts were made. Only of visitors whose hash
ends in SIGHTING_BITS zero bits, but for each of their requests: so the operator learns the time between two requests."""
FOLDED = 8
"""value: endpoint names that found no place in a table of probe or agent; their requests are in endpoint `other`."""

CALLS = 9
"""id: dependency; value: calls of it that ended."""
CALL_FAILURES = 10
"""id: dependency; argument: reason, an index of REASONS; value: calls of these that failed for it."""
CALL_DURATION = 11
"""id: dependency; value: sum of the durations of its calls, µs."""
CALL_CELL = 12
"""id: dependency; argument: bucket of the grid; value: calls that fell into it. PAST facts have none."""
WAITED = 13
"""id: dependency; value: the part of requests' response times that went by waiting for it, µs."""
UNANSWERED = 14
"""id: endpoint; argument: the signal that ended its worker, 0: not known; value: requests that were in flight then."""
DEATHS = 15
"""argument: signal; value: workers that a fatal signal ended, whether or not they had requests."""

REASONS = ("error", "timeout", "refused", "throttled", "exhausted")
"""Why a call failed: it raised or was answered with a failure; its time was over; nobody took the connection; the dependency
said that it gets too many calls (HTTP 429, or 503 with Retry-After; a ThrottlingException and its kin); the application's own
pool of connections had none left in time."""
THROTTLES = (2, 3, 4)
"""Reasons that say that there is too little of the dependency, not that the call was wrong."""

MAX_VALUE = 0xFFFFFFFF
MAX_RECORDS = 5000
"""In one frame, which stays below the limit of 64 KiB."""

ENDPOINT_NAMES = 1
ERROR_NAMES = 2
DEPENDENCY_NAMES = 3
NAME = struct.Struct("<BHB")
"""One entry of a DEFINE: table, id, length of the name in bytes; then the name as UTF-8."""
MAX_IDS = 256
"""Ids of each table are 0..MAX_IDS-1; endpoint 0 is `other`, error 0 is `exception other`, dependency 0 is `other`."""
OTHER_ENDPOINT = "other"
OTHER_DEPENDENCY = "other"
OTHER_ERROR = "exception other"

ERROR_KINDS = ("exception", "http", "timeout", "fatal", "abort", "warning")
"""First word of an error's name. `exception` left the application uncaught; `http` is a 5xx answer without one; `timeout` is an
exception or answer that says so; `fatal` ended the process's work on the request (PHP); these four are failures of their
request. `abort` is a client that left before its answer was complete, `warning` is one of PHP's."""
FAILURE_KINDS = ("exception", "http", "timeout", "fatal")

SAMPLE_FIELDS = ("error", "message", "function", "file", "line", "endpoint", "at_us")
"""Of a sample of an error: its name, bounded and redacted message, place in the application's own code, endpoint, and
CLOCK_MONOTONIC."""

HLL_BITS = 15
HLL_REGISTERS = 1 << HLL_BITS
SIGHTING_BITS = 4
_SIGHTING_MASK = (1 << SIGHTING_BITS) - 1


def cut(text: str, limit: int) -> bytes:
    """`text` as UTF-8, at most `limit` bytes, cut at a character; what cannot be encoded becomes `?`."""
    encoded = text.encode("utf-8", "replace")
    return encoded if len(encoded) <= limit else encoded[:limit].decode("utf-8", "ignore").encode()


def visitor_hash(key: bytes, identifier: bytes) -> int:
    """The keyed hash of a visitor, the first 64 bits of HMAC-SHA256, little-endian; never 0."""
    from hmac import digest  # not needed in processes that count no visitors

    return int.from_bytes(digest(key, identifier, "sha256")[:8], "little") or 1


def register_and_rank(hashed: int) -> Tuple[int, int]:
    """HyperLogLog's register (the top bits) and rank (leading zeros of the rest + 1) of a 64-bit hash.

    Source: Flajolet et al., "HyperLogLog: the analysis of a near-optimal cardinality estimation algorithm", 2007.
    """
    rest = hashed & ((1 << (64 - HLL_BITS)) - 1)
    return hashed >> (64 - HLL_BITS), 64 - HLL_BITS - rest.bit_length() + 1


def is_sighted(hashed: int) -> bool:
    """Whether each request of this visitor is told, one visitor in 2**SIGHTING_BITS."""
    return not hashed & _SIGHTING_MASK


def pack_facts(number: int, flags: int, records: Iterable[Tuple[int, int, int, int]]) -> bytes:
    """The body of FACTS from (kind, id, argument, value); a value above MAX_VALUE is divided over several records.

    The caller sees to it that there are at most MAX_RECORDS; the order of records does not matter.
    """
    parts: List[bytes] = [HEAD.pack(number, flags, 0)]
    for kind, index, argument, value in records:
        while value > MAX_VALUE:
            parts.append(RECORD.pack(kind, 0, index, argument, MAX_VALUE))
            value -= MAX_VALUE
        parts.append(RECORD.pack(kind, 0, index, argument, value))
    return b"".join(parts)


def pack_names(table: int, names: Iterable[Tuple[int, str]]) -> bytes:
    """The body of DEFINE from (id, name); names are cut at 255 bytes."""
    parts: List[bytes] = []
    for index, name in names:
        encoded = cut(name, 255)
        parts.append(NAME.pack(table, index, len(encoded)) + encoded)
    return b"".join(parts)


def unpack_names(body: bytes) -> List[Tuple[int, int, str]]:
    """(table, id, name) of each entry of a DEFINE; raises ValueError when it is cut short."""
    found: List[Tuple[int, int, str]] = []
    at = 0
    while at < len(body):
        if at + NAME.size > len(body):
            raise ValueError("DEFINE ends within an entry")
        table, index, length = NAME.unpack_from(body, at)
        at += NAME.size
        if at + length > len(body):
            raise ValueError("DEFINE ends within a name")
        found.append((table, index, body[at : at + length].decode("utf-8", "replace")))
        at += length
    return found
