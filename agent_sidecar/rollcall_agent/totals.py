"""Cumulative counts, as one worker file has them and as a report carries them. Merging is addition."""

from __future__ import annotations

from operator import add
from typing import Any

from .wire.grid import BUCKETS

_U64 = 0xFFFFFFFFFFFFFFFF
_U32 = 0xFFFFFFFF


class Totals:
    """What has happened since some beginning; fields as in `wire.report`."""

    __slots__ = ("duration_us", "errors", "finished", "histogram", "lost", "responses", "started")

    def __init__(self) -> None:
        self.started = 0
        self.finished = 0
        self.errors = 0
        self.duration_us = 0
        self.responses = [0] * 5
        self.lost = 0
        self.histogram = [0] * BUCKETS

    def add(self, other: Totals) -> None:
        """Add what `other` counted."""
        self.started += other.started
        self.finished += other.finished
        self.errors += other.errors
        self.duration_us += other.duration_us
        self.lost += other.lost
        self.responses = list(map(add, self.responses, other.responses))
        self.histogram = list(map(add, self.histogram, other.histogram))

    def copy(self) -> Totals:
        """An independent copy."""
        twin = Totals()
        twin.add(self)
        return twin

    def fields(self) -> dict[str, Any]:
        """The fields of a report; a counter wraps at the width that it has there."""
        return {
            "started": self.started & _U64,
            "finished": self.finished & _U64,
            "errors": self.errors & _U64,
            "duration_us": self.duration_us & _U64,
            "lost": self.lost & _U64,
            "responses": [value & _U64 for value in self.responses],
            "histogram": [value & _U32 for value in self.histogram],
        }

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Totals:
        """The inverse of `fields`; raises KeyError, TypeError or ValueError when they are not such."""
        totals = cls()
        for name in ("started", "finished", "errors", "duration_us", "lost"):
            setattr(totals, name, int(fields[name]))
        totals.responses = [int(value) for value in fields["responses"]]
        totals.histogram = [int(value) for value in fields["histogram"]]
        if len(totals.responses) != 5 or len(totals.histogram) != BUCKETS:
            raise ValueError("arrays of the wrong length")
        return totals
