"""Values as short texts with a role. A role says what a text means (`bad`, `dim`, `band3`), a skin how that looks.

What is not known is a dash and never 0. Texts that came from a pod are cleaned here, once, and nowhere else.
"""

from __future__ import annotations

from typing import NamedTuple

from rich.cells import cell_len, set_cell_size

from rollcall.api.durations import format_duration_ms
from rollcall.api.percentages import format_ratio
from rollcall.cli import screen

MIB = 1024 * 1024
BANDS = ("band0", "band1", "band2", "band3")
"""Blocks of requests in flight."""
LATE = ("good", "warn", "late", "bad")
"""Numbers of the same bands: what is read needs more contrast than what is seen."""
STATES = ("serving", "unready", "pending", "silent", "bare", "leaving")
SIGNS = {"serving": "●", "unready": "◐", "pending": "○", "silent": "✕", "bare": "◌", "leaving": "◁"}
HEALTH = {"Healthy": ("●", "good"), "Degraded": ("▲", "warn"), "Down": ("✕", "down"), "Unknown": ("?", "odd")}
UNEVEN = 2.0
OLD_READING_S = 5.0


class Cell(NamedTuple):
    """A text and what it means."""

    text: str
    role: str = ""


NONE = Cell("–", "dim")
Span = Cell
"""A part of a line."""


def clean(text: str) -> str:
    """A text from a pod on one line: what does not print is replaced."""
    return text if text.isprintable() else "".join(each if each.isprintable() else "\ufffd" for each in text)


def fit(text: str, width: int, *, right: bool = False) -> str:
    """Exactly so many columns; a text that is cut says so."""
    size = len(text) if text.isascii() else cell_len(text)
    if size > width:
        return set_cell_size(text, width - 1) + "…" if width > 0 else ""
    return " " * (width - size) + text if right else text + " " * (width - size)


def word(text: str | None, role: str = "") -> Cell:
    """A name from the cluster or from a pod."""
    return Cell(clean(text), role) if text else NONE


def rate(value: float | None) -> Cell:
    """Per second."""
    return NONE if value is None else Cell(screen.rate(value).plain)


def duration(seconds: float | None) -> Cell:
    """A response time."""
    return NONE if seconds is None else Cell(format_duration_ms(seconds * 1000))


def failing(value: float | None) -> Cell:
    """A share that is bad when it is high."""
    if value is None:
        return NONE
    return Cell(format_ratio(value), "bad" if value >= 0.01 else "" if value > 0 else "dim")


def share(value: float | None) -> Cell:
    """A part of a whole."""
    return NONE if value is None else Cell(format_ratio(value))


def coverage(value: float | None) -> Cell:
    """A share that is good when it is 1."""
    return NONE if value is None else Cell(format_ratio(value), "dim" if value >= 1 else "warn")


def count(value: int | None, role: str = "") -> Cell:
    """A number; `role` when it is not 0."""
    return NONE if value is None else Cell(f"{value:,}".replace(",", "\u2009"), role if value else "dim" if role else "")


def times(value: float | None) -> Cell:
    """The busiest pod's part of the mean."""
    return NONE if value is None else Cell(f"{value:.1f}×", "warn" if value >= UNEVEN else "")


def age(seconds: float | None) -> Cell:
    """A span."""
    return Cell(screen.age(seconds), "" if seconds is not None else "dim")


def whole(value: float | None) -> Cell:
    """A number of people."""
    return NONE if value is None else Cell(f"{value:.0f}")


def elapsed(seconds: float | None, bounds_ms: list[int]) -> Cell:
    """How long a request is in flight, in the colour of its band."""
    if seconds is None:
        return NONE
    text = f"{seconds:.1f}s" if seconds < 10 else screen.age(seconds)
    return Cell(text, LATE[min(3, sum(seconds * 1000 >= bound for bound in bounds_ms))])


def cpu(millicores: float | None, limit: int | None, throttled: float | None) -> Cell:
    """CPU as Kubernetes writes it."""
    if millicores is None:
        return NONE
    held = (throttled or 0) >= 0.05 or (limit and millicores >= 0.9 * limit)
    return Cell(f"{millicores:.0f}m", "warn" if held else "")


def memory(used: int | None, limit: int | None) -> Cell:
    """Memory in MiB, or GiB from ten of them on."""
    if used is None:
        return NONE
    text = f"{used / MIB:.0f}Mi" if used < 10_240 * MIB else f"{used / MIB / 1024:.1f}Gi"
    return Cell(text, "bad" if limit and used >= 0.9 * limit else "")


def health(state: str) -> Cell:
    """The one word, with a sign of its own."""
    sign, role = HEALTH.get(state, ("?", "odd"))
    return Cell(f"{sign} {state}", role)


def state(name: str, reason: str | None = None) -> Cell:
    """A pod's bucket, and why it is in it."""
    return Cell(f"{SIGNS.get(name, '?')} {name}" + (f" {clean(reason)}" if reason else ""), name)


def clock(unix_s: float, now_s: float) -> str:
    """How long ago."""
    return f"{screen.age(max(0.0, now_s - unix_s))} ago"
