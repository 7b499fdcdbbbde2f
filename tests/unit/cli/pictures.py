"""Pictures as the live API sends them."""

from __future__ import annotations

from typing import Any

import msgspec

from rollcall.model.causes import (
    Bottleneck,
    Crash,
    Crashes,
    CrashGroup,
    DependencyRow,
    DependencyShare,
    RevisionChange,
    RevisionCrashes,
    Shares,
    SignalCount,
    SlowRequests,
)  # fmt: skip
from rollcall.model.health import HealthState
from rollcall.model.picture import (
    Departure,
    Departures,
    EndpointRow,
    Errors,
    ErrorSample,
    InFlight,
    Judgement,
    LongRequest,
    Picture,
    PodCounts,
    PodPicture,
    Resources,
    ResponseTime,
    Totals,
    Traffic,
)

STATES = ("serving", "unready", "pending", "silent", "bare", "leaving")


def pod(name: str, state: str = "serving", **changes: Any) -> PodPicture:
    given: dict[str, Any] = {
        "name": name, "uid": f"uid-{name}", "node": "node-1", "state": state, "reason": None, "ready": True, "restarts": 0,
        "created_at": 880.0, "started_at": 881.0, "report_age": 0.3, "requests_per_second": 12.5, "error_ratio": 0.0,
        "p95": 0.0871,
        "in_flight": InFlight(2, [1, 1, 0, 0], 1.5), "requests": 500, "workers": 2, "agent": None,
    }  # fmt: skip
    return PodPicture(**(given | changes))


def unheard(name: str, state: str, reason: str | None = None) -> PodPicture:
    """A pod that nothing is known of."""
    return pod(
        name, state, reason=reason, requests_per_second=None, error_ratio=None, p95=None, in_flight=None, report_age=None,
        requests=0, node=None,
    )  # fmt: skip


def endpoint(name: str, **changes: Any) -> EndpointRow:
    given: dict[str, Any] = {
        "endpoint": name, "requests_per_second": 12.5, "error_ratio": 0.002, "mean": 0.03, "p50": 0.021, "p95": 0.0871,
        "p99": 1.234, "share": 0.42, "requests": 5000, "errors": 6,
    }  # fmt: skip
    return EndpointRow(**(given | changes))


def request(elapsed: float, **changes: Any) -> LongRequest:
    given: dict[str, Any] = {
        "pod": "newsfeed-1", "id": "7-1-1", "endpoint": "GET /feed", "elapsed": elapsed, "step": "db SELECT posts",
        "step_elapsed": 2.25, "worker": 17, "revision": "7d9c",
    }  # fmt: skip
    return LongRequest(**(given | changes))


def sample(**changes: Any) -> ErrorSample:
    given: dict[str, Any] = {
        "at": 988.0, "kind": "exception", "type": "ValueError", "message": "no such page", "function": "feed",
        "file": "app/feed.py", "line": 42, "endpoint": "GET /feed", "pod": "newsfeed-1", "revision": "7d9c",
    }  # fmt: skip
    return ErrorSample(**(given | changes))


def resources(**changes: Any) -> Resources:
    given: dict[str, Any] = {
        "cpu_millicores": 350.4, "cpu_request_millicores": 200, "cpu_limit_millicores": 500, "throttled_ratio": 0.25,
        "memory_bytes": 150 * 2**20, "memory_limit_bytes": 256 * 2**20, "oom_kills": 1, "source": "probe", "age": 0.6,
    }  # fmt: skip
    return Resources(**(given | changes))


def dependency(name: str, **changes: Any) -> DependencyRow:
    given: dict[str, Any] = {
        "dependency": name, "calls_per_second": 105.3, "failure_ratio": 0.38, "failures": {"throttled": 40.6, "timeout": 0.4},
        "mean": 0.01, "p50": 0.008, "p95": 0.0234, "p99": 0.1, "concurrency": 1.23, "share": 0.62, "calls": 999, "failed": 380,
    }  # fmt: skip
    return DependencyRow(**(given | changes))


