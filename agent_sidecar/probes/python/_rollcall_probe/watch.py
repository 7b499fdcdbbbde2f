"""A thread of the probe, twice a second: what slow requests are at, what the container uses, whether visitors are counted.

It begins with the first request of a process, so a pre-forking server's master has none, and stops for the moment in which the
process forks: a fork with a second thread is warned of by newer interpreters. Its lock and its start are the interpreter's own,
taken before any gevent patch.
"""

from __future__ import annotations

import os
import sys
from _thread import get_native_id
from time import monotonic, monotonic_ns

from . import cgroup, native, recorder, visitors
from .early import allocate_lock, native_sleep, start_new_thread
from .steps import step_of
from .wire import layout

TICK_S = 0.5
AFTER_NS = 450_000_000
"""Requests younger than this are not looked at."""
MOST = 50
"""So many slow requests are looked at, the oldest."""
CONTAINER_S = 1.0
FORGET_S = 20.0
_JOIN_S = 0.0002
_watches = []


class Watch:
    """The thread of one process."""

    def __init__(self, process) -> None:
        self._process = process
        self._folder = layout.worker_dir(process.run_dir)
        self._nap = None
        self._thread_id = None
        self._lock_fd = None
        self._read_container = None
        self._container_at = self._forget_at = 0.0
        self._known = {}

    def start(self) -> None:
        self._nap = allocate_lock()
        self._nap.acquire()
        self._thread_id = None
        start_new_thread(self._run, (self._nap,))

    def stop(self) -> None:
        """Wait until the thread has ended, a few milliseconds at most."""
        if self._nap is None:
            return
        self._nap.release()
        self._nap = None
        for _ in range(100):
            thread_id = self._thread_id
            if thread_id is not None and not os.path.exists("/proc/self/task/%d" % thread_id):
                return
            native_sleep(_JOIN_S)

    def drop(self) -> None:
        """In a forked child: let go of what is the parent's."""
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def _run(self, nap) -> None:
        self._thread_id = get_native_id()
        while not nap.acquire(True, TICK_S):
            try:
                self._tick(monotonic())
            except Exception as error:
                recorder.say("steps and resources are not told any more", error)
                return

    def _tick(self, now) -> None:
        settle = getattr(self._process.recorder, "settle", None)
        if settle is not None:
            settle()
        self._tell_steps()
        if now >= self._container_at:
            self._container_at = now + CONTAINER_S
            visitors.refresh(self._process)
            self._tell_container()
        if now >= self._forget_at:
            self._forget_at = now + FORGET_S
            visitors.forget()
            native.watch_crashes(self._process.recorder)

    def _tell_steps(self) -> None:
        now_ns = monotonic_ns()
        slow = [request for request in self._process.recorder.open_requests() if now_ns - request.start_ns >= AFTER_NS]
        if not slow:
            self._known.clear()
            return
        slow.sort(key=lambda request: request.start_ns)
        frames = sys._current_frames()
        known = {}
        for request in slow[:MOST]:
            key = (request.slot, request.start_ns)
            text, call = step_of(request, frames)
            before = self._known.get(key)
            if call is not None:
                since_ns = call.start_ns
            elif before is not None and (before[0] == text or not text):
                text, since_ns = before
            else:
                since_ns = now_ns if before is not None else request.start_ns
            known[key] = text, since_ns
            self._process.rare.put(self._write, request, call, text, since_ns // 1000)
        self._known = known

    def _write(self, request, call, text, since_us) -> None:
        """Each time anew: a call that began and ended meanwhile has written its own step."""
        if request.in_flight and request.slot >= 0 and text and request.call is call:
            ledger = self._process.ledger
            ledger.step_slot(request.slot, ledger.step(text), since_us)

    def _tell_container(self) -> None:
        if self._lock_fd is None:
            self._lock_fd = cgroup.lock(self._folder)
            if self._lock_fd is None:
                return
        try:
            if self._read_container is None:
                self._read_container = cgroup.find()
            values = self._read_container()
        except (OSError, ValueError, KeyError, IndexError) as error:
            recorder.say("the container's cgroup cannot be read", error)
            self._read_container = lambda: None
            return
        if values is not None:
            self._process.rare.put(self._process.ledger.resources, monotonic_ns() // 1000, *values)


def start(process) -> None:
    """Watch over a process that has just begun to count; without its thread it counts all the same."""
    try:
        visitors.refresh(process)
        watch = Watch(process)
        watch.start()
        _watches[:] = [watch]
    except Exception as error:
        recorder.say("visitors, steps and resources are not told", error)


def before_fork() -> None:
    """The thread ends before the process is doubled."""
    for watch in _watches:
        watch.stop()


def after_fork_in_parent() -> None:
    """The parent goes on."""
    for watch in _watches:
        watch.start()


def after_fork_in_child() -> None:
    """The child begins anew with its own first request."""
    for watch in _watches:
        watch.drop()
    _watches.clear()
    visitors.stop()
