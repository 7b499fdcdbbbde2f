"""Skins: what a role looks like. Colours are never the only sign: states have shapes, bands have heights or shades."""

from __future__ import annotations

import os
from functools import cache

from rich.style import Style

Palette = dict[str, str]

_DARK: Palette = {
    "": "#c8d0da", "back": "#12161c", "dim": "#909aa6", "name": "#e8edf3", "title": "bold #9fb4cc", "head": "#909aa6",
    "rule": "#2c3541", "line": "#5fa8d3", "trend": "#3f7396", "mark": "bold #12161c on #f2c14e",
    "here": "bold #12161c on #e8edf3", "good": "#6cc58b", "warn": "#f2c14e", "bad": "bold #f2706a",
    "down": "bold #12161c on #f2706a", "odd": "#c08bd8", "serving": "#6cc58b", "unready": "#f2c14e",
    "pending": "#5fc9d3", "silent": "bold #f2706a", "bare": "#c08bd8", "leaving": "#909aa6", "late": "#f0904c",
    "band0": "#6cc58b", "band1": "#f2c14e", "band2": "#f0904c", "band3": "bold #f2706a",
    "bar": "bold #e8edf3 on #1d2530", "bardim": "#9aa7b6 on #1d2530", "barwarn": "bold #f2c14e on #1d2530",
    "barbad": "bold #f2706a on #1d2530", "bargood": "#6cc58b on #1d2530", "cursor": "on #1f3043",
    "tab": "bold #12161c on #9fb4cc", "key": "bold #9fb4cc",
}  # fmt: skip
_LIGHT: Palette = {
    "": "#2a323c", "back": "#fbfbf9", "dim": "#606974", "name": "#0f1720", "title": "bold #34506e", "head": "#606974",
    "rule": "#cfd5dc", "line": "#1f6f9e", "trend": "#7fa9c4", "mark": "bold #ffffff on #9a6000",
    "here": "bold #fbfbf9 on #2a323c", "good": "#1c7642", "warn": "#8a5c00", "bad": "bold #b3261e",
    "down": "bold #fbfbf9 on #b3261e", "odd": "#7b3fa0", "serving": "#1c7642", "unready": "#8a5c00",
    "pending": "#0e707b", "silent": "bold #b3261e", "bare": "#7b3fa0", "leaving": "#606974", "late": "#a74f0f",
    "band0": "#2f9e5f", "band1": "#b98400", "band2": "#c85f12", "band3": "bold #b3261e",
    "bar": "bold #0f1720 on #e6eaef", "bardim": "#56616d on #e6eaef", "barwarn": "bold #8f5f00 on #e6eaef",
    "barbad": "bold #b3261e on #e6eaef", "bargood": "#1c7642 on #e6eaef", "cursor": "on #dfeaf5",
    "tab": "bold #fbfbf9 on #34506e", "key": "bold #34506e",
}  # fmt: skip
_CONTRAST: Palette = {
    "": "#ffffff", "back": "#000000", "dim": "#d0d0d0", "name": "bold #ffffff", "title": "bold #ffffff",
    "head": "underline #ffffff", "rule": "#808080", "line": "#80d8ff", "trend": "#80d8ff",
    "mark": "bold #000000 on #ffff00", "here": "bold #000000 on #ffffff", "good": "#5cff8d", "warn": "bold #ffff00",
    "bad": "bold #ff9d96", "down": "bold #000000 on #ff9d96", "odd": "bold #ff9cff", "serving": "#5cff8d",
    "unready": "bold #ffff00", "pending": "#7df9ff", "silent": "bold #ff9d96", "bare": "bold #ff9cff",
    "leaving": "#d0d0d0", "late": "#ffb347", "band0": "#5cff8d", "band1": "#ffff00", "band2": "#ffb347",
    "band3": "bold #ff9d96", "bar": "bold #000000 on #ffffff", "bardim": "#303030 on #ffffff",
    "barwarn": "bold #000000 on #ffff00", "barbad": "bold #000000 on #ff9d96", "bargood": "bold #004d1a on #ffffff",
    "cursor": "on #003a90", "tab": "bold #000000 on #ffffff", "key": "bold #ffff00",
}  # fmt: skip
SKINS: dict[str, Palette] = {"dark": _DARK, "light": _LIGHT, "contrast": _CONTRAST}
PLAIN: Palette = dict.fromkeys(_DARK, "") | {
    "title": "bold", "mark": "reverse", "here": "reverse", "bad": "bold", "down": "bold reverse", "silent": "bold",
    "warn": "bold", "bar": "bold reverse", "bardim": "reverse", "barwarn": "bold reverse", "barbad": "bold reverse",
    "bargood": "reverse", "cursor": "reverse", "tab": "bold reverse", "key": "bold", "head": "underline",
}  # fmt: skip
"""Where there are no colours (NO_COLOR)."""


@cache
def style(skin: str, role: str, back: str = "") -> Style:
    """How a role looks in a skin, in front of what lies behind."""
    palette = PLAIN if skin == "plain" else SKINS[skin]
    found = Style.parse(palette.get(role, palette[""]) or "none")
    behind = Style.parse(palette[back] if back else f"on {palette['back']}" if palette["back"] else "none")
    if skin == "plain" or found.bgcolor is not None:
        return behind + found
    return Style.parse(palette[""] or "none") + found + behind


def preferred() -> str:
    """By ROLLCALL_SKIN; else light where the terminal says that its background is, which few do."""
    wanted = os.environ.get("ROLLCALL_SKIN", "")
    if wanted in SKINS:
        return wanted
    background = os.environ.get("COLORFGBG", "").rpartition(";")[2]
    return "light" if background in ("7", "15") else "dark"
