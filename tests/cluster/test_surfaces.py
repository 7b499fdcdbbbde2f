"""What people see of services that really run: the page in the system's Chromium through `rollcall dashboard`, the terminal
at a pseudo-terminal, and the command line, from the first service to an operator that is away.

It is one story: a test goes on where the one before it ended. Pictures of what was seen are kept in build/surfaces.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import Page, expect

from tests.cluster.looking import (
    KEYS,
    SECTIONS,
    WRONG,
    Dashboard,
    ask,
    check,
    downloaded,
    every_form,
    figure,
    keep,
    past,
    say,
    sentence,
    shell,
    table,
    tile_of,
)
from tests.cluster.observe import until
from tests.cluster.shopfront import HOSTILE_COMMAND, RATES, SHOP, kubeconfig_of_viewer, pod, pods_of, start_loads
from tests.harness.chromium import INK, PHONE, Tabs, brush, chromium, serious
from tests.harness.cluster import Cluster
from tests.harness.install import NAMESPACE as OPERATOR
from tests.harness.install import Rollcall
from tests.harness.paths import REPOSITORY
from tests.harness.terminal import Terminal
from tests.harness.truth import LoadPod

pytestmark = [pytest.mark.cluster, pytest.mark.patient]

SERVICE = "#/s/shop/newsfeed"
EXAMPLES = REPOSITORY / "examples"


@pytest.fixture(scope="module")
def stage(cluster: Cluster, rollcall: Rollcall) -> Iterator[Rollcall]:
    """Applications as they run anywhere: no namespace is opted in, and there is no service."""
    for image in ("newsfeed", "legacy", "load"):
        cluster.load(cluster.build(image))
    cluster.kubectl("create", "namespace", SHOP)
    cluster.kubectl("label", "namespace", SHOP, "pod-security.kubernetes.io/enforce=restricted")
    cluster.kubectl("-n", SHOP, "apply", "-f", EXAMPLES / "newsfeed/manifest.yaml")
    yield rollcall
    cluster.remove_namespace(SHOP)


@pytest.fixture(scope="module")
def tabs() -> Iterator[Tabs]:
    with chromium() as browser:
        yield Tabs(browser)


@pytest.fixture(autouse=True)
def silent(tabs: Tabs) -> Iterator[None]:
    """No page logs an error."""
    yield
    assert tabs.errors() == []


@pytest.fixture(scope="module")
def dashboard(stage: Rollcall, tabs: Tabs) -> Iterator[Dashboard]:
    with Dashboard(stage, tabs) as found:
        yield found


@pytest.fixture(scope="module")
def page(dashboard: Dashboard) -> Page:
    """The page of somebody at a desk."""
    return dashboard.open(permissions=["clipboard-read", "clipboard-write"])


@pytest.fixture(scope="module")
def viewer(cluster: Cluster, stage: Rollcall, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kubeconfig of somebody who may read in the shop alone."""
    return kubeconfig_of_viewer(cluster, tmp_path_factory.mktemp("looker"))


@pytest.fixture(scope="module")
def loads(cluster: Cluster, stage: Rollcall) -> Iterator[dict[str, LoadPod]]:
    """Load on both services; one in ten requests to legacy fails."""
    made = start_loads(cluster)
    yield made
    for load in made.values():
        load.delete()


