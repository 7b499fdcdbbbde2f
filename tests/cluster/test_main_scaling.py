"""Promises 2 and 6 on a real cluster: every pod is in exactly one bucket at every instant of a scale-out and scale-in.

New pods are seen in time, and pods that leave are told from pods that serve.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable

import pytest

from tests.cluster.observe import STATES, LiveStream, Picture, PodEvents, processes_of, started_at, state_in, until
from tests.harness.cluster import Cluster
from tests.harness.install import Rollcall
from tests.harness.truth import LoadPod, load_options

pytestmark = pytest.mark.cluster

ON_THE_ROLL_S = 1.0
REPORTING_S = 2.0
LEAVING_S = 1.0
SAMPLES = 200


def assert_adds_up(picture: Picture) -> None:
    """Every pod of the roll in exactly one bucket, and the buckets add up."""
    pods = picture["pods"]
    assert pods["total"] == sum(pods[state] for state in STATES) == len(picture["roll"])
    by_state = Counter(entry["state"] for entry in picture["roll"])
    assert {state: pods[state] for state in STATES} == {state: by_state[state] for state in STATES}
    assert len({entry["uid"] for entry in picture["roll"]}) == len(picture["roll"])
    slots = [entry["slot"] for entry in picture["roll"] if entry["slot"] is not None]
    assert len(set(slots)) == len(slots), "no slot twice"
    gone = [departure["uid"] for departure in picture["departures"]["recent"]]
    assert len(set(gone)) == len(gone), "one cause per departure"
    assert not set(gone) & {entry["uid"] for entry in picture["roll"]}, "who has left is not there"


def test_scale_out_and_in(cluster: Cluster, rollcall: Rollcall, shop: str, measured: Callable[[str, object], None]) -> None:
    load = LoadPod(cluster, shop)
    load.start(*load_options(shop, rate=40, seconds=90))
    starts: dict[str, float] = {}
    with PodEvents(cluster, shop, "app=newsfeed") as events, LiveStream(cluster, shop, "newsfeed") as live:
        cluster.kubectl("-n", shop, "scale", "deployment/newsfeed", "--replicas=6")
        live.wait(lambda picture: picture["pods"]["serving"] == 6, 60, "six pods serve")
        for name, life in events.lives.items():
            masters = processes_of(life.uid, "gunicorn")
            starts[name] = min(started_at(pid) for pid in masters)
        cluster.kubectl("-n", shop, "scale", "deployment/newsfeed", "--replicas=2")
        live.wait(lambda picture: picture["pods"]["total"] == 2, 60, "two pods are left")
        until(lambda: len(live.samples) > SAMPLES, 90, f"{SAMPLES} samples")
        truth = load.stop()
    load.delete()

    assert truth.errors == {}
    assert len(live.samples) > SAMPLES
    for _, picture in live.samples:
        assert_adds_up(picture)

    born = {name: life for name, life in events.lives.items() if life.added is not None and name not in events.initial}
    assert len(born) == 4
    seen = {name: _delay(live, life.added, lambda picture, name=name: state_in(picture, name)) for name, life in born.items()}
    reports = {
        name: _delay(live, starts[name], lambda picture, name=name: state_in(picture, name) in ("unready", "serving"))
        for name in born
    }
    serving = {
        name: _delay(live, starts[name], lambda picture, name=name: state_in(picture, name) == "serving") for name in born
    }
    gone = {name: life for name, life in events.lives.items() if life.leaving is not None}
    assert len(gone) == 4
    left = {
        name: _delay(live, life.leaving, lambda picture, name=name: state_in(picture, name) != "serving")
        for name, life in gone.items()
    }
    for what, delays in (
        ("created to on the roll", seen),
        ("container start to first report", reports),
        ("container start to serving (its readiness probe runs once a second)", serving),
        ("deleted to leaving", left),
    ):
        measured(f"{what}, p50/max s", f"{statistics.median(delays.values()):.2f}/{max(delays.values()):.2f}")
    assert max(seen.values()) <= ON_THE_ROLL_S
    assert max(left.values()) <= LEAVING_S
    assert max(reports.values()) <= REPORTING_S, reports


def _delay(live: LiveStream, since: float | None, condition: Callable[[Picture], object]) -> float:
    """Seconds from `since` to the arrival of the first picture that satisfies the condition."""
    assert since is not None
    at = live.first(condition, since)
    assert at is not None
    return at - since


def test_restricted_namespace_has_every_pod_injected(cluster: Cluster, rollcall: Rollcall, shop: str) -> None:
    labels = cluster.kubectl("get", "namespace", shop, "-o", "jsonpath={.metadata.labels}")
    assert '"pod-security.kubernetes.io/enforce":"restricted"' in labels
    for service in ("newsfeed", "legacy"):
        picture = rollcall.picture(shop, service)
        assert picture["coverage"] == 1
        assert picture["bare"] == {}
        assert picture["pods"]["serving"] == picture["pods"]["total"] == 2


def test_kubectl_shows_the_service_and_waits_for_it(cluster: Cluster, rollcall: Rollcall, shop: str) -> None:
    for condition in ("Ready", "Injecting", "Covered", "Reporting", "Healthy"):
        cluster.kubectl("-n", shop, "wait", "msvc/newsfeed", f"--for=condition={condition}", "--timeout=30s")
    until(lambda: " 2/2 " in cluster.kubectl("-n", shop, "get", "msvc", "newsfeed"), 10, "2/2 in the table")
    header, row = cluster.kubectl("-n", shop, "get", "msvc", "newsfeed").splitlines()
    assert header.split() == ["NAME", "PODS", "HEALTH", "RPS", "P95", "ERRORS", "INFLIGHT", "AGE"]
    assert row.split()[:3] == ["newsfeed", "2/2", "Healthy"]


def test_status_writes_stay_within_their_budget(cluster: Cluster, rollcall: Rollcall, shop: str) -> None:
    """At most one write per five seconds and object under load that changes all the time, and small."""
    load = LoadPod(cluster, shop)
    load.start(*load_options(shop, rate=80, seconds=40))
    versions = set()
    started_s = time.monotonic()
    size = 0
    while (span_s := time.monotonic() - started_s) < 22:
        text = cluster.kubectl("-n", shop, "get", "msvc", "newsfeed", "-o", "jsonpath={.metadata.resourceVersion} {.status}")
        version, _, status = text.partition(" ")
        versions.add(version)
        size = max(size, len(status))
        time.sleep(0.2)
    load.stop()
    load.delete()
    flips_allowed = 2
    assert 2 <= len(versions) <= span_s / 5 + 1 + flips_allowed
    assert size < 32 * 1024
