"""The memory-mapped file that a probe writes: one per application worker, read twice a second by the agent.

A file is a flight recorder: it outlives its worker, so what the worker was doing when it died can still be read. Liveness is
a lock, not a process id (agent and application have different PID namespaces): the probe holds `flock(LOCK_EX)` on the file for
as long as its process lives; whoever can take that lock knows that the worker is gone. All integers are little-endian and
aligned to their size, so that a single store is seen whole by the reader; totals only ever grow.

Imported by the probe inside the application's process too: Python 3.8, standard library only.
"""

from __future__ import annotations

import os
import struct

from .grid import BUCKETS

MAGIC = b"ROLLCAL1"
VERSION = 1
SUFFIX = ".worker"
"""A worker's file is `<runtime>-<pid>-<random>.worker` in `worker_dir`; while it is prepared its name begins with a dot."""
RUN_DIR = "/rollcall/run"
"""Where the shared folder is mounted in application and agent container."""


def worker_dir(run_dir: str) -> str:
    """The folder for worker files: the agent's own open one, else, where the application was faster, the shared folder itself.

    The shared folder is sticky (a volume in memory is): only the application's user could remove files there, and those of
    recycled workers would fill it. In the agent's folder everyone may write and the agent may remove.
    """
    workers = run_dir + "/workers"
    return workers if os.path.isdir(workers) else run_dir


RUNTIME_PYTHON = 1
RUNTIME_PHP = 2

HEADER = struct.Struct("<8sIIQIIII")
"""magic, version, pid, started_us, runtime, slot capacity, slots used (high-water mark), endpoints used."""
OFF_SLOTS_USED = 32
OFF_ENDPOINTS_USED = 36

OFF_STARTED = 40
"""Requests begun that are in no slot any more: finished, or lost. Begun in all: this + slots in use + OFF_UNTRACKED."""
OFF_FINISHED = 48
OFF_ERRORS = 56
OFF_DURATION_US = 64
OFF_RESPONSES = 72
"""Five counters: responses of class 1xx, 2xx, 3xx, 4xx, 5xx. An uncaught exception without a response counts as 5xx."""
OFF_UNTRACKED = 112
"""Requests in flight now that found no free slot."""
OFF_SETTLING = 120
"""Odd while the writer moves ended requests from their slots into the counters: what is read meanwhile does not fit."""

OFF_HISTOGRAM = 128
HISTOGRAM_BYTES = 4 * BUCKETS

OFF_ENDPOINTS = OFF_HISTOGRAM + HISTOGRAM_BYTES
ENDPOINTS = 64
"""Endpoint 0 is `other`: what is not known yet and what found no place in the table."""
ENDPOINT = struct.Struct("<QQQH126s")
"""requests, errors, duration_us, length of the name in bytes, name as UTF-8 (`GET /feed/<user>`)."""

OFF_SLOTS = OFF_ENDPOINTS + ENDPOINTS * ENDPOINT.size
SLOTS = 1024
SLOT = struct.Struct("<QIIQQ")
"""One request: started_us by CLOCK_MONOTONIC (0 = free), endpoint, outcome, elapsed_ns (0 = in flight), reserved.

A request that has ended stays in its slot until the writer settles: then it is added to the counters, and the slot is freed.
The reader adds those that still wait.
"""
OUTCOME_CLASS = 7
"""Bits of an outcome: status class 1..5, or 0 without a response."""
OUTCOME_ERROR = 8
"""Bit of an outcome: the request ended with an error."""

FILE_BYTES = OFF_SLOTS + SLOTS * SLOT.size

assert HEADER.size == OFF_STARTED
assert OFF_ENDPOINTS % 8 == ENDPOINT.size % 8 == SLOT.size % 8 == 0
