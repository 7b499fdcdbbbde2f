"""What people see and do: wall, service, pod, keys, moments, and the states in which there is little to see."""

from __future__ import annotations

import json
import re
import shlex
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from rollcall.serve import web
from tests.harness.chromium import ELSEWHERE, INK, PHONE, brush, serious
from tests.web.conftest import Site
from tests.web.world import World

Open = Callable[..., Page]
SERVICE = "#/s/shop/newsfeed"
IMAGES = Path(__file__).parents[2] / "docs" / "images"
HOSTILE = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>{{7*7}}javascript:alert(3)"


def tile(page: Page, name: str) -> str:
    expect(page.locator(f"a.tile[href='#/s/{name}']")).to_be_visible()
    return page.locator(f"a.tile[href='#/s/{name}']").inner_text()


def test_the_wall_tells_each_service_at_a_glance(site: Site, open_page: Open) -> None:
    page = open_page(f"{site.url}/")
    expect(page.locator("a.tile")).to_have_count(3)
    feed = tile(page, "shop/newsfeed")
    assert "9/11" in feed
    assert "81 % of the pods report" in feed
    assert "1 silent" in feed
    assert "1 bare" in feed
    assert "of the pods report" not in tile(page, "bank/ledger")
    mail = tile(page, "shop/mail")
    assert mail.count("–") >= 4, "no data is a dash"
    assert " 0 " not in mail.replace("0 %", "").replace("\n", " ").replace("0/2", "")
    expect(page.locator("#top .chip")).to_have_text("● live")
    assert serious(page) == []


def test_a_service_has_its_charts_tables_and_dots(site: Site, open_page: Open) -> None:
    site.do(lambda world: world.error("throughput exceeded"))
    page = open_page(f"{site.url}/{SERVICE}")
    expect(page.get_by_role("heading", name="newsfeed", exact=True)).to_be_visible()
    expect(page.locator(".callout:visible")).to_contain_text(
        "1 pod does not tell all: WebhookUnavailable. newsfeed-5d8f7c-g7 is"
    )
    expect(page.locator(".callout:visible").get_by_role("link")).to_have_text("newsfeed-5d8f7c-g7")
    expect(page.locator(".u-wrap canvas")).to_have_count(7)
    expect(page.get_by_label("Users", exact=True)).to_contain_text(re.compile(r"at once \d+.*in 5 min \d+"))
    expect(page.get_by_label("Where the time went")).to_contain_text(re.compile(r"waiting for dependencies \d+ %"))
    expect(page.get_by_role("table", name="Pods").locator("tbody tr")).to_have_count(11)
    for name, words in (
        ("Pods", "newsfeed-09"),
        ("Pods", "bare · WebhookUnavailable"),
        ("Longest requests in flight", "recv photos.py:88"),
        ("Dependencies", "dynamodb newsfeed"),
        ("Endpoints", "GET /feed/{id}"),
        ("Departures", "OOMKilled"),
        ("Errors by type", "exception DynamoDBThrottled"),
        ("Samples of errors", "throughput exceeded"),
    ):
        expect(page.get_by_role("table", name=name, exact=True)).to_contain_text(words)
    expect(page.get_by_label("Requests", exact=True)).to_contain_text(re.compile(r"\d+ % of all are shown"))
    expect(page.get_by_label("Where the time goes", exact=True)).to_contain_text("waiting for dependencies: dynamodb newsfeed")
    for canvas in ("canvas.scatter", "canvas.equalizer"):
        assert page.locator(canvas).evaluate(INK) > 20
    assert serious(page) == []


def test_dots_of_a_region_are_listed(site: Site, open_page: Open) -> None:
    page = open_page(f"{site.url}/{SERVICE}")
    expect(page.get_by_label("Requests", exact=True)).to_contain_text("of all are shown")
    brush(page, 0.55, 0.45)
    rows = page.get_by_role("table", name="Requests of the region").locator("tbody tr")
    expect(rows.first).to_contain_text("GET /")
    expect(rows.first).to_contain_text(" s")
    page.get_by_role("button", name="List failed").click()
    expect(rows.first).to_contain_text("✕ 5xx")
    page.get_by_role("button", name="Close list").click()
    expect(rows.first).not_to_be_visible()


