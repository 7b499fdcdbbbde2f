"""What was counted since some moment, by endpoint, type of error and visitor. Merging is addition."""

from __future__ import annotations

from .wire.grid import bucket_of_ns

Row = tuple[int, int, int]
"""requests, failures, duration_us."""


class Additions:
    """`rows` by endpoint, `cells` by (endpoint, bucket), `errors` by name; `visits` are hashes of visitors, in order."""

    __slots__ = ("cells", "errors", "folded", "rows", "visits")

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.cells: dict[tuple[str, int], int] = {}
        self.errors: dict[str, int] = {}
        self.visits: list[int] = []
        self.folded = 0

    def __bool__(self) -> bool:
        """Whether there is anything to tell."""
        return bool(self.rows or self.errors or self.visits or self.folded)

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

    def add(self, other: Additions) -> None:
        """Add what `other` counted."""
        for endpoint, row in other.rows.items():
            self.add_row(endpoint, *row)
        for (endpoint, bucket), count in other.cells.items():
            self.add_cell(endpoint, bucket, count)
        for name, count in other.errors.items():
            self.add_error(name, count)
        self.visits += other.visits
        self.folded += other.folded

    def complete(self) -> None:
        """Give every request a bucket: those whose journal was overwritten before it was read are spread like the rest of
        their endpoint, or, without such, fall into the bucket of their mean."""
        known: dict[str, dict[int, int]] = {}
        for (endpoint, bucket), count in self.cells.items():
            known.setdefault(endpoint, {})[bucket] = count
        for endpoint, (requests, _, duration_us) in self.rows.items():
            cells = known.get(endpoint, {})
            seen = sum(cells.values())
            missing = requests - seen
            if missing <= 0:
                continue
            if not seen:
                self.add_cell(endpoint, bucket_of_ns(duration_us * 1000 // requests), missing)
                continue
            left = missing
            for bucket, count in cells.items():
                share = missing * count // seen
                left -= share
                self.add_cell(endpoint, bucket, share)
            self.add_cell(endpoint, max(cells, key=lambda bucket: cells[bucket]), left)
