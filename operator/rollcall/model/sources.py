"""Which sources tell of the pods' requests: probes of a language, OpenTelemetry, access logs. A service may mix them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

KNOWN = ("python", "php", "otlp", "accessLog")
"""As HELLO and EVENT name them; what is of a later version is left out."""
_SETS = 1 << len(KNOWN)


def packed(names: object) -> int:
    """A list of sources from a pod as a set of bits."""
    told: Iterable[object] = names if isinstance(names, list | tuple) else ()
    return sum(1 << number for number, name in enumerate(KNOWN) if name in told)


def unpacked(bits: int) -> list[str]:
    """The names of a set."""
    return [name for number, name in enumerate(KNOWN) if bits >> number & 1]


_NAMES = [unpacked(bits) for bits in range(_SETS)]


class Sources:
    """The set of each row's pod."""

    def __init__(self) -> None:
        self._of_row = np.zeros(0, np.uint8)

    def seat(self, row: int, bits: int) -> None:
        """What the agent of a row's pod tells from."""
        if row >= len(self._of_row):
            self._of_row = np.concatenate([self._of_row, np.zeros(row + 1, np.uint8)])
        self._of_row[row] = bits

    def any(self, row: int | None) -> bool:
        """Whether anything tells of the requests of a row's pod."""
        return row is not None and row < len(self._of_row) and bool(self._of_row[row])

    def names(self, rows: int) -> list[list[str]]:
        """The sources of the pods of so many rows."""
        known = [_NAMES[bits] for bits in self._of_row[:rows].tolist()]
        return known + [_NAMES[0]] * (rows - len(known))

    def pods(self, fresh: npt.NDArray[np.bool_]) -> dict[str, int]:
        """How many pods of these rows each source tells of; those that tell of none are left out."""
        size = min(len(fresh), len(self._of_row))
        sets = np.bincount(self._of_row[:size][fresh[:size]], minlength=_SETS).tolist()
        counts = dict.fromkeys(KNOWN, 0)
        for bits, count in enumerate(sets):
            for name in _NAMES[bits] if count else ():
                counts[name] += count
        return {name: count for name, count in counts.items() if count}
