"""Parts of a service as they change, and parts of several services together."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from kubernetes import client as kube

from rollcall.cli import parts
from rollcall.cli.connection import Caller, Target
from rollcall.cli.parts import run_part
from rollcall.cli.signals import part_of
from rollcall.cli.stream import Frame
from rollcall.cli.top import printed as printed_top
from tests.unit.cli.pictures import picture, pod, request

CALLER = Caller(Target(namespace="shop"), ssl.create_default_context(), {}, kube.Configuration())


async def frames_of(*pictures: dict[str, Any]) -> AsyncIterator[Frame]:
    for shown in pictures:
        yield Frame(shown, time.monotonic())


@pytest.mark.parametrize("output", ["table", "json"])
def test_watching_without_a_terminal(output: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []

    def frames(caller: Caller, path: str) -> AsyncIterator[Frame]:
        asked.append(path)
        return frames_of(picture([pod("a")], longest=[request(9.0)]), picture([pod("a")]))

    monkeypatch.setattr(parts, "frames", frames)
    monkeypatch.setattr(printed_top, "LINE_S", 0.0)
    run_part("requests", CALLER, "newsfeed", output=output, watch=True, seconds=None)
    out = capsys.readouterr().out
    assert asked == ["/v1/services/shop/newsfeed/stream"]
    if output == "json":
        first, second = (json.loads(line) for line in out.splitlines())
        assert (len(first["longest"]), second["longest"]) == (1, [])
    else:
        assert out.index("SELECT posts") < out.index("no request has been in flight for longer than 0.5 s")


NEWSFEED = picture([pod("a")], longest=[request(9.0), request(2.0)])
MAIL = picture([pod("b")], longest=[request(4.0)]) | {"name": "mail"}
CHAT = picture([pod("c")], longest=[]) | {"name": "chat"}


def of_all(
    command: str,
    services: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    output: str = "table",
) -> str:
    async def each(caller: Caller, path: str) -> dict[str, Any]:
        assert path == "/v1/services?namespace=shop"
        return {"services": services}

    monkeypatch.setattr(parts, "_each", each)
    run_part(command, CALLER, None, output=output, watch=False, seconds=None)
    return capsys.readouterr().out


def test_requests_of_all_services_are_one_list(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    head, *rows = of_all("requests", [CHAT, MAIL, NEWSFEED], monkeypatch, capsys).splitlines()
    assert head.split()[:3] == ["SERVICE", "ELAPSED", "ENDPOINT"]
    assert [row.split()[:2] for row in rows[:3]] == [
        ["shop/newsfeed", "9.0s"],
        ["shop/mail", "4.0s"],
        ["shop/newsfeed", "2.0s"],
    ]
    assert rows[3:] == ["shop/chat: no request has been in flight for longer than 0.5 s"]


def test_parts_of_all_services(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    shown = of_all("pods", [MAIL, NEWSFEED], monkeypatch, capsys)
    assert [line.split()[0] for line in shown.splitlines() if line] == ["shop/mail", "POD", "b", "shop/newsfeed", "POD", "a"]
    assert of_all("pods", [MAIL], monkeypatch, capsys).split()[0] == "POD", "of one alone nobody needs the name"
    assert of_all("pods", [], monkeypatch, capsys) == "there is no MonitoredService here\n"
    assert of_all("pods", [MAIL, NEWSFEED], monkeypatch, capsys, "name") == "pod/b\npod/a\n"
    told = json.loads(of_all("pods", [MAIL], monkeypatch, capsys, "json"))
    assert told == {"services": [part_of(MAIL, "pods")]}


def test_watching_services_for_programs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Of one that is named that one alone, again and again."""

    def frames(caller: Caller, path: str) -> AsyncIterator[Frame]:
        assert path == "/v1/services/stream?namespace=shop"
        return frames_of({"services": [MAIL, NEWSFEED]}, {"services": [MAIL, NEWSFEED]})

    monkeypatch.setattr(parts, "frames", frames)
    monkeypatch.setattr(printed_top, "LINE_S", 0.0)
    parts.run_get(CALLER, "mail", all_namespaces=False, output="json", watch=True)
    assert [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()] == ["mail", "mail"]
    parts.run_get(CALLER, None, all_namespaces=False, output="name", watch=True)
    assert capsys.readouterr().out.splitlines()[:2] == [
        f"monitoredservice.rollcall.dev/{name}" for name in ("mail", "newsfeed")
    ]


def test_watching_all_services(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def frames(caller: Caller, path: str) -> AsyncIterator[Frame]:
        assert path == "/v1/services"
        return frames_of({"services": [MAIL, NEWSFEED]})

    monkeypatch.setattr(parts, "frames_of_each", frames)
    run_part("pods", CALLER, None, all_namespaces=True, output="json", watch=True, seconds=None)
    assert [json.loads(line)["name"] for line in capsys.readouterr().out.splitlines()] == ["mail", "newsfeed"]