def test_the_first_service_appears_by_what_the_page_says(
    cluster: Cluster, stage: Rollcall, dashboard: Dashboard, page: Page, tmp_path: Path
) -> None:
    """What it shows is copied by its buttons and run as it is; then nothing reports, and it says why and what to do."""
    page.goto(f"{dashboard.base}#/?namespace={SHOP}")
    expect(page.get_by_role("heading", name="No MonitoredService in namespace shop")).to_be_visible()
    assert serious(page) == []
    keep(page, "empty")
    copied = {}
    for name in ("service.yaml", "Commands"):
        page.get_by_role("button", name=f"Copy {name}").click()
        expect(page.locator("#notice")).to_have_text(f"Copied: {name}.")
        copied[name] = page.evaluate("navigator.clipboard.readText()")
    (tmp_path / "service.yaml").write_text(copied["service.yaml"])
    *first, restart = copied["Commands"].splitlines()
    shell(cluster, "\n".join(first), tmp_path)
    tile = tile_of(page, "shop/newsfeed", "2 bare")
    assert "0/2" in tile
    assert "0 % of the pods report" in tile
    page.goto(f"{dashboard.base}{SERVICE}")
    callout = page.locator(".callout:visible")
    expect(callout).to_contain_text("No pod reports: nothing is known of the traffic")
    expect(callout).to_contain_text(
        re.compile("2 pods do not tell all: CreatedBefore.*older than its MonitoredService.*What to do")
    )
    expect(figure(page, "requests/s")).to_have_text("–")
    assert serious(page) == []
    keep(page, "nothing-reports")
    shell(cluster, restart, tmp_path)
    more = ("newsfeed/monitoredservice.yaml", "legacy/monitoredservice.yaml", "legacy/manifest.yaml")
    cluster.kubectl("-n", SHOP, "apply", *(f"-f={EXAMPLES / each}" for each in more))
    manifest = copied["service.yaml"].replace("newsfeed", "hostile")
    cluster.kubectl("apply", "-f", "-", input=f"{manifest}---\n{json.dumps(pod('hostile', 'hostile', HOSTILE_COMMAND))}")
    expect(figure(page, "pods serving")).to_have_text("2/2", timeout=60_000)
    expect(callout).not_to_be_visible()
    for service in ("newsfeed", "legacy"):
        cluster.kubectl("-n", SHOP, "rollout", "status", f"deployment/{service}", "--timeout=90s")


def test_the_wall_tells_which_one_is_ill_and_agrees_with_kubectl(
    cluster: Cluster, dashboard: Dashboard, page: Page, loads: dict[str, LoadPod]
) -> None:
    page.goto(f"{dashboard.base}#/?namespace={SHOP}")
    tile_of(page, "shop/legacy", "Degraded")
    assert re.search(r"\d+(\.\d)?% of requests fail, the objective is", tile_of(page, "shop/legacy", "of requests fail"))
    tile_of(page, "shop/newsfeed", "Healthy")
    link = page.locator(f"a.tile[href='#/s/{SHOP}/newsfeed']")

    def agree() -> bool:
        """Page, `kubectl get msvc` and the load generator at about the same time."""
        printed = cluster.kubectl("-n", SHOP, "get", "msvc", "newsfeed", "--no-headers")
        _, pods, health, rate, *_ = printed.split()
        shown = [link.locator(".figure", has_text=words).locator("b").inner_text() for words in ("pods", "requests/s")]
        rates = [float(each) if re.fullmatch(r"[\d.]+", each) else 0.0 for each in (shown[1], rate)]
        return (pods, health) == (shown[0], "Healthy") and all(0.7 <= each / RATES["newsfeed"] <= 1.3 for each in rates)

    until(agree, 30, "all three agree")
    expect(link.locator("svg.trend path")).to_have_attribute("d", re.compile("L"))
    keep(page, "wall")
    assert serious(page) == []
    cluster.kubectl(
        "apply", "-f", "-", input=json.dumps(pod("bare", "newsfeed", "sleep 600", **{"rollcall.dev/inject": "disabled"}))
    )
    assert "66 % of the pods report" in tile_of(page, "shop/newsfeed", "1 bare")
    keep(page, "wall-bare")
    cluster.kubectl("-n", SHOP, "delete", "pod", "bare", "--wait=false")
    cluster.kubectl("-n", SHOP, "scale", "deployment/newsfeed", "--replicas=3")
    tile_of(page, "shop/newsfeed", "3 serving", within_s=60)
    cluster.kubectl("-n", SHOP, "scale", "deployment/newsfeed", "--replicas=2")


