"""Finished requests one by one, a sample: POINTS of all pods of one service in the last minute.

Taken in as they come and decoded at the fold. Bounded by age and number, the oldest go first; what a pod says in them is taken
as far as it is possible.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rollcall_agent.wire import facts, points

KEEP_S = 60.0
MOST = 20_000
"""Ten seconds of what a service may tell at most, 60 of what most tell."""
QUEUE_BYTES = 2**20
PER_SECOND = 2000
"""Of one service, all pods together."""
FRAMES_PER_SECOND = 2
MOST_PER_FRAME = 200
UNKNOWN_CPU = points.CPU_UNKNOWN
_WIRE = np.dtype(
    [
        ("age_ms", "<u2"), ("weight", "<u2"), ("elapsed_us", "<u4"), ("waited_us", "<u4"), ("cpu_us", "<u4"),
        ("endpoint", "<u2"), ("dependency", "<u2"), ("error", "<u2"), ("outcome", "u1"), ("reserved", "u1"),
    ]
)  # fmt: skip
assert _WIRE.itemsize == points.RECORD.size
POINT = np.dtype(
    [
        ("at_s", "f8"), ("elapsed_us", "u4"), ("waited_us", "u4"), ("cpu_us", "u4"), ("weight", "u2"),
        ("endpoint", "u1"), ("outcome", "u1"), ("dependency", "i2"), ("error", "i2"),
    ]
)  # fmt: skip
"""A point as it is kept: `at_s` is monotonic, endpoint, dependency and error are numbers of the service's tables (-1: none)."""
Points = npt.NDArray[np.void]


Pods = npt.NDArray[np.object_]


class Chunk(NamedTuple):
    """What one fold took in; the names of the pods stand beside the points, because copying those is slow."""

    told_s: float
    points: Points
    pods: Pods


class Told(NamedTuple):
    """One frame."""

    row: int
    pod: str
    at_s: float
    body: bytes


def per_frame(pods: int, place: int) -> int:
    """How many points one of so many pods may tell in a frame; `place` is a number of its own.

    A power of two, so that it stays the same while pods come and go. Where there are more pods than points, only some of the
    pods tell: one in a power of two.
    """
    room = PER_SECOND // FRAMES_PER_SECOND
    each: int = room // max(1, pods)
    if pods <= room:
        return min(MOST_PER_FRAME, 1 << (each.bit_length() - 1))
    one_in: int = 1 << (-(-pods // room) - 1).bit_length()
    return int(place % one_in == 0)


class PointStore:
    """Push frames, drain at the fold, read the last seconds."""

    def __init__(self) -> None:
        self._queue: list[Told] = []
        self._queued_bytes = 0
        self._chunks: deque[Chunk] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def push(self, told: Told) -> bool:
        """Take a frame; True when it is time to drain."""
        self._queue.append(told)
        self._queued_bytes += len(told.body)
        return self._queued_bytes > QUEUE_BYTES

    def drain(self, maps: npt.NDArray[np.uint8], now_s: float) -> None:
        """Decode what is queued; `maps` has the service's numbers of each row's ids, shape (rows, tables, MAX_IDS), the tables
        in the order endpoints, errors, dependencies."""
        if self._queue:
            queue, self._queue, self._queued_bytes = self._queue, [], 0
            chunk = _decode(queue, maps, now_s)
            self._chunks.append(chunk)
            self._count += len(chunk.points)
        while self._chunks and (self._chunks[0].told_s < now_s - KEEP_S or self._count > MOST):
            self._count -= len(self._chunks.popleft().points)

    def last(self, seconds: float, now_s: float) -> Points:
        """The points that were told in the last so many seconds, shape (n,), in that order."""
        # Joined as bytes, because to concatenate arrays with fields takes a hundred times as long.
        found = b"".join([chunk.points.tobytes() for chunk in self._since(now_s - seconds)])
        return np.frombuffer(found, POINT) if found else np.zeros(0, POINT)

    def pods(self, seconds: float, now_s: float) -> Pods:
        """The name of the pod of each of these."""
        found = [chunk.pods for chunk in self._since(now_s - seconds)]
        return np.concatenate(found) if found else np.zeros(0, np.object_)

    def after(self, told_s: float) -> list[Chunk]:
        """What was taken in later than that."""
        return [chunk for chunk in self._chunks if chunk.told_s > told_s]

    def _since(self, told_s: float) -> list[Chunk]:
        return [chunk for chunk in self._chunks if chunk.told_s >= told_s]


def _decode(queue: list[Told], maps: npt.NDArray[np.uint8], now_s: float) -> Chunk:
    size = _WIRE.itemsize
    counts = [len(told.body) // size for told in queue]
    read = np.frombuffer(b"".join(told.body[: count * size] for told, count in zip(queue, counts, strict=True)), _WIRE)
    row = np.repeat(np.array([told.row for told in queue], np.intp), counts)

    def number(table: int, ids: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        known: npt.NDArray[np.uint8] = maps[row, table, np.where(ids < facts.MAX_IDS, ids, 0)]
        return known

    found = np.empty(len(read), POINT)
    found["at_s"] = np.repeat([told.at_s for told in queue], counts) - read["age_ms"] / 1000
    for same in ("elapsed_us", "weight", "outcome"):
        found[same] = read[same]
    found["waited_us"] = np.minimum(read["waited_us"], read["elapsed_us"])
    found["cpu_us"] = read["cpu_us"]
    found["endpoint"] = number(0, read["endpoint"])
    found["error"] = np.where(read["error"] > 0, number(1, read["error"]).astype(np.int16), -1)
    found["dependency"] = np.where(read["dependency"] > 0, number(2, read["dependency"]).astype(np.int16), -1)
    return Chunk(now_s, found[-MOST:], np.repeat(np.array([told.pod for told in queue], object), counts)[-MOST:])
