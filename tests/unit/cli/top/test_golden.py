"""Every screen against a file that was looked at: text, and below it the role of each part.

    python -m pytest tests/unit/cli/top/test_golden.py --images

writes them anew, and the pictures of docs/images from the same scenes; look at both before you commit them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from rollcall.cli.top.app import TopApp
from rollcall.cli.top.paint import paint
from rollcall.cli.top.session import Session
from tests.unit.cli.top.recording import film
from tests.unit.cli.top.scenery import FEED, SCENES, session

GOLDEN = Path(__file__).parent / "golden"
IMAGES = Path(__file__).parents[4] / "docs" / "images"
SIZES = ((80, 24), (160, 45))
PICTURES: dict[str, tuple[tuple[int, int], Callable[[], Session]]] = {
    "terminal-services": ((130, 16), SCENES["services"]),
    "terminal-service": ((150, 42), SCENES["service"]),
    "terminal-pod": ((120, 26), SCENES["pod"]),
    "terminal-past": ((110, 30), SCENES["past"]),
    "terminal-small": ((80, 24), SCENES["service"]),
    "terminal-light": ((110, 30), lambda: session(FEED, "j", "j", skin="light")),
    "terminal-contrast": ((110, 30), lambda: session(FEED, "j", "j", skin="contrast")),
    "terminal-help": ((120, 26), SCENES["help"]),
    "terminal-old": ((110, 20), SCENES["old"]),
}


FILM: list[tuple[Callable[[], Session], float]] = [
    (lambda: session(None, "j"), 1.2),
    (lambda: session(None, "j", "j", "j"), 1.2),
    (lambda: session(FEED), 2.0),
    (lambda: session(FEED, "slash", *"!serving"), 1.8),
    (lambda: session(FEED, "r"), 2.0),
    (SCENES["pod"], 2.4),
    (SCENES["past"], 2.4),
]
"""A session of somebody on call, and for how many seconds each screen is seen."""


def text_of(found: Session, width: int, height: int) -> str:
    """The lines, then their roles."""
    lines = paint(found, width, height)
    roles = [" ".join(f"{span.role or '-'}:{len(span.text)}" for span in line.spans) + f" {line.back}" for line in lines]
    return "\n".join([*(line.text.rstrip() for line in lines), "=" * width, *(role.rstrip() for role in roles)]) + "\n"


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("scene", SCENES)
def test_a_screen_is_as_it_was_looked_at(request: pytest.FixtureRequest, scene: str, size: tuple[int, int]) -> None:
    found = text_of(SCENES[scene](), *size)
    path = GOLDEN / f"{scene}-{size[0]}x{size[1]}.txt"
    if request.config.getoption("--images"):
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(found)
    assert found == path.read_text()


@asynccontextmanager
async def nowhere() -> Any:
    """No operator: nothing comes, so the scene stays as it is."""
    import asyncio

    await asyncio.Event().wait()
    yield


@pytest.mark.parametrize("name", PICTURES)
async def test_pictures(request: pytest.FixtureRequest, name: str) -> None:
    """`make terminal-images` writes them; any other run checks that they are there and can be drawn."""
    size, scene = PICTURES[name]
    app = TopApp(scene(), nowhere)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        drawn = app.export_screenshot(title="rollcall top")
    assert "<svg" in drawn
    path = IMAGES / f"{name}.svg"
    if request.config.getoption("--images"):
        path.write_text(drawn)
    assert path.is_file()


async def test_film(request: pytest.FixtureRequest) -> None:
    """The recorded session of the documentation."""
    screens = []
    for scene, seconds in FILM:
        app = TopApp(scene(), nowhere)
        async with app.run_test(size=(96, 24)) as pilot:
            await pilot.pause()
            screens.append((app.export_screenshot(title="rollcall top"), seconds))
    drawn = film(screens)
    ElementTree.fromstring(drawn)
    path = IMAGES / "terminal-session.svg"
    if request.config.getoption("--images"):
        path.write_text(drawn)
    assert path.is_file()
