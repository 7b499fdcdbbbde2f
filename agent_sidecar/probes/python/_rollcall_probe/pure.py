"""The recorder without native code: counts requests exactly, from any thread, task, signal handler or finalizer, without
waiting.

A request that begins takes a slot from a deque (atomic) and writes its start into it; when it ends, its outcome goes into
the same slot, where the agent sees it. That is all a request pays for. Every so many requests somebody settles: moves what
has ended into the counters and frees the slots. Whoever finds the lock free does; who finds it taken leaves it to its holder,
who looks again after letting go, so a re-entrant call cannot block on itself.
"""

from __future__ import annotations

from collections import deque
from struct import Struct
from time import monotonic_ns, thread_time_ns

from .early import allocate_lock, get_ident
from .pure_calls import Call, Calls, here
from .wire import layout

_SETTLE_EVERY = 32
"""Ended requests that may wait in their slots: many make counting cheap, few keep the agent's reading cheap."""
_CPU_ONE_IN = 8
_CPU_PAUSE_NS = 4_000_000
_SLOTS = layout.OFF_SLOTS
_SLOT_BYTES = layout.SLOT.size
_SLOT_ENDS = _SLOTS + 8
_pack_begin = Struct("@Q").pack_into
_pack_name = Struct("@I").pack_into
_pack_end = Struct("@IIQ").pack_into  # the elapsed time last: it says that the rest is valid


