"""The longest requests in flight of one service, from what its pods told last. Decoded only when somebody looks."""

from __future__ import annotations

from typing import Annotated

import msgspec

from .fleet import Fleet
from .names import clean
from .picture import LongRequest
from .states import SILENT_AFTER_S
from .tally import Pod

MOST = 20
_LOOKED_AT = MOST + 4
"""Pods whose lists are decoded: a pod that is not among the 20 with the oldest request has none of the 20 oldest."""


_Number = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class _Told(msgspec.Struct):
    """One entry of REQUESTS."""

    id: str
    endpoint: str
    elapsed_ms: _Number
    step: str = ""
    step_ms: _Number | None = None
    worker: _Number = 0


class _Body(msgspec.Struct):
    requests: list[_Told]


_decoder = msgspec.json.Decoder(_Body)


def longest(fleet: Fleet) -> list[LongRequest]:
    """At most `MOST` requests, oldest first; elapsed times are as of the last fold. Lists of silent pods are not shown, and
    lists that cannot be read are dropped and counted."""
    now_s = fleet.last.at_s
    oldest_ms = fleet.rows.reports["oldest_ms"]
    telling: list[tuple[float, Pod]] = []
    for pod in fleet.last.pods:
        if pod.requests is not None and pod.row is not None and now_s - pod.requests[0] <= SILENT_AFTER_S:
            telling.append((oldest_ms[pod.row] / 1000 + now_s - pod.requests[0], pod))
    telling.sort(key=lambda one: -one[0])
    found = [request for _, pod in telling[:_LOOKED_AT] for request in _of(fleet, pod, now_s)]
    found.sort(key=lambda request: -request.elapsed)
    return found[:MOST]


def _of(fleet: Fleet, pod: Pod, now_s: float) -> list[LongRequest]:
    assert pod.requests is not None
    told_s, body = pod.requests
    try:
        told = _decoder.decode(body).requests
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        fleet.dropped["requests"] += 1
        pod.requests = None
        return []
    since_s = max(0.0, now_s - told_s)
    return [
        LongRequest(
            pod=pod.facts.name,
            id=clean(one.id, 64),
            endpoint=clean(one.endpoint),
            elapsed=one.elapsed_ms / 1000 + since_s,
            step=clean(one.step),
            step_elapsed=None if one.step_ms is None or not one.step else one.step_ms / 1000 + since_s,
            worker=one.worker,
            revision=pod.facts.revision,
            slot=fleet.slot_of(pod.facts.uid),
        )
        for one in told[:MOST]
    ]
