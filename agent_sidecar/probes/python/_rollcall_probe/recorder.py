"""Counts requests exactly, from any thread, task, signal handler or finalizer, without ever waiting.

Facts are appended to a deque (atomic); whoever finds the lock free settles what is there. A thread that finds it taken leaves
its fact to the holder, who looks again after letting go, so none is stranded and a re-entrant call cannot block on itself.
The lock comes from `_thread` before any gevent patch; the only clock is the vDSO's.
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock
from collections import deque
from time import monotonic_ns

from .ledger import SLOT_ENDPOINTS, SLOT_HALVES, SLOT_WORDS, SLOTS, Ledger
from .wire import layout

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"))
_CLIENT_GONE = 499


class Recorder:
    """What one process has counted; replaced by a new one after a fork."""

    def __init__(self, folder: str) -> None:
        self.ledger = Ledger(folder, layout.RUNTIME_PYTHON, "python")
        self.u64 = self.ledger.u64
        self.u32 = self.ledger.u32
        self.endpoints = {}  # (method, route) -> index in the ledger's table
        self.free = deque(range(layout.SLOTS - 1, -1, -1))
        self.pending = deque()
        self.lock = allocate_lock()

    def settle(self) -> None:
        """Apply every pending fact, unless somebody is at it already."""
        pending = self.pending
        lock = self.lock
        while pending:
            if not lock.acquire(False):
                return
            try:
                while pending:
                    self._apply(pending.popleft())
            finally:
                lock.release()

    def _apply(self, fact) -> None:
        kind = type(fact)
        if kind is Request:
            endpoint = fact.endpoint
            if not endpoint:
                endpoint = self._endpoint((fact.method, "other"))
            self.ledger.finished(fact.slot, endpoint, fact.status // 100, fact.failed, fact.elapsed_ns)
        elif kind is int:
            self.ledger.started(fact)
        else:
            self._endpoint(fact)

    def _endpoint(self, key) -> int:
        index = self.endpoints.get(key)
        if index is None:
            method, route = key
            index = self.ledger.endpoint(method + " " + route if method else "other")
            if len(self.endpoints) < 4 * layout.ENDPOINTS:  # routes that found no place in the table must not grow this one
                self.endpoints[key] = index
        return index

    def abandon(self) -> None:
        """In a forked child: leave the parent's file alone; requests that were open here count into scratch memory."""
        self.pending = deque()
        self.lock = allocate_lock()
        self.ledger.detach()
        self.u64 = self.ledger.u64
        self.u32 = self.ledger.u32


class Request:
    """One request from `begin` to `finish`; none of its methods raises."""

    __slots__ = ("elapsed_ns", "endpoint", "failed", "method", "open", "prefix", "recorder", "slot", "start_ns", "status")

    def __init__(self, recorder: Recorder, method: str) -> None:
        self.recorder = recorder
        self.method = method if method in _METHODS else ""
        self.prefix = ""
        self.endpoint = 0
        self.status = 0
        self.failed = False
        self.open = True
        try:
            slot = recorder.free.pop()
        except IndexError:
            slot = -1
        self.slot = slot
        self.start_ns = now = monotonic_ns()
        if slot >= 0:
            recorder.u32[SLOT_ENDPOINTS + slot * SLOT_HALVES] = 0
            recorder.u64[SLOTS + slot * SLOT_WORDS] = now // 1000
        recorder.pending.append(slot)
        recorder.settle()

    def name(self, route: str) -> None:
        """The route template is known: from here on the request in flight carries its endpoint."""
        try:
            recorder = self.recorder
            key = (self.method, self.prefix + route)
            endpoint = recorder.endpoints.get(key)
            if endpoint is None:
                recorder.pending.append(key)
                recorder.settle()
                endpoint = recorder.endpoints.get(key, 0)
            self.endpoint = endpoint
            if self.open and self.slot >= 0:
                recorder.u32[SLOT_ENDPOINTS + self.slot * SLOT_HALVES] = endpoint
        except Exception as error:
            disable(error)

    def finish(self, crashed: bool = False) -> None:
        """The request is over; `crashed` means that an exception left the application. Later calls do nothing."""
        if not self.open:
            return
        self.open = False
        try:
            self.elapsed_ns = monotonic_ns() - self.start_ns
            status = self.status
            if crashed:
                self.failed = True
                if not 100 <= status < 600:
                    self.status = 500
            elif 500 <= status < 600:
                self.failed = True
            elif not 100 <= status < 600:
                self.status = _CLIENT_GONE
            recorder = self.recorder
            slot = self.slot
            if slot >= 0:
                recorder.u64[SLOTS + slot * SLOT_WORDS] = 0
            recorder.pending.append(self)
            recorder.settle()
            if slot >= 0:
                recorder.free.append(slot)
        except Exception as error:
            disable(error)


_current = None
_off = False


def begin(method: str):
    """A new Request, or None when the probe is off in this process."""
    recorder = _current
    if recorder is None:
        if _off:
            return None
        recorder = _open()
        if recorder is None:
            return None
    try:
        return Request(recorder, method)
    except Exception as error:
        disable(error)
        return None


_installed = {}


def _open():
    """The recorder of this process; its file is made when the first request comes.

    Threads whose first requests come together may each make one; a single one is installed (setdefault is atomic).
    """
    global _current
    try:
        if sys.byteorder != "little":
            raise OSError("the worker file is little-endian")
        recorder = Recorder(os.environ.get("ROLLCALL_RUN") or layout.RUN_DIR)
        winner = _installed.setdefault("recorder", recorder)
        if winner is not recorder:
            recorder.ledger.discard()
        _current = winner
    except Exception as error:
        disable(error)
    return _current


def disable(error: BaseException) -> None:
    """Count no further request in this process, and say why in one line."""
    global _current, _off
    if _off:
        return
    _off = True
    _current = None
    try:
        sys.stderr.write("rollcall: probe is off in process %d: %r\n" % (os.getpid(), error))
    except Exception:
        return


def _after_fork_in_child() -> None:
    global _current
    recorder = _current
    _current = None
    _installed.clear()
    if recorder is not None:
        try:
            recorder.abandon()
        except Exception as error:
            disable(error)


os.register_at_fork(after_in_child=_after_fork_in_child)
