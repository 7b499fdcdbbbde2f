"""What was added in each of the last seconds: the window of what comes as additions (FACTS), not as cumulative counts."""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from .windows import WINDOW_S

SECONDS = round(WINDOW_S)
LEAST_S = 0.5
"""The first additions are those of one interval."""


class Seconds:
    """Arrays of shape (n, *shape), one for each of the last `SECONDS` seconds, the current one included; n may grow."""

    def __init__(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> None:
        self._shape = shape
        self._dtype: np.dtype[Any] = np.dtype(dtype)
        self._most = np.iinfo(self._dtype).max
        self._slots: deque[tuple[int, npt.NDArray[Any]]] = deque()
        self._began_s: float | None = None

    def add(self, now_s: float, added: npt.NDArray[Any]) -> None:
        """Add to the current second, shape (n, *shape); what would overflow stays at the largest value."""
        second = math.floor(now_s)
        if self._began_s is None:
            self._began_s = now_s - LEAST_S
        self._forget(second)
        if not self._slots or self._slots[-1][0] < second:
            self._slots.append((second, np.zeros((len(added), *self._shape), self._dtype)))
        at, slot = self._slots[-1]
        if len(slot) < len(added):
            slot = np.concatenate([slot, np.zeros((len(added) - len(slot), *self._shape), self._dtype)])
            self._slots[-1] = at, slot
        part = slot[: len(added)]
        room = self._most - part
        np.add(part, np.minimum(added, room).astype(self._dtype), out=part)

    def total(self, now_s: float, size: int, seconds: int | None = None) -> npt.NDArray[np.int64]:
        """The sum over the window that ends now, or over its last so many seconds, shape (size, *shape)."""
        second = math.floor(now_s)
        self._forget(second)
        total = np.zeros((size, *self._shape), np.int64)
        for at, slot in self._slots:
            if seconds is None or at > second - seconds:
                total[: len(slot)] += slot
        return total

    def span_s(self, now_s: float, seconds: int | None = None) -> float:
        """How long that is: 9 to 10 s (a second less up to so many), less soon after the first addition."""
        start_s = float(math.floor(now_s) - (seconds or SECONDS) + 1)
        if self._began_s is not None:
            start_s = max(start_s, self._began_s)
        return max(now_s - start_s, LEAST_S)

    def _forget(self, second: int) -> None:
        while self._slots and self._slots[0][0] <= second - SECONDS:
            self._slots.popleft()
