"""A process at a pseudo-terminal of 160×45."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from pathlib import Path

from .errors import HarnessError

COLUMNS, ROWS = 160, 45


class Terminal:
    """A process at a pseudo-terminal: keys are written, words are waited for in what comes back."""

    def __init__(self, command: list[str]) -> None:
        self.began_s = time.monotonic()
        self.bytes = 0
        self._seen = b""
        self.pid, self._file = pty.fork()
        if self.pid == 0:
            os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
            os.execv(command[0], command)
        fcntl.ioctl(self._file, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))

    def press(self, keys: bytes) -> None:
        """Keys of a keyboard; what came before is forgotten."""
        self._read(0)
        self._seen = b""
        os.write(self._file, keys)

    def wait(self, words: bytes, within_s: float = 30.0) -> float:
        """When the words came, on the clock."""
        until_s = time.monotonic() + within_s
        while words not in self._seen:
            if time.monotonic() > until_s:
                raise HarnessError(f"{words!r} did not come to the terminal within {within_s} s: {self._seen[-2000:]!r}")
            self._read(0.5)
        return time.monotonic()

    def rest(self, seconds: float) -> None:
        """Only read."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            self._read(left_s)

    def _read(self, within_s: float) -> None:
        while select.select([self._file], [], [], within_s)[0]:
            try:
                data = os.read(self._file, 1 << 16)
            except OSError:  # the other end is closed
                raise HarnessError(f"the process at the terminal has ended: {self._seen[-2000:]!r}") from None
            self.bytes += len(data)
            self._seen = (self._seen + data)[-(1 << 20) :]
            within_s = 0

    def cpu_s(self) -> float:
        """Of the process so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mib(self) -> float:
        """Its resident memory."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    def end(self) -> int:
        """By its own key; by force when that does nothing. Its exit code."""
        with contextlib.suppress(OSError):
            os.write(self._file, b"q")
        for _ in range(50):
            with contextlib.suppress(HarnessError):
                self._read(0.1)
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                os.close(self._file)
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.02)
        os.kill(self.pid, signal.SIGKILL)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
