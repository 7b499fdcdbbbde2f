"""Sparklines, and the equalizer: requests in flight, a column for each pod, a block for each request, the oldest on top."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from .cells import BANDS, SIGNS, STATES, Cell
from .lines import Line
from .picture import Pod

EIGHTHS = " ▁▂▃▄▅▆▇█"
BLOCK = "▇"
MOST_WIDE = 6
SHADES = "░▒▓█"
"""Blocks by band where there are no colours."""
WORST = ("silent", "bare", "unready", "pending", "leaving", "serving")

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
        return [Cell("–", "dim")]
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


def equalizer(pods: Sequence[Pod], width: int, height: int, here: str = "", *, shaded: bool = False) -> list[Line]:
    """`height` rows of blocks and, below, the sign of each pod's state. More pods than columns share them, side by side in the
    order they come. `here` is the pod that the cursor is on."""
    if not pods or width < 1:
        return [Line() for _ in range(height + 1)]
    group = -(-len(pods) // width)
    wide = min(MOST_WIDE, max(1, width // len(pods)))
    groups = [pods[start : start + group] for start in range(0, len(pods), group)]
    sums = [_sums(each) for each in groups]
    most = max((sum(bands) for bands in sums if bands is not None), default=0)
    unit = max(1, -(-most // height))
    columns = [_column(bands, height, unit) for bands in sums]
    lines = []
    for row in reversed(range(height)):
        marks = [column[row] if row < len(column) else -1 for column in columns]
        lines.append(_merged([(_block(band, wide, shaded), BANDS[band] if band >= 0 else "") for band in marks]))
    signs = []
    for each in groups:
        worst = min((pod.state for pod in each), key=lambda state: WORST.index(state) if state in STATES else 0)
        marked = any(pod.uid == here for pod in each)
        signs.append((SIGNS.get(worst, "?").center(wide - 1 or 1), "here" if marked else worst))
        signs.append((" " * (wide > 1), ""))
    return [*lines, _merged(signs)]


def unit_of(pods: Sequence[Pod], width: int, height: int) -> tuple[int, int]:
    """How many requests a block stands for, and how many pods a column."""
    if not pods or width < 1:
        return 1, 1
    group = -(-len(pods) // width)
    sums = [_sums(pods[start : start + group]) for start in range(0, len(pods), group)]
    return max(1, -(-max((sum(bands) for bands in sums if bands), default=0) // height)), group


def _sums(pods: Sequence[Pod]) -> list[int] | None:
    known = [pod.in_flight.bands for pod in pods if pod.in_flight is not None]
    return [sum(column) for column in zip(*known, strict=True)] if known else None


def _column(bands: list[int] | None, height: int, unit: int) -> list[int]:
    """The bands of a column's blocks, from the bottom up."""
    if bands is None:
        return []
    blocks = [band for band, count in enumerate(bands) for _ in range(-(-count // unit))]
    return blocks[max(0, len(blocks) - height) :]


def _block(band: int, wide: int, shaded: bool) -> str:
    """A block, and a gap where there is room for one."""
    sign = " " if band < 0 else SHADES[band] if shaded else BLOCK
    return sign * (wide - 1 or 1) + " " * (wide > 1)


def _merged(parts: Sequence[tuple[str, str]]) -> Line:
    """Neighbours of one role are one span: fewer bytes over ssh."""
    return Line(tuple(Cell("".join(text for text, _ in run), role) for role, run in groupby(parts, key=lambda part: part[1])))
