"""Calls of dependencies, without native code: counted when they end, waited for by their request, shown in its slot meanwhile.

`here` says where we are: in which request, or in which call of which request. One that has ended counts as not there, so
nothing need be put back. See native/calls.c, which does the same.
"""

from __future__ import annotations

from contextvars import ContextVar
from struct import Struct
from time import monotonic_ns

from .early import get_ident
from .wire import layout

here = ContextVar("rollcall.here", default=None)
_STEPS = layout.OFF_SLOTS + layout.SLOT.size - 8
_SLOT_BYTES = layout.SLOT.size
_STEP_MASK = (1 << layout.STEP_BITS) - 1
_pack_step = Struct("@Q").pack_into


class Calls:
    """Methods of `pure.Recorder`."""

    def begin_call(self, name: str):
        """A call of this dependency has begun; None within another one, or when that cannot be recorded."""
        return self._begin_call(name, True)

    def begin_event(self, name: str):
        """The same for calls whose end might not be told: no other is within it."""
        return self._begin_call(name, False)

    def count_call(self, name: str, elapsed_ns: int, reason) -> None:
        """A call that has ended."""
        try:
            call = self._new_call(name, None)
            call.recorder = None
            call.elapsed_ns, call.reason = elapsed_ns, reason
            self.pending.append(call)
            self.settle()
        except Exception as error:
            self.disable(error)

    def _begin_call(self, name, enter):
        try:
            request = here.get()
            if type(request) is Call:
                if request.recorder is self:
                    return None
                request = request.request
            if request is not None and request.recorder is not self:
                request = None
            call = self._new_call(name, request)
            if request is not None:
                request.calls.append(call)
                self.show(request)
            if enter:
                here.set(call)
        except Exception as error:
            self.disable(error)
            return None
        return call

    def _new_call(self, name, request):
        names = self.names
        index = names.calls.get(name)
        if index is None:
            index = names.intern_call(name)
        call = Call()
        call.name = name
        call.recorder = self
        call.request = request
        call.dependency = index >> layout.STEP_BITS
        call.step = index & _STEP_MASK
        call.thread = get_ident()
        call.counted = True
        call.start_ns = monotonic_ns()
        return call

    def call_ended(self, call) -> None:
        """Count it, and have its request wait for it, soon."""
        request = call.request
        if request is not None:
            try:
                request.calls.remove(call)
            except ValueError:  # the request has ended, and waited for it up to there
                pass
            else:
                self.pending.append((request, call.dependency, call.elapsed_ns))
                self.show(request)
        if call.counted:
            self.pending.append(call)
        self.settle()

    def show(self, request) -> None:
        """The slot of a request tells the last begun of its calls that go on."""
        if request.slot < 0 or request.recorder is not self:
            return
        call = request.call
        step = 0 if call is None or not call.step else call.start_ns // 1000 << layout.STEP_BITS | call.step
        _pack_step(self.ledger.memory, _STEPS + request.slot * _SLOT_BYTES, step)

    def leave_calls(self, request, ended_ns) -> None:
        """The request has ended: its calls that go on are waited for up to here."""
        calls, request.calls = request.calls, []
        for call in calls:
            self.pending.append((request, call.dependency, max(0, ended_ns - call.start_ns)))

    def settle_waits(self, request):
        """(µs waited, dependency waited for longest); no more than the request took, divided in proportion."""
        waits = request.waits
        if not waits:
            return 0, 0
        total = sum(waits.values())
        share = request.elapsed_ns / total if total > request.elapsed_ns else 1.0
        waited_us = 0
        for dependency, waited_ns in waits.items():
            part_us = int(waited_ns * share / 1000)
            self.ledger.waited(dependency, part_us)
            waited_us += part_us
        return waited_us, max(waits, key=waits.get)


class Call:
    """One call of a dependency, from `begin_call` to `end` or `drop`; none of them raises."""

    __slots__ = ("counted", "dependency", "elapsed_ns", "name", "reason", "recorder", "request", "start_ns", "step", "thread")

    @property
    def in_flight(self) -> bool:
        """Whether it has not ended."""
        return self.recorder is not None

    def end(self, reason) -> None:
        """The call is over: None, or the reason for which it failed (an index of `facts.REASONS`). Later calls do nothing."""
        recorder = self.recorder
        if recorder is None:
            return
        try:
            self.elapsed_ns = monotonic_ns() - self.start_ns or 1
            self.recorder = None
            self.reason = reason
            recorder.call_ended(self)
        except Exception as error:
            recorder.disable(error)

    def drop(self) -> None:
        """It was waited for, but is no call to be counted. Later calls do nothing."""
        if self.recorder is not None:
            self.counted = False
            self.end(None)
