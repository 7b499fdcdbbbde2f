"""Writes one worker file (see `wire.layout`): creates it, holds its lock, and applies the facts of requests to it.

What happens to every request is counted here; what is rare (errors by type, samples, visitors, steps, resources) is in `notes`,
calls of dependencies and points are in `calls`.

Used by the Python probe inside the application's process (Python 3.8, standard library only, one writer at a time) and by the
agent itself for the runtimes that send messages (PHP). It decides nothing: who may write when is the caller's business.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import time

from .calls import Calls, append
from .notes import Notes
from .wire import layout
from .wire.facts import cut
from .wire.grid import BUCKETS, bucket_of_ns

_COUNTS = struct.Struct("@9Q")
"""started, finished, errors, duration_us and five classes of responses."""
_FIRST_COUNT = layout.OFF_STARTED // 8
_SLOT = struct.Struct("@QI")
_OPEN_SLOT = struct.Struct("@QII")
_WHOLE_SLOT = struct.Struct("@QIIQQ")
_STARTED, _FINISHED, _ERRORS, _DURATION_US, _RESPONSES = 0, 1, 2, 3, 4
_UNTRACKED = layout.OFF_UNTRACKED // 8
_SETTLING = layout.OFF_SETTLING // 8
_HISTOGRAM = layout.OFF_HISTOGRAM // 4
_SLOTS_USED = layout.OFF_SLOTS_USED // 4
_ENDPOINTS_USED = layout.OFF_ENDPOINTS_USED // 4
_JOURNAL = layout.OFF_JOURNAL // 4
_JOURNAL_WRITTEN = layout.OFF_JOURNAL_WRITTEN // 8
_JOURNAL_MASK = layout.JOURNAL - 1
_FOLDED = layout.OFF_FOLDED // 8
_NAME_BYTES = 126
_U32 = 0xFFFFFFFF
assert _COUNTS.size == layout.OFF_UNTRACKED - layout.OFF_STARTED

OTHER = "other"


class Ledger(Notes, Calls):
    """One worker file, mapped and locked for as long as this process, and children that keep it, live.

    `memory` is a view of the whole file; after `detach` it is scratch memory, so that a late writer harms nobody.
    Raises OSError when the folder is missing, read-only or full.
    """

    def __init__(self, folder: str, runtime: int, runtime_name: str) -> None:
        name = f"{runtime_name}-{os.getpid()}-{os.urandom(4).hex()}{layout.SUFFIX}"
        temporary = os.path.join(folder, "." + name)
        self.path = os.path.join(folder, name)
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            os.fchmod(fd, 0o644)
            # Not ftruncate: a store into a hole of a full tmpfs kills the process with SIGBUS.
            os.posix_fallocate(fd, 0, layout.FILE_BYTES)
            self._map = mmap.mmap(fd, layout.FILE_BYTES)
            self._write_header(runtime)
            fcntl.flock(fd, fcntl.LOCK_EX)
            os.rename(temporary, self.path)
        except BaseException:
            os.unlink(temporary)
            raise
        finally:
            os.close(fd)  # the map keeps a duplicate, and with it the lock
        self._attach(memoryview(self._map))
        self.resume()

    def _write_header(self, runtime: int) -> None:
        now_us = time.monotonic_ns() // 1000
        header = (layout.MAGIC, layout.VERSION, os.getpid(), now_us, runtime, layout.SLOTS, 0, 1)
        layout.HEADER.pack_into(self._map, 0, *header)
        layout.ENDPOINT.pack_into(self._map, layout.OFF_ENDPOINTS, 0, 0, 0, len(OTHER), OTHER.encode())
        self.write_header(self._map)
        self.write_calls_header(self._map)

    def _attach(self, memory: memoryview) -> None:
        self.memory = memory
        self._u64 = memory.cast("Q")
        self._u32 = memory.cast("I")

    def resume(self) -> None:
        """Take the counts from the file: it is new, or another process with the same map has written to it."""
        self._counts = list(_COUNTS.unpack_from(self.memory, layout.OFF_STARTED))
        self._counts[_STARTED] = max(self._counts[_STARTED], self._counts[_FINISHED])  # killed between the two
        self._histogram = self._u32[_HISTOGRAM : _HISTOGRAM + BUCKETS].tolist()
        self._rows = []
        self._endpoints = {}
        for index in range(self._u32[_ENDPOINTS_USED]):
            at = layout.OFF_ENDPOINTS + index * layout.ENDPOINT.size
            requests, errors, duration_us, length, name = layout.ENDPOINT.unpack_from(self.memory, at)
            self._rows.append([requests, errors, duration_us, at])
            self._endpoints[name[:length].decode("utf-8", "replace")] = index
        self._journal_written = self._u64[_JOURNAL_WRITTEN]
        self.resume_notes()
        self.resume_calls()

    def detach(self) -> None:
        """Let go of the file (in a forked child: of the parent's file) and of this process's share in its lock."""
        old = (self._u64, self._u32, self.memory)
        self._attach(memoryview(bytearray(layout.FILE_BYTES)))
        for view in old:
            view.release()
        self._map.close()

    def discard(self) -> None:
        """Remove a file that was never written to."""
        os.unlink(self.path)
        self.detach()

    def endpoint(self, name: str) -> int:
        """The index of an endpoint, entered into the table when it is new; 0 (`other`) when the table is full.

        The caller remembers what it has asked for: a name that found no place is counted as folded each time.
        """
        index = self._endpoints.get(name)
        if index is not None:
            return index
        index = len(self._rows)
        if index >= layout.ENDPOINTS:
            self._u64[_FOLDED] += 1
            return 0
        encoded = cut(name, _NAME_BYTES)
        at = layout.OFF_ENDPOINTS + index * layout.ENDPOINT.size
        layout.ENDPOINT.pack_into(self.memory, at, 0, 0, 0, len(encoded), encoded)
        self._rows.append([0, 0, 0, at])
        self._endpoints[name] = index
        self._u32[_ENDPOINTS_USED] = index + 1
        return index

    def endpoint_name(self, index: int) -> str:
        """The name of an endpoint by its index."""
        at = layout.OFF_ENDPOINTS + index * layout.ENDPOINT.size
        *_, length, name = layout.ENDPOINT.unpack_from(self.memory, at)
        text: str = name[:length].decode("utf-8", "replace")
        return text

    def use_slots(self, count: int) -> None:
        """The reader shall look at the first `count` slots, if it does not look at more already."""
        if count > self._u32[_SLOTS_USED]:
            self._u32[_SLOTS_USED] = count

    def open_slot(self, slot: int, started_us: int, endpoint: int, worker: int = 0) -> None:
        """A request is in flight in `slot`, which is one of those in use; `worker` where it is not this file's (PHP)."""
        _OPEN_SLOT.pack_into(self.memory, layout.OFF_SLOTS + slot * layout.SLOT.size, started_us, endpoint, worker)

    def slot(self, slot: int) -> tuple[int, int]:
        """(started_us, endpoint) of a slot; started_us is 0 when it is free."""
        found: tuple[int, int] = _SLOT.unpack_from(self.memory, layout.OFF_SLOTS + slot * layout.SLOT.size)
        return found

    def close_slot(self, slot: int) -> None:
        """No request is in `slot` any more; what became of it has been counted before."""
        _WHOLE_SLOT.pack_into(self.memory, layout.OFF_SLOTS + slot * layout.SLOT.size, 0, 0, 0, 0, 0)

    def settling(self) -> None:
        """Called before and after requests that wait in their slots are counted."""
        self._u64[_SETTLING] += 1

    def untracked(self, change: int) -> None:
        """A request began (+1) or ended (-1) for which there was no slot."""
        self._u64[_UNTRACKED] += change

    def lost(self) -> None:
        """Count a request that left its slot without having finished."""
        self._counts[_STARTED] += 1
        self._u64[_FIRST_COUNT] = self._counts[_STARTED]

    @property
    def endpoints_used(self) -> int:
        """Entries of the table of endpoints that have a name."""
        return len(self._rows)

    @property
    def finished_count(self) -> int:
        """Requests that were counted."""
        return int(self._counts[_FINISHED])

    def untimed(self, endpoint: int, status_class: int, error: bool) -> None:
        """Count a request that ended nobody knows after how long: it is in no bucket, and adds to no sum of response times."""
        self._enter(endpoint, layout.NO_BUCKET)
        self._count(endpoint, status_class, error, 0)

    def finished(self, endpoint: int, status_class: int, error: bool, elapsed_ns: int) -> None:
        """Count a request that ended; status_class is 1..5, or 0 without a response. Its slot is closed after this."""
        bucket = bucket_of_ns(elapsed_ns)
        self._histogram[bucket] = count = (self._histogram[bucket] + 1) & _U32
        self._u32[_HISTOGRAM + bucket] = count
        self._enter(endpoint, bucket)
        self._count(endpoint, status_class, error, elapsed_ns // 1000)

    def finished_all(self, requests: list[tuple[int, int, bool, int]]) -> None:
        """The same of several, each (endpoint, status_class, error, elapsed_ns): each counter is written once."""
        histogram, rows, counts, u64 = self._histogram, self._rows, self._counts, self._u64
        entries, endpoints = [], set()
        for endpoint, status_class, error, elapsed_ns in requests:
            bucket, elapsed_us, row = bucket_of_ns(elapsed_ns), elapsed_ns // 1000, rows[endpoint]
            histogram[bucket] = (histogram[bucket] + 1) & _U32
            entries.append(endpoint << 16 | bucket)
            endpoints.add(endpoint)
            row[0] += 1
            row[2] += elapsed_us
            counts[_DURATION_US] += elapsed_us
            if error:
                row[1] += 1
                counts[_ERRORS] += 1
            if status_class:
                counts[_RESPONSES + status_class - 1] += 1
        for bucket in {entry & 0xFFFF for entry in entries}:
            self._u32[_HISTOGRAM + bucket] = histogram[bucket]
        append(self._u32, _JOURNAL, layout.JOURNAL, self._journal_written, entries)
        self._journal_written = u64[_JOURNAL_WRITTEN] = self._journal_written + len(entries)
        for endpoint in endpoints:
            *row, at = rows[endpoint]
            for place, value in enumerate(row, at // 8):
                u64[place] = value
        counts[_FINISHED] += len(requests)
        counts[_STARTED] += len(requests)
        for place in (_ERRORS, *range(_RESPONSES, _RESPONSES + 5), _DURATION_US, _FINISHED, _STARTED):
            u64[_FIRST_COUNT + place] = counts[place]

    def _enter(self, endpoint: int, bucket: int) -> None:
        written = self._journal_written
        self._u32[_JOURNAL + (written & _JOURNAL_MASK)] = endpoint << 16 | bucket
        self._journal_written = self._u64[_JOURNAL_WRITTEN] = written + 1

    def _count(self, endpoint: int, status_class: int, error: bool, elapsed_us: int) -> None:
        """Each counter is one aligned store, and `started` the last of them: this process may be killed between any two.

        Not by `pack_into`, which fills a field's place with zeros before it writes.
        """
        counts, row, u64 = self._counts, self._rows[endpoint], self._u64
        at = row[3] // 8
        row[0] += 1
        u64[at] = row[0]
        row[2] += elapsed_us
        u64[at + 2] = row[2]
        if error:
            row[1] += 1
            u64[at + 1] = row[1]
            counts[_ERRORS] += 1
            u64[_FIRST_COUNT + _ERRORS] = counts[_ERRORS]
        if status_class:
            place = _RESPONSES + status_class - 1
            counts[place] += 1
            u64[_FIRST_COUNT + place] = counts[place]
        counts[_DURATION_US] += elapsed_us
        u64[_FIRST_COUNT + _DURATION_US] = counts[_DURATION_US]
        counts[_FINISHED] += 1
        u64[_FIRST_COUNT + _FINISHED] = counts[_FINISHED]
        counts[_STARTED] += 1
        u64[_FIRST_COUNT + _STARTED] = counts[_STARTED]
