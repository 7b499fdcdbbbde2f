"""Calls of dependencies that PHP requests make: message CALLS (see docs/wire.md), and what their requests waited in them."""

from __future__ import annotations

import struct

from ..ledger import Ledger
from ..wire import facts

ENTRY = struct.Struct("<BBI")
"""Index of a name in the same message, reason (an index of facts.REASONS, WELL), duration_us."""
WELL = 255
_MAX_ELAPSED_US = 7 * 86_400_000_000


class PhpCalls:
    """Counts calls as they are told, and remembers by slot what they took until their request ends."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waited: dict[int, dict[int, int]] = {}
        """By slot, by dependency, µs."""

    def take(self, slot: int, body: bytes) -> None:
        """Count the calls of one message; what does not fit the format ends it."""
        if not body:
            return
        names, at = [], 1
        for _ in range(body[0]):
            size = body[at] if at < len(body) else 0
            name = body[at + 1 : at + 1 + size]
            if not size or len(name) < size:
                return
            names.append(self._ledger.dependency(name.decode("utf-8", "replace")))
            at += 1 + size
        waited = self._waited.setdefault(slot, {})
        for name_index, reason, elapsed_us in ENTRY.iter_unpack(body[at : at + (len(body) - at) // ENTRY.size * ENTRY.size]):
            if name_index >= len(names) or (reason != WELL and reason >= len(facts.REASONS)):
                continue
            dependency = names[name_index]
            self._ledger.called(dependency, elapsed_us * 1000, None if reason == WELL else reason)
            waited[dependency] = waited.get(dependency, 0) + elapsed_us

    def end(self, slot: int, elapsed_us: int) -> tuple[int, int]:
        """The request in `slot` has ended: how long it waited, and for which dependency longest (0: for none).

        Calls side by side (curl_multi) may take longer than their request: they share its time in proportion.
        """
        waited = self._waited.pop(slot, None)
        if not waited:
            return 0, 0
        total = sum(waited.values())
        for dependency, waited_us in waited.items():
            self._ledger.waited(dependency, waited_us if total <= elapsed_us else waited_us * elapsed_us // total)
        return min(total, elapsed_us), max(waited, key=lambda dependency: waited[dependency])

    def forget(self, slot: int) -> None:
        """The request in `slot`, if any, will not end."""
        self._waited.pop(slot, None)