def test_a_pod_and_why_it_is_as_it_is(site: Site, open_page: Open) -> None:
    page = open_page(f"{site.url}/{SERVICE}/pod/newsfeed-5d8f7c-e5")
    expect(page.get_by_role("heading", name="newsfeed-5d8f7c-e5", exact=True)).to_be_visible()
    expect(page.locator("main")).to_contain_text("newsfeed-5d8f7c-e5 is serving.")
    expect(page.get_by_role("table", name="Longest requests in flight")).to_contain_text("GET /photos/{id}")
    expect(page.locator("main")).to_contain_text("of 512 MiB")
    expect(page.locator(".u-wrap canvas")).to_have_count(6)
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    assert len(Path(download.value.path()).read_text().splitlines()) > 8, "the pod's past is kept"
    assert serious(page) == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="newsfeed", exact=True)).to_be_visible()
    page.goto(f"{site.url}/{SERVICE}/pod/newsfeed-5d8f7c-y8")
    expect(page.locator("main")).to_contain_text("OOMKilled. the kernel killed it")


def test_everything_by_keyboard(site: Site, open_page: Open) -> None:
    page = open_page(f"{site.url}/")
    expect(page.locator("a.tile")).to_have_count(3)
    page.keyboard.press("/")
    page.keyboard.type("newsf")
    expect(page.locator("a.tile")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.locator("a.tile")).to_have_count(3)
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(page.locator("a.tile").first).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{site.url}/#/s/bank/ledger")
    expect(page.get_by_role("table", name="Pods").locator("tbody tr")).to_have_count(3)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    page.keyboard.press("t")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.keyboard.press("Escape")
    expect(page).to_have_url(f"{site.url}/#/")


def test_a_moment_is_shown_as_it_was(site: Site, open_page: Open) -> None:
    """From its address: the service, then a pod, the wall and back to now; keys go to and fro."""

    def kept(world: World) -> list[tuple[float, str]]:
        fleet = world.roll.fleets[("shop", "newsfeed")]
        pictures = [(kept.at, json.loads(zlib.decompress(kept.whole))) for kept in fleet.album]
        return [(at, str(round(each["traffic"]["requestsPerSecond"]))) for at, each in pictures[-4:]]

    at, rate = site.do(kept)[0]
    page = open_page(f"{site.url}/{SERVICE}?at={int(at) + 1}")
    bar, figure = page.locator("#moment"), page.locator(".figure", has_text="requests/s").locator("b")
    expect(bar).to_contain_text(re.compile(r"◷ \d\d:\d\d:\d\d, \d+ (s|min) ago"))
    expect(page.locator("#top .chip")).to_have_text("◷ not live")
    expect(figure).to_have_text(rate)
    expect(page.locator("main")).to_contain_text("In the second")
    expect(page.get_by_label("Requests", exact=True)).to_contain_text(re.compile("not for this moment|until this moment"))
    assert serious(page) == []
    for canvas in page.locator("canvas.scatter:visible").all():
        assert canvas.evaluate(INK) > 20
    page.keyboard.press("Shift+ArrowLeft")
    expect(page).to_have_url(f"{site.url}/{SERVICE}?at={int(at) - 29}")
    page.keyboard.press("Shift+ArrowRight")
    expect(page).to_have_url(f"{site.url}/{SERVICE}?at={int(at) + 1}")
    expect(figure).to_have_text(rate)
    page.get_by_role("link", name="newsfeed-5d8f7c-e5").click()
    expect(page).to_have_url(f"{site.url}/{SERVICE}/pod/newsfeed-5d8f7c-e5?at={int(at) + 1}")
    expect(page.locator("main")).to_contain_text("It was serving.")
    expect(page.locator(".u-wrap canvas")).to_have_count(6)
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page).to_have_url(f"{site.url}/#/?at={int(at) + 1}")
    expect(page.locator("a.tile")).to_have_count(3)
    page.get_by_role("button", name="Back to live").click()
    expect(page.locator("#top .chip")).to_have_text("● live")
    expect(bar).not_to_be_visible()
    page.goto(f"{site.url}/{SERVICE}?at={int(at) - 5000}")
    expect(page.locator("main")).to_contain_text("Nothing is kept of")
    page.keyboard.press("l")
    expect(page.locator("#top .chip")).to_have_text("● live")


