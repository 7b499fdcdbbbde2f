"""Each signal against an independent truth: what the load generator sent, the application logged, the kernel accounts.

`make accuracy` runs this file and `test_accuracy_causes.py` alone, and writes their tables to docs/accuracy.md.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rollcall_agent.wire.grid import RELATIVE_ERROR
from tests.cluster.accuracy_table import Table
from tests.cluster.observe import LiveStream, core_api, processes_of
from tests.harness.cluster import Cluster
from tests.harness.install import Rollcall
from tests.harness.truth import ApplicationLog, LoadPod, Truth, load_options

pytestmark = pytest.mark.cluster

AROUND_US = 200
"""The probe measures around the application's own measurement; what lies between is the server's bookkeeping. Of an
endpoint that answers within a millisecond this would be a large part, so response times are compared where they are longer."""
SHOWN_LATER_S = 2.0
"""What is shown of CPU is read once a second and smoothed over three: on the average it is so old."""
CGROUPS = Path("/sys/fs/cgroup")
Picture = dict[str, Any]


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    made = Table()
    yield made
    made.write("signals")


def quiet(picture: Picture) -> bool:
    """Nothing happened in the window."""
    return picture["traffic"]["responseTime"]["p95"] is None and not (picture["traffic"]["inFlight"] or {}).get("total")


def rows_of(picture: Picture) -> dict[str, Picture]:
    return {row["endpoint"]: row for row in (picture["endpoints"] or {"rows": []})["rows"]}


def send(cluster: Cluster, shop: str, *options: str, timeout_s: float = 150) -> Truth:
    load = LoadPod(cluster, shop)
    load.start(*options)
    truth = load.wait(timeout_s)
    load.delete()
    return truth


ENDPOINTS: dict[str, dict[str, str]] = {
    "newsfeed": {
        "/": "GET /",
        "/feed/{user}": "GET /feed/<int:user>",
        "/slow": "GET /slow",
        "/fail": "GET /fail",
    },
    "legacy": {
        "/index.php": "GET /index.php",
        "/feed.php?user={user}": "GET /feed.php",
        "/slow.php": "GET /slow.php",
        "/fail.php": "GET /fail.php",
    },
}
ERROR_TYPES = {"newsfeed": "RuntimeError", "legacy": "RuntimeException"}


@pytest.mark.parametrize("service", ENDPOINTS)
def test_concurrent_users(cluster: Cluster, rollcall: Rollcall, shop: str, table: Table, service: str) -> None:
    """200 visitors, each of whom asks every 1.3 s, are 200 at the same time: Little's law, from the few that are followed.

    One visitor in 16 is followed, so about 13 with 22 gaps each: a standard error of 6 %, and four of them are allowed.
    """
    load = LoadPod(cluster, shop)
    path = next(iter(ENDPOINTS[service]))
    load.start(*load_options(shop, service=service, rate=150, seconds=30, mix=f"{path}=1", visitors=200, seed=3))
    time.sleep(29)
    during = rollcall.picture(shop, service)
    truth = load.wait(60)
    load.delete()
    table.visited[service] += truth.visitors
    shown = during["visitors"]["concurrentUsers"]
    table.within(f"{service}: concurrent users (Little's law)", 200, shown, 0.25, "users")


@pytest.mark.parametrize("service", ENDPOINTS)
def test_requests_errors_and_visitors(cluster: Cluster, rollcall: Rollcall, shop: str, table: Table, service: str) -> None:
    """Half a minute of mixed load from 3,000 visitors over two pods; newsfeed scales to three and back meanwhile."""
    names = ENDPOINTS[service]
    before = rollcall.wait_for(shop, service, quiet, "a quiet service")
    mix = ",".join(f"{path}={weight}" for path, weight in zip(names, (6, 3, 0.5, 0.3), strict=True))
    load = LoadPod(cluster, shop)
    load.start(*load_options(shop, service=service, rate=150, seconds=30, mix=mix, visitors=3000, seed=7))
    time.sleep(8)
    cluster.kubectl("-n", shop, "scale", f"deployment/{service}", "--replicas=3")
    time.sleep(8)
    cluster.kubectl("-n", shop, "scale", f"deployment/{service}", "--replicas=2")
    truth = load.wait(120)
    load.delete()
    assert truth.errors == {}
    after = rollcall.wait_for(
        shop,
        service,
        lambda picture: (
            picture["totals"]["requests"] - before["totals"]["requests"] >= truth.answered and picture["pods"]["total"] == 2
        ),
        "everything is counted",
        timeout_s=60,
    )
    failed = sum(count for status, count in truth.statuses.items() if status.startswith("5"))
    table.exact(f"{service}: requests", truth.sent, after["totals"]["requests"] - before["totals"]["requests"])
    table.exact(f"{service}: errors", failed, after["totals"]["errors"] - before["totals"]["errors"])
    counted, known = rows_of(after), rows_of(before)
    for path, endpoint in names.items():
        sent = truth.endpoints[path]
        requests = counted[endpoint]["requests"] - known.get(endpoint, {"requests": 0})["requests"]
        failures = counted[endpoint]["errors"] - known.get(endpoint, {"errors": 0})["errors"]
        table.exact(f"{service}: requests to `{endpoint}`", sent["answered"], requests)
        assert failures == sum(count for status, count in sent["statuses"].items() if status.startswith("5"))

    def of_type(picture: Picture) -> int:
        return sum(entry["total"] for entry in picture["errors"]["byType"] if entry["type"] == ERROR_TYPES[service])

    table.exact(f"{service}: errors of type {ERROR_TYPES[service]}", failed, of_type(after) - of_type(before))
    visitors = after["visitors"]
    table.visited[service] += truth.visitors
    for name, title in (("lastFiveMinutes", "last five minutes"), ("hour", "hour"), ("day", "day")):
        table.within(f"{service}: visitors, {title}", table.visited[service], visitors[name], 0.02, "visitors")


@pytest.mark.parametrize("service", ["newsfeed"])
def test_response_times_by_endpoint(
    cluster: Cluster, rollcall: Rollcall, shop: str, table: Table, service: str, tmp_path: Path
) -> None:
    """A burst that fits the window, against the raw latencies in the application's log; shares of the total time as well."""
    rate, seconds = 100, 6
    rollcall.wait_for(shop, service, quiet, "a quiet service")
    with ApplicationLog(cluster, shop, f"app={service}", "web", tmp_path) as log, LiveStream(cluster, shop, service) as live:
        counted = live.newest["totals"]["requests"]
        load = LoadPod(cluster, shop)
        load.start(*load_options(shop, service=service, rate=rate, seconds=seconds, mix="/=5,/feed/{user}=3,/slow=3"))
        live.wait(lambda picture: picture["totals"]["requests"] - counted == rate * seconds, 30, "the whole burst is counted")
        shown = rows_of(live.newest)
        load.wait(30)
        load.delete()
        served = log.served_all(rate * seconds)
    assert len(served) == rate * seconds
    whole_us = sum(request.latency_us for request in served)
    for path, endpoint in (("/", "GET /"), ("/slow", "GET /slow")):
        raw = sorted(request.latency_us for request in served if request.path == path)
        for name, rank in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)) if path == "/slow" else ():
            true_ms = raw[math.ceil(rank * len(raw)) - 1] / 1000
            title = f"{service}: {name} of `{endpoint}`"
            table.within(title, true_ms, shown[endpoint][name] * 1000, RELATIVE_ERROR, "ms", AROUND_US / 1000)
        share, seen = sum(raw) / whole_us, shown[endpoint]["share"]
        table.share(f"{service}: share of `{endpoint}`", share, seen)


