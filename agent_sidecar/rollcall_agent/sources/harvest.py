"""Takes out of a worker file what was added since the last time: by endpoint, type of error, dependency and visitor; samples of
errors; and points.

The cursor says up to where it was read. It only moves when everything that was read fits together: the writer did not settle
meanwhile (see `wire.layout`). A cursor is plain JSON, because it must outlive the agent's process (see `facts_log`).
"""

from __future__ import annotations

import json
import struct
from typing import Any

from ..additions import NO_CALLS, Additions, CallRow
from ..wire import facts, layout
from ..wire.grid import BUCKETS, bucket_of_ns
from .deaths import SURVIVED_US, Death, crash_of
from .longest import error_text, step_text
from .worker_file import Slot, WorkerFile

_U64 = struct.Struct("<Q")


class Cursor:
    """Up to where one file was read: positions of its rings, and the last values of its tables, by index."""

    __slots__ = (
        "buried",
        "calls",
        "dependencies",
        "errors",
        "folded",
        "journal",
        "noted",
        "rows",
        "samples",
        "visits",
        "waiting",
    )

    def __init__(self) -> None:
        self.journal = 0
        self.samples = 0
        self.visits = 0
        self.noted = 0
        self.folded = 0
        self.calls = 0
        self.buried = False
        """Whether what its worker left unanswered has been taken."""
        self.rows: dict[int, list[int]] = {}
        self.dependencies: dict[int, CallRow] = {}
        self.errors: dict[int, int] = {}
        self.waiting: dict[int, int] = {}
        """Requests that had ended but were not counted by the writer yet: by endpoint << 16 | bucket."""

    def to_json(self) -> list[Any]:
        """As a value for JSON."""
        return [
            self.journal,
            self.samples,
            self.visits,
            self.noted,
            self.folded,
            self.calls,
            int(self.buried),
            list(self.rows.items()),
            list(self.errors.items()),
            list(self.waiting.items()),
            list(self.dependencies.items()),
        ]

    @classmethod
    def from_json(cls, value: list[Any]) -> Cursor:
        """The inverse; raises TypeError or ValueError."""
        cursor = cls()
        numbers = [int(n) for n in value[:7]]
        cursor.journal, cursor.samples, cursor.visits, cursor.noted, cursor.folded, cursor.calls, buried = numbers
        cursor.buried = bool(buried)
        cursor.rows = {int(index): [int(n) for n in row] for index, row in value[7]}
        cursor.errors = {int(index): int(count) for index, count in value[8]}
        cursor.waiting = {int(cell): int(count) for cell, count in value[9]}
        cursor.dependencies = {int(index): tuple(int(n) for n in row) for index, row in value[10]}
        return cursor


