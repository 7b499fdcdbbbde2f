"""Who was turned away lately, or left without a report, by address: an agent that is not let in has no name that we could
believe, but its address is that of its pod. Only used to explain why a silent pod is silent."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

REMEMBER_S = 120.0
MOST = 10_000
LEFT = "Left"
"""The code for who was let in, and went without a report: no code of a GOODBYE."""


class Strangers:
    """The newest code for each address, for two minutes; the oldest go first when there are too many."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._codes: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def note(self, address: str, code: str) -> None:
        """Somebody at this address was turned away, or `LEFT`."""
        self._codes[address] = (self._now_s(), code)
        self._codes.move_to_end(address)
        while len(self._codes) > MOST:
            self._codes.popitem(last=False)

    def code(self, address: str | None) -> str | None:
        """What is noted of this address last; None when nothing is, or too long ago."""
        at_s, code = self._codes.get(address or "", (float("-inf"), None))
        return code if self._now_s() - at_s <= REMEMBER_S else None
