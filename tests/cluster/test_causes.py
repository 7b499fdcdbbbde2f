"""The case that Rollcall comes from, where it asks whose fault it is: each incident happens, and a person reads the answer.

The application is `orders`, with a real PostgreSQL, a neighbour whose delay and a DynamoDB whose capacity a test sets.
What is asserted is the text that `rollcall` and `kubectl` print; the texts are kept in build/causes.txt.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

import pytest

from tests.cluster.conftest import two_serve
from tests.cluster.observe import LiveStream, Picture, until
from tests.cluster.orders import EXAMPLES, control, dependency, orders, start
from tests.harness.cluster import Cluster
from tests.harness.install import Rollcall
from tests.harness.paths import REPOSITORY
from tests.harness.truth import LoadPod, Truth

pytestmark = pytest.mark.cluster
__all__ = ["orders"]
Say = Callable[..., str]
Measured = Callable[[str, object], None]
FAST_MS, SLOW_MS = 5, 600
PLENTY, SHORT = 1000, 30


@pytest.fixture(scope="module")
def say(rollcall: Rollcall, orders: str) -> Iterator[Say]:
    """Run a `rollcall` command and keep what it prints."""
    told: list[str] = []

    def run(title: str, *words: str) -> str:
        output = rollcall.run(*words, "-n", orders)
        told.append(f"# {title}\n$ rollcall {' '.join(words)} -n {orders}\n{output}")
        return output

    yield run
    path = REPOSITORY / "build/causes.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(told))


@pytest.fixture
def live(cluster: Cluster, orders: str) -> Iterator[LiveStream]:
    with LiveStream(cluster, orders, "orders") as stream:
        yield stream


@pytest.fixture
def load(cluster: Cluster, orders: str) -> Iterator[LoadPod]:
    pod = LoadPod(cluster, orders)
    yield pod
    pod.delete()


def condition(cluster: Cluster, name: str, service: str = "orders") -> dict[str, Any]:
    conditions = json.loads(cluster.kubectl("-n", "shop", "get", "msvc", service, "-o", "json"))["status"]["conditions"]
    return next(each for each in conditions if each["type"] == name)


def events(cluster: Cluster, reason: str, service: str = "orders") -> list[dict[str, Any]]:
    found = json.loads(cluster.kubectl("-n", "shop", "get", "events", "-o", "json"))["items"]
    return [event for event in found if event["reason"] == reason and event["involvedObject"]["name"] == service]


def unix_s(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def named(picture: Picture, kind: str, name: str | None = None) -> bool:
    found = picture["bottleneck"]
    return bool(found and found["class"] == kind and found["dependency"] == name)


def test_f8_the_slow_tier_is_named(cluster: Cluster, live: LiveStream, load: LoadPod, say: Say, measured: Measured) -> None:
    """Response times are bad: is it our code or the database? First it is the one, then the other."""
    start(load, "/report/0.25=1,/=3", rate=16, seconds=16)
    picture = live.wait(lambda picture: named(picture, "dependency", "postgresql orders"), 20, "the database is named")
    time.sleep(6)
    printed = say("F8: the database is slow", "deps", "orders")
    picture = live.newest
    load.wait(40)
    assert picture["bottleneck"]["share"] > 0.8, picture["bottleneck"]
    assert sum(picture["bottleneck"]["shares"].values()) == pytest.approx(1, abs=0.005)
    row = next(line for line in printed.splitlines() if line.startswith("postgresql orders"))
    assert re.search(r"2[45]\dms", row), printed
    start(load, "/price=1", rate=8, seconds=20)
    picture = live.wait(own_time, 30, "own time is named, and the database is not any more")
    time.sleep(4)
    measured(
        "F8: parts of an endpoint that computes",
        {name: round(part, 2) for name, part in live.newest["bottleneck"]["shares"].items()},
    )
    load.wait(40)


def own_time(picture: Picture) -> bool:
    """Own CPU, or, where other processes keep the node's processors busy, also waiting for one; no dependency."""
    found = picture["bottleneck"]
    return bool(
        found and found["class"] in ("cpu", "other") and found["shares"]["cpu"] > 0.3 and not found["shares"]["dependency"]
    )


