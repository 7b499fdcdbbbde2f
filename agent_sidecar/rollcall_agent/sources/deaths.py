"""How a worker ended, from what it left behind: a fatal signal's last words (`layout.CRASH`) and its requests in flight.

The application owns the files: nothing in them is trusted.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from ..wire import layout

SURVIVED_US = 1_000_000
"""A worker that has finished a request so long after its signal was not ended by it: the application handles that one."""
_SIGNALS = 65
_SENT = 1 << 31
"""si_code from here on is negative: the signal was sent, by the process itself."""


class Crash(NamedTuple):
    """See `layout.CRASH`; the paths are empty where nothing is known."""

    signal: int
    code: int
    at_us: int
    address: int
    instruction: int
    offset: int
    caller_offset: int
    module: str
    caller: str


def crash_of(content: bytes) -> Crash | None:
    """What a handler has written; None when it has not."""
    if len(content) < layout.CRASH.size:
        return None
    signal, code, at_us, address, instruction, offset, caller_offset, module, caller = layout.CRASH.unpack_from(content)
    if not 0 < signal < _SIGNALS:
        return None
    return Crash(signal, code, at_us, address, instruction, offset, caller_offset, _path(module), _path(caller))


def take_crash(path: str) -> Crash | None:
    """What a PHP worker's handler has left in a file, which is removed; raises OSError when that cannot be had."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        crash = crash_of(file.read(layout.CRASH.size))
    os.unlink(path)
    return crash


def _path(field: bytes) -> str:
    return field.partition(b"\0")[0].decode("utf-8", "replace")


class Death(NamedTuple):
    """A worker that ended by a signal, or with requests in flight: `unanswered` of them, of which the oldest is told."""

    runtime: str
    worker: int
    crash: Crash | None
    unanswered: int
    endpoint: str
    started_us: int
    step: str

    def event(self, now_us: int) -> dict[str, Any]:
        """The body of an EVENT; see docs/wire.md."""
        crash = self.crash
        ended_us = crash.at_us if crash is not None and 0 < crash.at_us <= now_us else now_us
        return {
            "type": "death",
            "runtime": self.runtime,
            "worker": self.worker,
            "signal": crash.signal if crash is not None else None,
            "code": crash.code if crash is not None else None,
            "address": hex(crash.address) if crash is not None and crash.code and crash.code < _SENT else None,
            "module": (crash.module or None) if crash is not None else None,
            "offset": hex(crash.offset) if crash is not None and crash.module else None,
            "caller": (crash.caller or None) if crash is not None else None,
            "endpoint": self.endpoint or None,
            "elapsed_ms": max(0, ended_us - self.started_us) // 1000 if self.unanswered else None,
            "step": self.step or None,
            "unanswered": self.unanswered,
            "age_ms": max(0, now_us - ended_us) // 1000,
        }