def crash(**changes: Any) -> Crash:
    given: dict[str, Any] = {
        "at": 988.0, "pod": "newsfeed-1", "revision": "7d9c", "image": "shop/feed:9", "runtime": "php", "worker": 17,
        "signal": "SIGSEGV", "address": "0x0", "module": "/usr/lib/php/feed.so", "offset": "0x1139", "caller": None,
        "endpoint": "GET /feed", "step": "code rank (feed.php:12)", "elapsed": 0.12, "unanswered": 1,
    }  # fmt: skip
    return Crash(**(given | changes))


REVISIONS = RevisionChange(
    "Deployment/newsfeed", RevisionCrashes("7d9c", 12, 180, 720), RevisionCrashes("6d5b", 0, 2400, 9600), "higher", 1e-13,
    "12 crashes in 3 minutes since revision 7d9c; none in 40 minutes of 6d5b",
)  # fmt: skip


def crashes(*samples: Crash, **changes: Any) -> Crashes:
    """Of one group, which the changes are of."""
    given: dict[str, Any] = {
        "signal": "SIGSEGV", "module": "/usr/lib/php/feed.so", "endpoint": "GET /feed", "revision": "7d9c",
        "image": "shop/feed:9", "count": 12, "first": 820.0, "last": 988.0,
    }  # fmt: skip
    group = CrashGroup(**(given | changes))
    signals = [SignalCount("SIGSEGV", 0.1, 12), SignalCount("SIGABRT", 0.0, 2)]
    return Crashes(0.1, 14, 12, 988.0, "SIGSEGV", signals, [group], REVISIONS, list(samples))


def departure(**changes: Any) -> Departure:
    given: dict[str, Any] = {
        "slot": "newsfeed-03", "name": "newsfeed-7d9c-abcde", "uid": "uid-gone", "node": "node-1",
        "workload": "Deployment/newsfeed", "revision": "7d9c", "cause": "ScaleIn",
        "evidence": "Deployment/newsfeed wants 5 pods, and had 6", "at": 988.0, "age": 600.0, "requests_per_second": 12.5,
        "error_ratio": 0.01, "p95": 0.0871, "in_flight": 2, "final": True,
    }  # fmt: skip
    return Departure(**(given | changes))


def departures(*recent: Departure) -> Departures:
    return Departures({"ScaleIn": 4, "Crashed": 1}, {"ScaleIn": 44, "Crashed": 1}, {"ScaleIn": 444, "Crashed": 1}, list(recent))


def bottleneck(**changes: Any) -> Bottleneck:
    shares = Shares(0.2, 0.62, 0.0, 0.0, 0.18, 0.0)
    name = changes.get("dependency", "postgresql orders")
    slow = SlowRequests("dependency", name, 0.62, 15, 1.0, shares)
    given: dict[str, Any] = {
        "kind": "dependency", "dependency": name, "share": 0.62, "shares": shares,
        "dependencies": [DependencyShare(name, 0.62)], "slow": slow, "coverage": 1.0, "queue_coverage": 1.0,
        "window_seconds": 10.0,
    }  # fmt: skip
    return Bottleneck(**(given | changes))


def picture(roll: list[PodPicture] | None = None, **changes: Any) -> dict[str, Any]:
    """One service as decoded JSON; without pods everything about traffic is unknown."""
    pods = roll or []
    counts = {state: sum(one.state == state for one in pods) for state in STATES}
    traffic = Traffic(1240.4, 10.0, 1238.6, 0.0012, ResponseTime(0.03, 0.021, 0.0871, 1.234), InFlight(31, [28, 2, 1, 0], 4.2))
    nothing = Traffic(None, 10.0, None, None, ResponseTime(), None)
    given: dict[str, Any] = {
        "namespace": "shop", "name": "newsfeed", "at": 1000.0,
        "health": Judgement(HealthState.HEALTHY, "AsExpected", "objectives are met"),
        "pods": PodCounts(desired=len(pods), total=len(pods), **counts), "coverage": 1.0 if pods else None,
        "traffic": traffic if pods else nothing, "totals": Totals(5000, 6, 1, 9), "bands_ms": [1000, 3000, 8000],
        "bare": {}, "gaps": {}, "roll": roll, "endpoints": None, "errors": Errors(None, [], []), "longest": [],
    }  # fmt: skip
    return dict(msgspec.json.decode(msgspec.json.encode(Picture(**(given | changes)))))
