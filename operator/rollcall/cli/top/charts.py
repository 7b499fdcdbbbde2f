"""Sparklines, and the equalizer: requests in flight, a column for each pod, a block for each request, the oldest on top."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import groupby

from .cells import BANDS, SIGNS, Cell
from .lines import Line
from .picture import Pod

EIGHTHS = " ▁▂▃▄▅▆▇█"
BLOCK = "▇"
MOST_WIDE = 6
SHADES = "░▒▓█"
"""Blocks by band where there are no colours."""
WORST = ("silent", "bare", "unready", "pending", "leaving", "serving")
_RANKS = defaultdict(lambda: -1, {state: rank for rank, state in enumerate(WORST)})

Numbers = Sequence[float | None]


def spark(values: Numbers, height: int = 1, top: float | None = None) -> list[str]:
    """A line of bars, one column per value, from the bottom up to `top` (the largest value); nothing known is nothing drawn,
    and 0 is a thin line. The first text is the highest row.

    >>> spark([0, 4, None, 8])
    ['▁▄ █']
    """
    highest = max((value for value in values if value is not None), default=0.0) if top is None else top
    full = 8 * height
    levels = [0 if value is None else max(1, round(full * value / highest)) if highest > 0 else 1 for value in values]
    return ["".join(EIGHTHS[max(0, min(8, level - 8 * row))] for level in levels) for row in reversed(range(height))]


def bars(bands: Sequence[int] | None, width: int, *, shaded: bool = False) -> list[Cell]:
    """In-flight requests of one row: a block per request, youngest first; when they do not fit, in proportion."""
    if bands is None:
        return []
    return [Cell((SHADES[band] if shaded else BLOCK) * count, BANDS[band]) for band, count in _scaled(bands, width) if count]


def _scaled(bands: Sequence[int], room: int) -> list[tuple[int, int]]:
    """How many blocks for each band; whatever is there has one, the oldest first."""
    total = sum(bands)
    if total <= room:
        return list(enumerate(bands))
    blocks = [max(1, count * room // total) if count else 0 for count in bands]
    for band in range(len(blocks)):
        while sum(blocks) > room and blocks[band] > (1 if sum(map(bool, blocks)) <= room else 0):
            blocks[band] -= 1
    return list(enumerate(blocks))


class Equalizer:
    """`height` rows of blocks and, below, the sign of each pod's state. More pods than columns share them, side by side in the
    order they come. It is made once for a picture; only the pod that the cursor is on changes between two."""

    def __init__(self, pods: Sequence[Pod], width: int, height: int, *, shaded: bool = False) -> None:
        self.group = max(1, -(-len(pods) // max(1, width)))
        """How many pods a column stands for."""
        self._wide = min(MOST_WIDE, max(1, width // max(1, len(pods))))
        groups = [pods[start : start + self.group] for start in range(0, len(pods), self.group)]
        sums = [_sums(each) for each in groups]
        self.unit = max(1, -(-max((sum(bands) for bands in sums), default=0) // height))
        """How many requests a block stands for."""
        columns = [_column(bands, height, self.unit) for bands in sums]
        self._blocks = []
        for row in reversed(range(height)):
            marks = [column[row] if row < len(column) else -1 for column in columns]
            spans = [(_block(band, self._wide, shaded), BANDS[band] if band >= 0 else "") for band in marks]
            self._blocks.append(_merged(spans))
        self._worst = [min((pod.state for pod in each), key=_RANKS.__getitem__) for each in groups]
        self._column = {pod.uid: place // self.group for place, pod in enumerate(pods)}

    def lines(self, here: str = "") -> list[Line]:
        """The rows; `here` is the pod that the cursor is on."""
        marked, width = self._column.get(here, -1), self._wide - 1 or 1
        signs = []
        for place, state in enumerate(self._worst):
            signs.append((SIGNS.get(state, "?").center(width), "here" if place == marked else state))
            signs.append((" " * (self._wide > 1), ""))
        return [*self._blocks, _merged(signs)]


def _sums(pods: Sequence[Pod]) -> tuple[int, ...]:
    """Requests in flight of some pods by band; nothing where nothing is known."""
    known = [pod.in_flight.bands for pod in pods if pod.in_flight is not None]
    return known[0] if len(known) == 1 else tuple(map(sum, zip(*known, strict=True)))


def _column(bands: Sequence[int], height: int, unit: int) -> list[int]:
    """The bands of a column's blocks, from the bottom up."""
    blocks = [band for band, count in enumerate(bands) for _ in range(-(-count // unit))]
    return blocks[max(0, len(blocks) - height) :]


def _block(band: int, wide: int, shaded: bool) -> str:
    """A block, and a gap where there is room for one."""
    sign = " " if band < 0 else SHADES[band] if shaded else BLOCK
    return sign * (wide - 1 or 1) + " " * (wide > 1)


def _merged(parts: Sequence[tuple[str, str]]) -> Line:
    """Neighbours of one role are one span: fewer bytes over ssh."""
    return Line(tuple(Cell("".join(text for text, _ in run), role) for role, run in groupby(parts, key=lambda part: part[1])))
