"""The case that Rollcall comes from, figure by figure: each incident is made to happen, and a person reads the answer.

What is asserted is the text that `rollcall` and `kubectl` print. The texts are kept in build/case.txt.
"""

from __future__ import annotations

import bisect
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.observe import LiveStream, until
from tests.harness.cluster import Cluster
from tests.harness.install import Rollcall
from tests.harness.paths import REPOSITORY
from tests.harness.truth import ApplicationLog, LoadPod, load_options

pytestmark = pytest.mark.cluster
Say = Callable[..., str]
REPORT_S = 0.5


@pytest.fixture(scope="module")
def say(rollcall: Rollcall, shop: str) -> Iterator[Say]:
    """Run a `rollcall` command in the shop's namespace and keep what it prints."""
    told: list[str] = []

    def run(title: str, *words: str) -> str:
        output = rollcall.run(*words, "-n", shop)
        told.append(f"# {title}\n$ rollcall {' '.join(words)} -n {shop}\n{output}")
        return output

    yield run
    path = REPOSITORY / "build/case.txt"
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(told))


def row(output: str, word: str) -> str:
    """The line of a table that holds `word`; fails with the table when none does."""
    found = [line for line in output.splitlines() if word in line]
    assert found, output
    return found[0]


def in_flight(picture: dict[str, Any]) -> int | None:
    """Requests in flight; None while no probe has told of any request."""
    found = picture["traffic"]["inFlight"]
    return int(found["total"]) if found else None


def quiet(live: LiveStream) -> None:
    live.wait(
        lambda picture: picture["traffic"]["responseTime"]["p95"] is None and in_flight(picture) in (0, None),
        40,
        "a quiet service",
    )


@pytest.mark.parametrize(
    ("service", "path", "endpoint", "step"),
    [
        ("newsfeed", "/hang/14", "GET /hang/<int:seconds>", r"code hang \(newsfeed\.py:\d+\)"),
        ("legacy", "/hang.php?s=14", "GET /hang.php", r"sleep usleep"),
    ],
    ids=["python", "php"],
)
def test_f14_a_request_that_hangs_is_caught_while_it_hangs(
    cluster: Cluster, shop: str, say: Say, service: str, path: str, endpoint: str, step: str, measured: Callable[..., None]
) -> None:
    """Listed within a second of entering each band, with endpoint, elapsed time and what it is at; gone when it has ended."""
    with LiveStream(cluster, shop, service) as live:
        quiet(live)
        load = LoadPod(cluster, shop)
        load.start(*load_options(shop, service=service, rate=1, seconds=1, mix=f"{path}=1"))
        begun = until(lambda: live.first(lambda picture: in_flight(picture) == 1), 20, "one in flight")
        live.wait(lambda picture: picture["longest"] and picture["longest"][0]["elapsed"] > 3, 10, "it is listed")
        printed = say(f"F14: a request that hangs ({service})", "requests", service)
        live.wait(lambda picture: picture["longest"] and picture["longest"][0]["elapsed"] > 9, 15, "it is in the last band")
        degraded = live.wait(lambda picture: picture["health"]["state"] == "Degraded", 5, "health says so")
        live.wait(lambda picture: picture["longest"] == [], 20, "the list is empty again")
        load.delete()
    line = row(printed, endpoint)
    assert re.search(step, line), printed
    assert re.search(r"\b[3-7](\.\d)?s\b", line), "in its third band, however long the command took"
    assert service in line
    assert degraded["health"]["reason"] == "RequestsStuck"
    for bound_s in (1, 3, 8):
        listed = live.first(
            lambda picture, bound_s=bound_s: any(  # type: ignore[misc]
                entry["elapsed"] >= bound_s and entry["endpoint"] == endpoint for entry in picture["longest"]
            ),
            since=begun,
        )
        assert listed is not None
        late_s = listed - begun - bound_s
        measured(f"{service}: listed after entering the band of {bound_s} s", f"{late_s:.2f} s")
        assert late_s < 1.0, f"{late_s:.2f} s after it entered the band of {bound_s} s"
    gone = until(lambda: live.first(lambda picture: picture["longest"] == [], since=listed), 5, "gone")
    assert gone - begun < 16


