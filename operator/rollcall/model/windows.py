"""Windows: what a service did between two folds, as the difference of two cumulative sums.

A window never needs the single reports again, and merging services or pods is adding sums. The ring keeps the last
`KEEP_S` seconds.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from .rows import Sums

KEEP_S = 12.0
WINDOW_S = 10.0
"""The span of error ratio and response times; requests per second are those of the last report of each pod."""


@dataclass(frozen=True, slots=True)
class Window:
    """What was counted in `span_s` seconds; `span_s` is shorter than asked when the service is younger than that."""

    span_s: float
    sums: Sums

    @property
    def finished(self) -> int:
        """Requests that ended."""
        return self.sums.scalars["finished"]

    @property
    def ended(self) -> int:
        """Requests that ended in any way: also those whose worker ended before it answered."""
        return self.finished + self.sums.scalars["lost"]

    def error_ratio(self) -> float | None:
        """Requests that failed or were never answered ÷ requests that ended, 0..1; None when none did."""
        scalars = self.sums.scalars
        return (scalars["errors"] + scalars["lost"]) / self.ended if self.ended > 0 else None

    def mean_s(self) -> float | None:
        """Mean response time in seconds; None when no request finished of which it is known: some access logs tell no times,
        and what they tell of is in no bucket."""
        timed = int(self.sums.histogram.sum())
        return self.sums.scalars["duration_us"] / timed / 1e6 if timed > 0 else None


class Ring:
    """Cumulative sums at fold times."""

    def __init__(self) -> None:
        self._moments: deque[tuple[float, Sums]] = deque()

    def add(self, now_s: float, sums: Sums) -> None:
        """Remember the cumulative sums at `now_s`; times must not go back."""
        self._moments.append((now_s, sums))
        while now_s - self._moments[0][0] > KEEP_S:
            self._moments.popleft()

    def window(self, span_s: float = WINDOW_S) -> Window | None:
        """The newest window of up to `span_s` seconds; None before the second fold."""
        if len(self._moments) < 2:
            return None
        end_s, end = self._moments[-1]
        start_s, start = next(moment for moment in self._moments if end_s - moment[0] <= span_s)
        if end_s <= start_s:
            return None
        return Window(end_s - start_s, end.minus(start))
