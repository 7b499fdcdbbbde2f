"""Counts requests exactly, from any thread, task, signal handler or finalizer, without ever waiting.

A request that begins takes a slot from a deque (atomic) and writes its start into it; when it ends, its outcome goes into
the same slot, where the agent sees it. That is all a request pays for. Every so many requests somebody settles: moves what
has ended into the counters and frees the slots. Whoever finds the lock free does; who finds it taken leaves it to its holder,
who looks again after letting go, so a re-entrant call cannot block on itself. The lock is `_thread`'s own, from before any
gevent patch.
"""

from __future__ import annotations

import os
import sys
from _thread import allocate_lock
from collections import deque
from struct import Struct
from sys import exc_info
from time import monotonic_ns

from .ledger import Ledger
from .wire import layout

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"))
_SETTLE_EVERY = 32
"""Ended requests that may wait in their slots: many make counting cheap, few keep the agent's reading cheap."""
_SLOTS = layout.OFF_SLOTS
_SLOT_BYTES = layout.SLOT.size
_SLOT_ENDS = _SLOTS + 8
_pack_begin = Struct("@Q").pack_into
_pack_name = Struct("@I").pack_into
_pack_end = Struct("@IIQ").pack_into  # the elapsed time last: it says that the rest is valid
_MAX_ROUTES = 4 * layout.ENDPOINTS
"""Routes per method that are remembered; those that found no place in the file's table must not grow this one for ever."""


class Recorder:
    """What one process has counted; replaced by a new one after a fork."""

    def __init__(self, folder: str) -> None:
        self.ledger = Ledger(folder, layout.RUNTIME_PYTHON, "python")
        self.routes = {method: {} for method in _METHODS}  # method -> route -> index in the ledger's table
        self.unknown = {}
        self.slots_used = 0
        self.free = deque(range(layout.SLOTS - 1, -1, -1))
        self.pending = deque()
        self.lock = allocate_lock()

    def settle(self) -> None:
        """Count every request that has ended, unless somebody is at it already."""
        pending = self.pending
        lock = self.lock
        while pending:
            if not lock.acquire(False):
                return
            try:
                self.ledger.settling()
                while pending:
                    fact = pending.popleft()
                    if type(fact) is Request:
                        self._count(fact)
                    else:
                        self._settle_rare(fact)
            finally:
                self.ledger.settling()
                lock.release()

    def _count(self, request) -> None:
        outcome = request.outcome
        failed = outcome & layout.OUTCOME_ERROR != 0
        endpoint = request.endpoint or self._endpoint(request.method, "other")
        self.ledger.finished(endpoint, outcome & layout.OUTCOME_CLASS, failed, request.elapsed_ns)
        if request.slot >= 0:
            self.ledger.close_slot(request.slot)
            self.free.append(request.slot)
        else:
            self.ledger.untracked(-1)

    def _settle_rare(self, fact) -> None:
        """A slot that was never used before, a request without one (-1), or a (method, route) that is new."""
        if type(fact) is tuple:
            self._endpoint(*fact)
        elif fact < 0:
            self.ledger.untracked(1)
        elif fact >= self.slots_used:
            self.slots_used = fact + 1
            self.ledger.use_slots(fact + 1)

    def _endpoint(self, method, route) -> int:
        routes = self.routes.get(method, self.unknown)
        index = routes.get(route)
        if index is None:
            index = self.ledger.endpoint(method + " " + route if routes is not self.unknown else "other")
            if len(routes) < _MAX_ROUTES:
                routes[route] = index
        return index

    def abandon(self) -> None:
        """In a forked child: leave the parent's file alone; requests that were open here count into scratch memory."""
        self.pending = deque()
        self.lock = allocate_lock()
        self.ledger.detach()


