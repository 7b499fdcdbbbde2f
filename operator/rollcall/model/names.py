"""Names that pods define for their ids, and the one table that a service makes of them.

Each connection numbers names for itself (DEFINE); a service has a table of its own, in which the same name of two pods is one
entry. Both are bounded: whatever finds no place is `other`, and how many names that were is known.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from rollcall_agent.wire import facts

MOST_FOLDED = 10_000
"""So many different names that found no place are told apart; more are not counted."""
_TABLES = (facts.ENDPOINT_NAMES, facts.ERROR_NAMES, facts.DEPENDENCY_NAMES)


def clean(text: str, most: int = 255) -> str:
    """A text from a pod, fit for a screen: at most `most` characters, and a sign in place of each that does not print."""
    text = text[:most]
    return text if text.isprintable() else "".join(each if each.isprintable() else "\ufffd" for each in text)


class Defined:
    """What one connection has defined. An id keeps its first name; id 0 is `other` and needs none."""

    __slots__ = ("_names",)

    def __init__(self) -> None:
        self._names: dict[int, list[str | None]] = {}

    def define(self, table: int, index: int, name: str) -> str | None:
        """The clean name when it is new, None when there is nothing to take over from it."""
        if table not in _TABLES or not 0 < index < facts.MAX_IDS:
            return None
        names = self._names.setdefault(table, [])
        names.extend([None] * (index + 1 - len(names)))
        if names[index] is not None:
            return None
        names[index] = sys.intern(clean(name))  # thousands of pods say the same names
        return names[index]

    def __iter__(self) -> Iterator[tuple[int, int, str]]:
        for table, names in self._names.items():
            for index, name in enumerate(names):
                if name is not None:
                    yield table, index, name


class Names:
    """The table of one service: numbers 0..`MAX_IDS`-1, number 0 is `other`. Numbers are never reused."""

    def __init__(self, other: str) -> None:
        self.names = [other]
        self._numbers = {other: 0}
        self._folded: set[int] = set()

    def __len__(self) -> int:
        return len(self.names)

    def number_of(self, name: str) -> int:
        """The number of a name, a new one if need be; 0 when there is no place."""
        found = self._numbers.get(name)
        if found is not None:
            return found
        if len(self.names) >= facts.MAX_IDS:
            if len(self._folded) < MOST_FOLDED:
                self._folded.add(hash(name))
            return 0
        self._numbers[name] = number = len(self.names)
        self.names.append(name)
        return number

    @property
    def folded(self) -> int:
        """How many names found no place."""
        return len(self._folded)
