"""The longest requests in flight over all pods: oldest first, as old as they are now, and nothing of those who fell silent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rollcall.model.fleet import MOST_REQUESTS_BYTES
from rollcall.model.picture import LongRequest
from rollcall.model.requests import MOST
from tests.unit.model.tellers import Stage, Teller


def entry(number: int, elapsed_ms: int, **changes: Any) -> dict[str, Any]:
    given = {
        "id": f"7-{number}-1",
        "endpoint": "GET /feed",
        "elapsed_ms": elapsed_ms,
        "step": "db query",
        "step_ms": 200,
        "worker": 7,
    }
    return given | changes


def tell(stage: Stage, teller: Teller, *entries: dict[str, Any]) -> None:
    body = json.dumps({"requests": entries, "more": 0}, separators=(",", ":")).encode()
    teller.session.accept_requests(body, stage.now_s)
    oldest_ms = max((one["elapsed_ms"] for one in entries if isinstance(one["elapsed_ms"], int)), default=0)
    stage.report(teller, oldest_ms=min(oldest_ms, 2**32 - 1))


def longest(stage: Stage) -> list[LongRequest]:
    stage.roll.fold(stage.now_s, stage.unix_s)
    found = stage.picture().longest
    assert found is not None
    return found


def test_elapsed_times_are_as_of_now() -> None:
    stage = Stage()
    teller = stage.pod("uid-a", revision="7d9c")
    stage.now_s += 0.5
    tell(stage, teller, entry(1, 2000), entry(2, 3000, step="", step_ms=None), entry(3, 2500, step_ms=None))
    stage.now_s += 0.75
    assert longest(stage) == [
        LongRequest("pod-a", "7-2-1", "GET /feed", 3.75, "", None, 7, "7d9c"),
        LongRequest("pod-a", "7-3-1", "GET /feed", 3.25, "db query", None, 7, "7d9c"),
        LongRequest("pod-a", "7-1-1", "GET /feed", 2.75, "db query", 0.95, 7, "7d9c"),
    ]


def test_an_empty_list_ends_it() -> None:
    stage = Stage()
    teller = stage.pod("uid-a")
    tell(stage, teller, entry(1, 2000))
    assert len(longest(stage)) == 1
    tell(stage, teller)
    assert longest(stage) == []


@pytest.mark.parametrize("leave", ["silent", "gone", "disconnected"])
def test_of_a_pod_that_does_not_tell_any_more_nothing_is_shown(leave: str) -> None:
    stage = Stage()
    teller, other = stage.pod("uid-a"), stage.pod("uid-b")
    tell(stage, teller, entry(1, 2000))
    if leave == "gone":
        stage.fleet.remove("uid-a", stage.now_s)
    else:
        if leave == "disconnected":
            stage.roll.close(teller.session)
        for _ in range(4):
            stage.turn(other)
    assert longest(stage) == []


def test_the_twenty_oldest_of_all_pods_wherever_they_are() -> None:
    stage = Stage()
    truth = []
    for pod in range(60):
        teller = stage.pod(f"uid-{pod}")
        ages = [(pod * 37 + 11 * n * n) % 1000 * 10 + 500 for n in range(20)]
        tell(stage, teller, *(entry(n, age) for n, age in enumerate(ages)))
        truth += ages
    found = longest(stage)
    assert [round(request.elapsed * 1000) for request in found] == sorted(truth, reverse=True)[:MOST]


@pytest.mark.parametrize(
    "body",
    [
        b"\xff" * 100,
        b"{" * 1000,
        b"[" * 10000,
        b'{"requests": 5, "padding": "xxxxxxxxxxxxxxxxxxxxxxxxx"}',
        json.dumps({"requests": [{"id": 5}] * 3, "more": 0}).encode(),
        json.dumps({"requests": [entry(1, -5)], "more": 0}).encode(),
        json.dumps({"requests": [entry(1, 10**400)], "more": 0}).encode(),
        json.dumps({"requests": [entry(1, 900, worker="x")], "more": 0}).encode(),
        b'{"requests":[],"padding":"' + b"x" * MOST_REQUESTS_BYTES + b'"}',
    ],
)
def test_what_cannot_be_read_is_dropped_and_counted_once(body: bytes) -> None:
    stage = Stage()
    teller, other = stage.pod("uid-a"), stage.pod("uid-b")
    teller.session.accept_requests(body, stage.now_s)
    stage.report(teller, oldest_ms=99999)
    tell(stage, other, entry(1, 700))
    for _ in range(3):
        assert [request.pod for request in longest(stage)] == ["pod-b"]
    assert stage.fleet.dropped["requests"] == 1
    assert stage.fleet.pods["uid-a"].requests is None


def test_names_are_fit_for_a_screen() -> None:
    stage = Stage()
    tell(stage, stage.pod("uid-a"), entry(1, 700, endpoint="GET /\x1b[2J", step="code a\nb" + "x" * 900, id="\u202e" * 999))
    (found,) = longest(stage)
    assert (found.endpoint, found.id) == ("GET /\ufffd[2J", "\ufffd" * 64)
    assert found.step.startswith("code a\ufffdb")
    assert len(found.step) == 255


def test_no_more_of_one_pod_than_it_may_tell() -> None:
    stage = Stage()
    tell(stage, stage.pod("uid-a"), *(entry(n, 700, endpoint="", step="", id="") for n in range(120)))
    assert len(longest(stage)) == MOST


def test_without_a_service_nothing_is_kept() -> None:
    stage = Stage()
    session = stage.roll.open("uid-x", "shop", "pod-x", "e1", 0, stage.now_s)
    session.accept_requests(json.dumps({"requests": [entry(1, 700)]}).encode(), stage.now_s)
    assert longest(stage) == []
