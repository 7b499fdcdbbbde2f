"""Warnings of PHP, each of them: the extension of PHP's workers counts them by type in one file (`layout.WARNINGS`) that the
agent makes, so none is lost with its worker. Read and not mapped: the application can write to it, and could shorten it.
"""

from __future__ import annotations

import os
import stat

from ..ledger import Ledger
from ..log import say
from ..wire import layout

NAMES = {
    1: "E_WARNING",
    3: "E_NOTICE",
    5: "E_CORE_WARNING",
    7: "E_COMPILE_WARNING",
    9: "E_USER_WARNING",
    10: "E_USER_NOTICE",
    11: "E_STRICT",
    13: "E_DEPRECATED",
    14: "E_USER_DEPRECATED",
}
"""By the number of the bit that PHP has for it."""
_COUNTERS = 16
_OFF_TAKEN = 8 + 8 * _COUNTERS
_WRAP = 1 << 64
_MOST = 1 << 32
"""Nobody warns so often between two looks: somebody else has written there."""


class PhpWarnings:
    """Moves the counts of the file in `folder` into a ledger. What has been taken stands in the file, for the next process; one
    that is killed between the two counts those of its last look again."""

    def __init__(self, folder: str, ledger: Ledger) -> None:
        self._ledger = ledger
        self._seen = b""
        self._fd = -1
        try:
            self._fd = open_in(folder)
        except OSError as error:
            say(f"PHP's warnings are not counted one by one: {error}", "warnings")

    def take(self) -> None:
        """Count what is new."""
        if self._fd < 0:
            return
        content = os.pread(self._fd, layout.WARNINGS.size, 0)
        if content == self._seen or len(content) < layout.WARNINGS.size:
            return
        _, *values = layout.WARNINGS.unpack(content)
        counted, taken = values[:_COUNTERS], values[_COUNTERS:]
        for bit, name in NAMES.items():
            more = (counted[bit] - taken[bit]) % _WRAP
            if 0 < more < _MOST:
                self._ledger.error(f"warning {name}", more)
        told = content[8:_OFF_TAKEN]
        os.pwrite(self._fd, told, _OFF_TAKEN)
        self._seen = content[:_OFF_TAKEN] + told


def open_in(folder: str) -> int:
    """The file, made anew where it is none of ours; raises OSError."""
    path = f"{folder}/{layout.WARNINGS_FILE}"
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return _make(path)
    if stat.S_ISREG(os.fstat(fd).st_mode) and os.pread(fd, layout.WARNINGS.size, 0)[:8] == layout.WARNINGS_MAGIC:
        return fd
    os.close(fd)
    return _make(path)


def _make(path: str) -> int:
    hidden = f"{os.path.dirname(path)}/.{os.urandom(4).hex()}"
    fd = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        os.fchmod(fd, 0o666)  # any user's workers write here
        os.write(fd, layout.WARNINGS.pack(layout.WARNINGS_MAGIC, *[0] * 2 * _COUNTERS))
        os.rename(hidden, path)
    except OSError:
        os.close(fd)
        os.unlink(hidden)
        raise
    return fd
