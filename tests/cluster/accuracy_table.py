"""The table of what was true, what was reported, and how far apart the two are."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from tests.harness.accuracy import FOLDER


@dataclass(frozen=True)
class Row:
    """One line of the table. `error` and `bound` are in the unit that `bound_text` says."""

    signal: str
    truth: str
    reported: str
    error: float
    bound: float
    bound_text: str

    def line(self) -> str:
        shown = "0" if self.error == 0 else f"{self.error:.2%}"
        return f"| {self.signal} | {self.truth} | {self.reported} | {shown} | {self.bound_text} |"


class Table:
    """All rows, checked as they come."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.visited: Counter[str] = Counter()
        """Different visitors that were sent to each service so far; each run has others."""

    def exact(self, signal: str, truth: object, reported: object) -> None:
        """A count."""
        self.add(Row(signal, str(truth), str(reported), 0.0 if truth == reported else math.inf, 0.0, "exact"))

    def within(self, signal: str, truth: float, reported: float, bound: float, unit: str, slack: float = 0.0) -> None:
        """A measure with a relative bound; `slack` is what may be added to it in its own unit."""
        error = abs(reported - truth) / truth
        self.add(Row(signal, f"{truth:.4g} {unit}", f"{reported:.4g} {unit}", error, bound + slack / truth, f"≤ {bound:.1%}"))

    def add(self, row: Row) -> None:
        print(row.line())
        self.rows.append(row)
        assert row.error <= row.bound, row

    def share(self, signal: str, truth: float, reported: float) -> None:
        """A part of a whole, 0..1, compared in points."""
        self.add(Row(signal, f"{truth:.1%}", f"{reported:.1%}", abs(reported - truth), 0.02, "≤ 2 points"))

    def write(self, name: str) -> None:
        """Keep the rows for `tests.harness.accuracy`, when all tests of a file have run."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        (FOLDER / f"{name}.md").write_text("".join(f"{row.line()}\n" for row in self.rows))
