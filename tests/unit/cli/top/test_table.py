"""Rows are filtered and sorted, the cursor stays on its row, and columns go where there is no room."""

from __future__ import annotations

import json
from typing import Any

from rollcall.cli.top.parts import PODS
from rollcall.cli.top.picture import Pod, decode
from rollcall.cli.top.table import SORT_EVERY_S, Listing, Scene
from tests.unit.cli import pictures
from tests.unit.cli.top.screens import roll

SCENE = Scene(1000.0, [1000, 3000, 8000])


def pods(count: int = 5, **changes: Any) -> list[Pod]:
    shown = decode(json.dumps(pictures.picture(roll(count, **changes))).encode())
    found: list[Pod] = shown.roll  # type: ignore[union-attr]
    return found


def column(title: str) -> int:
    return next(i for i, each in enumerate(PODS.columns) if each.title == title)


def labels(listing: Listing) -> list[str]:
    return [pod.label for pod in listing.shown]


def test_the_largest_come_first_and_what_is_not_known_last() -> None:
    listing = Listing(PODS)
    listing.take(pods(requests_per_second=lambda n: None if n == 2 else float(n)), 0.0)
    listing.sort_by(column("RPS"), 0.0)
    assert [each[-1] for each in labels(listing)] == ["5", "4", "3", "1", "2"]
    listing.sort_by(column("RPS"), 0.0, reverse=False)
    assert [each[-1] for each in labels(listing)] == ["1", "3", "4", "5", "2"]


def test_rows_do_not_jump_between_two_looks() -> None:
    listing = Listing(PODS)
    listing.take(pods(requests_per_second=lambda n: float(n)), 0.0)
    listing.sort_by(column("RPS"), 0.0)
    before = labels(listing)
    turned = pods(6, requests_per_second=lambda n: float(-n))
    listing.take(turned, SORT_EVERY_S / 2)
    assert labels(listing)[:5] == before
    assert labels(listing)[5] == "newsfeed-06", "who is new stands below until the next order"
    listing.take(turned, SORT_EVERY_S)
    assert labels(listing)[0] == "newsfeed-01"


def test_the_cursor_stays_on_its_row() -> None:
    listing = Listing(PODS)
    all_pods = pods()
    listing.take(all_pods, 0.0)
    listing.go(3)
    listing.take([pods(6)[5], *all_pods], 0.1)
    assert listing.here.label == "newsfeed-04"
    assert listing.cursor == 4
    listing.take([pod for pod in all_pods if pod.label != "newsfeed-04"], 0.2)
    assert listing.here is not None, "its row is gone: the one in its place"


def test_who_never_moved_stays_at_the_top() -> None:
    listing = Listing(PODS)
    listing.take(pods()[2:], 0.0)
    listing.take(pods(), 0.1)
    assert listing.cursor == 0


def test_no_rows_at_all() -> None:
    listing = Listing(PODS)
    listing.take([], 0.0)
    listing.go(5)
    assert listing.here is None
    assert "no pod matches" in listing.lines(80, 10, SCENE)[1].text
    listing.take(pods(), 0.0)
    listing.look_for("nothing-like-that", 0.0)
    assert "esc shows all" in listing.lines(80, 10, SCENE)[1].text


def test_the_table_scrolls_with_its_cursor() -> None:
    listing = Listing(PODS)
    listing.take(pods(50), 0.0)
    listing.go(49)
    shown = listing.lines(80, 11, SCENE)
    assert len(shown) == 11
    assert shown[-1].back == "cursor"
    assert "newsfeed-50" in shown[-1].text
    listing.go(0)
    assert "newsfeed-01" in listing.lines(80, 11, SCENE)[1].text


def test_columns_that_are_spare_go_first_and_all_lines_fit() -> None:
    listing = Listing(PODS)
    listing.take(pods(), 0.0)
    for width in (60, 70, 80, 100, 160, 250):
        assert all(len(each.text) <= width for each in listing.lines(width, 10, SCENE)) or width < 78
    narrow, wide = listing.lines(80, 10, SCENE)[0].text, listing.lines(200, 10, SCENE)[0].text
    assert {"SLOT", "STATE", "RPS", "P95", "CPU", "MEM", "AGE"} <= set(narrow.split())
    assert "NODE" not in narrow.split()
    assert {"NODE", "POD", "QUEUE"} <= set(wide.split())


def test_sorting_goes_round_all_columns_that_have_an_order() -> None:
    listing = Listing(PODS)
    listing.take(pods(), 0.0)
    seen = []
    for _ in range(sum(each.key is not None for each in PODS.columns) + 1):
        listing.next_sort(1, 0.0)
        seen.append(listing.sort)
    assert seen[-1] is None
    assert len(set(seen)) == len(seen)


def test_the_sorted_column_says_so() -> None:
    listing = Listing(PODS)
    listing.take(pods(), 0.0)
    listing.sort_by(column("P95"), 0.0)
    assert "P95▼" in listing.lines(80, 10, SCENE)[0].text


def test_what_a_pod_is_called_cannot_break_the_screen() -> None:
    hostile = pods(1, slot=lambda n: None, name=lambda n: "a\x1b[31mb\nc")
    listing = Listing(PODS)
    listing.take(hostile, 0.0)
    text = listing.lines(120, 5, SCENE)[1].text
    assert "\x1b" not in text
    assert "\n" not in text
