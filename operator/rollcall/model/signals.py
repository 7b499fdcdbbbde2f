"""FACTS of all pods of one service: taken in as they come, decoded together at the fold.

A body is appended to a queue and nothing else; at each fold all of them are joined and read as one matrix of records,
whose ids are looked up in the table of names of their pod's row. Whatever a pod sends is bounded: records of unknown kinds, and
values out of range, are skipped; ids that were not defined are `other`; a queue that grows too long is decoded at once.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from rollcall_agent.wire import facts, grid

from .crashes import CrashTable
from .dependencies import DependencyTable
from .endpoints import EndpointTable
from .errors import ErrorTable
from .points import PointStore, Told
from .throttling import Throttles
from .visitors import VisitorCount

QUEUE_BYTES = 8 * 2**20
"""The queue of a service is decoded when it holds so much, whether it is time for a fold or not."""
MOST_SIGHTINGS = 20_000
"""Of one batch; they are looked at one by one."""
_ENDPOINTS, _ERRORS, _DEPENDENCIES = range(3)
_TABLES = {facts.ENDPOINT_NAMES: _ENDPOINTS, facts.ERROR_NAMES: _ERRORS, facts.DEPENDENCY_NAMES: _DEPENDENCIES}
_SHAPE = (len(_TABLES), facts.MAX_IDS)
_COUNTS = (facts.REQUESTS, facts.FAILURES, facts.DURATION)
_CALL_COUNTS = (facts.CALLS, facts.CALL_DURATION, facts.WAITED)
_CAUSES = facts.CALLS
"""Kinds from here on are looked for together: most batches have few of them or none."""
_OFFSET = np.zeros(256, np.uint32)
"""Where the table of a kind's ids begins in a row of the maps."""
_OFFSET[facts.ERRORS] = _ERRORS * facts.MAX_IDS
_OFFSET[[*_CALL_COUNTS, facts.CALL_FAILURES, facts.CALL_CELL]] = _DEPENDENCIES * facts.MAX_IDS
Column = npt.NDArray[np.uint32]
Kinds = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.uint8]


