"""Reads one worker file of a probe (see `wire.layout`). The application owns the file: nothing in it is trusted.

Reading costs one `pread` while the worker is idle, and a second one, of the slots in use, while requests are in flight.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import time
from collections.abc import Sequence

from ..totals import Totals
from ..wire import layout
from ..wire.bands import BANDS, band_of_ms
from ..wire.grid import bucket_of_ns

_COUNTERS = struct.Struct("<10Q")
_U64 = struct.Struct("<Q")
_HISTOGRAM = struct.Struct(f"<{layout.HISTOGRAM_BYTES // 4}I")
_U32_MAX = 0xFFFFFFFF
_ATTEMPTS = 5
_RETRY_S = 0.0002
"""Settling takes some 50 µs, unless its thread is set aside in the middle of it."""
Slot = tuple[int, int, int, int, int]
assert layout.OFF_STARTED + 9 * 8 == layout.OFF_UNTRACKED


class BadWorkerFileError(ValueError):
    """The file is not one of a probe that this agent knows."""


class InFlight:
    """Requests that are in flight: how many, in which band, and the age of the oldest."""

    __slots__ = ("bands", "oldest_ms", "total")

    def __init__(self) -> None:
        self.total = 0
        self.bands = [0] * BANDS
        self.oldest_ms = 0

    def add(self, other: InFlight) -> None:
        """Add those of another worker."""
        self.total += other.total
        self.bands = [a + b for a, b in zip(self.bands, other.bands, strict=True)]
        self.oldest_ms = max(self.oldest_ms, other.oldest_ms)

    def add_young(self, count: int) -> None:
        """Add some whose start is not known: they are taken as young."""
        self.total += count
        self.bands[0] += count


class WorkerFile:
    """One open worker file. Raises OSError or BadWorkerFileError when it cannot be opened or is not valid."""

    def __init__(self, path: str, name: str | None = None) -> None:
        self.path = path
        self.name = name or os.path.basename(path)
        # Neither a link nor a FIFO laid out by someone may lead or hold us anywhere.
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            self.pid, self.runtime = self._check()
        except BaseException:
            os.close(self._fd)
            raise
        self._head = b""
        self._ended = False
        self._dead = False
        self.totals = Totals()
        self.in_flight = InFlight()
        self.fits = False
        """Whether what the last `read` found is of one moment; only then the next four are those of that moment."""
        self.ended: list[Slot] = []
        self.slots: list[Slot] = []
        self.notes = (0, 0, 0, 0, 0)
        """Written to the journal, errors noted, samples written, visits written, names folded."""
        self.calls = (0, 0, 0)
        """Written to the journal of calls, points written, entries used of the table of dependencies."""
        self.resources = (0,) * 7
        """As in `layout.RESOURCES`."""
        self._settling = b""

    def _check(self) -> tuple[int, int]:
        status = os.fstat(self._fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size < layout.FILE_BYTES:
            raise BadWorkerFileError(f"no regular file of {layout.FILE_BYTES} bytes")
        magic, version, pid, _, runtime, capacity, _, _ = layout.HEADER.unpack(os.pread(self._fd, layout.HEADER.size, 0))
        if magic != layout.MAGIC or version != layout.VERSION or capacity != layout.SLOTS:
            raise BadWorkerFileError(f"magic {magic!r}, version {version}, {capacity} slots")
        return pid, runtime

    def is_dead(self) -> bool:
        """Whether its worker has ended; if so, this process holds the file's lock from now on."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self._dead = True
        return True

    def read(self, now_us: int, bounds_ms: Sequence[int]) -> None:
        """Bring `totals` and `in_flight` up to date; raises BadWorkerFileError when the file has become too short.

        Counters are read before slots, and a request is counted before it leaves its slot: what is computed as started is never
        too much, and at most too little by what ended between the two reads. It must not fall, so the highest value stands.
        While the writer is settling, the totals stay as they were.
        """
        head, slots, fits = self._snapshot()
        self.fits, self.slots, self._settling = fits, slots, head[layout.OFF_SETTLING : layout.OFF_HISTOGRAM]
        gone, finished, errors, duration_us, *responses, untracked = _COUNTERS.unpack_from(head, layout.OFF_STARTED)
        self.in_flight, ended = _sort_out(slots, now_us, bounds_ms, untracked)
        before = self.totals
        if fits and (head != self._head or ended or self._ended):
            self._head, self._ended = head, bool(ended)
            totals = self.totals = Totals()
            totals.finished, totals.errors, totals.duration_us = finished, errors, duration_us
            totals.lost = max(0, gone - finished)
            totals.responses = responses
            totals.histogram = list(_HISTOGRAM.unpack_from(head, layout.OFF_HISTOGRAM))
            for _, _, outcome, elapsed_ns, _ in ended:
                _add_ended(totals, outcome, elapsed_ns)
        started = gone + len(ended) + self.in_flight.total if fits else 0
        self.totals.started = max(before.started, started)
        self.ended = ended
        if fits:
            self._read_notes()

    def _read_notes(self) -> None:
        notes = os.pread(self._fd, layout.OFF_JOURNAL - layout.OFF_JOURNAL_WRITTEN, layout.OFF_JOURNAL_WRITTEN)
        if len(notes) < layout.OFF_JOURNAL - layout.OFF_JOURNAL_WRITTEN:
            raise BadWorkerFileError("it was truncated")
        journal, noted, samples, visits, _, _ = layout.COUNTERS.unpack_from(notes)
        (folded,) = _U64.unpack_from(notes, layout.OFF_FOLDED - layout.OFF_JOURNAL_WRITTEN)
        self.notes = journal, noted, samples, visits, folded
        self.calls = layout.CALL_COUNTERS.unpack_from(notes, layout.OFF_CALLS_WRITTEN - layout.OFF_JOURNAL_WRITTEN)
        self.resources = layout.RESOURCES.unpack_from(notes, layout.OFF_RESOURCES - layout.OFF_JOURNAL_WRITTEN)
        self.fits = self.still()

    def part(self, at: int, size: int) -> bytes:
        """`size` bytes of the file from `at`; fewer when it is too short."""
        return os.pread(self._fd, size, at)

    def still(self) -> bool:
        """Whether the writer has not settled since the last `read` began."""
        return self._dead or os.pread(self._fd, 8, layout.OFF_SETTLING) == self._settling

    def _snapshot(self) -> tuple[bytes, list[Slot], bool]:
        """(head, slots in use, whether both are of one moment as far as settling goes)."""
        for attempt in range(_ATTEMPTS):
            head = os.pread(self._fd, layout.OFF_ENDPOINTS, 0)
            if len(head) < layout.OFF_ENDPOINTS:
                raise BadWorkerFileError("it was truncated")
            slots = self._slots(head)
            settling = head[layout.OFF_SETTLING : layout.OFF_HISTOGRAM]
            if not settling[0] & 1 and os.pread(self._fd, 8, layout.OFF_SETTLING) == settling:
                return head, slots, True
            if attempt < _ATTEMPTS - 1:
                time.sleep(_RETRY_S)
        return head, slots, self._dead  # the dead do not settle any more

    def _slots(self, head: bytes) -> list[Slot]:
        used = min(int.from_bytes(head[layout.OFF_SLOTS_USED : layout.OFF_SLOTS_USED + 4], "little"), layout.SLOTS)
        if not used:
            return []
        table = os.pread(self._fd, used * layout.SLOT.size, layout.OFF_SLOTS)
        whole = len(table) - len(table) % layout.SLOT.size
        return [slot for slot in layout.SLOT.iter_unpack(table[:whole]) if slot[0]]

    def final(self) -> Totals:
        """A dead worker's totals: what it had in flight is lost."""
        totals = self.totals.copy()
        totals.lost += self.in_flight.total
        return totals

    def endpoints(self) -> list[tuple[str, list[int]]]:
        """Each endpoint's name and its requests, errors and duration_us, in the order of the table."""
        head, slots, _ = self._snapshot()
        used = min(int.from_bytes(head[layout.OFF_ENDPOINTS_USED : layout.OFF_ENDPOINTS_USED + 4], "little"), layout.ENDPOINTS)
        table = os.pread(self._fd, used * layout.ENDPOINT.size, layout.OFF_ENDPOINTS)
        whole = len(table) - len(table) % layout.ENDPOINT.size
        found = []
        for requests, errors, duration_us, length, name in layout.ENDPOINT.iter_unpack(table[:whole]):
            text = name[: min(length, len(name))].decode("utf-8", "replace")
            found.append((text, [requests, errors, duration_us]))
        for _, endpoint, outcome, elapsed_ns, _ in slots:
            if elapsed_ns and found:
                counts = found[endpoint if endpoint < len(found) else 0][1]
                counts[0] += 1
                counts[1] += 1 if outcome & layout.OUTCOME_ERROR else 0
                counts[2] += elapsed_ns // 1000
        return found

    def requests_in_flight(self, now_us: int) -> list[tuple[int, str]]:
        """(elapsed ms, endpoint) of each tracked request in flight, the oldest first."""
        names = [name for name, _ in self.endpoints()]
        found = [
            (max(0, now_us - started_us) // 1000, names[endpoint] if endpoint < len(names) else "other")
            for started_us, endpoint, _, elapsed_ns, _ in self._snapshot()[1]
            if not elapsed_ns
        ]
        return sorted(found, reverse=True)

    def close(self) -> None:
        """Close the file, and with it let go of its lock if it was taken."""
        os.close(self._fd)


def _sort_out(slots: list[Slot], now_us: int, bounds_ms: Sequence[int], untracked: int) -> tuple[InFlight, list[Slot]]:
    """(requests in flight, slots of those that have ended and wait to be counted)."""
    found = InFlight()
    ended = []
    for slot in slots:
        if slot[3]:
            ended.append(slot)
            continue
        elapsed_ms = max(0, now_us - slot[0]) // 1000
        found.bands[band_of_ms(elapsed_ms, bounds_ms)] += 1
        found.total += 1
        found.oldest_ms = min(max(found.oldest_ms, elapsed_ms), _U32_MAX)
    # Their start is not known, so they are taken as young; a number that cannot be true is cut.
    untracked = min(untracked, layout.SLOTS * 64)
    found.total += untracked
    found.bands[0] += untracked
    return found, ended


def _add_ended(totals: Totals, outcome: int, elapsed_ns: int) -> None:
    totals.finished += 1
    totals.duration_us += elapsed_ns // 1000
    totals.histogram[bucket_of_ns(elapsed_ns)] += 1
    if outcome & layout.OUTCOME_ERROR:
        totals.errors += 1
    status_class = outcome & layout.OUTCOME_CLASS
    if 1 <= status_class <= 5:
        totals.responses[status_class - 1] += 1
