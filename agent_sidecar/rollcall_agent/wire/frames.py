"""Frames: `u32 length | u8 type | body`, little-endian, `length` counting type and body.

Unknown types are skipped by the receiver. A frame that breaks a limit ends its connection with a reason (GOODBYE) and
harms no other.
"""

from __future__ import annotations

import json
import struct
from typing import Any, Dict, List, Tuple

HELLO = 1  # agent → operator, JSON: who is calling
WELCOME = 2  # operator → agent, JSON: interval, bands, limits; sent again when they change
REPORT = 3  # agent → operator, see `report`
DEFINE = 4  # agent → operator: names of ids for this connection, see `facts`
EVENT = 5  # agent → operator, JSON: rare things, such as a sample of an error
ACK = 6  # operator → agent: highest sequence number, and highest number of FACTS, that are safely in the model
GOODBYE = 7  # either way, JSON {code, message}: why the connection ends
FACTS = 8  # agent → operator: what was counted since the FACTS before, see `facts`
REQUESTS = 9  # agent → operator, JSON: the longest requests in flight
POINTS = 10  # agent → operator: finished requests one by one, a sample, see `points`

PREFIX = struct.Struct("<IB")
LENGTH = struct.Struct("<I")
"""The part of PREFIX that tells how long a frame is."""
ACK_BODY = struct.Struct("<QQ")
MAX_FRAME_BYTES = 65536
"""Largest `length` that a receiver accepts."""


class FrameError(ValueError):
    """The peer broke the framing or a limit; the connection cannot go on."""


def encode(kind: int, body: bytes) -> bytes:
    """One frame, ready to be sent; raises FrameError when it would break the receiver's limit."""
    length = len(body) + 1
    if length > MAX_FRAME_BYTES:
        raise FrameError(f"frame of type {kind} has {length} bytes, the limit is {MAX_FRAME_BYTES}")
    return PREFIX.pack(length, kind) + body


def encode_json(kind: int, body: Dict[str, Any]) -> bytes:
    """One frame with a JSON body."""
    return encode(kind, json.dumps(body, separators=(",", ":")).encode())


def decode_json(body: bytes) -> Dict[str, Any]:
    """The object in a JSON body; raises FrameError when it is not one."""
    try:
        value = json.loads(bytes(body))
    except (ValueError, RecursionError) as error:
        raise FrameError(f"body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise FrameError(f"body is not a JSON object but {type(value).__name__}")
    return value


def check_length(length: int, most: int = MAX_FRAME_BYTES) -> None:
    """Raise FrameError where a frame that is not whole yet says of itself what cannot be."""
    if not 1 <= length <= most:
        raise FrameError(f"frame length {length} is outside 1..{most}")


class Decoder:
    """Cuts a byte stream into frames; holds at most one incomplete frame, so memory is bounded by `max_frame_bytes`."""

    __slots__ = ("_rest", "max_frame_bytes")

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self.max_frame_bytes = max_frame_bytes
        self._rest = b""

    def feed(self, data: bytes) -> List[Tuple[int, bytes]]:
        """The (type, body) pairs completed by `data`; raises FrameError on an impossible length."""
        buffer = self._rest + data if self._rest else bytes(data)
        frames: List[Tuple[int, bytes]] = []
        at, size, head, most = 0, len(buffer), PREFIX.size, self.max_frame_bytes
        while size - at >= head:
            length, kind = PREFIX.unpack_from(buffer, at)
            end = at + LENGTH.size + length
            if end > size or not 1 <= length <= most:
                break
            frames.append((kind, buffer[at + head : end]))
            at = end
        if at < size or self._rest:  # nearly never: whole frames come in one piece
            self._keep(buffer[at:])
        return frames

    def _keep(self, rest: bytes) -> None:
        """Keep the beginning of a frame for what comes next, unless its length is impossible."""
        self._rest = rest
        if len(rest) >= LENGTH.size:
            check_length(LENGTH.unpack_from(rest)[0], self.max_frame_bytes)
