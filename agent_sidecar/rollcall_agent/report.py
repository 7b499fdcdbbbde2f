"""Builds the body of a REPORT from what the sources say. Pure: time and facts are passed in."""

from __future__ import annotations

from typing import NamedTuple

from .sources.worker_file import InFlight
from .totals import Totals
from .wire import report

_U32 = 0xFFFFFFFF


class Moment(NamedTuple):
    """What is so right now, apart from requests.

    Live workers of the application, busy ones among them, connections that wait to be accepted (None: not known), and a reading
    of the application's cgroup as in `layout.RESOURCES` (None: there is none).
    """

    workers: int
    busy: int
    listen_queue: int | None
    resources: tuple[int, ...] | None


_RESOURCES = (
    "resources_at_us",
    "cpu_us",
    "throttled_us",
    "memory_bytes",
    "memory_limit_bytes",
    "cpu_quota_millis",
    "oom_kills",
)


def body(
    seq: int, now_us: int, totals: Totals, in_flight: InFlight, moment: Moment, cpu_us: int, memory_kib: int, flags: int
) -> bytes:
    """The body of report number `seq`; `flags` as in `wire.report`. `cpu_us` and `memory_kib` are the agent's own."""
    values = totals.fields()
    values.update(
        seq=seq,
        window_end_us=now_us,
        agent_cpu_us=cpu_us,
        in_flight=in_flight.total & _U32,
        bands=in_flight.bands,
        oldest_ms=in_flight.oldest_ms,
        workers=moment.workers,
        busy_workers=min(moment.busy, _U32),
        agent_rss_kib=memory_kib,
    )
    if moment.resources is not None:
        values.update(zip(_RESOURCES, moment.resources, strict=True))
        flags |= report.FLAG_RESOURCES
    if moment.listen_queue is not None:
        values["listen_queue"] = min(moment.listen_queue, _U32)
        flags |= report.FLAG_LISTEN_QUEUE
    values["flags"] = flags
    return report.pack(values)
