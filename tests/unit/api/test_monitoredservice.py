"""Objects as typed values: defaults, tolerance of what is not known, and errors that name the field."""

from __future__ import annotations

from typing import Any

import pytest

from rollcall.api import API_VERSION, KIND, InvalidMonitoredServiceError, MonitoredService
from rollcall.api.spec import InjectionMode, SidecarKind
from rollcall.api.status import Condition, Health, MonitoredServiceStatus, Summary

SELECTOR = {"matchLabels": {"app": "newsfeed"}}


def made(**spec: Any) -> MonitoredService:
    return MonitoredService.from_object(
        {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": "newsfeed", "namespace": "shop", "managedFields": [{}]},
            "spec": {"selector": SELECTOR, **spec},
        }
    )


def test_defaults() -> None:
    spec = made().spec
    assert spec.injection.mode is InjectionMode.AUTO
    assert spec.injection.sidecar is SidecarKind.AUTO
    assert spec.injection.resources.limits.memory == "48Mi"
    assert spec.signals.python.enabled
    assert spec.signals.php.enabled
    assert spec.objectives.p95_ms is None
    assert spec.objectives.errors_ratio == 0.01
    assert spec.objectives.bands_ms == (1000, 3000, 8000)
    assert spec.minimum_coverage_ratio == 0.8
    assert spec.selector.as_dict() == {**SELECTOR, "matchExpressions": []}


@pytest.mark.parametrize("origin", ["cookie:sid", "cookie:__Host-session", "header:X-Forwarded-For", "clientIP"])
def test_visitors(origin: str) -> None:
    visitors = made(signals={"visitors": {"from": origin}}).spec.signals.visitors
    assert visitors is not None
    assert visitors.origin == origin
    assert visitors.model_dump(by_alias=True) == {"from": origin}


@pytest.mark.parametrize(
    "origin", ["", "cookie:", "cookie:a b", "cookie:a=b", "header:x:y", "clientip", f"cookie:{'a' * 65}", "clientIP\n"]
)
def test_no_visitors(origin: str) -> None:
    with pytest.raises(InvalidMonitoredServiceError, match="must say what a visitor is known by"):
        made(signals={"visitors": {"from": origin}})


def test_what_a_newer_version_added_is_tolerated() -> None:
    service = made(signals={"ebpf": {}}, future={"a": 1})
    assert (service.name, service.namespace) == ("newsfeed", "shop")


def test_resources_may_be_numbers() -> None:
    resources = made(injection={"resources": {"requests": {"cpu": 1}, "limits": {"cpu": 2}}}).spec.injection.resources
    assert (resources.requests.cpu, resources.limits.cpu) == ("1", "2")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"selector": {}}, "spec.selector: selector must not be empty"),
        ({"selector": {"matchLabels": {"app": "a b"}}}, "spec.selector: matchLabels: 'app': 'a b'"),
        (
            {"selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}},
            "spec.selector.matchExpressions.0: values must be given",
        ),
        ({"container": "Web"}, "spec: container: 'Web'"),
        ({"injection": {"mode": "On"}}, "spec.injection.mode: "),
        ({"injection": {"resources": {"limits": {"memory": "1Mi"}}}}, "requests.memory 24Mi is above limits.memory 1Mi"),
        ({"injection": {"resources": {"limits": {"memory": "lots"}}}}, "'lots' is not a resource quantity"),
        ({"signals": {"visitors": {"from": "sid"}}}, "spec.signals.visitors: from: 'sid' must say what a visitor is known by"),
        ({"signals": {"visitors": {}}}, "spec.signals.visitors.from: Field required"),
        ({"signals": {"otlp": {"port": 80}}}, "spec.signals.otlp.port: "),
        ({"signals": {"accessLog": {"format": "json", "port": 5140}}}, "spec.signals.accessLog.format: "),
        ({"signals": {"accessLog": {"format": "combined"}}}, "spec.signals.accessLog: must have either port"),
        ({"signals": {"accessLog": {"format": "combined", "path": "/a.log"}}}, "path: '/a.log' must be a file below a folder"),
        ({"signals": {"accessLog": {"format": "combined", "path": "/a/../b"}}}, "must be a file below a folder"),
        ({"signals": {"accessLog": {"format": "combined", "path": "/dev/log/a"}}}, "must not be in /rollcall/"),
        ({"objectives": {"p95": "fast"}}, "spec.objectives.p95: 'fast' is not a duration"),
        ({"objectives": {"errors": "1"}}, "spec.objectives.errors: '1' is not a percentage"),
        ({"objectives": {"bands": ["3s", "1s", "8s"]}}, "spec.objectives: bands must be exactly three durations"),
        ({"objectives": {"bands": ["1ms", "1.5ms", "2ms"]}}, "spec.objectives: bands must be exactly three durations"),
        ({"minimumCoverage": "120%"}, "spec.minimumCoverage: '120%' is not a percentage"),
    ],
)
def test_errors_name_the_field(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidMonitoredServiceError) as caught:
        made(**spec)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_another_kind_is_refused() -> None:
    with pytest.raises(InvalidMonitoredServiceError, match=r"not a rollcall\.dev MonitoredService: v1 Pod"):
        MonitoredService.from_object({"apiVersion": "v1", "kind": "Pod"})


def test_a_status_is_written_in_camel_case_without_what_is_unknown() -> None:
    status = MonitoredServiceStatus(
        observed_generation=2,
        summary=Summary(health=Health.HEALTHY, in_flight=3),
        conditions=(Condition(type="Ready", status="True", last_transition_time="2026-01-01T00:00:00Z", reason="Watching"),),
    )
    written = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert written["summary"] == {"health": "Healthy", "inFlight": 3}
    assert written["observedGeneration"] == 2
    assert written["conditions"][0]["lastTransitionTime"] == "2026-01-01T00:00:00Z"
    assert "traffic" not in written
