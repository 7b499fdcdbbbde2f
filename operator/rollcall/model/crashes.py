"""Workers of one service that ended before their time: how many by which signal (FACTS), and samples that name the module, the
request and the revision (EVENT).

A worker that a fatal signal ended is a crash. One that ended with requests in flight, nobody knows by what, is one too unless
its pod was leaving: then it was told to end. The condition WorkersCrashing holds until `ALARM_S` after the last one.
"""

from __future__ import annotations

import math
import signal
from collections import Counter, deque
from collections.abc import Mapping
from typing import NamedTuple

import msgspec
import numpy as np

from .causes import Crash, Crashes, CrashGroup, RevisionChange, SignalCount
from .names import clean
from .states import PodFacts
from .table import Integers
from .windows import WINDOW_S

ALARM_S = 300.0
MOST_SAMPLES = 50
SHOWN_SAMPLES = 20
MOST_GROUPS = 50
SHOWN_GROUPS = 10
MOST_SIGNAL = 64
UNKNOWN = 0
"""Stands for the signal of a worker that ended with requests in flight, and left no word of why."""
OLDEST_MS = 3_600_000
_Kind = tuple[str | None, str | None, str | None, str | None]


class Death(NamedTuple):
    """Deaths that a row's pod told of, as traffic of now."""

    row: int
    workers: int


def signal_name(number: int) -> str:
    """`SIGSEGV`; a number that has no name is itself, and 0 is not known."""
    if number == UNKNOWN:
        return "unknown"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class KeptCrashes(msgspec.Struct, frozen=True, array_like=True):
    """Times are Unix seconds."""

    totals: dict[int, int]
    groups: list[CrashGroup]
    samples: list[Crash]
    last: float | None
    newest: int


