"""The page's filter by labels and fields: the same rules as in the terminal, tested with the same tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from playwright.sync_api import Page, expect

from tests.unit.cli.test_selector import DOCUMENTED, PODS, WRONG
from tests.web.conftest import Site
from tests.web.test_page import HOSTILE, SERVICE
from tests.web.world import World

Open = Callable[..., Page]


def labelled(world: World) -> None:
    """A service with the pods of the documentation's examples."""
    fleet = world.service("shop", "newsfeed")
    for name, labels in PODS.items():
        pod = world.pod(fleet, name)
        pod.facts = replace(pod.facts, labels=labels)
        fleet.upsert(pod.facts)
    other = world.service("bank", "ledger")
    other.labels = {"team": "bank", "track": "stable"}
    world.past(2)


@pytest.fixture
def page(empty_site: Site, open_page: Open) -> Page:
    """The service."""
    empty_site.do(labelled)
    found = open_page(f"{empty_site.url}/{SERVICE}", permissions=["clipboard-read", "clipboard-write"])
    expect(pods(found)).to_have_count(len(PODS))
    return found


def pods(page: Page) -> object:
    return page.get_by_role("table", name="Pods").locator("tbody tr td:nth-child(2)")


def look(page: Page, text: str, names: str) -> None:
    """Write a filter, and see these pods."""
    page.get_by_label("Filter").fill(text)
    expect(pods(page)).to_have_text([f"newsfeed-5d8f7c-{name}" for name in sorted(names.split())])


def test_the_page_reads_selectors_as_the_terminal_does(page: Page) -> None:
    for text, names in DOCUMENTED:
        look(page, f"-l {text}", names)
    problem = page.get_by_label("Filter")
    for text, sentence in WRONG:
        problem.fill(f"-l {text}")
        expect(problem).to_have_attribute("title", sentence)
        expect(problem).to_have_attribute("aria-invalid", "true")
    look(page, "-l tier=backend,environment in (prod", "back")
    page.keyboard.press("Escape")
    look(page, "", " ".join(PODS))
    expect(problem).to_have_attribute("title", "")


def test_the_filter_is_in_the_address(page: Page, empty_site: Site, open_page: Open) -> None:
    """A link leads to what was seen, also of a moment; what is cleared is gone from it."""
    look(page, "-l tier=backend,environment in (prod", "back")
    other = open_page(page.url)
    expect(pods(other)).to_have_text(["newsfeed-5d8f7c-back"])
    expect(other.get_by_label("Filter")).to_have_value("-l tier=backend,environment in (prod")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#top .chip")).to_have_text("◷ not live")
    assert "at=" in page.url
    assert "filter=" in page.url
    page.keyboard.press("l")
    expect(page.locator("#top .chip")).to_have_text("● live")
    page.reload()
    look(page, "-l tier=backend,environment in (prod", "back")
    page.get_by_role("link", name="newsfeed-5d8f7c-back").click()
    expect(page.get_by_label("Filter")).not_to_be_visible()
    assert "filter" not in page.url
    page.go_back()
    expect(pods(page)).to_have_text(["newsfeed-5d8f7c-back"])
    page.keyboard.press("Escape")
    expect(pods(page)).to_have_count(len(PODS))
    assert "filter" not in page.url


def test_fields_labels_and_names_that_there_are_not(page: Page, empty_site: Site) -> None:
    def named(world: World) -> None:
        pod = world.pods[0]
        pod.facts = replace(pod.facts, labels={"state": "ca", "name": "web", "constructor": "x"})
        pod.fleet.upsert(pod.facts)
        world.step()

    for text, names in (
        ("-l state=SERVING,tier!=cache", "front back bare"),
        ("-l constructor", ""),
        ("-l !constructor,toString!=x", "front back cache bare"),
        ("-l name in (newsfeed-5d8f7c-back,other)", "back"),
    ):
        look(page, text, names)
    look(page, "-l trak=canary", "")
    said = "No field or label trak; labels are app, build, environment, partition, role, tier; fields are name, slot, state"
    expect(page.get_by_label("Pods", exact=True).first).to_contain_text(said)
    empty_site.do(named)
    for text, names in (
        ("-l state=ca", ""),
        ("-l label:state=ca", "front"),
        ("-l label:name=web", "front"),
        ("-l constructor=x", "front"),
    ):
        look(page, text, names)
    page.get_by_role("button", name="Copy command").click()
    expect(page.locator("#notice")).to_contain_text("kubectl rollcall pods newsfeed -n shop -l 'constructor=x'")


def test_services_by_their_own_labels(page: Page, empty_site: Site) -> None:
    page.goto(f"{empty_site.url}/#/")
    tiles = page.locator("a.tile .name span:first-child")
    expect(tiles).to_have_text(["ledger", "newsfeed"])
    field = page.get_by_label("Filter")
    for text, name in (("-l team=bank,track", "ledger"), ("-l !track,health!=Down", "newsfeed"), ("-l name=ledger", "ledger")):
        field.fill(text)
        expect(tiles).to_have_text([name])
    field.fill("-l owner=me")
    expect(page.locator("main")).to_contain_text(
        "No field or label owner; labels are team, track; fields are namespace, name, health."
    )


def test_a_pod_shows_its_labels_and_they_are_never_markup(page: Page, empty_site: Site) -> None:
    def hostile(world: World) -> None:
        pod = world.pods[1]
        pod.facts = replace(pod.facts, labels={HOSTILE: HOSTILE, "tier": "backend"})
        pod.fleet.upsert(pod.facts)
        world.step()

    page.goto(f"{empty_site.url}/{SERVICE}/pod/newsfeed-5d8f7c-back")
    expect(page.locator(".labels")).to_have_text("labels environment=production, tier=backend, app=guestbook, role=replica")
    empty_site.do(hostile)
    expect(page.locator(".labels")).to_have_text(f"labels {HOSTILE}={HOSTILE}, tier=backend")
    assert page.locator("main img, main script, main [onerror]").count() == 0
