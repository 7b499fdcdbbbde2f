"""Errors of one service: how often each type occurs, and samples that name the line of the application's code."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import msgspec
import numpy as np
import numpy.typing as npt

from rollcall_agent.wire import facts

from .names import Names, clean
from .picture import Errors, ErrorSample, ErrorType
from .seconds import Seconds
from .table import KeptCounts

MOST_TYPES = 20
MOST_SAMPLES = 50
SHOWN_SAMPLES = 20
SAMPLES_PER_PLACE = 5
"""So many samples of one type at one line are kept, so that a frequent error does not push out the rare ones."""
OLDEST_MS = 3_600_000
_UNNAMED = "exception other"


class KeptErrors(msgspec.Struct, frozen=True, array_like=True):
    """Counts by name, and samples whose `at` is Unix seconds."""

    counts: KeptCounts
    samples: list[ErrorSample]


class ErrorTable:
    """Add records and samples, then ask for the picture."""

    def __init__(self) -> None:
        self.names = Names(facts.OTHER_ERROR)
        self._totals = np.zeros(facts.MAX_IDS, np.int64)
        self._counts = Seconds((), np.int64)
        self._samples: deque[ErrorSample] = deque(maxlen=MOST_SAMPLES)

    def add(self, numbers: npt.NDArray[np.integer], values: npt.NDArray[np.integer], now_s: float, *, live: bool) -> None:
        """Occurrences by type, shapes (n,); `live=False` adds to the totals alone."""
        added = np.bincount(numbers, values, len(self.names)).astype(np.int64)
        self._totals[: len(added)] += added
        if live:
            self._counts.add(now_s, added)

    def sample(self, event: Mapping[str, object], pod: str, revision: str | None, now_s: float) -> None:
        """Keep one sample; whatever a pod says in it, it is bounded and fit for a screen."""
        kind, type_ = split(_text(event, "error", 120) or _UNNAMED)
        age_ms = event.get("age_ms")
        age_s = min(max(age_ms, 0), OLDEST_MS) / 1000 if isinstance(age_ms, int) else 0.0
        line = event.get("line")
        found = ErrorSample(
            at=now_s - age_s,  # monotonic as long as it is kept
            kind=kind,
            type=type_,
            message=_text(event, "message", 500),
            function=_text(event, "function", 200),
            file=_text(event, "file", 300),
            line=line if isinstance(line, int) and 0 < line < 2**31 else None,
            endpoint=_text(event, "endpoint", 255),
            pod=pod,
            revision=revision,
        )
        same = [each for each in self._samples if _place(each) == _place(found)]
        if len(same) >= SAMPLES_PER_PLACE:
            self._samples.remove(same[0])
        self._samples.append(found)

    def per_second(self, now_s: float) -> float:
        """Failures of requests, of all types together; aborts and warnings are none."""
        rates = self._rates(now_s)
        return sum(rates[number] for number, name in enumerate(self.names.names) if fails(name))

    def totals(self) -> dict[str, int]:
        """Occurrences by name, since counting began; names that never occurred are left out."""
        return {name: total for name, total in zip(self.names.names, self._totals.tolist(), strict=False) if total}

    def kept(self, wall_s: float) -> KeptErrors:
        """What must outlive this process; `wall_s` is Unix time less monotonic time."""
        counts = KeptCounts(self.names.names, self._totals[: len(self.names)].tobytes())
        return KeptErrors(counts, [msgspec.structs.replace(each, at=each.at + wall_s) for each in self._samples])

    def restore(self, kept: KeptErrors, wall_s: float) -> None:
        """Go on from that."""
        for name, total in zip(kept.counts.names, np.frombuffer(kept.counts.totals, np.int64).tolist(), strict=True):
            self._totals[self.names.number_of(name)] += total
        self._samples.extend(msgspec.structs.replace(each, at=each.at - wall_s) for each in kept.samples)

    def picture(self, now_s: float, unix_s: float, *, live: bool, with_lists: bool) -> Errors:
        """The errors as of now; `live=False`: no pod tells now, so no rate is known."""
        per_second = self.per_second(now_s) if live else None
        if not with_lists:
            return Errors(per_second)
        return Errors(per_second, self._types(now_s, live), self._newest(unix_s - now_s))

    def _types(self, now_s: float, live: bool) -> list[ErrorType]:
        rates, totals = self._rates(now_s), self.totals()
        numbers = {name: number for number, name in enumerate(self.names.names)}
        order = sorted(totals, key=lambda name: (-rates[numbers[name]], -totals[name], name))
        return [ErrorType(*split(name), rates[numbers[name]] if live else None, totals[name]) for name in order[:MOST_TYPES]]

    def _newest(self, wall_s: float) -> list[ErrorSample]:
        newest = sorted(self._samples, key=lambda sample: -sample.at)[:SHOWN_SAMPLES]
        return [msgspec.structs.replace(sample, at=sample.at + wall_s) for sample in newest]

    def _rates(self, now_s: float) -> list[float]:
        rates: list[float] = (self._counts.total(now_s, len(self.names)) / self._counts.span_s(now_s)).tolist()
        return rates


def split(name: str) -> tuple[str, str]:
    """`exception ValueError` → kind and type; what has no known kind is an exception."""
    kind, _, type_ = name.partition(" ")
    return (kind, type_ or "other") if kind in facts.ERROR_KINDS else ("exception", name)


def fails(name: str) -> bool:
    """Whether an error of this name is a failure of its request."""
    return split(name)[0] in facts.FAILURE_KINDS


def _place(sample: ErrorSample) -> tuple[object, ...]:
    return sample.kind, sample.type, sample.file, sample.line


def _text(event: Mapping[str, object], key: str, most: int) -> str:
    value = event.get(key)
    return clean(value, most) if isinstance(value, str) else ""
