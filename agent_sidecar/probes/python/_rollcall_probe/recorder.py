"""The recorder of this process: made when its first request comes, left behind when it forks, switched off when it fails.

Who sees a request calls `current.begin(method)`, or `begin(method)` while there is no recorder yet. Both give an object with
`name(route)` and `finish()` or `crash()`, none of which raises. The recorder is the native one where that can be loaded, else
the one in `pure`; they write the same file.
"""

from __future__ import annotations

import os
import sys

from . import native
from .early import allocate_lock
from .ledger import Ledger
from .rare import Rare
from .wire import layout

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "TASK"))
_MAX_ROUTES = 4 * layout.ENDPOINTS
"""Routes per method that are remembered; those that found no place in the file's table must not grow this one for ever."""

_WAIT_S = 0.01

current = None
"""What counts the requests of this process; None before the first one, and when the probe is off."""
_off = False
_installed = {}


class Names:
    """Endpoints of this process: method → route → index in the file's table."""

    def __init__(self, ledger) -> None:
        self.methods = {method: {} for method in METHODS}
        self.unknown = {}
        self._ledger = ledger
        self._lock = allocate_lock()

    def intern(self, method, route) -> int:
        """The index of an endpoint that `methods` does not have yet; 0 (`other`) when it finds no place.

        This waits for another thread that is at it, because a request whose name is not known would be counted in `other` for
        ever; not for long, because that thread could be this one, when a finalizer or signal handler comes in between.
        """
        if not self._lock.acquire(True, _WAIT_S):
            return 0
        try:
            self._add(method, route)
        finally:
            self._lock.release()
        return self.methods.get(method, self.unknown).get(route, 0)

    def _add(self, method, route) -> None:
        routes = self.methods.get(method, self.unknown)
        if route not in routes:
            index = self._ledger.endpoint(method + " " + route if routes is not self.unknown else "other")
            if len(routes) < _MAX_ROUTES:
                routes[route] = index


class Process:
    """What belongs to the recorder of one process."""

    def __init__(self, run_dir: str) -> None:
        from . import failures, pure

        self.run_dir = run_dir
        self.ledger = Ledger(layout.worker_dir(run_dir), layout.RUNTIME_PYTHON, "python")
        self.rare = Rare()
        self.names = Names(self.ledger)
        failed = failures.counter(self.ledger, self.rare)
        self.recorder = native.recorder(self.ledger.path, self.names, failed, disable)
        if self.recorder is None:
            self.recorder = pure.Recorder(self.ledger, self.rare, self.names, failed, disable)

    def abandon(self) -> None:
        """In a forked child: leave the parent's file alone; requests that were open here count into scratch memory."""
        self.rare.renew()
        self.recorder.abandon()
        self.ledger.detach()


def begin(method: str):
    """A new request, or None when the probe is off in this process."""
    recorder = current
    if recorder is None:
        if _off:
            return None
        recorder = _open()
        if recorder is None:
            return None
    return recorder.begin(method)


def process():
    """The Process of this process; None while it has none."""
    return _installed.get("process")


def _open():
    """The recorder of this process; its file is made when the first request comes.

    Threads whose first requests come together may each make one; a single one is installed (setdefault is atomic).
    """
    global current
    try:
        if sys.byteorder != "little":
            raise OSError("the worker file is little-endian")
        mine = Process(os.environ.get("ROLLCALL_RUN") or layout.RUN_DIR)
        winner = _installed.setdefault("process", mine)
        if winner is not mine:
            mine.ledger.discard()
        else:
            from . import watch

            watch.start(mine)
        current = winner.recorder
    except Exception as error:
        disable(error)
    return current


def say(text: str, error: BaseException) -> None:
    """One line on stderr."""
    try:
        sys.stderr.write("rollcall: %s in process %d: %r\n" % (text, os.getpid(), error))
    except Exception:
        return


def disable(error: BaseException) -> None:
    """Count no further request in this process, and say why in one line."""
    global current, _off
    if _off:
        return
    _off = True
    current = None
    say("probe is off", error)


def _around_fork(step: str) -> None:
    """Have `watch` do its part, if this process has one."""
    if "process" in _installed:
        try:
            from . import watch

            getattr(watch, step)()
        except Exception as error:
            disable(error)


def _before_fork() -> None:
    _around_fork("before_fork")


def _after_fork_in_parent() -> None:
    _around_fork("after_fork_in_parent")


def _after_fork_in_child() -> None:
    global current
    current = None
    _around_fork("after_fork_in_child")
    found = _installed.pop("process", None)
    if found is not None:
        try:
            found.abandon()
        except Exception as error:
            disable(error)


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
