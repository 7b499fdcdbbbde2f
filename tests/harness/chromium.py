"""The system's Chromium before the page: tabs that fail a test when the page logs an error, and axe."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

WITHIN_MS = 20_000
"""On a busy machine; what is there is found at once."""
DESK = {"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark"}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True}
ELSEWHERE = "rollcall.example"
"""A name of this machine that is not local to the browser: there is no TLS, hence no clipboard."""
INK = "canvas => new Set(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data).size"
"""How many different values the pixels of a canvas have."""
_ARGUMENTS = ("--no-sandbox", "--disable-gpu")
_EXPECTED = ("Failed to load resource", "ERR_")
"""What the browser itself says of an answer that is no success."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser. While it is there, its event loop is this thread's."""
    found = shutil.which("chromium")
    assert found, "the tests of the page need Chromium: python -m tests.harness.packages"
    expect.set_options(timeout=WITHIN_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=found, args=[*_ARGUMENTS, f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1"]
        )
        yield browser
        browser.close()


class Tabs:
    """Opens addresses, each for somebody of their own; `errors` is what the pages logged and should not have."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self._said: list[str] = []

    def open(self, url: str, *, token: str | None = None, quiet: bool = False, clock: bool = False, **options: Any) -> Page:
        """A page at an address, signed in when there is a token; `clock`: the test may set the page's clock."""
        context = self._browser.new_context(**(DESK | options))
        context.set_default_timeout(WITHIN_MS)
        self._contexts.append(context)
        page = context.new_page()
        if not quiet:
            page.on("pageerror", lambda error: self._said.append(str(error)))
            page.on("console", lambda line: self._said.append(line.text) if line.type == "error" else None)
        if clock:
            page.clock.install()
        if token is not None:
            page.add_init_script(f"sessionStorage.getItem('rollcall') ?? sessionStorage.setItem('rollcall', '{token}')")
        page.goto(url)
        return page

    def close(self) -> None:
        """All of them."""
        for context in self._contexts:
            context.close()
        self._contexts.clear()

    def errors(self) -> list[str]:
        """What was logged so far, but for what is expected."""
        return [line for line in self._said if not any(word in line for word in _EXPECTED)]


def serious(page: Page) -> list[str]:
    """What axe finds, serious or worse."""
    # The engine is put in by the browser's own tools: the page's policy lets no other script in.
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {each['nodes'][0]['html']}" for each in found if each["impact"] in ("serious", "critical")
    ]  # fmt: skip


def brush(page: Page, left: float, down: float) -> None:
    """Drag over the dots, from that part of their width to now, and from the slowest down to that part of their height."""
    box = page.locator("canvas.scatter").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * left, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 2, box["y"] + box["height"] * down, steps=3)
    page.mouse.up()