def test_what_is_seen_can_be_taken_away(site: Site, open_page: Open) -> None:
    page = open_page(f"{site.url}/{SERVICE}")
    expect(page.locator(".u-wrap canvas")).to_have_count(7)
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    rows = Path(download.value.path()).read_text().splitlines()
    assert rows[0].startswith("at,requestsPerSecond,errorsPerSecond,p50,p95,p99,users,visitors,coverage,inFlightBand0")
    assert len(rows) > 60
    assert len({len(row.split(",")) for row in rows}) == 1
    with page.expect_download() as download:
        page.get_by_role("button", name="PNG").click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")


def test_commands_are_safe_to_paste(site: Site, open_page: Open) -> None:
    page = open_page(f"{site.url}/{SERVICE}/pod/x%27%3Brm%20-rf%20~%3B%27", permissions=["clipboard-read", "clipboard-write"])
    expect(page.locator("main")).to_contain_text("not on the roll")
    page.get_by_role("button", name="Copy command").click()
    expect(page.locator("#notice")).to_contain_text("Copied")
    first, *_, last = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert shlex.split(first) == ["kubectl", "rollcall", "why", "x';rm -rf ~;'", "-n", "shop"]
    assert shlex.split(last) == ["kubectl", "rollcall", "top", "newsfeed", "-n", "shop", "-o", "json"], "this page is local"
    elsewhere = open_page(f"http://{ELSEWHERE}:{site.port}/{SERVICE}", quiet=True)
    elsewhere.get_by_role("button", name="Copy command").click()
    expect(elsewhere.locator("#notice")).to_contain_text('curl -s -H "Authorization: Bearer $TOKEN" \'http://rollcall.example:')
    page.goto(f"{site.url}/#/?namespace=shop")
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    rows = Path(download.value.path()).read_text().splitlines()
    assert [row.split(",")[:2] for row in rows[1:]] == [["shop", "mail"], ["shop", "newsfeed"]]


def test_nothing_old_is_shown_as_live_and_it_heals_itself(site: Site, open_page: Open) -> None:
    page = open_page(f"{site.url}/{SERVICE}")
    expect(page.locator("#top .chip")).to_have_text("● live")
    site.down()
    try:
        expect(page.locator("#top .chip")).to_have_text(re.compile(r"! \d+ s old"))
        expect(page.locator("#notice")).to_contain_text("What you see is")
        aged = "document.querySelectorAll('.stale b.num').length"
        assert page.evaluate(aged) >= 9
        shown = "getComputedStyle(document.querySelector('.figure b'), '::after').content"
        assert re.search(r"\d+ s", page.evaluate(shown))
        page.evaluate("() => { const now = performance.now.bind(performance); performance.now = () => now() + 3.6e6; }")
        expect(page.locator("#notice")).to_contain_text("This is no picture of now: it is 1 h old")
        page.evaluate("() => { const now = performance.now.bind(performance); performance.now = () => now() - 3.6e6; }")
    finally:
        site.up()
    expect(page.locator("#top .chip")).to_have_text("● live")
    expect(page.locator("#notice")).to_have_text("")


def restarted(site: Site, page: Page) -> None:
    """The operator is away, and is there again."""
    site.down()
    expect(page.locator("#top .chip")).not_to_have_text("● live")
    site.up()
    expect(page.locator("#top .chip")).to_have_text("● live")


