"""Endpoints, errors, requests and pods as a person reads them: tables, sentences where there is nothing, and safe to print."""

from __future__ import annotations

import json
import ssl
from typing import Any

import pytest
import yaml
from kubernetes import client as kube

from rollcall.cli import parts
from rollcall.cli.connection import Caller, CliError, Target
from rollcall.cli.parts import run_part
from rollcall.cli.signals import PARTS, endpoints_table, errors_table, part_of, requests_table, resources_table
from rollcall.cli.top import render
from rollcall.model.causes import Dependencies, FoldedDependencies, Throttled
from rollcall.model.picture import Endpoints, Errors, ErrorType, Folded, Imbalance, ResponseTime, Traffic, Visitors
from tests.unit.cli.pictures import (
    bottleneck,
    crash,
    crashes,
    departure,
    departures,
    dependency,
    endpoint,
    picture,
    pod,
    request,
    resources,
    sample,
    unheard,
)  # fmt: skip
from tests.unit.cli.test_screen import text

CALLER = Caller(Target(namespace="shop"), ssl.create_default_context(), {}, kube.Configuration())
NOTHING = Traffic(None, 10.0, None, None, ResponseTime(), None)


def lines(thing: Any) -> list[list[str]]:
    return [line.split() for line in text(thing, width=200).splitlines()]


def test_endpoints() -> None:
    idle = endpoint(
        "POST /post", requests_per_second=0.0, error_ratio=None, mean=None, p50=None, p95=None, p99=None, share=None
    )
    shown = picture([pod("a")], endpoints=Endpoints([endpoint("GET /feed/<user>"), idle], Folded(0, 0)))
    head, feed, post = lines(endpoints_table(shown))
    assert head == ["ENDPOINT", "SHARE", "RPS", "ERRORS", "MEAN", "P50", "P95", "P99", "REQUESTS", "UNANSWERED"]
    assert feed == ["GET", "/feed/<user>", "42%", "12", "0.2%", "30ms", "21ms", "87ms", "1.23s", "5000", "0"]
    assert post == ["POST", "/post", "–", "0.0", "–", "–", "–", "–", "–", "5000", "0"]


@pytest.mark.parametrize(("folded", "said"), [(1, "of 1 endpoint that"), (30, "of 30 endpoints that")])
def test_what_was_folded_is_said(folded: int, said: str) -> None:
    shown = text(endpoints_table(picture([pod("a")], endpoints=Endpoints([endpoint("other")], Folded(folded, 77)))))
    assert f"other: 77 requests {said} have no row of their own" in shown.replace("\n", " ")


def test_errors() -> None:
    types = [ErrorType("exception", "ValueError", 1.25, 100), ErrorType("abort", "client", None, 3)]
    shown = picture([pod("a")], errors=Errors(1.25, types, [sample(), sample(line=None, function="", file="", revision=None)]))
    found = text(errors_table(shown))
    assert lines(errors_table(shown))[:3] == [
        ["KIND", "TYPE", "PER", "SECOND", "TOTAL"],
        ["exception", "ValueError", "1.2", "100"],
        ["abort", "client", "–", "3"],
    ]
    assert "12s ago exception ValueError: no such page" in found
    assert "    feed (app/feed.py:42)  GET /feed  newsfeed-1  revision 7d9c" in found
    assert "    ?  GET /feed  newsfeed-1\n" in found


def test_samples_that_say_the_same_are_shown_once() -> None:
    alike = [sample(), sample(pod="newsfeed-2"), sample(pod="newsfeed-3"), sample(message="another"), sample()]
    shown = picture([pod("a")], errors=Errors(1.0, [ErrorType("exception", "ValueError", 1.0, 5)], alike))
    found = text(errors_table(shown), 200)
    assert found.count("no such page") == 1
    assert "newsfeed-1  revision 7d9c  and 3 more like it, also of 2 other pods" in found
    assert found.index("another") > found.index("no such page")


def test_requests() -> None:
    shown = picture(
        [pod("a")], longest=[request(125.0, slot="newsfeed-03"), request(3.72, step="", step_elapsed=None, revision=None)]
    )
    head, first, second = lines(requests_table(shown))
    assert head == ["ELAPSED", "ENDPOINT", "STEP", "FOR", "POD", "SLOT", "WORKER", "REVISION"]
    assert first == ["2m", "GET", "/feed", "db", "SELECT", "posts", "2.2s", "newsfeed-1", "newsfeed-03", "17", "7d9c"]
    assert second == ["3.7s", "GET", "/feed", "–", "–", "newsfeed-1", "–", "17", "–"]


def test_pods() -> None:
    roll = [
        pod("a", resources=resources(), busy_workers=1, listen_queue=0, revision="7d9c", restarts=2, slot="newsfeed-01"),
        pod("b", resources=resources(source="kubelet", age=31.0, throttled_ratio=None, cpu_limit_millicores=None)),
        unheard("c", "bare", "OptedOut"),
    ]
    _, a, b, c = lines(resources_table(picture(roll)))
    assert a == [
        "a",
        "newsfeed-01",
        "●",
        "serving",
        "350m",
        "200m",
        "500m",
        "25%",
        "150Mi",
        "256Mi",
        "2",
        "1",
        "1/2",
        "0",
        "7d9c",
        "probe",
    ]
    assert b[4:] == ["350m", "200m", "–", "–", "150Mi", "256Mi", "0", "1", "–", "–", "–", "kubelet", "31s", "ago"]
    assert c == ["c", "–", "◌", "bare", "OptedOut", *["–"] * 6, "0", "–", "–", "–", "–", "–"]