class Request:
    """One request from `begin` to `finish`; neither `name` nor `finish` raises.

    `status` is set by whoever sees the response: 200, or WSGI's "200 OK"; 0 as long as there is none.
    """

    __slots__ = ("elapsed_ns", "endpoint", "method", "outcome", "recorder", "slot", "start_ns", "status")

    def name(self, route: str) -> None:
        """The route template is known: from here on the request in flight carries its endpoint."""
        recorder = self.recorder
        if recorder is None:
            return
        try:
            routes = recorder.routes.get(self.method, recorder.unknown)
            endpoint = routes.get(route)
            if endpoint is None:
                recorder.pending.append((self.method, route))
                recorder.settle()
                endpoint = routes.get(route, 0)
            self.endpoint = endpoint
            if endpoint and self.slot >= 0:
                _pack_name(recorder.ledger.memory, _SLOT_ENDS + self.slot * _SLOT_BYTES, endpoint)
        except Exception as error:
            disable(error)

    def finish(self, crashed: bool = False) -> None:
        """The request is over; `crashed` means that an exception left the application. Later calls do nothing."""
        recorder = self.recorder
        if recorder is None:
            return
        try:
            elapsed_ns = self.elapsed_ns = monotonic_ns() - self.start_ns or 1
            if not self.endpoint:
                self.name("other")
            self.recorder = None
            status = self.status
            if (status == 200 or status == "200 OK") and not crashed:
                outcome = 2
            else:
                outcome = _outcome(status, crashed)
            self.outcome = outcome
            slot = self.slot
            pending = recorder.pending
            if slot >= 0:
                _pack_end(recorder.ledger.memory, _SLOT_ENDS + slot * _SLOT_BYTES, self.endpoint, outcome, elapsed_ns)
            pending.append(self)
            if slot < 0 or len(pending) >= _SETTLE_EVERY:
                recorder.settle()
        except Exception as error:
            disable(error)

    def closed(self) -> None:
        """The response's body is being closed."""
        self.finish(exc_info()[1] is not None and body_crashed())


def body_crashed() -> bool:
    """Whether the body that is being closed has failed half-way: its server then closes it while it handles the exception.

    An OSError there is the client's leaving, not a failure of the application.
    """
    error = exc_info()[1]
    return error is not None and not isinstance(error, (OSError, GeneratorExit))


def _outcome(status, crashed) -> int:
    """A slot's outcome: a crash without a response counts as 5xx, a client that left before one as 4xx."""
    if type(status) is not int:
        try:
            status = int(status[:3])
        except (TypeError, ValueError):
            status = 500  # no server can send that
    if crashed:
        return (status // 100 if 100 <= status < 600 else 5) | layout.OUTCOME_ERROR
    if 100 <= status < 500:
        return status // 100
    return 4 if status == 0 else 5 | layout.OUTCOME_ERROR


_current = None
_off = False
_installed = {}


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
        request = Request()
        request.recorder = recorder
        request.method = method
        request.endpoint = request.status = 0
        try:
            slot = recorder.free.pop()
        except IndexError:
            slot = -1
        request.slot = slot
        request.start_ns = now = monotonic_ns()
        if 0 <= slot < recorder.slots_used:
            _pack_begin(recorder.ledger.memory, _SLOTS + slot * _SLOT_BYTES, now // 1000)
        else:
            _begin_rare(recorder, slot, now)
    except Exception as error:
        disable(error)
        return None
    return request


def _begin_rare(recorder, slot, now) -> None:
    """The first request in a slot, or one for which there is none."""
    if slot >= 0:
        recorder.ledger.open_slot(slot, now // 1000, 0)
    recorder.pending.append(slot)
    recorder.settle()


def _open():
    """The recorder of this process; its file is made when the first request comes.

    Threads whose first requests come together may each make one; a single one is installed (setdefault is atomic).
    """
    global _current
    try:
        if sys.byteorder != "little":
            raise OSError("the worker file is little-endian")
        recorder = Recorder(layout.worker_dir(os.environ.get("ROLLCALL_RUN") or layout.RUN_DIR))
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