def test_a_page_that_is_open_during_an_upgrade_loads_the_new_one(
    site: Site, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = open_page(f"{site.url}/")
    page.evaluate("window.before = true")
    restarted(site, page)
    page.get_by_role("searchbox").fill("news")
    monkeypatch.setattr(web, "_tag", lambda *_: '"of another version"')
    restarted(site, page)
    page.wait_for_timeout(1000)
    assert page.evaluate("window.before"), "not for the same page, and not while somebody types"
    with page.expect_event("load"):
        page.get_by_role("searchbox").blur()
    expect(page.locator("a.tile:visible")).to_have_count(1)
    assert "news" in page.url


def test_an_operator_that_cannot_be_reached_from_the_start(site: Site, open_page: Open) -> None:
    page = open_page(f"{site.url}/")
    expect(page.locator("a.tile")).to_have_count(3)
    site.down()
    try:
        page.evaluate("location.hash = '#/s/bank/ledger'")
        expect(page.get_by_role("heading", name="The operator cannot be reached")).to_be_visible()
        assert serious(page) == []
    finally:
        site.up()
    expect(page.get_by_role("heading", name="ledger", exact=True)).to_be_visible()


def test_who_is_not_signed_in_is_told_how(site: Site, open_page: Open) -> None:
    page = open_page(f"{site.url}/", token=None)
    expect(page.locator("main")).to_contain_text("rollcall dashboard")
    assert serious(page) == []
    page.get_by_label(re.compile("Or paste a bearer token")).fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("main")).to_contain_text("the bearer token is not valid in this cluster")
    page.locator("#token").fill("t-alice")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("a.tile")).to_have_count(3)
    assert "t-alice" not in page.url


def test_who_may_read_one_namespace_finds_it(site: Site, open_page: Open) -> None:
    def limit(world: World, may: set[str] | None) -> None:
        world.may = may

    site.do(lambda world: limit(world, {"shop"}))
    try:
        page = open_page(f"{site.url}/")
        expect(page.get_by_role("heading", name="You may not read this")).to_be_visible()
        expect(page.locator("main")).to_contain_text("may not get monitoredservices/live")
        assert serious(page) == []
        page.locator("#namespace").fill("shop")
        page.get_by_role("button", name="Show it").click()
        expect(page.locator("a.tile")).to_have_count(2)
    finally:
        site.do(lambda world: limit(world, None))
    page.goto(f"{site.url}/#/s/shop/nothing")
    expect(page.get_by_role("heading", name="It is not there")).to_be_visible()


def test_without_a_service_the_manifest_is_shown_and_the_first_appears_by_itself(empty_site: Site, open_page: Open) -> None:
    page = open_page(f"{empty_site.url}/", permissions=["clipboard-read", "clipboard-write"])
    expect(page.get_by_role("heading", name="No MonitoredService yet")).to_be_visible()
    expect(page.get_by_label("service.yaml", exact=True)).to_contain_text("kind: MonitoredService")
    page.get_by_role("button", name="Copy Commands").click()
    expect(page.locator("#notice")).to_contain_text("Copied: Commands")
    assert page.evaluate("navigator.clipboard.readText()").splitlines()[1] == "kubectl apply -f service.yaml"
    assert serious(page) == []
    fleet = empty_site.do(lambda world: world.service("shop", "newsfeed"))
    expect(page.locator("a.tile")).to_have_count(1)
    page.goto(f"{empty_site.url}/{SERVICE}")
    expect(page.locator("main")).to_contain_text("No pod has the labels of this service")
    empty_site.do(lambda world: world.pod(fleet, "a1", silent=True))
    expect(page.locator("main")).to_contain_text("No pod reports: nothing is known of the traffic")
    assert page.locator(".figure", has_text="requests/s").inner_text().startswith("–")


