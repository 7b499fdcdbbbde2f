"""`-l`, `-L` and `--show-labels` of pods, requests and services; what is said where that selects nothing or cannot be read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from rollcall.cli import parts
from rollcall.cli.connection import Caller, CliError
from rollcall.cli.labels import By, by, with_pods
from rollcall.cli.screen import Labels
from rollcall.cli.selector import parse
from rollcall.cli.stream import Frame
from rollcall.cli.top import printed as printed_top
from tests.unit.cli.pictures import picture, pod, request
from tests.unit.cli.test_parts import CALLER, EVIL
from tests.unit.cli.test_several import frames_of

SETS = [{"app": "newsfeed", "track": "stable"}, {"app": "newsfeed", "track": "canary"}, {}]
CANARY = By(parse("track=canary"))
ALL = Labels(every=True)


def service() -> dict[str, Any]:
    roll = [pod("a"), pod("b", label_set=1), pod("c", label_set=2)]
    return picture(roll, label_sets=SETS, longest=[request(9.0, pod="b"), request(8.0, pod="a"), request(7.0, pod="c")])


def services() -> dict[str, Any]:
    return {"services": [picture(None, labels={"team": "feed"}), picture(None, name="mail")]}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the operator answers."""
    pictures = {"/v1/services/shop/newsfeed": service(), "/v1/services?namespace=shop": services()}

    async def once(caller: Caller, path: str) -> dict[str, Any]:
        return pictures[path]

    monkeypatch.setattr(parts, "once", once)
    return pictures


def part(command: str, labels: By, output: str = "table") -> None:
    parts.run_part(command, CALLER, "newsfeed", output=output, watch=False, seconds=None, labels=labels)


def get(labels: By, output: str = "table", service: str | None = None) -> None:
    parts.run_get(CALLER, service, all_namespaces=False, output=output, watch=False, labels=labels)


@pytest.mark.parametrize(
    ("command", "selector", "names"),
    [
        ("pods", "track=canary", ["pod/b"]),
        ("pods", "track!=canary", ["pod/a", "pod/c"]),
        ("pods", "track in (canary,stable)", ["pod/a", "pod/b"]),
        ("pods", "!track", ["pod/c"]),
        ("pods", "", ["pod/a", "pod/b", "pod/c"]),
        ("requests", "track", ["pod/b", "pod/a"]),
        ("requests", "track=none", []),
    ],
)
def test_pods_and_their_requests_by_labels(
    told: dict[str, Any], capsys: pytest.CaptureFixture[str], command: str, selector: str, names: list[str]
) -> None:
    part(command, By(parse(selector)), "name")
    assert capsys.readouterr().out.split() == names


