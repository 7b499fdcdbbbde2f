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
VERSION = 3
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
RUNTIME_OTLP = 3
RUNTIME_ACCESS_LOG = 4
OWN_RUNTIMES = (RUNTIME_PHP, RUNTIME_OTLP, RUNTIME_ACCESS_LOG)
"""Of these the agent writes the file itself, from what it is told: one for all workers of the pod."""

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
"""One request: started_us by CLOCK_MONOTONIC (0 = free), endpoint, outcome, elapsed_ns (0 = in flight), step. While it is in
flight, the place of the outcome has, in a file of PHP, the process id of its worker.

The step is what the request is at: the `STEP_BITS` low bits index the table of steps (0 = not known), above them is the time in
µs since when, so that one store tells both.

A request that has ended stays in its slot until the writer settles: then it is added to the counters, and the slot is freed.
The reader adds those that still wait.
"""
OUTCOME_CLASS = 7
"""Bits of an outcome: status class 1..5, or 0 without a response."""
OUTCOME_ERROR = 8
"""Bit of an outcome: the request ended with an error."""

STEP_BITS = 8

OFF_JOURNAL_WRITTEN = OFF_SLOTS + SLOTS * SLOT.size
"""Finished requests that were ever entered into the journal. From here on: what is read only after something happened."""
OFF_ERRORS_NOTED = OFF_JOURNAL_WRITTEN + 8
OFF_SAMPLES_WRITTEN = OFF_JOURNAL_WRITTEN + 16
OFF_VISITS_WRITTEN = OFF_JOURNAL_WRITTEN + 24
OFF_ERRORS_USED = OFF_JOURNAL_WRITTEN + 32
OFF_STEPS_USED = OFF_JOURNAL_WRITTEN + 36
COUNTERS = struct.Struct("<QQQQII")
"""The six above: written to the journal, counted in the table of errors, samples, visits; entries used of errors and steps."""
OFF_FOLDED = OFF_JOURNAL_WRITTEN + 40
"""u64: endpoint names that found no place in the table; their requests are in endpoint 0."""

OFF_RESOURCES = OFF_JOURNAL_WRITTEN + 48
RESOURCES = struct.Struct("<QQQQQII")
"""What one worker of the container reads of the container's cgroup, a second apart: read_at_us by CLOCK_MONOTONIC (0 = this
one does not), cpu_us, throttled_us, working set and memory limit (0 = none) in bytes, CPU quota in millicores (0 = none), OOM
kills."""

OFF_CALLS_WRITTEN = OFF_JOURNAL_WRITTEN + 104
"""Calls of dependencies that were ever entered into their journal."""
OFF_POINTS_WRITTEN = OFF_JOURNAL_WRITTEN + 112
OFF_DEPENDENCIES_USED = OFF_JOURNAL_WRITTEN + 120
CALL_COUNTERS = struct.Struct("<QQI")
"""The three above: written to the journal of calls, points written; entries used of the table of dependencies."""

OFF_JOURNAL = OFF_JOURNAL_WRITTEN + 128
JOURNAL = 4096
"""Entries of u32, endpoint << 16 | bucket, one per finished request, round and round: each endpoint's response times."""
NO_BUCKET = 0xFFFF
"""In the place of a bucket: the response time of this request is not known."""

OFF_ERRORS = OFF_JOURNAL + 4 * JOURNAL
ERRORS = 64
"""Error 0 is `exception other`: what found no place in the table."""
ERROR = struct.Struct("<QH118s")
"""count, length of the name in bytes, name as UTF-8: kind and type, `exception ValueError`, `http 503` (see `facts`)."""

OFF_STEPS = OFF_ERRORS + ERRORS * ERROR.size
STEPS = 1 << STEP_BITS
STEP = struct.Struct("<H126s")
"""length in bytes, text as UTF-8: kind and what, `code hang (newsfeed.py:42)`, `http api.example.com`. Step 0 is empty."""

OFF_SAMPLES = OFF_STEPS + STEPS * STEP.size
SAMPLES = 16
SAMPLE = struct.Struct("<H1022s")
"""length in bytes, JSON object (see `facts.SAMPLE_FIELDS`), round and round."""

OFF_VISITS = OFF_SAMPLES + SAMPLES * SAMPLE.size
VISITS = 1024
"""Entries of u64, keyed hashes of visitors (see `facts.visitor_hash`), round and round."""

OFF_DEPENDENCIES = OFF_VISITS + 8 * VISITS
DEPENDENCIES = 64
"""Dependency 0 is `other`: what found no place in the table."""
DEPENDENCY = struct.Struct("<QQQQQQQQH126s")
"""Calls that ended; of these the failed ones by reason (five counters, see `facts.REASONS`); sum of their durations, µs;
waited: the part of requests' response times that went by in them, µs; length of the name in bytes, name as UTF-8: system and
target, `postgresql orders`, `http api.example.com`.

A call that a request makes beside others (asyncio.gather) has its own duration, but of one request no more is waited for than
its response time: who writes divides that over the dependencies in proportion. Calls outside of any request wait for nothing.
"""

OFF_CALLS = OFF_DEPENDENCIES + DEPENDENCIES * DEPENDENCY.size
CALLS = 4096
"""Entries of u32, dependency << 16 | bucket, one per call that ended, round and round: each dependency's latencies."""

OFF_POINTS = OFF_CALLS + 4 * CALLS
POINTS = 1024
POINT = struct.Struct("<QIIIHHHBBI")
"""One finished request, round and round: ended_us by CLOCK_MONOTONIC, elapsed_us, waited_us (for dependencies), cpu_us (of its
thread or process; CPU_UNKNOWN for most, because asking the kernel costs more than all the rest), endpoint, the dependency
that it waited for longest (0 = none), index in the table of errors (0 = none known), outcome as in a slot, 0, 0."""
CPU_UNKNOWN = 0xFFFFFFFF

OFF_CRASH = OFF_POINTS + POINTS * POINT.size
CRASH = struct.Struct("<IIQQQQQ200s200s")
"""What a handler of fatal signals leaves behind: signal (0 = there was none; written last), si_code, when (µs by
CLOCK_MONOTONIC), the address that could not be used, the instruction's address, its offset in the module's file, the offset in
the caller's; then two paths that end with a NUL: the object mapped where the instruction is, and, where that is one of the C
runtime, the object that called it. A PHP worker has no file of its own: its handler makes `<pid>.crash` of these bytes in
`worker_dir`."""
CRASH_SUFFIX = ".crash"

FILE_BYTES = OFF_CRASH + CRASH.size

WARNINGS_FILE = "php.warnings"
"""In `worker_dir`, made by the agent, one for all PHP workers: what PHP itself reports, by the number of its type's bit."""
WARNINGS_MAGIC = b"ROLLWARN"
WARNINGS = struct.Struct("<8s16Q16Q")
"""magic, what the workers have counted, what the agent has taken in of that."""

assert HEADER.size == OFF_STARTED
assert OFF_ENDPOINTS % 8 == ENDPOINT.size % 8 == SLOT.size % 8 == ERROR.size % 8 == STEP.size % 8 == 0
assert DEPENDENCY.size % 8 == POINT.size % 8 == CRASH.size % 8 == 0
assert OFF_RESOURCES + RESOURCES.size <= OFF_CALLS_WRITTEN
assert OFF_CALLS_WRITTEN + CALL_COUNTERS.size <= OFF_JOURNAL