class Harvest:
    """One worker file and the cursor into it. `take` after each `file.read`."""

    def __init__(self, file: WorkerFile, cursor: Cursor | None = None) -> None:
        self._file = file
        self.cursor = cursor or Cursor()
        self.samples: list[dict[str, Any]] = []
        self.points: list[tuple[int, ...]] = []
        """Fields of `layout.POINT`, the oldest first; the caller takes them out. The cursor forgets them: they are a sample."""
        self._points_seen: int | None = 0 if cursor is None else None
        self._moved = False
        self._endpoints: list[str] = []
        self._dependencies: list[str] = []

    def take(self) -> Additions | None:
        """What was added since the last call; None when the writer was at it: then nothing has moved, and the next call tells
        all. New samples are appended to `samples`."""
        if not self._file.fits:
            return None
        found, cursor = Additions(), self.cursor
        journal, noted, samples, visits, folded = self._file.notes
        waiting = _cells(self._file.ended)
        moved = journal != cursor.journal or waiting != cursor.waiting
        if moved:
            table = self._file.part(layout.OFF_ENDPOINTS, layout.ENDPOINTS * layout.ENDPOINT.size)
            entries = self._file.part(layout.OFF_JOURNAL, 4 * layout.JOURNAL)
            if not self._file.still():
                return None
            self._take_requests(found, table, entries, journal, waiting)
        if noted != cursor.noted:
            self._take_errors(found, noted)
        if samples != cursor.samples:
            self._take_samples(samples)
        if visits != cursor.visits:
            self._take_visits(found, visits)
        calls, points, used = self._file.calls
        if (
            moved or self._moved or calls != cursor.calls
        ):  # a request may have been read just before what it waited for was added
            self._take_calls(found, calls, min(used, layout.DEPENDENCIES))
        self._moved = moved
        self._take_points(points)
        found.folded, cursor.folded = max(0, folded - cursor.folded), folded
        return found

    def bury(self) -> tuple[Additions, Death | None]:
        """Of a dead worker, once: requests that it never answered, and how it ended, if there is something to tell of that."""
        found = Additions()
        if self.cursor.buried:
            return found, None
        self.cursor.buried = True
        crash = crash_of(self._file.part(layout.OFF_CRASH, layout.CRASH.size))
        if crash is not None and self._newest_end_us() > crash.at_us + SURVIVED_US:
            crash = None
        signal = crash.signal if crash is not None else 0
        table = self._file.part(layout.OFF_ENDPOINTS, layout.ENDPOINTS * layout.ENDPOINT.size)
        open_slots = sorted(slot for slot in self._file.slots if not slot[3])
        for _, endpoint, *_ in open_slots:
            self._name_endpoints(table, endpoint)
            found.add_unanswered(self._endpoint(endpoint), signal)
        if signal:
            found.add_death(signal)
        if not found:
            return found, None
        started_us, endpoint, _, _, step = open_slots[0] if open_slots else (0, 0, 0, 0, 0)
        endpoint_name = self._endpoint(endpoint) if open_slots else ""
        text = step_text(self._file, step)
        return found, Death("python", self._file.pid, crash, len(open_slots), endpoint_name, started_us, text)

    def _newest_end_us(self) -> int:
        written = self._file.calls[1]
        if not written:
            return 0
        at = layout.OFF_POINTS + (written - 1) % layout.POINTS * layout.POINT.size
        content = self._file.part(at, 8)
        return int.from_bytes(content, "little") if len(content) == 8 else 0

    def _take_calls(self, found: Additions, calls: int, used: int) -> None:
        table = self._file.part(layout.OFF_DEPENDENCIES, used * layout.DEPENDENCY.size)
        if len(table) < used * layout.DEPENDENCY.size:
            return
        cursor = self.cursor
        for index, (*row, length, name) in enumerate(layout.DEPENDENCY.iter_unpack(table)):
            if index >= len(self._dependencies):
                self._dependencies.append(name[:length].decode("utf-8", "replace") or facts.OTHER_DEPENDENCY)
            before = cursor.dependencies.get(index, NO_CALLS)
            now = tuple(row)
            if now != before:
                found.add_calls(self._dependencies[index], tuple(max(0, a - b) for a, b in zip(now, before, strict=True)))
                cursor.dependencies[index] = now
        if calls == cursor.calls:
            return
        ring = self._file.part(layout.OFF_CALLS, 4 * layout.CALLS)
        cells: dict[int, int] = {}
        for (cell,) in struct.iter_unpack("<I", _ring(ring, 4, layout.CALLS, cursor.calls, calls)):
            cells[cell] = cells.get(cell, 0) + 1
        for cell, count in cells.items():
            if cell & 0xFFFF < BUCKETS:
                found.add_call_cell(self.dependency(cell >> 16), cell & 0xFFFF, count)
        if calls - cursor.calls > layout.CALLS:
            found.complete_calls()
        cursor.calls = calls

    def _take_points(self, written: int) -> None:
        seen, self._points_seen = self._points_seen, written
        if seen is None or seen == written:
            return  # what an earlier process of the agent has read is not told twice
        ring = self._file.part(layout.OFF_POINTS, layout.POINTS * layout.POINT.size)
        fresh = _ring(ring, layout.POINT.size, layout.POINTS, seen, written)
        self.points = [*self.points, *layout.POINT.iter_unpack(fresh)][-layout.POINTS :]

    def dependency(self, index: int) -> str:
        """The name of a dependency of this file."""
        return self._dependencies[index] if index < len(self._dependencies) else facts.OTHER_DEPENDENCY

    def endpoint(self, index: int) -> str:
        """The name of an endpoint of this file."""
        return self._endpoint(index)

    def error(self, index: int) -> str:
        """The name of a type of error of this file, "" when none is known."""
        return error_text(self._file, index) if index else ""

    def _take_requests(self, found: Additions, table: bytes, entries: bytes, journal: int, waiting: dict[int, int]) -> None:
        cursor = self.cursor
        fresh = _ring(entries, 4, layout.JOURNAL, cursor.journal, journal)
        cells: dict[int, int] = {}
        for (cell,) in struct.iter_unpack("<I", fresh):
            cells[cell] = cells.get(cell, 0) + 1
        for cell, count in waiting.items():
            cells[cell] = cells.get(cell, 0) + count
        for cell, count in cursor.waiting.items():
            cells[cell] = cells.get(cell, 0) - count
        touched = {cell >> 16 for cell in cells}
        overrun = journal - cursor.journal > layout.JOURNAL
        if overrun:
            touched = set(range(layout.ENDPOINTS))
        self._name_endpoints(table, max(touched, default=0))
        ended: dict[int, list[int]] = {}
        for _, endpoint, outcome, elapsed_ns, _ in self._file.ended:
            row = ended.setdefault(endpoint if endpoint < layout.ENDPOINTS else 0, [0, 0, 0])
            row[0] += 1
            row[1] += outcome >> 3 & 1
            row[2] += elapsed_ns // 1000
        for index in touched:
            self._take_row(found, table, index, ended.get(index, (0, 0, 0)))
        for cell, count in cells.items():
            if count > 0 and cell & 0xFFFF < BUCKETS:
                found.add_cell(self._endpoint(cell >> 16), cell & 0xFFFF, count)
        if overrun:
            found.complete()
        cursor.journal, cursor.waiting = journal, waiting

    def _take_row(self, found: Additions, table: bytes, index: int, waiting: Any) -> None:
        if index >= layout.ENDPOINTS:
            return
        requests, failures, duration_us, _, _ = layout.ENDPOINT.unpack_from(table, index * layout.ENDPOINT.size)
        now = [requests + waiting[0], failures + waiting[1], duration_us + waiting[2]]
        before = self.cursor.rows.get(index, [0, 0, 0])
        if now != before:
            found.add_row(self._endpoint(index), *(max(0, a - b) for a, b in zip(now, before, strict=True)))
            self.cursor.rows[index] = now

    def _name_endpoints(self, table: bytes, highest: int) -> None:
        for index in range(len(self._endpoints), min(highest + 1, layout.ENDPOINTS)):
            *_, length, name = layout.ENDPOINT.unpack_from(table, index * layout.ENDPOINT.size)
            self._endpoints.append(name[:length].decode("utf-8", "replace") or facts.OTHER_ENDPOINT)

    def _endpoint(self, index: int) -> str:
        return self._endpoints[index] if index < len(self._endpoints) else facts.OTHER_ENDPOINT

    def _take_errors(self, found: Additions, noted: int) -> None:
        table = self._file.part(layout.OFF_ERRORS, layout.ERRORS * layout.ERROR.size)
        for index, (count, length, name) in enumerate(layout.ERROR.iter_unpack(table)):
            before = self.cursor.errors.get(index, 0)
            if count > before:
                found.add_error(name[:length].decode("utf-8", "replace") or facts.OTHER_ERROR, count - before)
                self.cursor.errors[index] = count
        self.cursor.noted = noted

    def _take_samples(self, written: int) -> None:
        ring = self._file.part(layout.OFF_SAMPLES, layout.SAMPLES * layout.SAMPLE.size)
        fresh = _ring(ring, layout.SAMPLE.size, layout.SAMPLES, self.cursor.samples, written)
        for length, content in layout.SAMPLE.iter_unpack(fresh):
            try:
                sample = json.loads(content[:length])
            except ValueError:
                continue  # the writer was at it, or it is noise
            if isinstance(sample, dict):
                self.samples.append(sample)
        self.cursor.samples = written

    def _take_visits(self, found: Additions, written: int) -> None:
        ring = self._file.part(layout.OFF_VISITS, 8 * layout.VISITS)
        fresh = _ring(ring, 8, layout.VISITS, self.cursor.visits, written)
        found.visits = [hashed for (hashed,) in _U64.iter_unpack(fresh) if hashed]
        self.cursor.visits = written


def _cells(ended: list[Slot]) -> dict[int, int]:
    cells: dict[int, int] = {}
    for _, endpoint, _, elapsed_ns, _ in ended:
        cell = (endpoint if endpoint < layout.ENDPOINTS else 0) << 16 | bucket_of_ns(elapsed_ns)
        cells[cell] = cells.get(cell, 0) + 1
    return cells


def _ring(ring: bytes, size: int, capacity: int, start: int, end: int) -> bytes:
    """Entries `start` to `end` of a ring, as far as they are still in it, oldest first."""
    if len(ring) < size * capacity or not 0 <= start <= end:
        return b""
    start = max(start, end - capacity)
    first, last = start % capacity * size, end % capacity * size
    if start == end:
        return b""
    return ring[first:last] if first < last else ring[first:] + ring[:last]