def test_a_service_has_everything_that_the_issue_lists(
    cluster: Cluster, dashboard: Dashboard, page: Page, loads: dict[str, LoadPod]
) -> None:
    for address in pods_of(cluster, "newsfeed").values():
        for path in ("/fail", "/fail", "/hang/26"):
            ask(address, path)
    page.goto(f"{dashboard.base}{SERVICE}")
    expect(page.locator(".u-wrap canvas")).to_have_count(7)
    for name, words in SECTIONS:
        expect(table(page, name)).to_contain_text(words)
    expect(page.get_by_label("Where the time goes", exact=True)).to_contain_text(re.compile(r"Of the time of .*\d+ % goes to"))
    expect(page.get_by_label("Users", exact=True)).to_contain_text(re.compile(r"at once \d+.*in 5 min \d+"))
    expect(page.get_by_label("Requests", exact=True)).to_contain_text("100 % of all are shown")
    for canvas in ("canvas.scatter", "canvas.equalizer"):
        assert page.locator(canvas).evaluate(INK) > 20
    expect(table(page, "Longest requests in flight")).to_contain_text(
        re.compile(r"(?<!\d)(8\.\d|9\.\d|\d\d) s"), timeout=30_000
    )
    expect(page.locator("main")).to_contain_text("in flight for longer than 8 s")
    keep(page, "service", whole=True)
    assert serious(page) == []


def test_dots_are_brushed_and_what_is_seen_is_taken_away(
    cluster: Cluster, dashboard: Dashboard, page: Page, loads: dict[str, LoadPod], tmp_path: Path
) -> None:
    brush(page, 0.6, 0.6)
    rows = table(page, "Requests of the region").locator("tbody tr")
    expect(rows.filter(has_text=re.compile("GET /slow|GET /hang")).first).to_be_visible()
    shown = [re.search(r"([\d.]+) (ms|s)\b", text) for text in rows.all_inner_texts()]
    took_ms = [float(found[1]) * {"ms": 1, "s": 1000}[found[2]] for found in shown if found]
    assert len(took_ms) == len(shown) > 1
    assert took_ms == sorted(took_ms, reverse=True), "the longest first"
    page.get_by_role("button", name="List failed").click()
    expect(rows.first).to_contain_text(re.compile("✕ 5xxGET /fail.*exception RuntimeError.*newsfeed-"))
    page.get_by_role("button", name="Close list").click()
    files = {name: downloaded(page, name) for name in ("CSV", "PNG")}
    assert files["PNG"].startswith(b"\x89PNG")
    assert len(files["PNG"]) > 20_000
    assert len(list(csv.DictReader(files["CSV"].decode().splitlines()))) > 10
    page.get_by_role("button", name="Copy command").click()
    expect(page.locator("#notice")).to_contain_text("Copied")
    top, get, live = page.evaluate("navigator.clipboard.readText()").splitlines()
    assert "shop/newsfeed" in shell(cluster, f"timeout -s INT 4 {top}", tmp_path)
    assert yaml.safe_load(shell(cluster, get, tmp_path))["status"]["pods"]["serving"] == 2
    assert json.loads(shell(cluster, live, tmp_path))["pods"]["serving"] == 2


def test_a_moment_is_shared_with_somebody_who_may_read_one_namespace(
    cluster: Cluster, stage: Rollcall, dashboard: Dashboard, page: Page, tabs: Tabs, viewer: Path, tmp_path: Path
) -> None:
    """A click on a chart, the address in another browser, the same figures; and what is said to who may not read."""
    chart = page.get_by_label("Requests per second", exact=True).locator(".u-over")
    box = chart.bounding_box()
    assert box is not None
    chart.click(position={"x": box["width"] * 0.85, "y": box["height"] / 2})
    expect(page.locator("#moment")).to_contain_text(re.compile(r"◷ \d\d:\d\d:\d\d, \d+ s ago"))
    expect(page.locator("main")).to_contain_text("In the second")
    rate, place = figure(page, "requests/s"), page.url.partition("#")[2]
    expect(rate).to_have_text(re.compile(r"\d"))
    keep(page, "moment")
    assert serious(page) == []
    page.get_by_role("button", name="Copy command").click()
    picture = json.loads(shell(cluster, page.evaluate("navigator.clipboard.readText()"), tmp_path))
    assert abs(picture["traffic"]["requestsPerSecond"] - float(rate.inner_text())) <= 0.5
    refused = say(cluster, [["get", "-A"], ["get", "-n", SHOP]], viewer)
    assert refused[0].code == 4
    assert "may not get monitoredservices/live" in sentence(refused[0])
    with Dashboard(stage, tabs, kubeconfig=viewer) as theirs:
        other = theirs.open()
        expect(other.get_by_role("heading", name="You may not read this")).to_be_visible()
        expect(other.locator("main")).to_contain_text("may not get monitoredservices/live")
        keep(other, "forbidden")
        assert serious(other) == []
        other.locator("#namespace").fill(SHOP)
        other.get_by_role("button", name="Show it").click()
        tile_of(other, "shop/newsfeed")
        other.goto(f"{theirs.base}#{place}")
        expect(figure(other, "requests/s")).to_have_text(rate.inner_text())
        expect(other.locator("#top .chip")).to_have_text("◷ not live")
        rollout = next(mark for mark in past(other, f"{SHOP}/newsfeed")["marks"] if mark["kind"] == "deployment")
        other.goto(f"{theirs.base}{SERVICE}?at={int(rollout['at'])}")
        expect(other.locator("main")).to_contain_text("deployment: ")
    page.get_by_role("button", name="Back to live").click()
    expect(page.locator("#top .chip")).to_have_text("● live")