class Recorder(Calls):
    """What one process has counted.

    `failed(request, status, crashed)` is called for what failed or was left, and gives the index of the error.
    `threads_shared`: a thread serves many requests by turns (gevent), so its CPU time is nobody's.
    """

    def __init__(self, ledger, names, failed, disable, threads_shared) -> None:
        self.ledger = ledger
        self.names = names
        self.failed = failed
        self.disable = disable
        self.threads_shared = threads_shared
        self.slots_used = 0
        self._cpu_asked_ns = self._cpu_left_out = 0
        self.free = deque(range(layout.SLOTS - 1, -1, -1))
        self.pending = deque()
        self.open = {}
        self.lock = allocate_lock()

    def begin(self, method: str):
        """A request of this method has begun; None when that cannot be recorded."""
        return self._begin(method, None if self.threads_shared else self._cpu_time())

    def begin_task(self, method: str):
        """The same, served by a thread that serves others meanwhile."""
        return self._begin(method, None)

    def _cpu_time(self):
        """The CPU time of this thread, a system call: of one request in so many, and of each that comes so long after."""
        now = monotonic_ns()
        self._cpu_left_out += 1
        if now - self._cpu_asked_ns < _CPU_PAUSE_NS and self._cpu_left_out < _CPU_ONE_IN:
            return None
        self._cpu_asked_ns = now
        self._cpu_left_out = 0
        return thread_time_ns()

    def _begin(self, method, cpu_ns):
        try:
            request = Request()
            request.recorder = self
            request.method = method
            request.endpoint = request.status = 0
            request.error = request.task = request.waits = None
            request.error_index = 0
            request.calls = []
            request.cpu_ns = cpu_ns
            request.thread = get_ident()
            try:
                slot = self.free.pop()
            except IndexError:
                slot = -1
            request.slot = slot
            request.start_ns = now = monotonic_ns()
            if 0 <= slot < self.slots_used:
                _pack_begin(self.ledger.memory, _SLOTS + slot * _SLOT_BYTES, now // 1000)
            else:
                self._begin_rare(slot, now)
            self.open[slot] = request
            here.set(request)
        except Exception as error:
            self.disable(error)
            return None
        return request

    def _begin_rare(self, slot, now) -> None:
        """The first request in a slot, or one for which there is none."""
        if slot >= 0:
            self.ledger.open_slot(slot, now // 1000, 0)
        self.pending.append(slot)
        self.settle()

    def open_requests(self):
        """The requests in flight that have a slot."""
        return [request for request in list(self.open.values()) if request.in_flight and request.slot >= 0]

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
                    self._settle_one(fact)
            finally:
                self.ledger.settling()
                lock.release()

    def _settle_one(self, fact) -> None:
        kind = type(fact)
        if kind is Request:
            self._count(fact)
        elif kind is Call:
            self.ledger.called(fact.dependency, fact.elapsed_ns, fact.reason)
        elif kind is tuple:
            request, dependency, waited_ns = fact
            if request.waits is None:
                request.waits = {}
            request.waits[dependency] = request.waits.get(dependency, 0) + waited_ns
        else:
            self._settle_slot(fact)

    def _count(self, request) -> None:
        outcome = request.outcome
        failed = outcome & layout.OUTCOME_ERROR != 0
        self.ledger.finished(request.endpoint, outcome & layout.OUTCOME_CLASS, failed, request.elapsed_ns)
        waited_us, dependency = self.settle_waits(request)
        cpu_us = layout.CPU_UNKNOWN if request.cpu_ns is None else request.cpu_ns // 1000
        ended_us, elapsed_us = (request.start_ns + request.elapsed_ns) // 1000, request.elapsed_ns // 1000
        self.ledger.point(ended_us, elapsed_us, waited_us, cpu_us, request.endpoint, dependency, request.error_index, outcome)
        slot = request.slot
        if slot >= 0:
            if self.open.get(slot) is request:
                del self.open[slot]
            self.ledger.close_slot(slot)
            self.free.append(slot)
        else:
            self.ledger.untracked(-1)

    def _settle_slot(self, slot) -> None:
        """A slot that was never used before, or a request without one (-1)."""
        if slot < 0:
            self.ledger.untracked(1)
        elif slot >= self.slots_used:
            self.slots_used = slot + 1
            self.ledger.use_slots(slot + 1)

    def abandon(self) -> None:
        """In a forked child: what was open here must not be counted; the file is the parent's."""
        self.pending = deque()
        self.open = {}
        self.lock = allocate_lock()


class Request:
    """One request from `begin` to `finish` or `crash`; none of them raises.

    `status` is set by whoever sees the response: 200, or WSGI's "200 OK"; 0 as long as there is none. `error` is the name of
    what it failed with, `task` the asyncio task that serves it.
    """

    __slots__ = (
        "calls",
        "cpu_ns",
        "elapsed_ns",
        "endpoint",
        "error",
        "error_index",
        "method",
        "outcome",
        "recorder",
        "slot",
        "start_ns",
        "status",
        "task",
        "thread",
        "waits",
    )

    @property
    def call(self):
        """The last begun of its calls that have not ended; None without one."""
        try:
            return self.calls[-1]
        except IndexError:
            return None

    @property
    def in_flight(self) -> bool:
        """Whether it has not ended."""
        return self.recorder is not None

    def name(self, route: str) -> None:
        """The route template is known: from here on the request in flight carries its endpoint."""
        recorder = self.recorder
        if recorder is None:
            return
        try:
            names = recorder.names
            endpoint = names.methods.get(self.method, names.unknown).get(route)
            if endpoint is None:
                endpoint = names.intern(self.method, route)
            self.endpoint = endpoint
            if endpoint and self.slot >= 0:
                _pack_name(recorder.ledger.memory, _SLOT_ENDS + self.slot * _SLOT_BYTES, endpoint)
        except Exception as error:
            recorder.disable(error)

    def finish(self) -> None:
        """The request is over. Later calls do nothing."""
        self._end(False)

    def crash(self) -> None:
        """The request is over: an exception left the application. Later calls do nothing."""
        self._end(True)

    def _end(self, crashed) -> None:
        recorder = self.recorder
        if recorder is None:
            return
        try:
            elapsed_ns = self.elapsed_ns = monotonic_ns() - self.start_ns or 1
            if self.cpu_ns is not None:
                # Ended by another thread: whose time would that be?
                own = get_ident() == self.thread
                # The two clocks are read one after the other: a thread has not run for longer than it lived.
                self.cpu_ns = min(thread_time_ns() - self.cpu_ns, elapsed_ns) if own else None
            if not self.endpoint:
                self.name("other")
            if self.calls:
                recorder.leave_calls(self, self.start_ns + elapsed_ns)
            self.recorder = self.task = None
            status = self.status
            if (status == 200 or status == "200 OK") and not crashed and self.error is None:
                outcome = 2
            else:
                outcome = self._outcome(recorder, crashed)
            self.outcome = outcome
            slot = self.slot
            pending = recorder.pending
            if slot >= 0:
                _pack_end(recorder.ledger.memory, _SLOT_ENDS + slot * _SLOT_BYTES, self.endpoint, outcome, elapsed_ns)
            pending.append(self)
            if slot < 0 or self.waits is not None or len(pending) >= _SETTLE_EVERY:
                recorder.settle()
        except Exception as error:
            recorder.disable(error)

    def _outcome(self, recorder, crashed) -> int:
        """A slot's outcome: a crash without a response counts as 5xx, a client that left before one as 4xx."""
        status = status_of(self.status)
        failed = crashed or status >= 500
        if failed or status == 0 or self.error is not None:
            self.error_index = recorder.failed(self, status, crashed) or 0
        if failed:
            return (status // 100 or 5) | layout.OUTCOME_ERROR
        return status // 100 or 4


def status_of(status) -> int:
    """The status as a number: of 200, or of WSGI's "200 OK"; 0 without a response, 500 for what no server can send."""
    if status is None:
        return 0
    if type(status) is not int:
        try:
            status = int(status[:3])
        except (TypeError, ValueError):
            return 500
        return status if 100 <= status < 600 else 500
    return status if status == 0 or 100 <= status < 600 else 500
