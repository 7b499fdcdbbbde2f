"""Writes one worker file (see `wire.layout`): creates it, holds its lock, and applies the facts of requests to it.

Used by the Python probe inside the application's process (Python 3.8, standard library only, one writer at a time) and by the
agent itself for the runtimes that send messages (PHP). It decides nothing: who may write when is the caller's business.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import time

from .wire import layout
from .wire.grid import bucket_of_ns

_STARTED = layout.OFF_STARTED // 8
_FINISHED = layout.OFF_FINISHED // 8
_ERRORS = layout.OFF_ERRORS // 8
_DURATION_US = layout.OFF_DURATION_US // 8
_RESPONSES = layout.OFF_RESPONSES // 8
_UNTRACKED = layout.OFF_UNTRACKED // 8
_HISTOGRAM = layout.OFF_HISTOGRAM // 4
_SLOTS_USED = layout.OFF_SLOTS_USED // 4
_ENDPOINTS_USED = layout.OFF_ENDPOINTS_USED // 4
_ENDPOINTS = layout.OFF_ENDPOINTS // 8
_ENDPOINT_WORDS = layout.ENDPOINT.size // 8
_NAME_OFFSET = 26
_NAME_BYTES = 126
_U32 = 0xFFFFFFFF

SLOTS = layout.OFF_SLOTS // 8
"""Index in `Ledger.u64` of slot 0's first word."""
SLOT_WORDS = layout.SLOT.size // 8
SLOT_ENDPOINTS = layout.OFF_SLOTS // 4 + 2
"""Index in `Ledger.u32` of slot 0's endpoint."""
SLOT_HALVES = layout.SLOT.size // 4

OTHER = "other"


class Ledger:
    """One worker file, mapped and locked for as long as this process, and children that keep it, live.

    `u64` and `u32` are views of the whole file; an aligned store through them is seen whole by the reader. After `detach` they
    are views of scratch memory, so that a late writer harms nobody.
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
        self._endpoints = {OTHER: 0}

    def _write_header(self, runtime: int) -> None:
        layout.HEADER.pack_into(
            self._map,
            0,
            layout.MAGIC,
            layout.VERSION,
            os.getpid(),
            time.monotonic_ns() // 1000,
            runtime,
            layout.SLOTS,
            0,
            1,
        )
        layout.ENDPOINT.pack_into(self._map, layout.OFF_ENDPOINTS, 0, 0, 0, len(OTHER), OTHER.encode())

    def _attach(self, memory: memoryview) -> None:
        self._bytes = memory
        self.u64 = memory.cast("Q")
        self.u32 = memory.cast("I")

    def detach(self) -> None:
        """Let go of the file (in a forked child: of the parent's file) and of this process's share in its lock."""
        old = (self.u64, self.u32, self._bytes)
        self._attach(memoryview(bytearray(layout.FILE_BYTES)))
        for view in old:
            view.release()
        self._map.close()

    def discard(self) -> None:
        """Remove a file that was never written to."""
        os.unlink(self.path)
        self.detach()

    def endpoint(self, name: str) -> int:
        """The index of an endpoint, entered into the table when it is new; 0 (`other`) when the table is full."""
        index = self._endpoints.get(name)
        if index is not None:
            return index
        index = len(self._endpoints)
        if index >= layout.ENDPOINTS:
            return 0
        encoded = name.encode("utf-8", "replace")[:_NAME_BYTES].decode("utf-8", "ignore").encode()
        at = layout.OFF_ENDPOINTS + index * layout.ENDPOINT.size
        self._bytes[at + _NAME_OFFSET : at + _NAME_OFFSET + len(encoded)] = encoded
        self._bytes[at + 24 : at + 26] = len(encoded).to_bytes(2, "little")
        self._endpoints[name] = index
        self.u32[_ENDPOINTS_USED] = index + 1
        return index

    def started(self, slot: int) -> None:
        """Count a request that began in `slot`, or without one (-1)."""
        u64 = self.u64
        u64[_STARTED] += 1
        if slot < 0:
            u64[_UNTRACKED] += 1
        elif slot >= self.u32[_SLOTS_USED]:
            self.u32[_SLOTS_USED] = slot + 1

    def finished(self, slot: int, endpoint: int, status_class: int, error: bool, elapsed_ns: int) -> None:
        """Count a request that ended; `status_class` is 1..5, or 0 for a request that had no response.

        `finished` is stored last: what it counts is in the histogram already.
        """
        u64 = self.u64
        u32 = self.u32
        elapsed_us = elapsed_ns // 1000
        at = _ENDPOINTS + endpoint * _ENDPOINT_WORDS
        u64[at] += 1
        u64[at + 2] += elapsed_us
        if error:
            u64[at + 1] += 1
            u64[_ERRORS] += 1
        if status_class:
            u64[_RESPONSES + status_class - 1] += 1
        bucket = _HISTOGRAM + bucket_of_ns(elapsed_ns)
        u32[bucket] = (u32[bucket] + 1) & _U32
        u64[_DURATION_US] += elapsed_us
        if slot < 0:
            u64[_UNTRACKED] -= 1
        u64[_FINISHED] += 1