def test_f15_the_slow_neighbour_is_named_and_our_own_time_is_what_it_was(
    cluster: Cluster, live: LiveStream, load: LoadPod, say: Say, measured: Measured
) -> None:
    start(load, "/checkout=1", rate=12, seconds=60)
    name = "http backing:8081"

    def settled(low_s: float, high_s: float) -> Callable[[Picture], bool]:
        return lambda picture: bool((row := dependency(picture, name)) and row["p50"] and low_s < row["p50"] < high_s)

    live.wait(settled(0.004, 0.05), 25, "the neighbour answers fast")
    time.sleep(10)
    fast = live.newest
    control(cluster, "delay", SLOW_MS)
    since = time.time()
    live.wait(settled(0.55, 0.65), 25, "the neighbour is slow")
    time.sleep(8)
    printed = say("F15: an external service is slow", "deps", "orders")
    slow = live.newest
    control(cluster, "delay", FAST_MS)
    load.stop()
    first = live.first(lambda picture: named(picture, "dependency", name), since)
    assert first is not None
    measured("F15: named after", f"{first - since:.1f} s")
    found = dependency(slow, name)
    assert found is not None
    assert found["share"] > 0.95, found
    assert found["mean"] == pytest.approx(SLOW_MS / 1000, rel=0.05)
    own = [picture["traffic"]["responseTime"]["mean"] - dependency(picture, name)["mean"] for picture in (fast, slow)]  # type: ignore[index]
    measured("F15: own time per request while it is fast, and slow", f"{own[0] * 1000:.1f} and {own[1] * 1000:.1f} ms")
    assert abs(own[1] - own[0]) < 0.010
    assert slow["bottleneck"]["slow"] is None or slow["bottleneck"]["slow"]["dependency"] == name
    assert name in printed


def test_f18_a_shortage_of_capacity_is_told_before_the_errors_are(
    cluster: Cluster, live: LiveStream, load: LoadPod, say: Say, measured: Measured
) -> None:
    """The table has less capacity than is asked of it. The client library tries again, so at first requests only get slower."""
    start(load, "/feed/{user}=1,/=9", rate=60, seconds=90)
    live.wait(lambda picture: dependency(picture, "dynamodb newsfeed"), 20, "calls of the table")
    time.sleep(5)
    control(cluster, "capacity", 3)
    told = live.wait(lambda picture: picture["throttled"], 20, "a shortage")
    log = until(lambda: cluster.kubectl("-n", "shop", "logs", "backing", "-c", "dynamodb"), 10, "its own log")
    refused_s = float(re.findall(r"^refused (.*)$", log, re.MULTILINE)[-1])
    seen = live.first(lambda picture: picture["throttled"], refused_s)
    assert seen is not None
    event = until(lambda: events(cluster, "DependencyThrottled"), 10, "an Event")[0]
    event_s = unix_s(event.get("eventTime") or event["firstTimestamp"])
    measured(
        "F18: shortage in the live picture, and as an Event, after the first refusal",
        f"{seen - refused_s:.1f} s, {event_s - refused_s:.1f} s",
    )
    assert seen - refused_s < 3.0
    assert event_s - refused_s < 3.5, "whole seconds in its time stamp included"
    assert "dynamodb newsfeed" in event["message"]
    assert told["health"]["state"] == "Healthy", "the objective of errors is not broken yet"
    assert [row["reason"] for row in told["throttled"]] == ["throttled"]
    until(lambda: condition(cluster, "DependencyThrottled")["status"] == "True", 5, "a condition")
    printed = say("F18: a table is short of capacity", "deps", "orders")
    assert "dynamodb newsfeed" in printed
    control(cluster, "capacity", PLENTY)
    healed_s = time.time()
    live.wait(lambda picture: not picture["throttled"], 40, "the shortage is over")
    gone = live.first(lambda picture: not picture["throttled"], healed_s)
    assert gone is not None
    measured("F18: the shortage is gone after", f"{gone - healed_s:.1f} s")
    assert gone - healed_s < 30
    load.stop()


def test_f16_and_f17_a_release_that_crashes(
    cluster: Cluster, rollcall: Rollcall, orders: str, live: LiveStream, load: LoadPod, say: Say, measured: Measured
) -> None:
    """After a rollout every tenth order kills its worker: which signal, in which library, at which endpoint, since which
    release; and how many people never got an answer."""
    lost, since = live.newest["totals"]["lost"], time.time()
    cluster.kubectl("-n", orders, "set", "env", "deployment/orders", "CODEC=/srv/codec-2.so")
    incident = Incident("orders", "web", "codec-2.so", "GET /print/<int:order>")
    truth = crash(cluster, live, load, say, measured, incident, since, "/print/{user}=1,/=2")
    time.sleep(2)
    picture = rollcall.picture(orders, "orders")
    unanswered = sum(truth.errors.values())
    measured("F17: requests without an answer, sent and told", f"{unanswered} and {picture['totals']['lost'] - lost}")
    assert unanswered > 0
    assert picture["totals"]["lost"] - lost == unanswered
    row = next(each for each in picture["endpoints"]["rows"] if each["endpoint"] == incident.endpoint)
    assert row["unanswered"] > 0


