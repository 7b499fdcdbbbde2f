"""A web application in a thread and an event loop of its own: the webhook's.

Whoever creates a pod waits for the webhook, and the loop in which the rest of the operator lives has long steps: thousands of
handshakes after a restart, a list of thousands of pods. A process of its own would have to be told of every service and would
take 40 MiB; a thread takes what it needs to know from where it is, and waits for the interpreter `SWITCH_S` at a time. What
handlers read must be read whole: no iteration over what the other thread changes.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvloop

SWITCH_S = 0.0005
"""A thread that wants the interpreter gets it after so long. Python's own value is ten times this, and an answer wants it
several times: to read, to decrypt, to answer, to encrypt."""
T = TypeVar("T")


async def across(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    """Have work done in the loop of another thread."""
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))


class Apart:
    """A loop in a thread; `start` before, `stop` after everything else."""

    def __init__(self, name: str) -> None:
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def start(self) -> None:
        """Begin to run."""
        sys.setswitchinterval(SWITCH_S)
        self._thread.start()

    async def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Have work done there; asked and answered in the loop that calls."""
        return await across(self._loop, work)

    async def call(self, what: Callable[[], T]) -> T:
        """The same with a function."""

        async def work() -> T:
            return what()

        return await self.do(work())

    async def stop(self) -> None:
        """End the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)
