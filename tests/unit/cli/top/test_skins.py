"""Skins can be read: every role against what lies behind it, by the contrast of WCAG 2.1."""

from __future__ import annotations

import pytest
from rich.color import Color, ColorType
from rich.style import Style

from rollcall.cli.top.skins import PLAIN, SKINS, preferred, style

TEXT = 4.5
SHAPES = {"rule": 0.0, "line": 3.0, "trend": 2.0, "band0": 2.7, "band1": 2.7, "band2": 2.7, "band3": 2.7}
"""What is no text: rules are ornament, small trends and blocks have the number beside them."""


def light(color: Color) -> float:
    """Relative luminance."""
    parts = [part / 255 for part in color.get_truecolor()]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(found: Style) -> float:
    assert found.color is not None
    assert found.bgcolor is not None
    one, other = sorted((light(found.color), light(found.bgcolor)))
    return (other + 0.05) / (one + 0.05)


@pytest.mark.parametrize("skin", SKINS)
@pytest.mark.parametrize("back", ["", "cursor"])
def test_every_role_can_be_read(skin: str, back: str) -> None:
    roles = [role for role in SKINS[skin] if role not in ("back", "cursor")]
    found = {role: contrast(style(skin, role, back)) for role in roles}
    assert {role: round(value, 2) for role, value in found.items() if value < SHAPES.get(role, TEXT)} == {}


@pytest.mark.parametrize("skin", SKINS)
def test_the_cursor_is_seen(skin: str) -> None:
    assert style(skin, "", "cursor").bgcolor != style(skin, "").bgcolor


def test_all_skins_know_the_same_roles() -> None:
    assert len({frozenset(palette) for palette in (*SKINS.values(), PLAIN)}) == 1


@pytest.mark.parametrize("role", PLAIN)
def test_without_colours_there_are_none(role: str) -> None:
    found = style("plain", role, "cursor")
    assert all(color is None or color.type is ColorType.DEFAULT for color in (found.color, found.bgcolor))


@pytest.mark.parametrize(
    ("wanted", "background", "skin"),
    [("", "", "dark"), ("", "15;0", "dark"), ("", "0;15", "light"), ("contrast", "0;15", "contrast"), ("pink", "", "dark")],
)
def test_which_skin_it_begins_with(monkeypatch: pytest.MonkeyPatch, wanted: str, background: str, skin: str) -> None:
    monkeypatch.setenv("ROLLCALL_SKIN", wanted)
    monkeypatch.setenv("COLORFGBG", background)
    assert preferred() == skin
