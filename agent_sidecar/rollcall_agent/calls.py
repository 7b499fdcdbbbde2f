"""Calls of dependencies, and finished requests as points, in a worker file.

Part of `ledger`, which owns the file. Same rules: Python 3.8, standard library only, one writer at a time.
"""

from __future__ import annotations

from array import array
from typing import Any

from .wire import facts, layout
from .wire.facts import cut
from .wire.grid import bucket_of_ns

_CALLS_WRITTEN = layout.OFF_CALLS_WRITTEN // 8
_POINTS_WRITTEN = layout.OFF_POINTS_WRITTEN // 8
_DEPENDENCIES_USED = layout.OFF_DEPENDENCIES_USED // 4
_CALLS = layout.OFF_CALLS // 4
_CALLS_MASK = layout.CALLS - 1
_POINTS_MASK = layout.POINTS - 1
_NAME_BYTES = 126
_COUNT, _FAILED, _DURATION, _WAITED = 0, 1, 6, 7
"""Places of the u64 counters in an entry of the table."""
_U32 = 0xFFFFFFFF


class Calls:
    """Methods of `Ledger`; `memory`, `_u64` and `_u32` are views of the file."""

    memory: memoryview
    _u64: memoryview
    _u32: memoryview

    @staticmethod
    def write_calls_header(memory: Any) -> None:
        """What a new file begins with: dependency 0."""
        name = facts.OTHER_DEPENDENCY.encode()
        layout.DEPENDENCY.pack_into(memory, layout.OFF_DEPENDENCIES, 0, 0, 0, 0, 0, 0, 0, 0, len(name), name)
        layout.CALL_COUNTERS.pack_into(memory, layout.OFF_CALLS_WRITTEN, 0, 0, 1)

    def resume_calls(self) -> None:
        """Take the table from the file."""
        self._dependencies: dict[str, int] = {}
        for index in range(min(self._u32[_DEPENDENCIES_USED], layout.DEPENDENCIES)):
            self._dependencies[self.dependency_name(index)] = index

    def dependency(self, name: str) -> int:
        """The index of a dependency, entered into the table when it is new; 0 (`other`) when the table is full."""
        encoded = cut(name, _NAME_BYTES)
        name = encoded.decode()
        index = self._dependencies.get(name)
        if index is not None:
            return index
        index = len(self._dependencies)
        if index >= layout.DEPENDENCIES:
            return 0
        at = layout.OFF_DEPENDENCIES + index * layout.DEPENDENCY.size
        layout.DEPENDENCY.pack_into(self.memory, at, 0, 0, 0, 0, 0, 0, 0, 0, len(encoded), encoded)
        self._dependencies[name] = index
        self._u32[_DEPENDENCIES_USED] = index + 1
        return index

    def dependency_name(self, index: int) -> str:
        """The name of a dependency by its index."""
        at = layout.OFF_DEPENDENCIES + index * layout.DEPENDENCY.size
        *_, length, name = layout.DEPENDENCY.unpack_from(self.memory, at)
        text: str = name[:length].decode("utf-8", "replace")
        return text

    def called(self, dependency: int, elapsed_ns: int, reason: int | None = None) -> None:
        """Count a call that ended; `reason`, an index of `facts.REASONS`, when it failed."""
        u64, row = self._u64, (layout.OFF_DEPENDENCIES + dependency * layout.DEPENDENCY.size) // 8
        u64[row + _COUNT] += 1
        if reason is not None:
            u64[row + _FAILED + reason] += 1
        u64[row + _DURATION] += elapsed_ns // 1000
        written = u64[_CALLS_WRITTEN]
        self._u32[_CALLS + (written & _CALLS_MASK)] = dependency << 16 | bucket_of_ns(max(elapsed_ns, 1))
        u64[_CALLS_WRITTEN] = written + 1

    def called_all(self, sums: dict[int, list[int]], cells: list[int]) -> None:
        """Count calls that ended: what is added to the eight counters of each dependency, in the order of `layout.DEPENDENCY`,
        and the calls' entries of the journal."""
        u64 = self._u64
        for dependency, added in sums.items():
            row = (layout.OFF_DEPENDENCIES + dependency * layout.DEPENDENCY.size) // 8
            for place, value in enumerate(added, row):
                if value:
                    u64[place] += value
        written = u64[_CALLS_WRITTEN]
        append(self._u32, _CALLS, layout.CALLS, written, cells)
        u64[_CALLS_WRITTEN] = written + len(cells)

    def waited(self, dependency: int, waited_us: int) -> None:
        """A request that finished has waited so long for a dependency; over all of its dependencies no longer than it took."""
        self._u64[(layout.OFF_DEPENDENCIES + dependency * layout.DEPENDENCY.size) // 8 + _WAITED] += waited_us

    def points_all(self, points: list[bytes]) -> None:
        """Requests that finished, each a `layout.POINT`."""
        size, written = layout.POINT.size, self._u64[_POINTS_WRITTEN] + max(0, len(points) - layout.POINTS)
        points = points[-layout.POINTS :]
        first = written & _POINTS_MASK
        fitting = layout.POINTS - first
        for place, part in ((first, points[:fitting]), (0, points[fitting:])):
            at = layout.OFF_POINTS + place * size
            self.memory[at : at + len(part) * size] = b"".join(part)
        self._u64[_POINTS_WRITTEN] = written + len(points)

    def point(
        self,
        ended_us: int,
        elapsed_us: int,
        waited_us: int,
        cpu_us: int,
        endpoint: int,
        dependency: int,
        error: int,
        outcome: int,
    ) -> None:
        """A request that finished; see `layout.POINT`."""
        written = self._u64[_POINTS_WRITTEN]
        at = layout.OFF_POINTS + (written & _POINTS_MASK) * layout.POINT.size
        elapsed_us, waited_us = min(elapsed_us, _U32), min(waited_us, _U32)
        fields = (ended_us, elapsed_us, waited_us, min(cpu_us, _U32), endpoint, dependency, error, outcome, 0, 0)
        layout.POINT.pack_into(self.memory, at, *fields)
        self._u64[_POINTS_WRITTEN] = written + 1


def append(ring: memoryview, at: int, capacity: int, written: int, entries: list[int]) -> None:
    """Write entries of four bytes behind the `written` first ones of a ring that begins at `at` (a power of two of places)."""
    fresh = array("I", entries[-capacity:])
    first = (written + len(entries) - len(fresh)) & (capacity - 1)
    fitting = capacity - first
    ring[at + first : at + first + len(fresh[:fitting])] = fresh[:fitting]
    if len(fresh) > fitting:
        ring[at : at + len(fresh) - fitting] = fresh[fitting:]