def test_what_pods_say_is_never_markup(empty_site: Site, open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.web.world.ENDPOINTS", (HOSTILE, "GET /x", "GET /y", "GET /z"))
    monkeypatch.setattr("tests.web.world.DEPENDENCY", HOSTILE)

    def build(world: World) -> None:
        fleet = world.service("shop", "newsfeed")
        hung: list[dict[str, object]] = [{"id": HOSTILE, "endpoint": HOSTILE, "elapsed_ms": 9000, "step": HOSTILE, "worker": 1}]
        pod = world.pod(fleet, "a1", failing=0.5, hung=hung)
        del pod
        world.past(5)
        world.error(HOSTILE, HOSTILE)

    empty_site.do(build)
    page = open_page(f"{empty_site.url}/{SERVICE}")
    for name in ("Endpoints", "Dependencies", "Longest requests in flight", "Samples of errors"):
        expect(page.get_by_role("table", name=name, exact=True)).to_contain_text("<script>alert(2)</script>")
    page.get_by_role("button", name="List failed").click()
    expect(page.get_by_role("table", name="Requests of the region")).to_contain_text("onerror=alert(1)")
    assert page.locator("main img, main script, main [onerror]").count() == 0
    assert page.evaluate("document.scripts.length") == 1


def test_the_policy_stops_scripts_and_frames(site: Site, open_page: Open) -> None:
    page = open_page(f"{site.url}/", quiet=True)
    expect(page.locator("a.tile")).to_have_count(3)
    attempt = "document.body.innerHTML = '<p>'"
    assert page.evaluate(f"() => {{ try {{ {attempt}; }} catch (error) {{ return error.name; }} }}") == "TypeError"
    frame = open_page("about:blank", token=None)
    frame.set_content(f"<iframe src='{site.url}/'></iframe>")
    assert frame.frames[-1].locator("#main").count() == 0


def test_on_a_phone_nothing_is_cut_off(site: Site, open_page: Open) -> None:
    page = open_page(f"{site.url}/{SERVICE}", **PHONE)
    expect(page.locator(".u-wrap canvas")).to_have_count(7)
    for place in ("#/", SERVICE, f"{SERVICE}/pod/newsfeed-5d8f7c-e5"):
        page.goto(f"{site.url}/{place}")
        expect(page.locator("#top .chip")).to_have_text("● live")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.goto(f"{site.url}/#/")
    expect(page.locator("a.tile")).to_have_count(3)


@pytest.mark.parametrize(
    ("name", "place", "options"),
    [
        ("web-wall", "#/", {"viewport": {"width": 1440, "height": 1060}}),
        ("web-service", SERVICE, {"viewport": {"width": 1440, "height": 1110}}),
        ("web-service-light", SERVICE, {"viewport": {"width": 1440, "height": 1110}, "color_scheme": "light"}),
        ("web-pod", f"{SERVICE}/pod/newsfeed-5d8f7c-e5", {"viewport": {"width": 1440, "height": 980}}),
        ("web-moment", f"{SERVICE}?at=-40", {"viewport": {"width": 1440, "height": 760}}),
        ("web-phone", SERVICE, PHONE),
    ],
)
def test_pictures_for_the_documents(
    site: Site, open_page: Open, request: pytest.FixtureRequest, name: str, place: str, options: dict[str, object]
) -> None:
    """`make web-images` writes them; any other run checks that they are there, and the light theme."""
    images = request.config.getoption("--images")
    if images or "light" in name:
        place = place.replace("at=-40", f"at={int(time.time()) - 40}")
        page = open_page(f"{site.url}/{place}", **options)
        expect(page.locator("#top .chip")).to_have_text("◷ not live" if "at=" in place else "● live")
    if "light" in name:
        assert serious(page) == []
    if images:
        page.wait_for_timeout(2500)
        page.screenshot(path=IMAGES / f"{name}.png")
    assert (IMAGES / f"{name}.png").stat().st_size > 10_000