def test_a_pod_is_looked_at_until_it_has_left(cluster: Cluster, dashboard: Dashboard, page: Page) -> None:
    name = next(iter(pods_of(cluster, "newsfeed")))
    page.goto(f"{dashboard.base}{SERVICE}")
    page.get_by_role("link", name=name).click()
    expect(page.locator("main")).to_contain_text(f"{name} is serving.")
    expect(page.locator("main")).to_contain_text(re.compile(r"slot newsfeed-\d\d.*node .*told by python"))
    expect(page.locator(".u-wrap canvas")).to_have_count(6)
    for label, words in (
        ("requests/s", r"\d"),
        ("memory", r"\d+ MiB of 192 MiB"),
        ("workers busy", r"\d+/2"),
        ("last report", "now"),
    ):
        expect(figure(page, label)).to_have_text(re.compile(words))
    keep(page, "pod", whole=True)
    assert serious(page) == []
    cluster.kubectl("-n", SHOP, "delete", "pod", name, "--wait=false")
    expect(page.locator(".chip", has_text="leaving")).to_be_visible()
    expect(page.locator("main")).to_contain_text(re.compile(r"It left at \d\d:\d\d:\d\d: \w+"), timeout=40_000)
    expect(figure(page, "requests/s")).to_have_text("–")
    keep(page, "pod-left")


@pytest.mark.parametrize(("what", "options"), [("phone", PHONE), ("light", {"color_scheme": "light"})])
def test_on_a_phone_and_in_light(
    cluster: Cluster, dashboard: Dashboard, page: Page, what: str, options: dict[str, Any]
) -> None:
    other, name = dashboard.open("#/", **options), next(iter(pods_of(cluster, "newsfeed")))
    for view, place in (("wall", "#/"), ("service", SERVICE), ("pod", f"{SERVICE}/pod/{name}")):
        other.goto(f"{dashboard.base}{place}")
        expect(other.locator("#top .chip")).to_have_text("● live")
        expect(other.locator("b.num").first).to_be_visible()
        assert other.evaluate("document.documentElement.scrollWidth") <= other.viewport_size["width"]  # type: ignore[index]
        assert serious(other) == []
        keep(other, f"{what}-{view}", whole=True)


def test_what_an_application_says_is_never_markup(cluster: Cluster, dashboard: Dashboard, page: Page) -> None:
    ask(pods_of(cluster, "hostile")["hostile"], "/hostile").join(20)
    page.goto(f"{dashboard.base}#/s/{SHOP}/hostile")
    for name in ("Errors by type", "Samples of errors"):
        expect(table(page, name)).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator("main img, main script, main [onerror]").count() == 0
    assert page.evaluate("document.scripts.length") == 1
    keep(page, "hostile")


def test_the_page_has_counted_what_was_sent(
    cluster: Cluster, dashboard: Dashboard, page: Page, loads: dict[str, LoadPod]
) -> None:
    """Requests per second over all seconds of the file are the requests that the load generator sent."""
    sent = loads["legacy"].stop().sent
    page.goto(f"{dashboard.base}#/s/{SHOP}/legacy")
    expect(figure(page, "requests/s")).to_have_text("0")

    def counted() -> float:
        rows = csv.DictReader(downloaded(page, "CSV").decode().splitlines())
        return sum(float(row["requestsPerSecond"] or 0) for row in rows)

    until(lambda: abs(counted() - sent) <= 0.05 * sent, 20, f"the seconds add up to {sent}; last {counted():.0f}")


