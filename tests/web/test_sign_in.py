"""`rollcall dashboard` in a browser: its address signs in once, reloading goes on, and no address holds a secret."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import aiohttp
import pytest
from aiohttp import web
from playwright.sync_api import Page, expect

from rollcall.cli.dashboard import Door
from tests.web.conftest import TOKEN, Site

Open = Callable[..., Page]


class AsAlice:
    """Stands for the way through the port-forward: it adds the caller's identity."""

    def __init__(self, base: str) -> None:
        self._base = base

    @asynccontextmanager
    async def any(self, path: str, headers: dict[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(self._base + path, headers={**headers, "Authorization": f"Bearer {TOKEN}"}) as response,
        ):
            yield response


@contextmanager
def opened(site: Site, port: int = 0) -> Iterator[tuple[Door, str]]:
    """What the command serves while it runs, and where."""
    found = Door()
    found.api = AsAlice(site.url)  # type: ignore[assignment]
    runner = web.AppRunner(found.app(), shutdown_timeout=0.1)

    async def listen() -> str:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, reuse_address=True).start()
        here = f"127.0.0.1:{runner.addresses[0][1]}"
        found.hosts = frozenset({here})
        return f"http://{here}"

    def wait(work: object) -> object:
        return asyncio.run_coroutine_threadsafe(work, site.loop).result(10)  # type: ignore[arg-type]

    yield found, str(wait(listen()))
    wait(runner.cleanup())


@pytest.fixture
def door(site: Site) -> Iterator[tuple[Door, str]]:
    with opened(site) as found:
        yield found


def test_the_printed_address_signs_in_once(door: tuple[Door, str], open_page: Open) -> None:
    first, here = door
    page = open_page(f"{here}/#key={first.key}&/?namespace=shop", token=None)
    expect(page.locator("a.tile")).to_have_count(2)
    assert page.url == f"{here}/#/?namespace=shop"
    page.reload()
    expect(page.locator("a.tile")).to_have_count(2)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("table", name="Pods")).to_be_visible()
    assert TOKEN not in page.evaluate("JSON.stringify(sessionStorage) + JSON.stringify(localStorage) + document.cookie")
    page.goto(f"{here}/#/")
    with page.context.expect_page() as tab:
        page.locator("a.tile").first.click(modifiers=["ControlOrMeta"])
    expect(tab.value.get_by_role("table", name="Pods")).to_be_visible()
    other = open_page(f"{here}/#key={first.key}", token=None)
    expect(other.get_by_role("heading", name="Who are you?")).to_be_visible()
    assert other.url == f"{here}/"


def test_tabs_of_a_command_that_ended_go_on_with_the_next(site: Site, open_page: Open) -> None:
    """It has another secret, and mostly the same port."""
    with opened(site) as (first, here):
        tab = open_page(f"{here}/#key={first.key}&/s/shop/newsfeed", token=None)
        expect(tab.get_by_role("table", name="Pods")).to_be_visible()
    with opened(site, int(here.rpartition(":")[2])) as (second, _):
        expect(tab.get_by_role("heading", name="Who are you?")).to_be_visible()
        newer = tab.context.new_page()
        newer.goto(f"{here}/#key={second.key}")
        expect(newer.locator("a.tile").first).to_be_visible()
        expect(tab.get_by_role("table", name="Pods")).to_be_visible()
        tab.reload()
        expect(tab.get_by_role("table", name="Pods")).to_be_visible()
