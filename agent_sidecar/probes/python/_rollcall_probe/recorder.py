"""The recorder of this process: made when its first request comes, left behind when it forks, switched off when it fails.

Who sees a request calls `current.begin(method)`, or `begin(method)` while there is no recorder yet; `begin_task` where the
thread serves others meanwhile. They give an object with `name(route)` and `finish()` or `crash()`, none of which raises. Who
sees a call of a dependency calls `current.begin_call(name)`, if there is a recorder. The recorder is the native one where that
can be loaded, else the one in `pure`; they write the same file.
"""

from __future__ import annotations

import os
import sys

from . import native
from .ledger import Ledger
from .names import Names
from .rare import Rare
from .wire import layout

current = None
"""What counts the requests of this process; None before the first one, and when the probe is off."""
_off = False
_installed = {}


class Process:
    """What belongs to the recorder of one process."""

    def __init__(self, run_dir: str) -> None:
        from . import failures, pure

        self.run_dir = run_dir
        self.ledger = Ledger(layout.worker_dir(run_dir), layout.RUNTIME_PYTHON, "python")
        self.rare = Rare()
        self.names = Names(self.ledger, self.rare)
        failed = failures.counter(self.ledger, self.rare)
        threads_shared = "gevent" in sys.modules or "eventlet" in sys.modules
        self.recorder = native.recorder(self.ledger.path, self.names, failed, disable, threads_shared)
        if self.recorder is None:
            self.recorder = pure.Recorder(self.ledger, self.names, failed, disable, threads_shared)

    def abandon(self) -> None:
        """In a forked child: leave the parent's file alone; requests that were open here count into scratch memory."""
        self.rare.renew()
        self.recorder.abandon()
        self.ledger.detach()


def begin(method: str):
    """A new request, or None when the probe is off in this process."""
    recorder = current or _open()
    return None if recorder is None else recorder.begin(method)


def begin_task(method: str):
    """The same, served by a thread that serves others meanwhile."""
    recorder = current or _open()
    return None if recorder is None else recorder.begin_task(method)


def process():
    """The Process of this process; None while it has none."""
    return _installed.get("process")


def _open():
    """The recorder of this process, None when the probe is off; its file is made when the first request comes.

    Threads whose first requests come together may each make one; a single one is installed (setdefault is atomic).
    """
    global current
    if _off:
        return None
    try:
        if sys.byteorder != "little":
            raise OSError("the worker file is little-endian")
        mine = Process(os.environ.get("ROLLCALL_RUN") or layout.RUN_DIR)
        winner = _installed.setdefault("process", mine)
        if winner is not mine:
            mine.ledger.discard()
        else:
            from . import native, watch

            native.watch_crashes(mine.recorder)
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
