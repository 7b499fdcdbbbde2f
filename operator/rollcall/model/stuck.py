"""Whether a service has stopped finishing requests, which no count of finished requests tells by itself."""

from __future__ import annotations

from .windows import WINDOW_S, Window


class StuckSince:
    """Follows the requests in flight from fold to fold."""

    def __init__(self) -> None:
        self._in_flight_since_s: float | None = None

    def update(
        self, now_s: float, in_flight: tuple[int, list[int], float] | None, window: Window | None, *, waiting: bool
    ) -> bool:
        """Whether nothing finishes any more: requests were in flight for a whole window, some are in the last band, and none
        ended. `waiting`: connections wait to be accepted.

        One request that hangs in a service that nobody calls at this moment is not that: there must be others that began in
        the window, or that cannot begin. (That every worker is busy proves nothing: one worker may serve many at a time.)
        """
        total, bands, _ = in_flight or (0, [0], 0.0)
        if total == 0:
            self._in_flight_since_s = None
            return False
        if self._in_flight_since_s is None:
            self._in_flight_since_s = now_s
        if window is None or now_s - self._in_flight_since_s < WINDOW_S or window.finished > 0:
            return False
        return bands[-1] > 0 and (window.sums.scalars["started"] > 0 or waiting)