class CrashTable:
    """Add records and samples, then ask for the picture."""

    def __init__(self) -> None:
        self.heard = False
        self.last_s: float | None = None
        """When the newest crash of now was told or, if it is known, happened; `newest` is its signal."""
        self.newest = UNKNOWN
        self._totals: Counter[int] = Counter()
        self._recent: deque[tuple[int, Counter[int]]] = deque()
        self._untold: list[Death] = []
        self._groups: dict[_Kind, CrashGroup] = {}
        self._samples: deque[Crash] = deque(maxlen=MOST_SAMPLES)

    def add(self, rows: Integers, signals: Integers, values: Integers, now_s: float, *, live: bool) -> None:
        """Workers that ended by signal, shapes (n,); `live=False` adds to the totals alone. Few, so one by one."""
        self.heard = True
        for row, number, count in zip(rows.tolist(), np.minimum(signals, MOST_SIGNAL).tolist(), values.tolist(), strict=True):
            self._totals[number] += count
            if live and count:
                self._untold.append(Death(row, count))
                self._counts(now_s)[number] += count
                self.last_s = now_s
                self.newest = number

    def _counts(self, now_s: float) -> Counter[int]:
        """Those of the current second."""
        second = math.floor(now_s)
        if not self._recent or self._recent[-1][0] < second:
            self._recent.append((second, Counter()))
        self._forget(now_s)
        return self._recent[-1][1]

    def _forget(self, now_s: float) -> None:
        while self._recent and self._recent[0][0] <= now_s - ALARM_S - 1:
            self._recent.popleft()

    def take(self) -> list[Death]:
        """Deaths that were added since the last call, for whoever knows the pods of the rows."""
        untold, self._untold = self._untold, []
        return untold

    def sample(self, event: Mapping[str, object], pod: PodFacts, now_s: float, *, leaving: bool) -> None:
        """Keep one sample; whatever a pod says in it, it is bounded and fit for a screen. `leaving`: it was told to end."""
        self.heard = True
        age_ms = _number(event, "age_ms") or 0
        number = _number(event, "signal")
        found = Crash(
            at=now_s - min(age_ms, OLDEST_MS) / 1000,  # monotonic as long as it is kept
            pod=pod.name,
            revision=pod.revision,
            image=pod.image,
            runtime=_text(event, "runtime", 40) or "",
            worker=_number(event, "worker") or 0,
            signal=signal_name(number) if number else None,
            address=_text(event, "address", 20),
            module=_text(event, "module", 255),
            offset=_text(event, "offset", 20),
            caller=_text(event, "caller", 255),
            endpoint=_text(event, "endpoint", 255),
            step=_text(event, "step", 255) or "",
            elapsed=None if (elapsed_ms := _number(event, "elapsed_ms")) is None else elapsed_ms / 1000,
            unanswered=_number(event, "unanswered") or 0,
        )
        self._samples.append(found)
        if number or not leaving:
            self._group(found)
            if now_s - found.at <= ALARM_S:
                self.last_s, self.newest = max(self.last_s or found.at, found.at), number or UNKNOWN
            if not number:  # of these no FACTS tell
                self._totals[UNKNOWN] += 1
                self._counts(now_s)[UNKNOWN] += 1

    def _group(self, found: Crash) -> None:
        kind = (found.signal, found.caller or found.module, found.endpoint, found.revision)
        known = self._groups.pop(kind, None)
        count, first = (known.count, known.first) if known is not None else (0, found.at)
        last = max(known.last, found.at) if known is not None else found.at
        self._groups[kind] = CrashGroup(*kind, found.image, count + 1, min(first, found.at), last)
        if len(self._groups) > MOST_GROUPS:
            del self._groups[next(iter(self._groups))]

    def totals(self) -> dict[str, int]:
        """Workers by the signal that ended them, since counting began."""
        return {signal_name(number): count for number, count in self._totals.items() if count}

    def kept(self, wall_s: float) -> KeptCrashes:
        """What must outlive this process; `wall_s` is Unix time less monotonic time."""
        replace = msgspec.structs.replace
        groups = [replace(each, first=each.first + wall_s, last=each.last + wall_s) for each in self._groups.values()]
        samples = [replace(each, at=each.at + wall_s) for each in self._samples]
        last = None if self.last_s is None else self.last_s + wall_s
        return KeptCrashes(dict(self._totals), groups, samples, last, self.newest)

    def restore(self, kept: KeptCrashes, wall_s: float) -> None:
        """Go on from that."""
        replace = msgspec.structs.replace
        self._totals.update(kept.totals)
        for each in kept.groups:
            kind = (each.signal, each.module, each.endpoint, each.revision)
            self._groups[kind] = replace(each, first=each.first - wall_s, last=each.last - wall_s)
        self._samples.extend(replace(each, at=each.at - wall_s) for each in kept.samples)
        self.heard = self.heard or bool(kept.totals or kept.samples)
        if kept.last is not None:
            self.last_s, self.newest = kept.last - wall_s, kept.newest

    def picture(
        self, now_s: float, unix_s: float, *, live: bool, with_lists: bool, revisions: RevisionChange | None = None
    ) -> Crashes | None:
        """The crashes as of now; None when none was ever told of. `live=False`: no pod tells now, so no rate is known."""
        if not self.heard:
            return None
        self._forget(now_s)
        window: Counter[int] = Counter()
        for second, counts in self._recent:
            if second > now_s - WINDOW_S:
                window.update(counts)
        wall_s = unix_s - now_s
        order = sorted(self._totals, key=lambda number: (-self._totals[number], number))
        newest = sorted(self._groups.values(), key=lambda group: -group.last)[:SHOWN_GROUPS]
        groups = [msgspec.structs.replace(group, first=group.first + wall_s, last=group.last + wall_s) for group in newest]
        return Crashes(
            per_second=window.total() / WINDOW_S if live else None,
            total=self._totals.total(),
            recent=sum(counts.total() for _, counts in self._recent),
            last=None if self.last_s is None else self.last_s + wall_s,
            newest=None if self.last_s is None else signal_name(self.newest),
            by_signal=[
                SignalCount(signal_name(number), window[number] / WINDOW_S if live else None, self._totals[number])
                for number in order
            ],
            groups=groups,
            revisions=revisions,
            samples=self._newest(wall_s) if with_lists else None,
        )

    def _newest(self, wall_s: float) -> list[Crash]:
        newest = sorted(self._samples, key=lambda sample: -sample.at)[:SHOWN_SAMPLES]
        return [msgspec.structs.replace(sample, at=sample.at + wall_s) for sample in newest]


def _number(event: Mapping[str, object], key: str) -> int | None:
    value = event.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def _text(event: Mapping[str, object], key: str, most: int) -> str | None:
    value = event.get(key)
    return clean(value, most) or None if isinstance(value, str) else None
