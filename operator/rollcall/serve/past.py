"""What one pod did in the last 15 minutes, read out of the pictures of its service that are kept."""

from __future__ import annotations

import asyncio
import zlib

import msgspec

from rollcall.model.album import Album
from rollcall.model.history import Series
from rollcall.model.picture import InFlight

AT_ONCE = 200_000
"""So many packed bytes are read between two turns of the event loop: a few milliseconds."""


class PodHistory(msgspec.Struct, frozen=True, rename="camel"):
    """Columns of equal length, one entry for each picture that is kept and has the pod, of `at` (Unix seconds). `null` is no
    data."""

    pod: str
    at: list[float] = []
    state: list[str] = []
    requests_per_second: Series = []
    error_ratio: Series = []
    p95: Series = []
    in_flight: Series = []
    cpu_millicores: Series = []
    memory_bytes: Series = []


class _Resources(msgspec.Struct, frozen=True, rename="camel"):
    cpu_millicores: float | None
    memory_bytes: int


class _Pod(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    state: str
    requests_per_second: float | None
    error_ratio: float | None
    p95: float | None
    in_flight: InFlight | None
    resources: _Resources | None


class _Picture(msgspec.Struct, frozen=True):
    at: float
    roll: list[_Pod]


_read = msgspec.json.Decoder(_Picture)


async def pod_history(album: Album, pod: str) -> PodHistory:
    """All that is kept of a pod; columns are empty when nothing is."""
    told, read = PodHistory(pod), 0
    for kept in list(album):
        picture = _read.decode(zlib.decompress(kept.whole))
        found = next((each for each in picture.roll if each.name == pod), None)
        if found is not None:
            _add(told, picture.at, found)
        read += len(kept.whole)
        if read > AT_ONCE:
            read = 0
            await asyncio.sleep(0)
    return told


def _add(told: PodHistory, at: float, pod: _Pod) -> None:
    told.at.append(at)
    told.state.append(pod.state)
    told.requests_per_second.append(pod.requests_per_second)
    told.error_ratio.append(pod.error_ratio)
    told.p95.append(pod.p95)
    told.in_flight.append(None if pod.in_flight is None else pod.in_flight.total)
    told.cpu_millicores.append(None if pod.resources is None else pod.resources.cpu_millicores)
    told.memory_bytes.append(None if pod.resources is None else pod.resources.memory_bytes)