class Signals:
    """What was counted by endpoint, type of error, visitor and dependency, deaths of workers, and points; rows are those of the
    service's matrix of reports."""

    def __init__(self) -> None:
        self.endpoints = EndpointTable()
        self.errors = ErrorTable()
        self.visitors = VisitorCount()
        self.dependencies = DependencyTable()
        self.throttles = Throttles()
        self.crashes = CrashTable()
        self.points = PointStore()
        self._names = (self.endpoints.names, self.errors.names, self.dependencies.names)
        self._maps = np.zeros((16, *_SHAPE), np.uint8)
        self._queues: dict[bool, tuple[list[int], list[bytes]]] = {True: ([], []), False: ([], [])}
        self._queued_bytes = 0
        self._queued: set[int] = set()
        """Rows of which something is queued, records or points."""
        self._wall_s: float | None = None
        self._folded: dict[int, int] = {}

    # --- names

    def bind(self, row: int, entries: Iterable[tuple[int, int, str]], now_s: float) -> None:
        """Another connection speaks for a row: what is queued of it goes by the old names, what comes by these."""
        if row in self._queued:
            self.drain(now_s)
        if row >= len(self._maps):
            more = np.zeros((max(len(self._maps), row + 1 - len(self._maps)), *_SHAPE), np.uint8)
            self._maps = np.concatenate([self._maps, more])
        self._maps[row] = 0
        self._folded.pop(row, None)
        for table, index, name in entries:
            self.define(row, table, index, name)

    def define(self, row: int, table: int, index: int, name: str) -> None:
        """An id of a row's connection has this name; table and index are valid."""
        place = _TABLES[table]
        self._maps[row, place, index] = self._names[place].number_of(name)

    # --- records

    def push(self, row: int, records: bytes, now_s: float, *, live: bool) -> None:
        """Records of one FACTS, whole ones; `live=False`: they belong to the totals alone."""
        rows, bodies = self._queues[live]
        rows.append(row)
        bodies.append(records)
        self._queued.add(row)
        self._queued_bytes += len(records)
        if self._queued_bytes > QUEUE_BYTES:
            self.drain(now_s)

    def push_points(self, row: int, pod: str, body: bytes, now_s: float) -> None:
        """Points of one frame."""
        self._queued.add(row)
        if self.points.push(Told(row, pod, now_s, body)):
            self.points.drain(self._maps, now_s)

    def fold(self, now_s: float, unix_s: float) -> None:
        """Four times a second."""
        self._wall_s = unix_s - now_s
        self.drain(now_s)
        self.throttles.update(self.dependencies, now_s)

    def drain(self, now_s: float) -> None:
        """Decode what is queued."""
        for live, (rows, bodies) in self._queues.items():
            if rows:
                self._queues[live] = ([], [])
                self._decode(rows, bodies, now_s, live)
        self._queued_bytes = 0
        self._queued.clear()
        self.points.drain(self._maps, now_s)

    def _decode(self, rows: list[int], bodies: list[bytes], now_s: float, live: bool) -> None:
        words = np.frombuffer(b"".join(bodies), "<u4").reshape(-1, facts.RECORD.size // 4)
        row_of = np.repeat(np.array(rows, np.uint32), [len(body) // facts.RECORD.size for body in bodies])
        head, argument, value = words[:, 0], words[:, 1], words[:, 2]
        kind, index = (head & 0xFF).astype(np.uint8), (head >> 16).astype(np.uint32)
        number = self._numbers(row_of, index, kind)
        for counted in _COUNTS:
            (found,) = np.nonzero(kind == counted)
            if len(found):
                self.endpoints.add(counted, number[found], value[found], now_s, live=live)
        (found,) = np.nonzero(kind == facts.ERRORS)
        if len(found):
            self.errors.add(number[found], value[found], now_s, live=live)
        (found,) = np.nonzero(kind == facts.FOLDED)
        for row, names in zip(row_of[found].tolist(), value[found].tolist(), strict=True):
            self._folded[row] = folded = self._folded.get(row, 0) + names
            self.endpoints.most_folded = max(self.endpoints.most_folded, folded)
        if live:
            self._decode_window(kind, number, argument, value, now_s)
        (found,) = np.nonzero(kind == facts.VISITOR)
        if len(found) and self._wall_s is not None:  # before the first fold nobody knows which hour it is
            self.visitors.add(argument[found], now_s, now_s + self._wall_s, live=live)
        (found,) = np.nonzero(kind >= _CAUSES)
        if len(found):
            self._decode_causes(kind[found], row_of[found], number[found], argument[found], value[found], now_s, live)

    def _decode_causes(
        self, kind: Kinds, row_of: Column, number: Numbers, argument: Column, value: Column, now_s: float, live: bool
    ) -> None:
        for counted in _CALL_COUNTS:
            (found,) = np.nonzero(kind == counted)
            if len(found):
                self.dependencies.add(counted, number[found], value[found], now_s, live=live)
        (found,) = np.nonzero(kind == facts.CALL_FAILURES)
        if len(found):
            self.dependencies.add_failures(number[found], argument[found], value[found], now_s, live=live)
        (found,) = np.nonzero((kind == facts.CALL_CELL) & (argument < grid.BUCKETS))
        if len(found) and live:
            self.dependencies.add_cells(number[found], argument[found], value[found], now_s)
        (found,) = np.nonzero(kind == facts.UNANSWERED)
        if len(found):
            self.endpoints.add(facts.UNANSWERED, number[found], value[found], now_s, live=live)
        (found,) = np.nonzero(kind == facts.DEATHS)
        if len(found):
            self.crashes.add(row_of[found], argument[found], value[found], now_s, live=live)

    def _decode_window(self, kind: Kinds, number: Numbers, argument: Column, value: Column, now_s: float) -> None:
        (found,) = np.nonzero((kind == facts.CELL) & (argument < grid.BUCKETS))
        if len(found):
            self.endpoints.add_cells(number[found], argument[found], value[found], now_s)
        (found,) = np.nonzero(kind == facts.SIGHTING)
        if len(found):
            self.visitors.see(argument[found[:MOST_SIGHTINGS]], value[found[:MOST_SIGHTINGS]], now_s)

    def _numbers(self, row_of: Column, index: Column, kind: Kinds) -> Numbers:
        """The service's number of each record's id, shape (n,); `other` is 0 in all tables."""
        known = np.where(index < facts.MAX_IDS, index, 0)
        places = row_of * np.uint32(_SHAPE[0] * _SHAPE[1]) + _OFFSET.take(kind) + known
        numbers: Numbers = self._maps.ravel().take(places)
        return numbers