def test_f4_which_endpoint_is_slow(cluster: Cluster, shop: str, say: Say) -> None:
    """The mean of all requests is fine; the table names the one endpoint that takes nearly all of the time."""
    load = LoadPod(cluster, shop)
    load.start(*load_options(shop, rate=60, seconds=20, mix="/=12,/feed/{user}=6,/slow=1.5"))
    time.sleep(13)
    printed = say("F4: response time, by endpoint", "endpoints", "newsfeed")
    load.wait(60)
    load.delete()
    first = printed.splitlines()[1]
    assert first.startswith("GET /slow "), printed
    share = float(re.search(r"(\d+(?:\.\d+)?)%", first)[1])  # type: ignore[index]
    assert share > 80, printed
    assert re.search(r"1\d\dms|[789]\dms", first), printed
    assert "GET /feed/<int:user>" in printed
    assert "/feed/1" not in printed, "raw paths are never shown"


def test_f5_a_burst_that_daily_logs_hide(
    cluster: Cluster, shop: str, say: Say, measured: Callable[..., None], tmp_path: Path
) -> None:
    """Four seconds of eight times the traffic: the live stream shows its top, and when it began, within a second."""
    with ApplicationLog(cluster, shop, "app=newsfeed", "web", tmp_path) as log, LiveStream(cluster, shop, "newsfeed") as live:
        quiet(live)
        load = LoadPod(cluster, shop)
        load.start(f"--url=http://newsfeed.{shop}.svc", "--rates=30:8,240:4,30:8", "--mix=/=3,/feed/{user}=1")
        until(lambda: (live.newest["traffic"]["requestsPerSecond"] or 0) > 216, 25, "the burst at 90 %")
        printed = say("F5: a burst, while it lasts", "top", "newsfeed", "--once")
        truth = load.wait(60)
        load.delete()
        served = sorted(request.at.timestamp() for request in log.served_all(truth.answered))
    true_top = max(bisect.bisect_left(served, at + REPORT_S) - n for n, at in enumerate(served)) / REPORT_S
    rates = [(at, picture["traffic"]["requestsPerSecond"] or 0) for at, picture in live.samples]
    top = max(rate for _, rate in rates)
    high = [at for at, rate in rates if rate > 120]
    measured(
        "burst of 240/s for 4 s: highest rate of half a second in the application's log, and shown",
        f"{true_top:.0f}, {top:.0f}/s",
    )
    measured("burst of 240/s for 4 s: seconds shown above half of it", f"{high[-1] - high[0]:.1f} s")
    assert 216 <= top <= 1.1 * true_top, "the top is that of the burst, not of a minute's mean"
    assert 3.0 <= high[-1] - high[0] <= 5.5
    began_s = truth.summary["began_at"] + 8
    assert high[0] - began_s < 1.5, "half of the burst is seen within a second and a half of its begin"
    assert float(re.search(r"requests/s (\d+)", printed)[1]) > 150, printed  # type: ignore[index]


def test_f6_visitors_live(cluster: Cluster, rollcall: Rollcall, shop: str, say: Say) -> None:
    """400 visitors over two pods count once each, and a pod that leaves takes none with it."""
    before = rollcall.picture(shop, "newsfeed")["visitors"] or {"lastFiveMinutes": 0, "hour": 0, "day": 0}
    load = LoadPod(cluster, shop)
    load.start(*load_options(shop, rate=100, seconds=20, mix="/=1", visitors=400, seed=61))
    truth = load.wait(60)
    load.delete()
    rollcall.wait_for(
        shop, "newsfeed", lambda picture: (picture["visitors"] or {}).get("day", 0) > before["day"] + 300, "visitors are told"
    )
    cluster.kubectl("-n", shop, "scale", "deployment/newsfeed", "--replicas=1")
    after = rollcall.wait_for(shop, "newsfeed", lambda picture: picture["pods"]["total"] == 1, "one pod left")["visitors"]
    printed = say("F6: visitors and concurrent users", "top", "newsfeed", "--once")
    cluster.kubectl("-n", shop, "scale", "deployment/newsfeed", "--replicas=2")
    rollcall.wait_for(shop, "newsfeed", lambda picture: picture["pods"]["serving"] == 2, "two pods again")
    for window in ("hour", "day"):
        assert abs(after[window] - before[window] - truth.visitors) <= 0.02 * after[window] + 2, (window, before, after)
    assert re.search(r"visitors 5 min [\d\u2009]+", printed), printed


