"""What is seen: always as many lines as the terminal has, never wider, and sick states say what they are."""

from __future__ import annotations

from typing import Any

import pytest

from rollcall.cli.top.paint import paint
from rollcall.cli.top.session import Place
from tests.unit.cli import pictures
from tests.unit.cli.top.screens import Desk, roll

SIZES = ((80, 24), (120, 30), (160, 45), (60, 15), (40, 10), (250, 70))


def busy() -> dict[str, Any]:
    """A service with a bit of everything."""
    pods = [
        *roll(8, resources=lambda n: pictures.resources()),
        pictures.unheard("newsfeed-9", "silent", "AgentDied"),
        pictures.unheard("newsfeed-10", "bare", "WebhookUnavailable"),
    ]
    return pictures.picture(
        pods,
        longest=[pictures.request(41.0), pictures.request(6.2, endpoint="漢字" * 20)],
        departures=pictures.departures(pictures.departure(), pictures.departure(cause="OOMKilled", at=900.0)),
        crashes=pictures.crashes(pictures.crash()),
        bottleneck=pictures.bottleneck(),
    )


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("pressed", [(), ("r",), ("l",), ("enter",), ("?",), ("?", "?"), (":",), ("/", "x"), ("space",)])
def test_every_screen_fits(size: tuple[int, int], pressed: tuple[str, ...]) -> None:
    from rich.cells import cell_len

    desk = Desk()
    desk.take(busy())
    desk.press(*pressed)
    lines = paint(desk.session, *size)
    assert len(lines) == size[1]
    if size[0] >= 80:
        assert [line.text for line in lines if cell_len(line.text) > size[0]] == []


def test_a_service_at_80_by_24() -> None:
    desk = Desk()
    desk.take(busy())
    shown = desk.screen(80, 24)
    for words in ("shop › newsfeed", "● live", "Healthy", "requests/s 1\u2009240", "p95 87ms", "✕ 1 ", "in flight 31"):
        assert words in shown
    assert "newsfeed-05" in shown


def test_a_tall_screen_has_requests_and_departures_below_the_pods() -> None:
    desk = Desk()
    desk.take(busy())
    shown = desk.screen(160, 45)
    assert "longest requests in flight" in shown
    assert "GET /feed" in shown
    assert "OOMKilled" in shown
    assert "crashed 12 workers" in shown


def test_a_departure_is_news_for_five_minutes() -> None:
    desk = Desk()
    desk.take(busy())
    assert "newsfeed-03 left: ScaleIn" in desk.screen(160, 45)
    desk.take(busy() | {"at": 2000.0})
    assert "newsfeed-03 left" not in desk.screen(160, 45)


def test_before_the_first_picture() -> None:
    desk = Desk()
    assert "Waiting for the first picture" in desk.screen()
    assert "connecting" in desk.screen()


def test_forbidden_is_a_sentence_with_the_verb_and_what_to_do() -> None:
    desk = Desk()
    sentence = 'user "alice" may not get monitoredservices/live in namespace "shop"'
    desk.session.fail(sentence, final=True)
    shown = desk.screen()
    assert sentence in shown
    assert "ClusterRole view" in shown
    assert ":ns NAME" in shown


def test_an_operator_that_cannot_be_reached() -> None:
    desk = Desk()
    desk.session.fail("the operator cannot be reached: no pods")
    assert "no pods" in desk.screen()
    assert "tried again by itself" in desk.screen()


def test_old_data_says_its_age_and_why() -> None:
    desk = Desk()
    desk.take(busy())
    desk.clock.now_s += 12
    assert "✕ 12s old" in desk.screen()
    assert "nothing comes from the operator" in desk.screen()
    desk.session.fail("this replica does not lead")
    assert "What you see is 12s old: this replica does not lead; it is tried again by itself" in desk.screen()
    assert "newsfeed-05" in desk.screen(), "what was known stays to be seen"
    desk.take(busy())
    assert "● live" in desk.screen()


def test_no_service_yet_shows_what_to_apply() -> None:
    desk = Desk(Place("shop"))
    desk.take({"services": []})
    shown = desk.screen()
    assert "No MonitoredService in namespace shop yet" in shown
    assert "kind: MonitoredService" in shown


def test_coverage_below_all_is_seen() -> None:
    desk = Desk()
    desk.take(busy() | {"coverage": 0.8})
    assert "coverage 80%" in desk.screen()


def test_a_notice_goes_by_itself() -> None:
    desk = Desk()
    desk.take(busy())
    desk.press("c")
    assert "copied" in desk.screen()
    desk.clock.now_s += 7
    assert "copied" not in desk.screen()


def test_why_a_pod_is_as_it_is() -> None:
    desk = Desk()
    desk.take(busy())
    desk.press("G", "enter")
    desk.session.why = {"sentence": "the webhook could not be called when it was made", "remedy": "restart it"}
    shown = desk.screen()
    assert "the webhook could not be called" in shown
    assert "restart it" in shown
    assert "requests/s –" in shown, "nothing is known of its requests, which is not 0"


def test_what_is_cut_of_the_row_under_the_cursor_is_told_below() -> None:
    desk = Desk()
    message = "the conditional request failed because the capacity of the table is used up for the next seconds"
    desk.take(busy() | {"errors": {"perSecond": 1.0, "byType": [error_type()], "samples": [error_sample(message)]}})
    desk.press("x")
    narrow, wide = desk.screen(80, 24), desk.screen(80, 15)
    assert message not in narrow.splitlines()[13]
    told = " ".join(each.strip(" └") for each in narrow.splitlines()[-3:-1])
    assert message in told
    assert len(wide.splitlines()) == 15


@pytest.mark.parametrize("key", ["p", "r", "d", "e", "x", "l"])
def test_nothing_from_a_pod_reaches_the_terminal_as_it_is(key: str) -> None:
    evil = "\x1b]52;c;aGk=\x07\x1b[2J\nx\u202e"
    desk = Desk()
    shown = busy() | {
        "errors": {"perSecond": 1.0, "byType": [error_type()], "samples": [error_sample(evil)]},
        "health": {"state": "Degraded", "reason": "x", "message": evil},
    }
    shown["longest"][0]["endpoint"] = shown["longest"][0]["step"] = evil
    shown["departures"]["recent"][0]["evidence"] = evil
    shown["roll"][0]["name"] = shown["roll"][0]["slot"] = shown["roll"][0]["reason"] = shown["roll"][0]["node"] = evil
    desk.take(shown)
    desk.press(key)
    for size in SIZES:
        text = "".join(line.text for line in paint(desk.session, *size))
        assert text.replace("\u2009", "").isprintable(), "but for the thin space in our own numbers"


def error_type() -> dict[str, Any]:
    return {"kind": "exception", "type": "DynamoDBThrottled", "perSecond": 1.0, "total": 3}


def error_sample(message: str) -> dict[str, Any]:
    return {
        "at": 990.0, "kind": "exception", "type": "DynamoDBThrottled", "message": message, "function": "feed",
        "file": "feed.py", "line": 3, "endpoint": "GET /feed", "pod": "newsfeed-1", "revision": None,
    }  # fmt: skip
