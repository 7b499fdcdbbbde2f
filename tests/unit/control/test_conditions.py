"""From a picture to the status: small, rounded, valid, and still while nothing happens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from rollcall.api.status import MonitoredServiceStatus
from rollcall.control.conditions import Context, essence, flips, status_of
from rollcall.control.signals import rounded_count, rounded_rate
from rollcall.model.health import HealthState
from rollcall.model.picture import (
    EndpointRow,
    Endpoints,
    Errors,
    ErrorSample,
    ErrorType,
    Folded,
    Imbalance,
    InFlight,
    Judgement,
    LongRequest,
    Picture,
    PodCounts,
    ResponseTime,
    Totals,
    Traffic,
    Visitors,
)  # fmt: skip

ROOT = Path(__file__).parents[3]
CONTEXT = Context(3, Totals(100, 5, 1, 7), 2, (True, "Enabled", "new pods are injected"), "2026-01-01T00:00:00Z")


def counts(**changes: int | None) -> PodCounts:
    given: dict[str, Any] = dict.fromkeys(("serving", "unready", "pending", "silent", "bare", "leaving"), 0) | changes
    desired = given.pop("desired", None)
    return PodCounts(desired=desired, total=sum(given.values()), **given)


def picture(**changes: Any) -> Picture:
    traffic = Traffic(
        1240.4, 10.0, 1238.6, 0.00123, ResponseTime(0.0312, 0.0214, 0.0871, 1.234), InFlight(31, [28, 2, 1, 0], 4.2)
    )
    given: dict[str, Any] = {
        "namespace": "shop", "name": "newsfeed", "at": 5.0, "health": Judgement(HealthState.HEALTHY, "AsExpected", "fine"),
        "pods": counts(serving=6, desired=6), "coverage": 1.0, "traffic": traffic, "totals": Totals(5000, 6, 1, 9),
        "bands_ms": [1000, 3000, 8000], "bare": {}, "gaps": {}, "roll": [],
    }  # fmt: skip
    return Picture(**(given | changes))


def everything(**changes: Any) -> Picture:
    """A picture with more of each signal than the status names, and texts as long as pods may send them."""
    long = "x" * 300
    rows = [EndpointRow(f"GET /{number}/{long}", 12.34, 0.02, 0.1, 0.1, 0.2345, 0.3, 0.1 * number, 9, 1) for number in range(9)]
    types = [ErrorType("exception", f"Type{number}{long}", 9.0 - number, 99) for number in range(9)]
    samples = [
        ErrorSample(float(at), "exception", f"Type0{long}", "no", function, "app.py", at, "GET /", "newsfeed-1", "7d9c")
        for at, function in ((1, "older"), (3, "newest"), (2, "old"))
    ]
    longest = [
        LongRequest(f"newsfeed-{number}", "1-2-3", f"GET /{long}", 20.0 - number, f"code f{long}", 1.0, 7, None)
        for number in range(9)
    ]
    given: dict[str, Any] = {
        "at": 1000.0,
        "endpoints": Endpoints(rows, Folded(3, 4)), "errors": Errors(9.0, types, samples), "longest": longest,
        "visitors": Visitors(1234.5, 3.0, 87, 4567, 123_456, 0.0), "imbalance": Imbalance(2.26, None, "newsfeed-9"),
    }  # fmt: skip
    return picture(**(given | changes))


NOTHING = picture(
    traffic=Traffic(None, 10.0, None, None, ResponseTime(), None),
    coverage=None,
    pods=counts(),
    health=Judgement(HealthState.UNKNOWN, "NoPods", "none"),
)


def conditions(shown: Picture, context: Context = CONTEXT) -> dict[str, tuple[str, str]]:
    return {c["type"]: (c["status"], c["reason"]) for c in status_of(shown, context, {})["conditions"]}


def test_the_row_that_kubectl_prints() -> None:
    status = status_of(picture(), CONTEXT, {})
    assert status["summary"] == {
        "pods": "6/6",
        "health": "Healthy",
        "rps": "1240",
        "p95": "87ms",
        "errors": "0.1%",
        "inFlight": 31,
    }
    assert status["pods"] == {
        "desired": 6, "total": 6, "serving": 6, "unready": 0, "pending": 0, "silent": 0, "bare": 0, "leaving": 0,
    }  # fmt: skip
    assert status["totals"]["departed"] == {"pods": 2, "requests": 100, "errors": 5, "lost": 1, "durationMicroseconds": 7}


def test_no_data_is_left_out_not_zero() -> None:
    status = status_of(NOTHING, CONTEXT, {})
    assert status["summary"] == {"pods": "0/0", "health": "Unknown"}
    assert {} not in status.values(), "applied over what was there, it becomes null, and the whole status is refused"
    assert "coverage" not in status
    assert "desired" not in status["pods"]


@pytest.mark.parametrize("shown", [picture(), NOTHING, everything(), picture(pods=counts(bare=30), bare={"OptedOut": 30})])
def test_every_status_is_valid(shown: Picture) -> None:
    """By the type that it is read with, and with no field that the schema in the cluster would drop."""
    longest = {
        "workload": "w" * 317,
        "since": "2026-01-01T00:00:00Z",
        "reason": "r" * 512,
        "agent": "a" * 256,
        "retry": "t" * 63,
    }
    worst = [(f"newsfeed-{number}", "OptedOut") for number in range(10)]
    status = status_of(shown, replace(CONTEXT, worst=worst, taken_back=[longest] * 10), {})
    read = MonitoredServiceStatus.model_validate(status)
    assert read.model_dump(by_alias=True, mode="json", exclude_unset=True) == msgspec.to_builtins(status)
    crd = yaml.safe_load((ROOT / "crds/rollcall.dev_monitoredservices.yaml").read_text())
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    assert_known(status, schema, "status")
    assert len(msgspec.json.encode(status)) < 32 * 1024


def assert_known(value: Any, schema: dict[str, Any], path: str) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            known = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
            assert known, f"{path}.{key} is not in the schema"
            assert_known(inner, known, f"{path}.{key}")
    elif isinstance(value, list):
        assert len(value) <= schema.get("maxItems", 10**9), path
        for inner in value:
            assert_known(inner, schema["items"], path)
    else:
        assert {"string": str, "integer": int}[schema["type"]] is (str if isinstance(value, str) else type(value)), path


@pytest.mark.parametrize(
    ("rate", "text"),
    [
        (0.0, "0"), (0.04, "0"), (0.05, "0.1"), (0.44, "0.4"), (1.0, "1"), (9.94, "9.9"), (9.97, "10"), (45.6, "46"),
        (999.4, "999"), (999.6, "1000"), (1238.6, "1240"), (98765.0, "98800"),
    ],
)  # fmt: skip
def test_rounded_rate(rate: float, text: str) -> None:
    assert rounded_rate(rate) == text


@pytest.mark.parametrize(
    ("shown", "context", "kind", "expected"),
    [
        (picture(), CONTEXT, "Ready", ("True", "Watching")),
        (picture(), CONTEXT, "Injecting", ("True", "Enabled")),
        (picture(), Context(1, Totals(), 0, (False, "InjectionOff", "off"), "now"), "Injecting", ("False", "InjectionOff")),
        (picture(), CONTEXT, "Covered", ("True", "AllPodsInjected")),
        (picture(pods=counts(serving=2, bare=1), bare={"OptedOut": 1}), CONTEXT, "Covered", ("False", "BarePods")),
        (picture(), CONTEXT, "Reporting", ("True", "AllAgentsReport")),
        (picture(pods=counts(serving=2, silent=1)), CONTEXT, "Reporting", ("False", "SilentPods")),
        (NOTHING, CONTEXT, "Covered", ("Unknown", "NoPods")),
        (picture(pods=counts(pending=3, leaving=1)), CONTEXT, "Reporting", ("Unknown", "NoPods")),
        (picture(), CONTEXT, "Healthy", ("True", "AsExpected")),
        (
            picture(health=Judgement(HealthState.DEGRADED, "SlowerThanObjective", "slow")),
            CONTEXT,
            "Healthy",
            ("False", "SlowerThanObjective"),
        ),
        (picture(health=Judgement(HealthState.DOWN, "NoServingPod", "down")), CONTEXT, "Healthy", ("False", "NoServingPod")),
        (picture(health=Judgement(HealthState.UNKNOWN, "LowCoverage", "low")), CONTEXT, "Healthy", ("Unknown", "LowCoverage")),
    ],
)
def test_conditions(shown: Picture, context: Context, kind: str, expected: tuple[str, str]) -> None:
    assert conditions(shown, context)[kind] == expected


def test_a_transition_time_moves_only_with_its_condition() -> None:
    first = status_of(picture(), CONTEXT, {})
    later = Context(3, Totals(), 0, CONTEXT.injecting, "2026-02-02T00:00:00Z")
    second = status_of(picture(pods=counts(serving=2, silent=1)), later, first)
    times = {c["type"]: c["lastTransitionTime"] for c in second["conditions"]}
    assert {kind for kind, at in times.items() if at == later.now} == {"Reporting"}
    third = status_of(picture(), later, second)
    assert flips(third) == flips(first)


def test_the_worst_are_named() -> None:
    context = Context(1, Totals(), 0, CONTEXT.injecting, "now", [("a", "OptedOut"), ("b", "silent")])
    assert status_of(picture(), context, {})["worst"] == [
        {"name": "a", "reason": "OptedOut"},
        {"name": "b", "reason": "silent"},
    ]


@pytest.mark.parametrize(
    ("changes", "written"),
    [
        ({}, False),
        ({"at": 99.0}, False),
        ({"totals": Totals(999_999, 9, 9, 9)}, False),
        ({"health": Judgement(HealthState.HEALTHY, "AsExpected", "other words")}, False),
        (
            {
                "traffic": Traffic(
                    1.0, 10.0, 1236.0, 0.00119, ResponseTime(0.0312, 0.0214, 0.0869, 1.234), InFlight(31, [28, 2, 1, 0], 99.0)
                )
            },
            False,
        ),
        ({"pods": counts(serving=5, desired=6)}, True),
        ({"health": Judgement(HealthState.HEALTHY, "Other", "fine")}, True),
        ({"bare": {"OptedOut": 1}}, True),
    ],
)
def test_only_what_people_see_is_worth_a_write(changes: dict[str, Any], written: bool) -> None:
    assert (essence(status_of(picture(**changes), CONTEXT, {})) != essence(status_of(picture(), CONTEXT, {}))) is written


def test_departed_totals_are_worth_a_write() -> None:
    more = Context(3, Totals(101, 5, 1, 7), 2, CONTEXT.injecting, CONTEXT.now)
    assert essence(status_of(picture(), more, {})) != essence(status_of(picture(), CONTEXT, {}))


def test_a_few_of_each_signal_are_named() -> None:
    status = status_of(everything(), CONTEXT, {})
    assert status["traffic"]["concurrentUsers"] == 1200
    assert status["visitors"] == {"lastFiveMinutes": 87, "hour": 4600, "day": 120_000}
    first = status["endpoints"][0]
    assert (first["requestsPerSecond"], first["p95"], first["errors"]) == ("12", "234ms", "2%")
    assert [entry["name"][:7] for entry in status["endpoints"]] == [f"GET /{number}/" for number in (8, 7, 6, 5, 4)]
    assert [entry["perSecond"] for entry in status["errors"]] == ["9", "8", "7", "6", "5"]
    assert status["errors"][0]["place"] == "newest (app.py:3)"
    assert "place" not in status["errors"][1]
    assert [entry["pod"] for entry in status["longest"]] == [f"newsfeed-{number}" for number in range(5)]
    assert status["longest"][0]["since"] == "1970-01-01T00:16:20Z"
    assert status["imbalance"] == {"requests": "2.5", "busiest": "newsfeed-9"}
    longest_texts = [entry["name"] for entry in status["endpoints"]] + [entry["step"] for entry in status["longest"]]
    assert max(len(text) for text in longest_texts) == 255


def test_signals_without_data_are_left_out() -> None:
    status = status_of(NOTHING, CONTEXT, {})
    assert (status["endpoints"], status["errors"], status["longest"], status["takenBack"]) == ([], [], [], [])
    assert not {"visitors", "imbalance"} & status.keys()


def test_an_idle_endpoint_is_not_among_the_first() -> None:
    idle = EndpointRow("GET /", None, None, None, None, None, None, None, 9, 1)
    assert status_of(picture(endpoints=Endpoints([idle], Folded(0, 0))), CONTEXT, {})["endpoints"] == []


def test_only_requests_of_the_last_band_are_named_and_their_begin_does_not_move() -> None:
    def at(now: float, elapsed: float, standing: dict[str, Any]) -> dict[str, Any]:
        request = LongRequest("newsfeed-1", "1-2-3", "GET /hang", elapsed, "code hang (app.py:3)", None, 7, None)
        return status_of(picture(at=now, longest=[request]), CONTEXT, standing)

    assert at(1000.0, 7.9, {})["longest"] == []
    first = at(1000.0, 8.4, {})
    assert first["longest"] == [
        {"pod": "newsfeed-1", "endpoint": "GET /hang", "since": "1970-01-01T00:16:32Z", "step": "code hang (app.py:3)"}
    ]
    later = first
    for seconds in range(1, 60):
        later = at(1000.0 + seconds, 8.4 + seconds + 0.3 * (seconds % 3 - 1), later)
        assert later["longest"] == first["longest"]
    assert essence(later) == essence(first)
    another = at(1100.0, 8.4, later)
    assert another["longest"][0]["since"] == "1970-01-01T00:18:12Z"


@pytest.mark.parametrize(
    ("changes", "written"),
    [
        ({"visitors": Visitors(1249.0, 9.0, 87, 4612, 124_400, 5.0)}, False),
        ({"visitors": Visitors(1251.0, 3.0, 87, 4567, 123_456, 0.0)}, True),
        ({"visitors": Visitors(1234.5, 3.0, 88, 4567, 123_456, 0.0)}, True),
        ({"imbalance": Imbalance(2.7, None, "newsfeed-9")}, False),
        ({"imbalance": Imbalance(2.8, None, "newsfeed-9")}, True),
    ],
)
def test_signals_are_rounded(changes: dict[str, Any], written: bool) -> None:
    shown = essence(status_of(everything(**changes), CONTEXT, {}))
    assert (shown != essence(status_of(everything(), CONTEXT, {}))) is written


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0.4, 0), (99.6, 100), (100.4, 100), (101, 100), (106, 110), (995, 1000), (1234, 1200), (987_654, 990_000)],
)
def test_rounded_count(count: float, shown: int) -> None:
    assert rounded_count(count) == shown


def test_a_balanced_service_names_no_pod() -> None:
    for busiest in ("a", "b"):
        shown = status_of(picture(imbalance=Imbalance(1.1, 1.2, busiest)), CONTEXT, {})
        assert shown["imbalance"] == {"requests": "1", "inFlight": "1"}