def test_cpu_and_memory(cluster: Cluster, rollcall: Rollcall, shop: str, table: Table) -> None:
    """Under steady load, against what the kernel accounts for the container's cgroup, read outside of the pod."""
    load = LoadPod(cluster, shop)
    load.start(*load_options(shop, rate=200, seconds=50, mix="/=5,/feed/{user}=5"))
    with LiveStream(cluster, shop, "newsfeed") as live:
        time.sleep(12)
        pod = core_api(cluster).list_namespaced_pod(shop, label_selector="app=newsfeed").items[0]
        folders = cgroups_of(processes_of(pod.metadata.uid, "gunicorn")[0])
        began, before_us, memory = time.time(), cpu_us(folders), []
        while time.time() - began < 30:
            memory.append(working_set(folders))
            time.sleep(0.5)
        used_us, elapsed_s = cpu_us(folders) - before_us, time.time() - began
        time.sleep(SHOWN_LATER_S)
        since, until_s = began + SHOWN_LATER_S, began + SHOWN_LATER_S + elapsed_s
        samples = [picture for at, picture in live.samples if since <= at <= until_s]
    load.stop()
    load.delete()
    shown = [entry["resources"] for picture in samples for entry in picture["roll"] if entry["uid"] == pod.metadata.uid]
    assert all(entry["source"] == "probe" and entry["age"] < 3 for entry in shown)
    mean = sum(entry["cpuMillicores"] for entry in shown) / len(shown)
    table.within("newsfeed: CPU of a pod", used_us / elapsed_s / 1000, mean, 0.03, "millicores")
    mib = 1 << 20
    mean_mib = sum(entry["memoryBytes"] for entry in shown) / len(shown) / mib
    table.within("newsfeed: memory of a pod", sum(memory) / len(memory) / mib, mean_mib, 0.03, "MiB")
    assert shown[-1]["memoryLimitBytes"] == 192 * mib
    assert shown[-1]["cpuRequestMillicores"] == 100