def test_f7_cpu_and_memory_without_logging_in(cluster: Cluster, shop: str, say: Say) -> None:
    """Usage beside request and limit of every pod, with the age of what a kubelet told, and no data as no data."""
    load = LoadPod(cluster, shop)
    load.start(*load_options(shop, rate=150, seconds=14, mix="/=1,/feed/{user}=1"))
    time.sleep(10)
    printed = say("F7: CPU and memory", "pods", "newsfeed")
    load.wait(60)
    load.delete()
    header, *lines = printed.splitlines()
    assert re.search(r"CPU +REQUEST +LIMIT +THROTTLED +MEMORY +LIMIT +RESTARTS +OOM", header), printed
    pods = [line for line in lines if line.startswith("newsfeed-")]
    assert len(pods) == 2
    for line in pods:
        assert re.search(r"\d+m +100m +– ", line), printed
        assert re.search(r"\d+Mi +192Mi", line), printed
        assert "probe" in line, printed


def test_an_error_is_shown_with_its_place(cluster: Cluster, shop: str, say: Say) -> None:
    """F21's half that needs no profile: type, message, and the application's own file and line, Python and PHP."""
    load = LoadPod(cluster, shop)
    for service, path, kind, place in (
        ("newsfeed", "/fail", "RuntimeError", r"fail \(newsfeed\.py:\d+\)"),
        ("legacy", "/fail.php", "RuntimeException", r"\(.*fail\.php:5\)"),
    ):
        load.start(*load_options(shop, service=service, rate=5, seconds=3, mix=f"{path}=1"))
        load.wait(40)
        load.delete()
        printed = say(f"F17, F21: what fails, and where ({service})", "errors", service)
        assert re.search(rf"exception +{kind} ", printed), printed
        assert f"{kind}: the recommendation model is missing" in printed
        assert re.search(place, printed), printed


def test_no_data_is_shown_as_no_data(cluster: Cluster, rollcall: Rollcall, shop: str, say: Say) -> None:
    """An idle service has no percentiles; a pod whose application has no probe has no requests per second, not 0."""
    idle = rollcall.wait_for(shop, "newsfeed", lambda p: p["traffic"]["responseTime"]["p95"] is None, "an idle window", 40)
    assert idle["traffic"]["responseTime"] == {"mean": None, "p50": None, "p95": None, "p99": None}
    assert idle["traffic"]["errorRatio"] is None
    assert idle["traffic"]["requestsPerSecond"] == 0, "its probes report that nothing comes"
    unprobed = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "unprobed", "namespace": shop, "labels": {"app": "unprobed"}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "app",
                    "image": "docker.io/rollcall/newsfeed:dev",
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sleep", "300"],
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                }
            ],
        },
    }
    service = {
        "apiVersion": "rollcall.dev/v1alpha1",
        "kind": "MonitoredService",
        "metadata": {"name": "unprobed", "namespace": shop},
        "spec": {"selector": {"matchLabels": {"app": "unprobed"}}},
    }
    for manifest in (service, unprobed):
        cluster.kubectl("apply", "-f", "-", input=json.dumps(manifest))
    picture = rollcall.wait_for(shop, "unprobed", lambda p: p["pods"]["serving"] == 1, "the pod's agent reports")
    printed = say("a pod without a probe", "top", "unprobed", "--once")
    [pod] = picture["roll"]
    assert (pod["probed"], pod["requestsPerSecond"], pod["p95"], pod["inFlight"]) == (False, None, None, None)
    assert (picture["traffic"]["requestsPerSecond"], picture["traffic"]["inFlight"]) == (None, None)
    assert "requests/s –" in printed, printed
    cluster.kubectl("-n", shop, "delete", "msvc/unprobed", "pod/unprobed", "--wait=false")