@pytest.mark.parametrize(
    ("part", "changes", "sentence"),
    [
        ("endpoints", {}, "no endpoint is known: no pod with a probe has answered a request yet"),
        ("errors", {}, "no error has been counted"),
        ("requests", {}, "no request has been in flight for longer than 0.5 s"),
        ("requests", {"bands_ms": [200, 400, 800]}, "no request has been in flight for longer than 0.2 s"),
        ("deps", {}, "no dependency is known: no pod has called one yet that its probe can see"),
        ("crashes", {}, "no worker has crashed"),
        ("departures", {}, "no pod has left since counting began"),
        ("requests", {"traffic": NOTHING}, "nothing is known of requests in flight: no pod reports that can see them"),
    ],
)
def test_empty_states_are_sentences(part: str, changes: dict[str, Any], sentence: str) -> None:
    assert text(PARTS[part](picture([pod("a")], **changes))).strip() == sentence


def test_a_service_without_pods() -> None:
    assert text(resources_table(picture([]))).strip() == "no pod matches the selector"


EVIL = "GET /\x1b[2J[bold]\r\n\u202e"


def test_nothing_from_a_pod_moves_the_cursor_or_is_markup() -> None:
    shown = picture(
        [pod(EVIL, resources=resources(), revision=EVIL)],
        endpoints=Endpoints([endpoint(EVIL)], Folded(0, 0)),
        errors=Errors(1.0, [ErrorType(EVIL, EVIL, 1.0, 1)], [sample(message=EVIL, file=EVIL, endpoint=EVIL, pod=EVIL)]),
        longest=[request(9.0, endpoint=EVIL, step=EVIL, pod=EVIL, revision=EVIL)],
        imbalance=Imbalance(1.0, 1.0, EVIL),
        dependencies=Dependencies([dependency(EVIL)], FoldedDependencies(0, 0)),
        crashes=crashes(crash(module=EVIL, endpoint=EVIL, step=EVIL, caller=EVIL, image=EVIL), endpoint=EVIL, revision=EVIL),
        bottleneck=bottleneck(dependency=EVIL),
        throttled=[Throttled(EVIL, "refused", 1.0, 0.1, 990.0)],
        departures=departures(departure(name=EVIL, node=EVIL, revision=EVIL, slot=EVIL, evidence=EVIL)),
    )
    for thing in (*(table(shown) for table in PARTS.values()), render(shown, 40)):
        found = text(thing, width=500)
        assert "GET /\ufffd[2J[bold]\ufffd" in found
        assert not set("\x1b\r\u202e") & set(found)


def test_departures() -> None:
    gone = departure(
        requests_per_second=None, error_ratio=None, p95=None, in_flight=None, final=None, slot=None, cause="Crashed"
    )
    shown = picture([pod("a")], departures=departures(departure(), gone))
    hour, day, total, _, head, first, second = lines(PARTS["departures"](shown))
    assert hour == ["last", "hour", "Crashed", "1", "ScaleIn", "4"]
    assert day == ["last", "24", "h", "Crashed", "1", "ScaleIn", "44"]
    assert total == ["total", "Crashed", "1", "ScaleIn", "444"]
    assert head[:4] == ["AGO", "SLOT", "POD", "CAUSE"]
    assert first == [
        *(
            "12s",
            "newsfeed-03",
            "newsfeed-7d9c-abcde",
            "ScaleIn",
            "Deployment/newsfeed",
            "wants",
            "5",
            "pods,",
            "and",
            "had",
            "6",
        ),
        *("10m", "12", "1%", "87ms", "2", "yes", "7d9c", "node-1"),
    ]
    assert second[-9:] == ["10m", "–", "–", "–", "–", "–", "7d9c", "node-1"][-9:] or second[-2:] == ["7d9c", "node-1"]
    assert "left in 1h Crashed 1  ScaleIn 4" in text(render(shown, 40))
    assert "left in" not in text(render(picture([pod("a")]), 40))


def test_top_shows_users_imbalance_and_what_there_is_room_for() -> None:
    shown = picture(
        [pod(f"newsfeed-{number}") for number in range(4)],
        visitors=Visitors(312.4, 8.2, 1500, 9000, 40_000, 0.0),
        imbalance=Imbalance(3.44, None, "newsfeed-2"),
        longest=[request(60.0 - number) for number in range(20)],
        endpoints=Endpoints([endpoint(f"GET /{number}") for number in range(50)], Folded(0, 0)),
    )
    tall = text(render(shown, 60), width=160)
    assert "users 312   visitors 5 min 1500  hour 9000  day 40000" in tall
    assert "busiest pod 3.4x of the mean in requests, – in flight  newsfeed-2" in tall
    assert tall.count("SELECT posts") == 10
    assert "GET /9" in tall
    assert "GET /10" not in tall
    for height in range(15, 60):
        found = text(render(shown, height), width=160).splitlines()
        assert len(found) <= height - 1, "the footer has the last line"
        assert sum("● serving" in line for line in found) == 4
    assert "SELECT posts" not in text(render(shown, 17))


