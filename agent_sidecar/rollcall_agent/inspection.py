"""`rollcall-agent inspect [DIR]`: what the worker files and the agent's state say, for people.

It only reads: no file is folded or removed, and the agent need not run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from .sources.folder import RUNTIMES, worker_files
from .sources.worker_file import BadWorkerFileError, WorkerFile
from .state import State
from .totals import Totals
from .wire.bands import DEFAULT_BOUNDS_MS
from .wire.grid import midpoint_s

MAX_IN_FLIGHT = 20


def describe(folder: str, now_us: int) -> Iterator[str]:
    """The lines to print; `now_us` is CLOCK_MONOTONIC in µs."""
    state = State(os.path.join(folder, "agent"))
    state.load()
    known = os.path.exists(state.path)
    yield f"epoch {state.epoch}" if known else "no agent has run here yet"
    everything = state.totals.copy()
    if known:
        yield f"ended workers   {_counts(state.totals)}"
        yield from _endpoints(sorted(state.endpoints.items()))
    for name in worker_files(folder):
        if name not in state.folded:
            yield from _worker(os.path.join(folder, name), now_us, everything)
    yield f"together        {_counts(everything)}"


def _worker(path: str, now_us: int, everything: Totals) -> Iterator[str]:
    try:
        file = WorkerFile(path)
        file.read(now_us, DEFAULT_BOUNDS_MS)
    except (OSError, BadWorkerFileError) as error:
        yield f"{os.path.basename(path)}: not readable: {error}"
        return
    everything.add(file.totals)
    yield f"{file.name}  {RUNTIMES.get(file.runtime, '?')} pid {file.pid}"
    yield f"                {_counts(file.totals)}, {file.in_flight.total} in flight"
    yield from _endpoints([entry for entry in file.endpoints() if entry[1][0]])
    requests = file.requests_in_flight(now_us)
    for elapsed_ms, endpoint in requests[:MAX_IN_FLIGHT]:
        yield f"  in flight {elapsed_ms / 1000:9.3f} s  {endpoint}"
    if len(requests) > MAX_IN_FLIGHT:
        yield f"  and {len(requests) - MAX_IN_FLIGHT} younger ones"
    file.close()


def _counts(totals: Totals) -> str:
    mean_ms = totals.duration_us / totals.finished / 1000 if totals.finished else 0.0
    classes = " ".join(f"{i + 1}xx:{n}" for i, n in enumerate(totals.responses) if n)
    return (
        f"{totals.started} started, {totals.finished} finished, {totals.errors} errors, {totals.lost} lost,"
        f" mean {mean_ms:.1f} ms, p95 {quantile_s(totals.histogram, 0.95) * 1000:.1f} ms {classes}"
    ).rstrip()


def quantile_s(histogram: list[int], q: float) -> float:
    """The q-quantile, in seconds, of a histogram on the grid; 0 when it is empty."""
    rank = q * sum(histogram)
    seen = 0
    for bucket, count in enumerate(histogram):
        seen += count
        if count and seen >= rank:
            return midpoint_s(bucket)
    return 0.0


def _endpoints(entries: list[tuple[str, list[int]]]) -> Iterator[str]:
    for name, (requests, errors, duration_us) in entries:
        mean_ms = duration_us / requests / 1000 if requests else 0.0
        yield f"  {requests:>9} requests {errors:>6} errors {mean_ms:>9.1f} ms  {name}"
