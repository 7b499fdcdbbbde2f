"""Keys and what they lead to: places, breadcrumbs, filters, pause, the past, commands."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from rollcall.cli.top import keys
from rollcall.cli.top.picture import decode
from rollcall.cli.top.session import Ask, Copy, End, Follow, Place, Recall
from tests.unit.cli import pictures
from tests.unit.cli.top.screens import Desk, history, roll


def fleet(*names: str, **changes: Any) -> dict[str, Any]:
    services = []
    for name in names:
        namespace, _, service = name.rpartition("/")
        services.append(pictures.picture(roll(2)) | {"namespace": namespace or "shop", "name": service, "roll": None} | changes)
    return {"services": services}


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.fixture
def desk() -> Desk:
    """A service with three pods."""
    found = Desk()
    slow = pictures.request(41.0, pod="newsfeed-2", slot="newsfeed-02")
    found.take(pictures.picture(roll(), longest=[slow], departures=pictures.departures(pictures.departure())))
    return found


@pytest.fixture
def wall() -> Desk:
    """Three services in two namespaces."""
    found = Desk(Place())
    found.take(fleet("bank/ledger", "mail", "newsfeed"))
    return found


def test_from_the_fleet_to_a_pod_and_back(wall: Desk) -> None:
    wall.press("j", "j", "enter")
    session = wall.session
    assert session.place == Place("shop", "newsfeed")
    assert session.wants == [Follow("/v1/services/shop/newsfeed/stream?rate=4&with=seconds")]
    assert "newsfeed" in wall.screen(), "what the summary knows is there at once"
    assert "waiting for the pods" in wall.screen()
    wall.take(pictures.picture(roll()))
    wall.press("j", "enter")
    assert session.place.label == "newsfeed-02"
    assert session.wants[1:] == [Ask("shop", "newsfeed-2", "newsfeed")]
    assert "shop › newsfeed › newsfeed-02 › requests" in wall.screen()
    wall.press("escape")
    assert (session.place.kind, session.part) == ("service", "pods")
    wall.press("escape")
    assert session.place == Place()
    assert session.wants[-1] == Follow("/v1/services/stream?rate=4")


def test_who_began_at_a_service_gets_to_all_services_of_its_namespace(desk: Desk) -> None:
    desk.press("escape")
    assert desk.session.place == Place("shop")
    assert desk.session.wants == [Follow("/v1/services/stream?rate=4&namespace=shop")]


def test_a_picture_of_the_place_before_is_not_shown(desk: Desk) -> None:
    desk.press("escape")
    desk.take(pictures.picture(roll()))
    assert desk.session.shown is None
    desk.session.go(Place("shop", "mail"))
    desk.take(pictures.picture(roll()))
    assert desk.session.shown is None


@pytest.mark.parametrize(
    ("key", "part"),
    [("r", "requests"), ("d", "dependencies"), ("e", "endpoints"), ("x", "errors"), ("l", "departures"), ("p", "pods")],
)
def test_one_letter_for_each_part(desk: Desk, wall: Desk, key: str, part: str) -> None:
    desk.press(key)
    assert desk.session.part == part
    wall.press("G", key)
    assert (wall.session.place, wall.session.part) == (Place("shop", "newsfeed"), part)


def test_tab_goes_round(desk: Desk) -> None:
    desk.press(*["tab"] * 6)
    assert desk.session.part == "pods"
    desk.press("shift+tab")
    assert desk.session.part == "departures"


def test_from_a_request_to_its_pod(desk: Desk) -> None:
    desk.press("r", "enter")
    assert desk.session.place.label == "newsfeed-02"
    assert len(desk.session.listing.shown) == 1


def test_a_filter_is_seen_while_it_is_written(desk: Desk) -> None:
    desk.press("/")
    desk.write("02")
    assert desk.rows() == ["uid-newsfeed-2"]
    desk.press("enter")
    assert "/02 1 of 3" in desk.screen()
    desk.press("escape")
    assert len(desk.rows()) == 3
    assert desk.session.place == Place("shop", "newsfeed"), "esc ended the filter and nothing else"


def test_esc_in_a_filter_returns_to_the_one_before(desk: Desk) -> None:
    desk.press("/", "0", "2", "enter", "/", "backspace", "3")
    assert desk.rows() == ["uid-newsfeed-3"]
    desk.press("escape")
    assert desk.rows() == ["uid-newsfeed-2"]


def test_inverse_and_fields(desk: Desk) -> None:
    desk.press("/", *"!02", "enter")
    assert desk.rows() == ["uid-newsfeed-1", "uid-newsfeed-3"]
    desk.press("/", "ctrl+u", *"-l slot=newsfeed-03", "enter")
    assert desk.rows() == ["uid-newsfeed-3"]
    desk.press("/", "ctrl+u", *"-l colour=red")
    desk.press("enter")
    assert "no field or label colour" in desk.screen()


STABLE, CANARY = {"app": "newsfeed", "track": "stable"}, {"app": "newsfeed", "track": "canary"}


def labelled(**changes: Any) -> dict[str, Any]:
    """Three pods, the second a canary with the longest request."""
    slow = pictures.request(12.0, pod="newsfeed-2"), pictures.request(3.0)
    return pictures.picture(roll(label_set=lambda n: int(n == 2)), label_sets=[STABLE, CANARY], longest=slow, **changes)


def test_labels_select_pods_and_what_they_are_at(desk: Desk) -> None:
    desk.take(labelled())
    desk.press("/", *"-l track=canary", "enter")
    assert desk.rows() == ["uid-newsfeed-2"]
    desk.take(pictures.picture(roll(label_set=lambda n: 1), label_sets=[STABLE, CANARY]))
    assert len(desk.rows()) == 3, "their labels were changed"
    desk.take(labelled())
    desk.command("requests -l track in (canary)")
    assert [row["pod"] for row in desk.session.listing.shown] == ["newsfeed-2"]
    desk.command("pods -l trak!=canary")
    assert len(desk.rows()) == 3
    assert "no field or label trak; labels are app, track; fields are name" in desk.screen()


def test_a_label_filter_is_copied_with_l(desk: Desk) -> None:
    desk.take(labelled())
    desk.press("/", *"-l label:track in (canary,stable),state=serving,!old", "enter", "c")
    assert desk.session.wants[-1] == Copy("kubectl rollcall pods newsfeed -n shop -l 'track in (canary,stable),!old'")
    desk.press("/", "ctrl+u", *"-l state=serving", "enter", "c")
    assert desk.session.wants[-1] == Copy("kubectl -n shop describe pod newsfeed-1")
    desk.press("e", "/", *"-l app=newsfeed", "enter", "c")
    assert desk.session.wants[-1] == Copy("kubectl rollcall endpoints newsfeed -n shop"), "endpoints have no labels"


def test_services_by_their_own_labels(wall: Desk) -> None:
    feed, mail = fleet("feed", labels={"team": "shop"}), fleet("mail")
    wall.take({"services": feed["services"] + mail["services"]})
    wall.command("svc -l team")
    assert wall.rows() == ["shop/feed"]
    wall.press("c")
    assert wall.session.wants[-1] == Copy("kubectl get monitoredservices -A -l team")


def test_labels_of_a_pod_are_seen_and_safe(desk: Desk) -> None:
    hostile = {"app": "newsfeed", "\x1b[31mred": "a\nb", "note": "x" * 63, "zone": "eu" * 30}
    desk.take(pictures.picture(roll(), label_sets=[hostile]))
    desk.press("enter")
    small = desk.screen(80, 24)
    assert "labels app=newsfeed, " in small
    assert "\x1b" not in small
    assert small.count("zone=") == 0, "the table below keeps its room"
    assert "zone=eueu" in desk.screen(120, 45)


def test_letters_in_a_prompt_are_no_commands(desk: Desk) -> None:
    desk.press("/", "q", "enter")
    assert desk.session.wants == []
    desk.press("q")
    assert desk.session.wants == [End()]


@pytest.mark.parametrize(
    ("text", "place", "part"),
    [
        ("svc", Place(), "pods"),
        ("svc mail", Place("shop", "mail"), "pods"),
        ("svc bank/ledger", Place("bank", "ledger"), "pods"),
        ("deps newsfeed", Place("shop", "newsfeed"), "dependencies"),
        ("left bank/ledger", Place("bank", "ledger"), "departures"),
        ("ns bank", Place("bank"), "pods"),
        ("ns all", Place(), "pods"),
    ],
)
def test_commands_lead_somewhere(wall: Desk, text: str, place: Place, part: str) -> None:
    wall.command(text)
    assert (wall.session.place, wall.session.part) == (place, part)


def test_commands_on_a_service(desk: Desk) -> None:
    desk.command("pods /03")
    assert desk.rows() == ["uid-newsfeed-3"]
    desk.press("escape")
    desk.command("sort rps")
    assert "RPS▼" in desk.screen()
    desk.command("sort colour")
    assert "no column colour" in desk.screen()
    desk.command("skin light")
    assert desk.session.skin == "light"
    desk.command("skin pink")
    assert "skins are dark, light, contrast" in desk.screen()
    desk.command("span 15")
    assert desk.session.span_s == 900
    desk.command("help")
    assert "Rows" in desk.screen()
    desk.press("escape")
    desk.command("q")
    assert desk.session.wants == [End()]


def test_a_command_that_there_is_not_is_answered_by_the_nearest(desk: Desk) -> None:
    desk.command("endpoint")
    assert "did you mean :endpoints?" in desk.screen()


def test_completion_and_history(wall: Desk) -> None:
    wall.press(":", "d", "tab")
    assert wall.session.prompt is not None
    assert wall.session.prompt.text == "dep"
    wall.press("e", "tab", *"new", "tab")
    assert wall.session.prompt.text == "dependencies newsfeed"
    wall.press("escape")
    wall.command("now")
    wall.press(":", "up")
    assert wall.session.prompt.text == "now"
    wall.press("ctrl+u", "backspace")
    assert wall.session.prompt is None


def test_pause_holds_the_picture_and_space_goes_on(desk: Desk) -> None:
    desk.press("space")
    desk.take(pictures.picture(roll(5)) | {"at": 1007.0})
    assert len(desk.rows()) == 3
    assert "❚❚" in desk.screen()
    assert "7s ago" in desk.screen()
    desk.press("space")
    assert len(desk.rows()) == 5
    assert "● live" in desk.screen()


def test_the_past_by_the_second(desk: Desk) -> None:
    session = desk.session
    session.past.take(json.dumps(history(60, until=999)).encode())
    desk.press("left")
    assert session.moment == 999
    assert "nothing is kept of the pods at this moment" in desk.screen()
    desk.press(",")
    assert session.moment == 969
    assert "requests/s 39" in desk.screen()
    desk.press(",", ",", ",")
    assert session.moment == 940
    assert "nothing is kept" in desk.screen()
    desk.press("right", ".")
    assert session.moment == 971
    desk.press("escape")
    assert session.moment is None


def test_what_was_seen_is_seen_again(desk: Desk) -> None:
    from rollcall.cli.top.past import pack

    desk.session.past.take(json.dumps(history(10)).encode())
    desk.session.kept.keep(998, pack(json.dumps(pictures.picture(roll(2)) | {"at": 998.0}).encode()))
    desk.press("left", "left")
    assert len(desk.rows()) == 2
    desk.press("n")
    assert len(desk.rows()) == 3


def test_what_happened_about_then_is_said(desk: Desk) -> None:
    desk.session.past.take(json.dumps(history(60)).encode())
    desk.press(*["left"] * 4)
    assert "departure: OOMKilled" in desk.screen()


def test_a_moment_that_was_not_seen_is_asked_for_and_its_pods_say_when_they_are_of(desk: Desk) -> None:
    session = desk.session
    session.past.take(json.dumps(history(60, until=999)).encode())
    desk.press(",")
    assert session.wants == [Recall("/v1/services/shop/newsfeed?at=971", 970)]
    told = decode(json.dumps(pictures.picture(roll(2)) | {"at": 967.2}).encode())
    session.recall(told, 971)
    assert desk.rows() == [], "of another moment than the one that is looked at"
    session.recall(told, 970)
    assert len(desk.rows()) == 2
    assert "pods are of 00:16:07" in desk.screen()
    assert "requests/s 40" in desk.screen(), "figures are of the second itself"
    desk.press("n")
    assert len(desk.rows()) == 3


def test_all_services_of_a_moment(wall: Desk) -> None:
    wall.press("space")
    wall.take(fleet("new"))
    assert len(wall.rows()) == 3
    wall.press("left")
    assert wall.session.wants == [Recall("/v1/services?at=1000", 999)]
    wall.session.recall(decode(json.dumps(fleet("then", at=998.0)).encode()), 999)
    assert wall.rows() == ["shop/then"]
    assert "❚❚" in wall.screen()
    wall.press("escape")
    assert wall.rows() == ["shop/new"]
    wall.session.travel(-2000)
    assert "nothing is kept" in wall.screen()


@pytest.mark.parametrize(
    ("pressed", "command"),
    [
        ((), "kubectl -n shop describe pod newsfeed-1"),
        (("r",), "kubectl rollcall requests newsfeed -n shop"),
        (("d",), "kubectl rollcall deps newsfeed -n shop"),
        (("enter",), "kubectl rollcall why newsfeed-1 -n shop"),
    ],
)
def test_copy_as_a_command(desk: Desk, pressed: tuple[str, ...], command: str) -> None:
    desk.press(*pressed, "c")
    assert desk.session.wants[-1] == Copy(command)
    assert f"copied: {command}" in desk.screen()


def test_copy_of_a_service_names_the_context(wall: Desk) -> None:
    wall.session.options = "--context dev"
    wall.press("c")
    assert wall.session.wants == [Copy("kubectl --context dev -n bank get monitoredservice ledger -o yaml")]


def test_no_key_or_command_changes_anything_in_the_cluster(desk: Desk, wall: Desk) -> None:
    for each in (desk, wall):
        for key in keys.KEYS:
            each.press(key.names[0])
    allowed = (Follow, Copy, Ask, Recall, End)
    assert all(isinstance(want, allowed) for each in (desk, wall) for want in each.session.wants)
    copied = [want.text.split() for each in (desk, wall) for want in each.session.wants if isinstance(want, Copy)]
    assert all({"delete", "scale", "apply", "edit", "patch", "drain"}.isdisjoint(words) for words in copied)


def test_the_help_lists_what_works_here_and_nothing_else(desk: Desk, wall: Desk) -> None:
    desk.press("?")
    assert "half a minute back" in desk.screen(80, 24)
    wall.press("?")
    assert "table before" in desk.screen(80, 24)
    assert "table before" not in wall.screen(80, 24)
    wall.press("?")
    assert ":namespace" in wall.screen(80, 24)
    wall.press("?")
    assert "ledger" in wall.screen(80, 24)


def test_every_key_is_bound_once() -> None:
    names = [name for key in keys.KEYS for name in key.names]
    assert len(names) == len(set(names))


def test_a_pod_that_leaves_while_it_is_looked_at(desk: Desk) -> None:
    desk.press("enter")
    gone = pictures.departure(uid="uid-newsfeed-1", slot="newsfeed-01", cause="OOMKilled")
    desk.take(pictures.picture(roll(3)[1:], departures=pictures.departures(gone)))
    assert "OOMKilled" in desk.screen()
    desk.press("tab", "tab")
    assert desk.rows() == ["uid-newsfeed-1"], "who was in this slot before"