def test_top_of_all_services_shows_users_and_imbalance() -> None:
    known = picture([pod("a")], visitors=Visitors(312.4, 8.2, 1500, 9000, 40_000, 0.0), imbalance=Imbalance(3.44, 1.0, "a"))
    head, row = lines(render({"services": [known]}, 40))
    assert head[-2:] == ["USERS", "IMBALANCE"]
    assert row[-2:] == ["312", "3.4x"]


@pytest.mark.parametrize("part", sorted(PARTS))
@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_width_breaks_it(part: str, width: int) -> None:
    shown = picture(
        [pod("newsfeed-7d9c-abcde", resources=resources())],
        endpoints=Endpoints([endpoint("GET /a/very/long/route/template/<with>/<parts>")], Folded(3, 7)),
        errors=Errors(1.0, [ErrorType("exception", "ValueError", 1.0, 1)], [sample()]),
        longest=[request(9.0)],
        dependencies=Dependencies([dependency("http a-very-long-name.of.a.service.example.com")], FoldedDependencies(3, 7)),
        crashes=crashes(crash()),
        bottleneck=bottleneck(),
        throttled=[Throttled("dynamodb newsfeed", "throttled", 41.2, 0.38, 990.0)],
    )
    assert max(len(line) for line in text(PARTS[part](shown), width).splitlines()) <= width


@pytest.mark.parametrize(
    ("part", "fields"),
    [
        ("endpoints", ["endpoints"]),
        ("errors", ["errors"]),
        ("requests", ["longest"]),
        ("pods", ["labelSets", "roll"]),
        ("deps", ["bottleneck", "throttled", "dependencies"]),
        ("crashes", ["crashes"]),
    ],
)
def test_for_programs(
    part: str, fields: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = picture([pod("a")], longest=[request(9.0)])

    async def once(caller: Caller, path: str) -> dict[str, Any]:
        assert path == "/v1/services/shop/newsfeed"
        return shown

    monkeypatch.setattr(parts, "once", once)
    run_part(part, CALLER, "newsfeed", output="json", watch=False, seconds=None)
    found = json.loads(capsys.readouterr().out)
    assert (
        found
        == part_of(shown, part)
        == {"namespace": "shop", "name": "newsfeed", "at": 1000.0} | {field: shown[field] for field in fields}
    )
    run_part(part, CALLER, "newsfeed", output="table", watch=False, seconds=None)
    assert capsys.readouterr().out.strip()


def printed(part: str, output: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    roll = [pod("b", resources=resources()), pod("a")]
    shown = picture(roll, longest=[request(9.0), request(8.0)], endpoints=Endpoints([endpoint("GET /")], Folded(0, 0)))

    async def once(caller: Caller, path: str) -> dict[str, Any]:
        return shown

    monkeypatch.setattr(parts, "once", once)
    run_part(part, CALLER, "newsfeed", output=output, watch=False, seconds=None)
    return capsys.readouterr().out


def test_names_for_shells(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert printed("pods", "name", monkeypatch, capsys).splitlines() == ["pod/b", "pod/a"]
    assert printed("endpoints", "name", monkeypatch, capsys) == "GET /\n"
    assert len(printed("requests", "name", monkeypatch, capsys).splitlines()) == 1, "each pod once"
    for part in ("errors", "deps", "crashes", "departures"):
        assert printed(part, "name", monkeypatch, capsys).strip() == ""


def test_yaml_says_what_json_says(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    as_yaml = yaml.safe_load(printed("pods", "yaml", monkeypatch, capsys))
    assert as_yaml == json.loads(printed("pods", "json", monkeypatch, capsys))


def test_wide_pods(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    head, first, _ = printed("pods", "wide", monkeypatch, capsys).splitlines()
    assert head.split()[-6:] == ["SOURCES", "AGENT", "CPU", "AGENT", "MEMORY", "UID"]
    assert len(head) > len(printed("pods", "table", monkeypatch, capsys).splitlines()[0])
    assert first.startswith("b ")


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("name", "monitoredservice.rollcall.dev/newsfeed\n"),
        ("table", "shop"),
        ("json", '"newsfeed"'),
        ("yaml", "name: newsfeed"),
    ],
)
def test_get(output: str, expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    async def once(caller: Caller, path: str) -> dict[str, Any]:
        assert path == "/v1/services?namespace=shop"
        return {"services": [picture([pod("a")])]}

    monkeypatch.setattr(parts, "once", once)
    parts.run_get(CALLER, None, all_namespaces=False, output=output, watch=False)
    assert expected in capsys.readouterr().out
    with pytest.raises(CliError, match='no MonitoredService "other" in namespace "shop"'):
        parts.run_get(CALLER, "other", all_namespaces=False, output=output, watch=False)
