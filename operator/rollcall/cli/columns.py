"""Tables that fit: where a terminal is too narrow for all columns, whole ones are left out, instead of a letter of each.

    POD SLOT >CPU >LIMIT? EVIDENCE~

`>` aligns to the right, `_` stands for a space, `?` is left out first, and what ends in `~` may be cut.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

GAP = 2
CUT_TO = 20
"""What may be cut keeps so many cells."""


class Columns(Table):
    """A table of a command."""

    def __init__(self, spec: str) -> None:
        super().__init__(box=None, pad_edge=False, header_style="bold")
        names = spec.split()
        self._minor = [name.endswith("?") for name in names]
        self._cut = [name.endswith("~") for name in names]
        for name in names:
            shown = name.lstrip(">").rstrip("?~").replace("_", " ")
            self.add_column(shown, justify="right" if name.startswith(">") else "left", no_wrap=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """All columns where there is room for them, else those that matter most, and a line that says so."""
        widths = [self._width(console, options, (column.header, *column.cells)) for column in self.columns]
        kept = self._kept(widths, options.max_width)
        if len(kept) == len(widths) and self._needed(widths, kept, cut=False) <= options.max_width:
            yield from super().__rich_console__(console, options)
            return
        yield self._narrowed(widths, kept, options.max_width)
        if left_out := [str(self.columns[place].header) for place in range(len(widths)) if place not in kept]:
            yield Text(f"-o wide, or a wider terminal: {', '.join(left_out)}", style="bright_black")

    def _kept(self, widths: Sequence[int], room: int) -> list[int]:
        kept = list(range(len(widths)))
        while len(kept) > 1 and self._needed(widths, kept, cut=True) > room:
            minor = [place for place in kept[1:] if self._minor[place]]
            kept.remove(minor[-1] if minor else kept[-1])
        return kept

    def _needed(self, widths: Sequence[int], kept: Sequence[int], *, cut: bool) -> int:
        return sum(min(widths[at], CUT_TO) if cut and self._cut[at] else widths[at] for at in kept) + GAP * (len(kept) - 1)

    def _narrowed(self, widths: Sequence[int], kept: Sequence[int], room: int) -> Table:
        spare = room - self._needed(widths, kept, cut=True)
        table = Table(box=None, pad_edge=False, header_style="bold")
        for place in kept:
            column, width = self.columns[place], widths[place]
            if self._cut[place] and width > CUT_TO:
                more = min(width - CUT_TO, spare)
                width, spare = CUT_TO + more, spare - more
            table.add_column(column.header, justify=column.justify, no_wrap=True, max_width=width)
        for row in zip(*(self.columns[place].cells for place in kept), strict=True):
            table.add_row(*row)
        return table

    @staticmethod
    def _width(console: Console, options: ConsoleOptions, cells: Sequence[RenderableType]) -> int:
        unlimited = options.update(max_width=10_000)
        return max(Measurement.get(console, unlimited, cell).maximum for cell in cells)
