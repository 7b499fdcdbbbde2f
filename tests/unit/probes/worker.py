"""What a worker file says of dependencies, read as the agent reads it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rollcall_agent.wire import layout
from rollcall_agent.wire.facts import REASONS


@dataclass(frozen=True)
class Dependency:
    """Calls that ended, the failed ones by reason, µs of calls, µs waited for by requests."""

    calls: int
    failed: dict[str, int]
    duration_us: int
    waited_us: int


@dataclass(frozen=True)
class Point:
    """One finished request."""

    elapsed_us: int
    waited_us: int
    cpu_us: int
    endpoint: str
    dependency: str
    error: str
    outcome: int


class Worker:
    """The content of one file at one moment."""

    def __init__(self, path: Path) -> None:
        self._content = path.read_bytes()

    def _u(self, at: int, size: int) -> int:
        return int.from_bytes(self._content[at : at + size], "little")

    def _name(self, at: int, end: int) -> str:
        length = self._u(at, 2)
        return self._content[at + 2 : min(at + 2 + length, end)].decode()

    def _table(self, at: int, size: int, name_at: int, index: int) -> str:
        row = at + index * size
        return self._name(row + name_at, row + size)

    def dependencies(self) -> dict[str, Dependency]:
        """By name; those that were never called or waited for are left out."""
        found = {}
        for index in range(self._u(layout.OFF_DEPENDENCIES_USED, 4)):
            at = layout.OFF_DEPENDENCIES + index * layout.DEPENDENCY.size
            calls, *failed, duration_us, waited_us, _, _ = layout.DEPENDENCY.unpack_from(self._content, at)
            by_reason = {reason: count for reason, count in zip(REASONS, failed, strict=True) if count}
            if calls or waited_us:
                found[self._name(at + 64, at + layout.DEPENDENCY.size)] = Dependency(calls, by_reason, duration_us, waited_us)
        return found

    def journal(self) -> list[tuple[int, int]]:
        """(dependency, bucket) of the calls in their journal, the oldest first; it has not gone round yet."""
        written = self._u(layout.OFF_CALLS_WRITTEN, 8)
        entries = [self._u(layout.OFF_CALLS + 4 * place, 4) for place in range(min(written, layout.CALLS))]
        return [(entry >> 16, entry & 0xFFFF) for entry in entries]

    def points(self) -> list[Point]:
        """The oldest first; they have not gone round yet."""
        found = []
        for place in range(self._u(layout.OFF_POINTS_WRITTEN, 8)):
            fields = layout.POINT.unpack_from(self._content, layout.OFF_POINTS + place * layout.POINT.size)
            _, elapsed_us, waited_us, cpu_us, endpoint, dependency, error, outcome, *_ = fields
            names = (
                self._table(layout.OFF_ENDPOINTS, layout.ENDPOINT.size, 24, endpoint),
                self._table(layout.OFF_DEPENDENCIES, layout.DEPENDENCY.size, 64, dependency) if dependency else "",
                self._table(layout.OFF_ERRORS, layout.ERROR.size, 8, error) if error else "",
            )
            found.append(Point(elapsed_us, waited_us, cpu_us, *names, outcome))
        return found

    def steps(self) -> list[str]:
        """What the requests in flight are at."""
        found = []
        for slot in range(self._u(layout.OFF_SLOTS_USED, 4)):
            started, _, _, elapsed, step = layout.SLOT.unpack_from(self._content, layout.OFF_SLOTS + slot * layout.SLOT.size)
            if started and not elapsed:
                index = step & ((1 << layout.STEP_BITS) - 1)
                found.append(self._table(layout.OFF_STEPS, layout.STEP.size, 0, index) if index else "")
        return found


def dependencies_of(paths: Iterable[Path]) -> dict[str, Dependency]:
    """The sum over several workers."""
    found: dict[str, Dependency] = {}
    for path in paths:
        for name, more in Worker(path).dependencies().items():
            old = found.get(name, Dependency(0, {}, 0, 0))
            reasons = {*old.failed, *more.failed}
            failed = {reason: old.failed.get(reason, 0) + more.failed.get(reason, 0) for reason in reasons}
            duration_us, waited_us = old.duration_us + more.duration_us, old.waited_us + more.waited_us
            found[name] = Dependency(old.calls + more.calls, failed, duration_us, waited_us)
    return found