def cgroups_of(pid: int) -> dict[str, Path]:
    """Controller → folder of a process's cgroup on this machine; "" for version 2."""
    found = {}
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            root = next((f for f in CGROUPS.iterdir() if controller and controller in f.name.split(",")), CGROUPS)
            found[controller] = root / path.lstrip("/")
    return found


def cpu_us(folders: dict[str, Path]) -> float:
    """CPU time that a cgroup has used."""
    if "cpuacct" in folders:
        return int((folders["cpuacct"] / "cpuacct.usage").read_text()) / 1000
    return int((folders[""] / "cpu.stat").read_text().split()[1])


def working_set(folders: dict[str, Path]) -> int:
    """Memory as the kubelet defines its working set: usage less inactive file pages."""
    folder = folders.get("memory", folders.get("", CGROUPS))
    old = (folder / "memory.usage_in_bytes").exists()
    usage = int((folder / ("memory.usage_in_bytes" if old else "memory.current")).read_text())
    stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    return usage - int(stat["total_inactive_file" if old else "inactive_file"])


def test_in_flight_and_imbalance(cluster: Cluster, rollcall: Rollcall, shop: str, table: Table) -> None:
    """Requests that hang are counted one by one; a load balancer that favours one of two pods is seen as 2.0."""
    rollcall.wait_for(shop, "newsfeed", quiet, "a quiet service")
    pod = core_api(cluster).list_namespaced_pod(shop, label_selector="app=newsfeed").items[0]
    load = LoadPod(cluster, shop)
    with LiveStream(cluster, shop, "newsfeed") as live:
        load.start(*load_options(shop, rate=6, seconds=1, mix="/hang/9=1"))
        live.wait(lambda picture: (picture["traffic"]["inFlight"] or {}).get("total") == 6, 10, "six in flight")
        table.exact("newsfeed: requests in flight", 6, live.newest["traffic"]["inFlight"]["total"])
        live.wait(lambda picture: len(picture["longest"]) == 6, 5, "six longest requests")
        table.exact("newsfeed: longest requests listed", 6, len(live.newest["longest"]))
        live.wait(lambda picture: (picture["traffic"]["inFlight"] or {}).get("total") == 0, 20, "none in flight")
        load.delete()
        direct = [f"--url=http://{pod.status.pod_ip}:8080", "--rate=100", "--duration=14", "--mix=/"]
        load.start(*direct)
        load.wait(30)
        load.delete()
        ratios = [imbalance["requests"] for _, picture in live.samples if (imbalance := picture["imbalance"])]
        busiest = max(ratio for ratio in ratios if ratio is not None)
        assert live.newest["imbalance"] is None or live.newest["imbalance"]["busiest"] == pod.metadata.name
    table.within("newsfeed: busiest pod to mean, one of two gets all", 2.0, busiest, 0.03, "x")


def test_the_table_has_every_signal(table: Table) -> None:
    """Nothing was left out because a test before failed or was not run."""
    words = " ".join(row.signal for row in table.rows)
    wanted = (
        "requests",
        "errors of type",
        "visitors, day",
        "concurrent users",
        "p99",
        "share",
        "CPU",
        "memory",
        "in flight",
        "busiest",
    )
    assert [word for word in wanted if word not in words] == []
