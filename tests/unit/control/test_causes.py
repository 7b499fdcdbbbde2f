"""Whose fault it is, in the status: valid, small, standing still; conditions and sentences as people read them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rollcall.api.status import MonitoredServiceStatus
from rollcall.control.causes import crash_sentence, rounded_share, shortages
from rollcall.control.conditions import essence, status_of
from rollcall.model.causes import (
    Bottleneck,
    Crashes,
    CrashGroup,
    Dependencies,
    DependencyRow,
    FoldedDependencies,
    RevisionChange,
    RevisionCrashes,
    Shares,
    SignalCount,
    Throttled,
)
from rollcall.model.picture import Departure, Departures, Picture, ResponseTime, Traffic
from tests.unit.control.test_conditions import CONTEXT, NOTHING, conditions, picture

AT = 1_800_000_000.0
TRAFFIC = Traffic(1.0, 10.0, 1.0, 0.0, ResponseTime(), None, pods=3, in_flight_pods=3)
SHARES = Shares(0.2, 0.62, 0.0, 0.0, 0.18, 0.0)
REVISIONS = RevisionChange(
    "Deployment/newsfeed", RevisionCrashes("7f9c", 12, 180, 720), RevisionCrashes("6d5b", 0, 2400, 9600), "higher", 1e-13,
    "12 crashes in 3 minutes since revision 7f9c; none in 40 minutes of 6d5b",
)  # fmt: skip


def dependency(name: str, **changes: Any) -> DependencyRow:
    given: dict[str, Any] = {
        "dependency": name, "calls_per_second": 123.4, "failure_ratio": 0.012, "failures": {"throttled": 1.5}, "mean": 0.01,
        "p50": 0.008, "p95": 0.0234, "p99": 0.1, "concurrency": 1.2, "share": 0.612, "calls": 999, "failed": 12,
    }  # fmt: skip
    return DependencyRow(**(given | changes))


def shortage(dependency: str = "dynamodb newsfeed", **changes: Any) -> Throttled:
    given: dict[str, Any] = {"reason": "throttled", "per_second": 41.2, "ratio": 0.38, "since": AT - 9}
    return Throttled(dependency, **(given | changes))


TRAFFIC_OF_A_NEW_LEADER = Traffic(1.0, 2.0, 1.0, 0.0, ResponseTime(), None, pods=3, in_flight_pods=3)


def left(*causes: str, ago_s: float = 0.0) -> Departures:
    """Pods that left for these causes, the newest first."""
    recent = [
        Departure(
            None, f"pod-{number}", f"uid-{number}", None, "Deployment/newsfeed", None, cause, f"evidence of {cause}",
            AT - ago_s - number, None, None, None, None, None, None,
        )
        for number, cause in enumerate(causes)
    ]  # fmt: skip
    return Departures({}, {}, {}, recent)


def group(**changes: Any) -> CrashGroup:
    given: dict[str, Any] = {
        "signal": "SIGSEGV", "module": "/usr/lib/php/20220829/feed.so", "endpoint": "GET /feed", "revision": "7f9c",
        "image": "shop/feed:9", "count": 12, "first": AT - 180, "last": AT - 2,
    }  # fmt: skip
    return CrashGroup(**(given | changes))


def crashes(*groups: CrashGroup, **changes: Any) -> Crashes:
    given: dict[str, Any] = {
        "per_second": 0.1, "total": 12, "recent": 12, "last": AT - 2, "newest": "SIGSEGV",
        "by_signal": [SignalCount("SIGSEGV", 0.1, 12)], "groups": list(groups) or [group()],
    }  # fmt: skip
    return Crashes(**(given | changes))


def shown(**changes: Any) -> Picture:
    return picture(**({"at": AT, "traffic": TRAFFIC} | changes))


def everything() -> Picture:
    long = "x" * 300
    return shown(
        dependencies=Dependencies([dependency(f"{n} {long}") for n in range(9)], FoldedDependencies(0, 0)),
        throttled=[shortage(f"{n} {long}") for n in range(9)],
        crashes=crashes(
            *(group(module=f"{n}{long}", endpoint=long, image=long, revision=long) for n in range(9)), recent=10**9
        ),
        bottleneck=Bottleneck("dependency", long, 0.62, SHARES, [], None, 1.0, 1.0, 10.0),
    )


@pytest.mark.parametrize("full", [True, False])
def test_it_is_valid_and_small(full: bool) -> None:
    status = status_of(everything() if full else NOTHING, CONTEXT, {})
    read = MonitoredServiceStatus.model_validate(status)
    assert read.model_dump(by_alias=True, mode="json", exclude_unset=True) == msgspec.to_builtins(status)
    assert len(msgspec.json.encode(status)) < 32 * 1024
    assert [len(status[name]) for name in ("dependencies", "throttled", "crashes")] == ([5, 5, 3] if full else [0, 0, 0])
    assert ("bottleneck" in status) is full
    assert all(len(condition["message"]) <= 1024 for condition in status["conditions"])


def test_what_it_says() -> None:
    status = status_of(
        shown(
            dependencies=Dependencies(
                [dependency("postgresql orders"), dependency("redis cache", calls_per_second=0.0)], FoldedDependencies(0, 0)
            ),
            throttled=[shortage()],
            crashes=crashes(group(), group(signal=None, module=None, endpoint=None, last=AT - 4000)),
            bottleneck=Bottleneck("dependency", "postgresql orders", 0.62, SHARES, [], None, 1.0, 1.0, 10.0),
        ),
        CONTEXT,
        {},
    )
    assert status["dependencies"] == [
        {"name": "postgresql orders", "callsPerSecond": "123", "p95": "23ms", "failures": "1.2%", "share": "60%"}
    ]
    assert status["throttled"] == [
        {"dependency": "dynamodb newsfeed", "reason": "throttled", "perSecond": "41", "since": "2027-01-15T07:59:51Z"}
    ]
    assert status["crashes"] == [
        {
            "signal": "SIGSEGV", "module": "/usr/lib/php/20220829/feed.so", "endpoint": "GET /feed", "revision": "7f9c",
            "image": "shop/feed:9", "count": 12, "last": "2027-01-15T07:59:58Z",
        }
    ]  # fmt: skip
    assert status["bottleneck"] == {"class": "dependency", "dependency": "postgresql orders", "share": "60%"}


def test_a_shortage_keeps_its_begin() -> None:
    first = status_of(shown(throttled=[shortage()]), CONTEXT, {})
    second = status_of(shown(throttled=[shortage(since=AT + 50, per_second=41.4)]), CONTEXT, first)
    assert second["throttled"] == first["throttled"]
    assert essence(second) == essence(first)
    over = status_of(shown(), CONTEXT, second)
    assert over["throttled"] == []
    third = status_of(shown(throttled=[shortage(since=AT + 90)]), CONTEXT, over)
    assert third["throttled"][0]["since"] == "2027-01-15T08:01:30Z"


def test_another_leader_does_not_forget_what_stands() -> None:
    """A moment ago it has begun: it has not heard of the shortage yet, and will never hear of the crash."""
    before = status_of(shown(throttled=[shortage()], crashes=crashes()), CONTEXT, {})
    young = shown(traffic=msgspec.structs.replace(TRAFFIC, window_seconds=4.0), at=AT + 10)
    after = status_of(young, CONTEXT, before)
    for name in ("throttled", "crashes"):
        assert after[name] == before[name]
    assert after["conditions"] == before["conditions"]
    assert essence(after) == essence(before)
    later = status_of(shown(at=AT + 100), CONTEXT, after)
    assert (later["throttled"], later["crashes"]) == ([], before["crashes"])
    states = {c["type"]: c["status"] for c in later["conditions"]}
    assert (states["DependencyThrottled"], states["WorkersCrashing"]) == ("False", "True")
    calm = status_of(shown(at=AT + 300), CONTEXT, later)
    assert {c["type"]: c["status"] for c in calm["conditions"]}["WorkersCrashing"] == "False"
    assert calm["crashes"] == before["crashes"]
    another = status_of(shown(at=AT + 400, crashes=crashes(group(endpoint="GET /b", last=AT + 399))), CONTEXT, calm)
    assert [entry["endpoint"] for entry in another["crashes"]] == ["GET /b", "GET /feed"]
    assert status_of(shown(at=AT + 3700), CONTEXT, another)["crashes"] == [another["crashes"][0]]


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "0%"), (0.02, "0%"), (0.03, "5%"), (0.62, "60%"), (0.63, "65%"), (0.98, "100%"), (1.0, "100%")]
)
def test_rounded_share(share: float, text: str) -> None:
    assert rounded_share(share) == text


@pytest.mark.parametrize(
    ("changes", "kind", "expected"),
    [
        ({}, "DependencyThrottled", ("False", "NoShortage")),
        ({"traffic": NOTHING.traffic}, "DependencyThrottled", ("Unknown", "NothingTold")),
        ({"throttled": [shortage()]}, "DependencyThrottled", ("True", "CallsThrottled")),
        ({"throttled": [shortage(reason="refused")]}, "DependencyThrottled", ("True", "ConnectionsRefused")),
        (
            {"throttled": [shortage(reason="exhausted")], "traffic": NOTHING.traffic},
            "DependencyThrottled", ("True", "PoolExhausted"),
        ),
        ({}, "WorkersCrashing", ("False", "NoCrashes")),
        ({"traffic": NOTHING.traffic}, "WorkersCrashing", ("Unknown", "NothingTold")),
        ({"crashes": crashes()}, "WorkersCrashing", ("True", "SegmentationFault")),
        ({"crashes": crashes(), "traffic": NOTHING.traffic}, "WorkersCrashing", ("True", "SegmentationFault")),
        ({"crashes": crashes(last=AT - 300)}, "WorkersCrashing", ("True", "SegmentationFault")),
        ({"crashes": crashes(last=AT - 301)}, "WorkersCrashing", ("False", "NoCrashes")),
        ({"crashes": crashes(last=None, newest=None)}, "WorkersCrashing", ("False", "NoCrashes")),
        ({"crashes": crashes(newest="SIGABRT")}, "WorkersCrashing", ("True", "Aborted")),
        ({"crashes": crashes(newest="SIGSYS")}, "WorkersCrashing", ("True", "SIGSYS")),
        ({"crashes": crashes(newest="signal 63")}, "WorkersCrashing", ("True", "Signal63")),
        ({"crashes": crashes(newest="unknown")}, "WorkersCrashing", ("True", "WorkerEnded")),
        ({}, "PodsLost", ("False", "NoneLost")),
        ({"departures": left("ScaleIn", "Rollout", "Deleted", "Eviction")}, "PodsLost", ("False", "NoneLost")),
        ({"departures": left("ScaleIn", "OOMKilled")}, "PodsLost", ("True", "OOMKilled")),
        ({"departures": left("OOMKilled", "NodeLost", "NodeLost")}, "PodsLost", ("True", "NodeLost")),
        ({"departures": left("Crashed", ago_s=300)}, "PodsLost", ("True", "Crashed")),
        ({"departures": left("Crashed", ago_s=301)}, "PodsLost", ("False", "NoneLost")),
    ],
)  # fmt: skip
def test_conditions(changes: dict[str, Any], kind: str, expected: tuple[str, str]) -> None:
    assert conditions(shown(**changes))[kind] == expected


def test_pods_lost_are_counted_and_the_last_is_named() -> None:
    status = status_of(shown(departures=left("OOMKilled", "ScaleIn", "NodeLost", "OOMKilled")), CONTEXT, {})
    [message] = [c["message"] for c in status["conditions"] if c["type"] == "PodsLost"]
    assert message == (
        "pods lost in the last 5 minutes: 2 OOMKilled, 1 NodeLost; the last was pod-0 at 08:00:00 UTC: evidence of OOMKilled"
    )
    fresh = shown(traffic=TRAFFIC_OF_A_NEW_LEADER)
    stands = {c["type"]: c["status"] for c in status_of(fresh, CONTEXT, status)["conditions"]}
    assert stands["PodsLost"] == "True"


def test_the_sentence_of_a_shortage() -> None:
    assert shortages([shortage()]) == "dynamodb newsfeed: 41/s throttled (38% of its calls) since 07:59:51 UTC"
    assert shortages([shortage(), shortage("redis cache", reason="refused", per_second=0.4, ratio=None)]).endswith(
        "; redis cache: 0.4/s refused since 07:59:51 UTC"
    )


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (
            crashes(revisions=REVISIONS),
            "SIGSEGV in feed.so at GET /feed, revision 7f9c: 12 crashes in the last 5 minutes, the last at 07:59:58 UTC; "
            "12 crashes in 3 minutes since revision 7f9c; none in 40 minutes of 6d5b",
        ),
        (
            crashes(group(module=None, endpoint=None, revision=None), recent=1),
            "SIGSEGV: 1 crash in the last 5 minutes, the last at 07:59:58 UTC",
        ),
        (
            crashes(group(signal="SIGABRT"), group(signal=None, module=None), newest="unknown", recent=2),
            "a worker ended with requests in flight at GET /feed, revision 7f9c: 2 crashes in the last 5 minutes, "
            "the last at 07:59:58 UTC",
        ),
        (crashes(group(), newest="SIGBUS"), "SIGBUS: 12 crashes in the last 5 minutes, the last at 07:59:58 UTC"),
    ],
)
def test_the_sentence_of_crashes(told: Crashes, sentence: str) -> None:
    assert crash_sentence(told) == sentence