def test_a_column_of_labels(told: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    for command, last in (("pods", ["stable", "canary", "–"]), ("requests", ["canary", "stable", "–"])):
        part(command, By(shown=ALL))
        head, *rows = capsys.readouterr().out.splitlines()
        assert head.split()[-1] == "LABELS"
        assert [row.split()[-1] for row in rows] == [f"app=newsfeed,track={each}" if each != "–" else each for each in last]
    part("pods", By(CANARY.selector, ALL), "wide")
    (row,) = capsys.readouterr().out.splitlines()[1:]
    assert row.split()[-2:] == ["uid-b", "app=newsfeed,track=canary"]
    get(By(shown=ALL))
    assert [row.split()[-1] for row in capsys.readouterr().out.splitlines()] == ["LABELS", "team=feed", "–"]


def test_labels_as_columns(told: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Each once, in the order in which they are named; what somebody does not have is a dash."""
    told["/v1/services/shop/newsfeed"]["labelSets"] = [*SETS[:2], {"app.kubernetes.io/name": "feed"}]
    labels = by(None, ["app.kubernetes.io/name, track", "track"], every=False)
    part("pods", labels, "wide")
    head, *rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert head[-2:] == ["NAME", "TRACK"]
    assert [row[-2:] for row in rows] == [["–", "stable"], ["–", "canary"], ["feed", "–"]]
    part("requests", By(None, Labels(("track",), every=True)))
    head, first, *_ = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert (head[-2:], first[-2:]) == (["TRACK", "LABELS"], ["canary", "app=newsfeed,track=canary"])
    get(by("team", ["team"], every=False))
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["TEAM", "feed"]


@pytest.mark.parametrize("columns", ["app,", "", "a b", "Team/x", "app=feed"])
def test_what_is_no_label_is_no_column(columns: str) -> None:
    with pytest.raises(CliError, match="no key of a label") as caught:
        by(None, [columns], every=False)
    assert str(caught.value).startswith("--label-columns ")
    assert caught.value.code == 2


def test_programs_get_the_sets_beside_the_pods(told: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    part("pods", CANARY, "json")
    found = json.loads(capsys.readouterr().out)
    assert [(each["name"], found["labelSets"][each["labelSet"]]) for each in found["roll"]] == [("b", SETS[1])]


def test_services_by_their_labels(told: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    get(By(parse("team in (feed,shop)")), "name")
    assert capsys.readouterr().out == "monitoredservice.rollcall.dev/newsfeed\n"
    get(By(parse("!team")), "name")
    assert capsys.readouterr().out == "monitoredservice.rollcall.dev/mail\n"
    with pytest.raises(CliError, match="named or selected by labels, not both") as caught:
        get(CANARY, service="newsfeed")
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("command", "selector", "expected"),
    [
        ("pods", "track=canary", ["shop/newsfeed", "b"]),
        ("pods", "track=none", ["no pod has these labels: track=none"]),
        ("requests", "track in (canary,stable)", ["shop/newsfeed 9.0s", "shop/newsfeed 8.0s"]),
    ],
)
def test_of_all_services(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, selector: str, expected: list[str]
) -> None:
    """Those without such a pod are left out."""

    async def each(caller: Caller, path: str) -> dict[str, Any]:
        assert path == "/v1/services"
        other = picture([pod("x", label_set=0)], name="mail", label_sets=[{"app": "mail"}], longest=[request(5.0, pod="x")])
        return {"services": [service(), other]}

    monkeypatch.setattr(parts, "_each", each)
    labels = By(parse(selector))
    parts.run_part(command, CALLER, None, all_namespaces=True, output="table", watch=False, seconds=None, labels=labels)
    out = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    rows = [line for line in out if not line.startswith(("POD ", "SERVICE "))]
    assert [row[: len(wanted)] for row, wanted in zip(rows, expected, strict=True)] == expected


def test_where_nothing_is_selected_that_is_said(told: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    none = By(parse("track in (x, y), !old"))
    for command in ("pods", "requests"):
        part(command, none)
        assert capsys.readouterr().out == "no pod of newsfeed has these labels: track in (x,y),!old\n"
    get(none)
    assert capsys.readouterr().out == "no MonitoredService here has these labels: track in (x,y),!old\n"


def test_a_wrong_selector_is_a_sentence_and_ends_with_2() -> None:
    with pytest.raises(CliError) as caught:
        by("app=feed,env in (prod", None, every=False)
    assert (str(caught.value), caught.value.code) == ('--selector "env in (prod": the list has no )', 2)


def test_an_operator_that_tells_no_labels_is_too_old(told: dict[str, Any]) -> None:
    del told["/v1/services/shop/newsfeed"]["labelSets"]
    for each in told["/v1/services?namespace=shop"]["services"]:
        del each["labels"]
    for call in (lambda: part("pods", CANARY), lambda: part("requests", By(shown=ALL)), lambda: get(CANARY)):
        with pytest.raises(CliError, match="older than this command line"):
            call()
    part("pods", By())
    get(By())


@pytest.mark.parametrize("output", ["table", "name"])
def test_watching_is_narrowed_too(output: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    changed = service() | {"labelSets": [SETS[1], SETS[0], SETS[2]]}
    told = {"/v1/services/shop/newsfeed/stream": [service(), changed], "/v1/services/stream?namespace=shop": [services()]}

    def frames(caller: Caller, path: str) -> AsyncIterator[Frame]:
        return frames_of(*told[path])

    monkeypatch.setattr(parts, "frames", frames)
    monkeypatch.setattr(printed_top, "LINE_S", 0.0)
    parts.run_part("pods", CALLER, "newsfeed", output=output, watch=True, seconds=None, labels=CANARY)
    out = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith(("a ", "b ", "c ", "pod/"))]
    assert out == (["b", "a"] if output == "table" else ["pod/b", "pod/a"])
    parts.run_get(CALLER, None, all_namespaces=False, output="table", watch=True, labels=By(parse("team")))
    (line,) = capsys.readouterr().out.splitlines()
    assert "shop/newsfeed" in line


def test_labels_cannot_move_the_cursor_and_are_no_markup(capsys: pytest.CaptureFixture[str], told: dict[str, Any]) -> None:
    told["/v1/services/shop/newsfeed"]["labelSets"] = [{EVIL: EVIL}] * 3
    told["/v1/services?namespace=shop"]["services"][0]["labels"] = {EVIL: EVIL}
    for call in (lambda: part("pods", By(shown=ALL)), lambda: get(By(shown=ALL))):
        call()
        found = capsys.readouterr().out
        assert "GET /\ufffd[2J[bold]\ufffd" in found
        assert not set("\x1b\r\u202e") & set(found)


def test_narrowing_leaves_the_picture_as_it_was() -> None:
    whole = service()
    assert with_pods(whole, None) is whole
    assert [each["name"] for each in with_pods(whole, CANARY.selector)["roll"]] == ["b"]
    assert whole == service()
