"""When the garbage collector looks at everything: seldom, and when we say so.

Python looks at all objects whenever a quarter more have come to stay, and nothing else happens meanwhile, in no thread: 0.2 s
with 5,000 agents, several times while a fleet starts. Nearly everything here goes as soon as nothing refers to it, without a
collector; cycles among young objects are still found as they come, and old ones can wait.
"""

from __future__ import annotations

import gc

EVERY_S = 900.0
NEVER = 1_000_000
"""So many collections of the middle generation would have to come first."""


class Collector:
    """From when it is made nobody else looks at everything; `round` is called every second."""

    def __init__(self, now_s: float) -> None:
        young, middle, _ = gc.get_threshold()
        gc.set_threshold(young, middle, NEVER)
        self._last_s = now_s

    def round(self, now_s: float) -> bool:
        """Whether it was time."""
        if now_s - self._last_s < EVERY_S:
            return False
        self._last_s = now_s
        gc.collect()
        return True
