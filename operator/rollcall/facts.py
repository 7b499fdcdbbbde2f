"""What the operator's own process uses, read from the kernel: for the live API and `rollcall cost`."""

from __future__ import annotations

import resource
import time
from pathlib import Path

from rollcall import __version__


class ProcessFacts:
    """CPU over the time since the call before (at least `SPAN_S`), and resident memory."""

    SPAN_S = 5.0

    def __init__(self) -> None:
        self._at_s = time.monotonic()
        self._cpu_s = self._cpu()
        self._millicores = 0.0

    @staticmethod
    def _cpu() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    def sample(self) -> None:
        """Take a new mean of the CPU when the last one is old enough."""
        now_s = time.monotonic()
        if now_s - self._at_s >= self.SPAN_S:
            cpu_s = self._cpu()
            self._millicores = 1000 * (cpu_s - self._cpu_s) / (now_s - self._at_s)
            self._at_s, self._cpu_s = now_s, cpu_s

    def read(self) -> dict[str, object]:
        """Version, millicores and bytes."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return {"version": __version__, "millicores": self._millicores, "memoryBytes": pages * resource.getpagesize()}
