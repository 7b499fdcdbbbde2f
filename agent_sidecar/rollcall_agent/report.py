"""Builds the body of a REPORT from what the sources say. Pure: time and facts are passed in."""

from __future__ import annotations

from .sources.worker_file import InFlight
from .totals import Totals
from .wire import report

_U32 = 0xFFFFFFFF


def body(
    seq: int, now_us: int, totals: Totals, in_flight: InFlight, workers: int, cpu_us: int, memory_kib: int, flags: int
) -> bytes:
    """The body of report number `seq`; `flags` as in `wire.report`."""
    values = totals.fields()
    values.update(
        seq=seq,
        window_end_us=now_us,
        agent_cpu_us=cpu_us,
        in_flight=in_flight.total & _U32,
        bands=in_flight.bands,
        oldest_ms=in_flight.oldest_ms,
        workers=workers,
        agent_rss_kib=memory_kib,
        flags=flags,
    )
    return report.pack(values)
