"""What was counted since some moment: by endpoint, type of error, dependency, signal and visitor. Merging is addition."""

from __future__ import annotations

from typing import Any

from .wire.grid import bucket_of_ns

Row = tuple[int, int, int]
"""requests, failures, duration_us."""
CallRow = tuple[int, ...]
"""calls, failures by reason (five), duration_us, waited_us: the counters of `layout.DEPENDENCY`."""
NO_CALLS: CallRow = (0,) * 8


class Additions:
    """`rows` by endpoint, `cells` by (endpoint, bucket), `errors` by name; `calls` and `call_cells` the same by dependency;
    `unanswered` by (endpoint, signal), `deaths` by signal; `visits` are hashes of visitors, in order."""

    __slots__ = ("call_cells", "calls", "cells", "deaths", "errors", "folded", "rows", "unanswered", "visits")

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.cells: dict[tuple[str, int], int] = {}
        self.errors: dict[str, int] = {}
        self.calls: dict[str, CallRow] = {}
        self.call_cells: dict[tuple[str, int], int] = {}
        self.unanswered: dict[tuple[str, int], int] = {}
        self.deaths: dict[int, int] = {}
        self.visits: list[int] = []
        self.folded = 0

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.rows or self.errors or self.calls or self.unanswered or self.deaths or self.visits or self.folded)

    def add_row(self, endpoint: str, requests: int, failures: int, duration_us: int) -> None:
        """Add requests of an endpoint."""
        before = self.rows.get(endpoint, (0, 0, 0))
        self.rows[endpoint] = (before[0] + requests, before[1] + failures, before[2] + duration_us)

    def add_cell(self, endpoint: str, bucket: int, count: int) -> None:
        """Add requests of an endpoint that fell into a bucket."""
        self.cells[endpoint, bucket] = self.cells.get((endpoint, bucket), 0) + count

    def add_error(self, name: str, count: int) -> None:
        """Add errors of a type."""
        self.errors[name] = self.errors.get(name, 0) + count

    def add_calls(self, dependency: str, row: CallRow) -> None:
        """Add calls of a dependency."""
        before = self.calls.get(dependency, NO_CALLS)
        self.calls[dependency] = tuple(a + b for a, b in zip(before, row, strict=True))

    def add_call_cell(self, dependency: str, bucket: int, count: int) -> None:
        """Add calls of a dependency that fell into a bucket."""
        self.call_cells[dependency, bucket] = self.call_cells.get((dependency, bucket), 0) + count

    def add_unanswered(self, endpoint: str, signal: int, count: int = 1) -> None:
        """Add requests that their worker took along when it ended; signal 0: not known."""
        self.unanswered[endpoint, signal] = self.unanswered.get((endpoint, signal), 0) + count

    def add_death(self, signal: int, count: int = 1) -> None:
        """Add workers that a signal ended."""
        self.deaths[signal] = self.deaths.get(signal, 0) + count

    def add(self, other: Additions) -> None:
        """Add what `other` counted."""
        for endpoint, row in other.rows.items():
            self.add_row(endpoint, *row)
        for (endpoint, bucket), count in other.cells.items():
            self.add_cell(endpoint, bucket, count)
        for name, count in other.errors.items():
            self.add_error(name, count)
        for dependency, calls in other.calls.items():
            self.add_calls(dependency, calls)
        for (dependency, bucket), count in other.call_cells.items():
            self.add_call_cell(dependency, bucket, count)
        for (endpoint, signal), count in other.unanswered.items():
            self.add_unanswered(endpoint, signal, count)
        for signal, count in other.deaths.items():
            self.add_death(signal, count)
        self.visits += other.visits
        self.folded += other.folded

    def add_lasting(self, other: Additions) -> None:
        """Add of what `other` counted that which makes up totals: no buckets, which are of a window, and no visits."""
        lasting = Additions()
        lasting.rows, lasting.errors, lasting.calls = other.rows, other.errors, other.calls
        lasting.unanswered, lasting.deaths = other.unanswered, other.deaths
        self.add(lasting)

    def to_json(self) -> dict[str, list[Any]]:
        """As a value for JSON, without visits."""
        return {
            "rows": list(self.rows.items()),
            "cells": list(self.cells.items()),
            "errors": list(self.errors.items()),
            "calls": list(self.calls.items()),
            "call_cells": list(self.call_cells.items()),
            "unanswered": list(self.unanswered.items()),
            "deaths": list(self.deaths.items()),
        }

    @classmethod
    def from_json(cls, value: dict[str, list[Any]]) -> Additions:
        """The inverse; raises TypeError, ValueError or KeyError."""
        found = cls()
        for name, (requests, failures, duration_us) in value["rows"]:
            found.add_row(str(name), int(requests), int(failures), int(duration_us))
        for (name, bucket), count in value["cells"]:
            found.add_cell(str(name), int(bucket), int(count))
        for name, count in value["errors"]:
            found.add_error(str(name), int(count))
        for name, row in value["calls"]:
            found.add_calls(str(name), tuple(int(n) for n in row))
        for (name, bucket), count in value["call_cells"]:
            found.add_call_cell(str(name), int(bucket), int(count))
        for (name, signal), count in value["unanswered"]:
            found.add_unanswered(str(name), int(signal), int(count))
        for signal, count in value["deaths"]:
            found.add_death(int(signal), int(count))
        return found

    def complete(self) -> None:
        """Give every request a bucket: those whose journal was overwritten before it was read are spread like the rest of
        their endpoint, or, without such, fall into the bucket of their mean."""
        complete_cells(self.cells, {name: (row[0], row[2]) for name, row in self.rows.items()})

    def complete_calls(self) -> None:
        """The same for calls."""
        complete_cells(self.call_cells, {name: (row[0], row[6]) for name, row in self.calls.items()})


def complete_cells(cells: dict[tuple[str, int], int], rows: dict[str, tuple[int, int]]) -> None:
    """Add to `cells`, by (name, bucket), what is missing to the counts of `rows`: name → (count, sum of durations in µs)."""
    known: dict[str, dict[int, int]] = {}
    for (name, bucket), count in cells.items():
        known.setdefault(name, {})[bucket] = count
    for name, (wanted, duration_us) in rows.items():
        of_name = known.get(name, {})
        seen = sum(of_name.values())
        missing = wanted - seen
        if missing <= 0 or not duration_us:  # without durations nobody knows how long they took
            continue
        if not seen:
            bucket = bucket_of_ns(duration_us * 1000 // wanted)
            cells[name, bucket] = cells.get((name, bucket), 0) + missing
            continue
        left = missing
        for bucket, count in of_name.items():
            share = missing * count // seen
            left -= share
            cells[name, bucket] += share
        cells[name, max(of_name, key=lambda bucket: of_name[bucket])] += left
