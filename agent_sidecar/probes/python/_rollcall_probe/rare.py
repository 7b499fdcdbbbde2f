"""What happens rarely and changes the worker file: done by one thread at a time, without anybody waiting.

A fact is put into a deque (atomic), then whoever finds the lock free does all that waits there. Who finds it taken leaves his
to its holder, who looks again after letting go; so a signal handler or a finalizer that comes in between cannot block on
itself. The lock is `_thread`'s own, from before any gevent patch.
"""

from __future__ import annotations

from collections import deque

from .early import allocate_lock


class Rare:
    """Calls that wait to be made, and the lock under which they are."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew: in a forked child the lock may be held by a thread that does not exist."""
        self._waiting = deque()
        self._lock = allocate_lock()

    def put(self, function, *arguments) -> None:
        """Have `function(*arguments)` called soon, at once if nobody else is at it. What it raises is raised here."""
        waiting, lock = self._waiting, self._lock
        waiting.append((function, arguments))
        while waiting:
            if not lock.acquire(False):
                return
            try:
                while waiting:
                    function, arguments = waiting.popleft()
                    function(*arguments)
            finally:
                lock.release()