def test_f16_an_extension_of_php_that_crashes(
    cluster: Cluster, rollcall: Rollcall, orders: str, load: LoadPod, say: Say, measured: Measured
) -> None:
    """The same with php-fpm, where the application's server answers for the worker: 502."""
    cluster.build("legacy")
    folder = EXAMPLES / "legacy"
    cluster.kubectl("-n", orders, "apply", "-f", folder / "monitoredservice.yaml", "-f", folder / "manifest.yaml")
    cluster.kubectl("-n", orders, "rollout", "status", "deployment/legacy", "--timeout=120s")
    rollcall.wait_for(orders, "legacy", two_serve, "two pods serve")
    command = ["php-fpm8.2", "--nodaemonize", "--fpm-config", "/etc/legacy/php-fpm.conf"]
    extension = ["-d", "extension=/srv/legacy/recode-2.so"]
    patch = [{"op": "add", "path": "/spec/template/spec/containers/0/command", "value": command + extension}]
    with LiveStream(cluster, orders, "legacy") as live:
        lost, since = live.newest["totals"]["lost"], time.time()
        cluster.kubectl("-n", orders, "patch", "deployment/legacy", "--type=json", "-p", json.dumps(patch))
        incident = Incident("legacy", "php", "recode-2.so", "GET /recode.php")
        mix = "/recode.php?number={user}=1,/index.php=2"
        truth = crash(cluster, live, load, say, measured, incident, since, mix)
        time.sleep(2)
        told = live.newest["totals"]["lost"] - lost
    measured(
        "F17: requests that nginx answered for php-fpm with 502, and told as never answered",
        f"{truth.statuses['502']} and {told}",
    )
    assert told == truth.statuses["502"] > 0


class Incident(NamedTuple):
    """Whose workers crash, in which container, in which library, at which endpoint."""

    service: str
    container: str
    library: str
    endpoint: str


def crash(
    cluster: Cluster, live: LiveStream, load: LoadPod, say: Say, measured: Measured, incident: Incident, since: float, mix: str
) -> Truth:
    """Let the rollout that has begun come to its end, send requests some of which crash, and read what is told of that."""
    service, _, library, endpoint = incident
    cluster.kubectl("-n", "shop", "rollout", "status", f"deployment/{service}", "--timeout=120s")
    live.wait(two_serve, 60, "only the new release serves")
    revision = live.newest["roll"][0]["revision"]
    start(load, mix, rate=10, seconds=25, service=service)
    live.wait(lambda picture: picture["crashes"] and picture["crashes"]["total"], 30, "a crash")
    warned = until(lambda: events(cluster, "WorkersCrashing", service), 10, "an Event")[0]
    until(lambda: condition(cluster, "WorkersCrashing", service)["status"] == "True", 5, "a condition")
    printed = say(f"F16: a library crashes after a rollout ({service})", "crashes", service)
    truth = load.wait(80)
    picture = live.newest
    sample = picture["crashes"]["samples"][0]
    assert (sample["signal"], sample["endpoint"], sample["revision"]) == ("SIGSEGV", endpoint, revision)
    assert sample["module"].endswith(library)
    for word in ("SIGSEGV", library, endpoint, revision):
        assert word in printed, printed
    assert library in warned["message"]
    assert picture["crashes"]["revisions"]["newest"]["revision"] == revision
    ended = crash_times(cluster, incident, since)
    late = [
        min(at for at, seen in live.samples if seen["crashes"] and seen["crashes"]["total"] > n) - ended[n] for n in range(3)
    ]
    measured(f"F16: crashes of {service} seen after", ", ".join(f"{delay:.2f} s" for delay in late))
    assert max(late) < 2.0
    return truth


def crash_times(cluster: Cluster, incident: Incident, since: float) -> list[float]:
    """When the workers' masters saw them die of SIGSEGV, Unix seconds, from `since` on."""
    found = []
    for pod in cluster.kubectl("-n", "shop", "get", "pods", "-l", f"app={incident.service}", "-o", "name").split():
        log = cluster.kubectl("-n", "shop", "logs", "--timestamps", pod, "-c", incident.container)
        found += [unix_s(line.split()[0][:26] + "+00:00") for line in log.splitlines() if "SIGSEGV" in line]
    assert found
    return sorted(at for at in found if at >= since)
