"""What the agent itself costs: CPU time of supervisor and worker, and the memory of both.

Memory is PSS where the kernel shows it: supervisor and worker share most pages, and a sum of RSS would count those twice. Both
are read rarely, because reading them is the dearest thing an idle agent does.
"""

from __future__ import annotations

import os
import time

_CPU_EVERY_S = 5.0
_MEMORY_EVERY_S = 30.0
_FIRST_MEMORY_S = 2.0
_TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


class Cost:
    """CPU and memory of this process and its supervisor; `base_us` is what earlier containers used."""

    def __init__(self, supervisor_pid: int, base_us: int, now: float) -> None:
        self._supervisor = supervisor_pid
        self._base_us = base_us
        self._supervisor_us = 0
        self._next_cpu = now
        self._next_memory = now + _FIRST_MEMORY_S
        self.memory_kib = 0

    def cpu_us(self, now: float) -> int:
        """CPU time of all of the agent's processes since the epoch."""
        if now >= self._next_cpu:
            self._next_cpu = now + _CPU_EVERY_S
            self._supervisor_us = max(self._supervisor_us, cpu_with_children_us(self._supervisor))
        return self._base_us + self._supervisor_us + time.process_time_ns() // 1000

    def refresh_memory(self, now: float) -> None:
        """Read `memory_kib` again when it is time to."""
        if now >= self._next_memory:
            self._next_memory = now + _MEMORY_EVERY_S
            self.memory_kib = memory_kib(os.getpid()) + memory_kib(self._supervisor)


def cpu_with_children_us(pid: int) -> int:
    """User and system time of a process and of its ended children; 0 when it cannot be read."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return sum(int(field) for field in fields[11:15]) * _TICK_US
    except (OSError, ValueError):
        return 0


def memory_kib(pid: int) -> int:
    """PSS of a process, or its RSS where the kernel does not tell PSS; 0 when neither can be read."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1])
    except (OSError, ValueError):
        pass
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE_KIB
    except (OSError, ValueError):
        return 0
