"""Dependencies, crashes and the bottleneck as a person reads them."""

from __future__ import annotations

from typing import Any

import pytest

from rollcall.cli.causes import bottleneck_line, crashes_table, dependencies_table, trouble_lines
from rollcall.cli.top import render
from rollcall.model.causes import Dependencies, FoldedDependencies, Shares, Throttled
from rollcall.model.picture import InFlight, ResponseTime, Traffic
from tests.unit.cli.pictures import bottleneck, crash, crashes, dependency, picture, pod
from tests.unit.cli.test_parts import lines
from tests.unit.cli.test_screen import text

SHORTAGE = Throttled("dynamodb newsfeed", "throttled", 41.2, 0.38, 955.0)


def shown(**changes: Any) -> dict[str, Any]:
    return picture([pod("newsfeed-1")], **changes)


def test_dependencies() -> None:
    idle = dependency(
        "redis cache", calls_per_second=0.0, failure_ratio=None, failures={}, mean=None, p50=None, p95=None, p99=None,
        share=None, concurrency=None,
    )  # fmt: skip
    table = dependencies_table(
        shown(
            dependencies=Dependencies([dependency("dynamodb newsfeed"), idle], FoldedDependencies(0, 0)),
            bottleneck=bottleneck(),
            throttled=[SHORTAGE],
        )
    )
    first, second, _, head, dynamodb, redis = lines(table)
    assert " ".join(first).startswith(
        "bottleneck dependency postgresql orders 62% of requests over 1 s all time: dependency 62%"
    )
    assert " ".join(second) == "too little dynamodb newsfeed: 41/s throttled (38% of its calls) for 45s"
    assert head == ["DEPENDENCY", "SHARE", "CALLS/S", "FAILED", "MEAN", "P50", "P95", "P99", "AT", "ONCE", "CALLS", "WHY"]
    assert dynamodb[2:] == [
        "62%", "105", "38%", "10ms", "8ms", "23ms", "100ms", "1.2", "999", "41/s", "throttled,", "0.4/s", "timeout",
    ]  # fmt: skip
    assert redis == ["redis", "cache", "–", "0.0", "–", "–", "–", "–", "–", "–", "999"]


@pytest.mark.parametrize(("folded", "said"), [(1, "7 calls of 1 dependency that"), (30, "7 calls of 30 dependencies that")])
def test_what_was_folded_is_said(folded: int, said: str) -> None:
    table = Dependencies([dependency("other")], FoldedDependencies(folded, 7))
    assert f"other: {said} have no row of their own" in text(dependencies_table(shown(dependencies=table)))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "bottleneck dependency postgresql orders 62% of requests over 1 s   all time: dependency 62%  cpu 20%  other 18%"),
        (
            {"kind": "cpu", "dependency": None, "share": 0.9, "slow": None, "shares": Shares(0.9, 0.1, 0, 0, 0.001, 0)},
            "bottleneck cpu 90%   all time: cpu 90%  dependency 10%",
        ),
        (
            {"kind": "queue", "dependency": None, "share": 0.7, "shares": Shares(0.1, 0.2, 0.7, 0, 0, 0), "coverage": 0.75},
            "bottleneck queue 70%   all time: queue 70%  dependency 20%  cpu 10%   CPU known of 75%",
        ),
    ],
)
def test_bottleneck(changes: dict[str, Any], line: str) -> None:
    assert text(bottleneck_line(shown(bottleneck=bottleneck(**changes))["bottleneck"]), 200).strip() == line


def test_no_bottleneck_is_a_dash() -> None:
    assert text(bottleneck_line(None)).strip() == "bottleneck –"


def test_crashes() -> None:
    bare = crash(
        signal=None, module=None, offset=None, address=None, endpoint=None, elapsed=None, step="", unanswered=0, revision=None,
        image=None,
    )  # fmt: skip
    inside = crash(module="/lib/libc.so.6", caller="/opt/feed.so", offset=None, unanswered=2)
    found = text(crashes_table(shown(crashes=crashes(crash(), inside, bare))), 200)
    assert found.startswith("total 14  SIGSEGV 12  SIGABRT 2   in 5 minutes 12\n")
    assert "Deployment/newsfeed: 12 crashes in 3 minutes since revision 7d9c; none in 40 minutes of 6d5b\n" in found
    assert [line.split() for line in found.splitlines()[3:5]] == [
        ["COUNT", "SIGNAL", "MODULE", "ENDPOINT", "REVISION", "LAST", "IMAGE"],
        ["12", "SIGSEGV", "/usr/lib/php/feed.so", "GET", "/feed", "7d9c", "12s", "ago", "shop/feed:9"],
    ]
    assert "12s ago SIGSEGV in /usr/lib/php/feed.so+0x1139 at address 0x0  1 request unanswered\n" in found
    assert (
        "    GET /feed after 120ms  code rank (feed.php:12)  newsfeed-1  php worker 17  revision 7d9c  image shop/feed:9\n"
        in found
    )
    assert "SIGSEGV in /lib/libc.so.6 called by /opt/feed.so at address 0x0  2 requests unanswered\n" in found
    assert "ended, nobody knows why  0 requests unanswered\n    no request in flight  newsfeed-1  php worker 17\n" in found


def test_troubles_are_few_lines() -> None:
    assert trouble_lines(shown()) == []
    many = [Throttled(f"http host-{n}", "refused", 1.0, None, 995.0) for n in range(9)]
    found = [text(line, 200).strip() for line in trouble_lines(shown(throttled=many, crashes=crashes()))]
    assert found == [
        *(f"too little http host-{n}: 1.0/s refused for 5s" for n in range(3)),
        "crashed 12 workers in 5 minutes: SIGSEGV in feed.so at GET /feed, revision 7d9c  12s ago",
    ]


def test_top_keeps_to_its_height_whatever_is_wrong() -> None:
    wrong = picture(
        [pod(f"newsfeed-{number}") for number in range(4)],
        throttled=[SHORTAGE],
        crashes=crashes(),
        bottleneck=bottleneck(),
        dependencies=Dependencies([dependency(f"http {number}") for number in range(30)], FoldedDependencies(0, 0)),
    )
    for height in range(17, 60):
        found = text(render(wrong, height), width=100).splitlines()
        assert len(found) <= height - 1, "the footer has the last line"
        assert sum("● serving" in line for line in found) == 4
    tall = text(render(wrong, 60), width=160)
    assert "http 9" in tall
    assert "http 10" not in tall
    assert tall.count("too little") == tall.count("crashed 12 workers") == tall.count("bottleneck") == 1


def test_requests_in_flight_of_some_of_the_pods() -> None:
    traffic = Traffic(1.0, 10.0, 1.0, 0.0, ResponseTime(), InFlight(31, [28, 2, 1, 0], 4.2), pods=4, in_flight_pods=3)
    mixed = shown(traffic=traffic, sources={"python": 3, "accessLog": 1})
    found = text(render(mixed, 40))
    assert "of 3 of 4 pods" in found
    assert "pods by source: python 3, accessLog 1" in found
    assert "of 3 of 3 pods" not in text(render(shown(traffic=Traffic(1.0, 1.0, 1.0, 0.0, ResponseTime(), None, 3, 3)), 40))