# --- the terminal and the command line


def test_the_screen_leads_from_the_overview_to_a_pod_and_into_the_past(
    cluster: Cluster, stage: Rollcall, loads: dict[str, LoadPod]
) -> None:
    terminal = Terminal(stage.command("top", "-n", SHOP))
    try:
        for words in ("legacy", "newsfeed", "live"):
            terminal.wait(words.encode())
        for keys, words in KEYS:
            terminal.press(keys)
            terminal.wait(words)
    finally:
        code = terminal.end()
    assert code == 0


def test_every_command_in_every_form(cluster: Cluster, stage: Rollcall) -> None:
    commands = every_form(next(iter(pods_of(cluster, "newsfeed"))), SHOP)
    assert len(commands) > 50
    for words, said in zip(commands, say(cluster, commands), strict=True):
        check(words, said)


def test_what_is_wrong_is_one_sentence_and_a_code(cluster: Cluster, stage: Rollcall, viewer: Path) -> None:
    for (words, code, told), said in zip(WRONG, say(cluster, [words for words, _, _ in WRONG]), strict=True):
        assert said.code == code, (words, said)
        assert told in sentence(said)
    for said in say(cluster, [["pods", "x", "-n", "default"], ["why", "x", "-n", "default"], ["top", "-A", "--once"]], viewer):
        assert said.code == 4, said
        assert "may not get" in sentence(said)


# --- and without an operator


def test_while_the_operator_is_away_nothing_is_shown_as_live_and_all_comes_back(
    cluster: Cluster, stage: Rollcall, dashboard: Dashboard, page: Page
) -> None:
    page.goto(f"{dashboard.base}{SERVICE}")
    expect(page.locator("#top .chip")).to_have_text("● live")
    later = dashboard.open(SERVICE, clock=True)
    expect(figure(later, "pods serving")).to_have_text("2/2")
    terminal = Terminal(stage.command("top", "newsfeed", "-n", SHOP))
    try:
        terminal.wait("● live".encode())
        cluster.kubectl("-n", OPERATOR, "scale", "deployment/rollcall", "--replicas=0")
        expect(page.locator("#top .chip")).to_have_text(re.compile(r"! \d+ s old"), timeout=40_000)
        expect(page.locator("#notice")).to_contain_text("What you see is")
        assert re.search(r"\d+ s", page.evaluate("getComputedStyle(document.querySelector('.figure b'), '::after').content"))
        keep(page, "away")
        assert serious(page) == []
        later.clock.fast_forward("01:00:00")
        expect(later.locator("#notice")).to_contain_text("This is no picture of now: it is 1 h old")
        assert " at 0x" not in later.locator("#notice").inner_text()
        keep(later, "an-hour")
        terminal.wait(b"What you see is")
        cluster.wait("pod", "-n", OPERATOR, "-l", "app.kubernetes.io/name=rollcall", "--for=delete")  # found until then
        for said in say(cluster, [["get", "-n", SHOP], ["pods", "newsfeed", "-n", SHOP], ["dashboard", "--no-browser"]]):
            assert said.code == 1, said
            assert "the operator cannot be reached" in sentence(said)
        page.evaluate("location.hash = '#/s/shop/legacy'")
        expect(page.get_by_role("heading", name="The operator cannot be reached")).to_be_visible()
        expect(page.locator("main")).to_contain_text("It is tried again every two seconds.")
        keep(page, "unreachable")
        assert serious(page) == []
        terminal.press(b"")
        cluster.kubectl("-n", OPERATOR, "scale", "deployment/rollcall", "--replicas=1")
        expect(page.get_by_role("heading", name="legacy", exact=True)).to_be_visible(timeout=60_000)
        expect(page.locator("#top .chip")).to_have_text("● live")
        terminal.wait("● live".encode())
    finally:
        cluster.kubectl("-n", OPERATOR, "scale", "deployment/rollcall", "--replicas=1")
        terminal.end()
    cluster.kubectl("-n", OPERATOR, "rollout", "status", "deployment/rollcall", "--timeout=60s")
