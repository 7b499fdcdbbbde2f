"""Why pods left, against what was done to them: over 500 departures of all causes at once, and how many have the right one.

    python -m benchmarks.departures [--gap SECONDS] [--keep]

A real API server with its controllers and scheduler, nodes that are objects, and a kubelet for all of them that says of pods
what real ones say. The operator's own watching and judging runs in this process. What each pod leaves for is known here, as
it is done here: by scaling, rolling, evicting, tainting, deleting, by priorities, by nodes that fall silent or are deleted, and
by ends of containers. With a gap, nobody watches for so long in the middle of it. Ends with 1 when fewer than 99 % are right.
The cluster is one of its own name, so that one for tests may run beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "operator"), str(ROOT / "agent_sidecar"), str(ROOT)]

import uvloop  # noqa: E402

from benchmarks.departures.kubelet import NAMESPACE, SEATS, Kubelet, make_nodes, now  # noqa: E402
from benchmarks.departures.truth import Truth  # noqa: E402
from rollcall.control.services import Services  # noqa: E402
from rollcall.control.watch import ServiceWatch  # noqa: E402
from rollcall.kube.client import Access, Client, KubeError  # noqa: E402
from rollcall.model.departures import Verdict  # noqa: E402
from rollcall.model.roll import Roll  # noqa: E402
from rollcall.model.states import PodFacts  # noqa: E402
from tests.harness.cluster import Cluster  # noqa: E402

NOT_RIGHT_BELOW = 0.99


class Seen:
    """What the operator's code says, pod by pod."""

    def __init__(self) -> None:
        self.causes: dict[str, list[tuple[str, str]]] = {}

    def left(self, facts: PodFacts, verdict: Verdict, unix_s: float) -> None:
        self.causes.setdefault(facts.uid, []).append((verdict.cause.value, verdict.evidence))


async def everything(client: Client, truth: Truth, kubelet: Kubelet) -> None:
    """Workloads first, then all that is done to them, at the same time."""
    first = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "first"}, "value": 1000}
    await client.request("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", first)
    for name, replicas in (("shrinks", 100), ("rolls", 50), ("evicted", 40), ("deleted-by-hand", 40)):
        await truth.workload("Deployment", name, replicas)
    await truth.workload("Deployment", "anew", 15, strategy={"type": "Recreate"})
    for name in ("sset-shrinks", "sset-rolls"):
        await truth.workload("StatefulSet", name, 20, serviceName=name, podManagementPolicy="Parallel")
    await truth.workload("DaemonSet", "everywhere", None, updateStrategy={"rollingUpdate": {"maxUnavailable": 4}})
    for node, count in (("silent", 30), ("deleted", 20), ("tainted", 20)):
        await truth.pods(node, count, nodeName=node)
    for name in ("bare", "forced"):
        await truth.pods(name, 15)
    await truth.pods("humble", SEATS, seat=True)
    print(f"{len(kubelet.informer.objects)} pods; now everything at once", flush=True)
    await asyncio.gather(
        truth.scale_in("deployments", "shrinks", 100, 20),
        truth.scale_in("statefulsets", "sset-shrinks", 20, 8),
        truth.roll("deployments", "rolls", 50),
        truth.roll("deployments", "anew", 15),
        truth.roll("statefulsets", "sset-rolls", 20),
        truth.roll("daemonsets", "everywhere", 10),
        truth.evict("evicted", 40),
        truth.taint("tainted", 20),
        truth.delete_all("deleted-by-hand", 40),
        truth.delete_all("bare", 15),
        truth.delete_all("forced", 15, 0),
        truth.preempt(),
        truth.lose(kubelet, "silent", 30),
        truth.lose(kubelet, "deleted", 20),
        truth.pods("hogs", 40, end="oom", restartPolicy="Never"),
        truth.pods("exits", 40, end="exit", restartPolicy="Never"),
        truth.job("sums", 50, "done"),
        truth.ends("OOMKilled", "hogs", 40),
        truth.ends("Crashed", "exits", 40),
        truth.ends("Completed", "sums", 50),
    )


def table(truth: Truth, seen: Seen) -> float:
    """Prints what is right by cause; returns the part."""
    right: Counter[str] = Counter()
    for uid, cause in truth.causes.items():
        said = seen.causes.get(uid, [])
        if [each for each, _ in said] == [cause]:
            right[cause] += 1
        else:
            print(f"   not {cause}: {said or 'no departure'}")
    for uid in seen.causes.keys() - truth.causes.keys():
        print(f"   nothing was done to a pod that left: {seen.causes[uid]}")
        truth.causes[uid] = "none"
    many = Counter(truth.causes.values())
    print("| cause | pods | right |\n|---|---|---|")
    for cause in sorted(many):
        print(f"| {cause} | {many[cause]} | {right[cause]} |")
    part = right.total() / many.total()
    print(f"| all | {many.total()} | {right.total()} ({100 * part:.1f} %) |", flush=True)
    return part


async def look_away(watch: ServiceWatch, truth: Truth, seconds: float) -> None:
    """Nothing is watched for so long while pods leave; then pods are listed again, and their owners three seconds later."""
    while len(truth.causes) < 100:
        await asyncio.sleep(0.1)
    workloads = watch._workloads
    for task in (watch._task, *workloads._tasks):
        task.cancel()
    await asyncio.sleep(seconds)
    watch._informer._version = ""
    watch._task = asyncio.create_task(watch._informer.run())
    await asyncio.sleep(3)
    owners = (*workloads._informers, workloads._jobs)
    for informer in owners:
        informer._version = ""
    workloads._tasks = [asyncio.create_task(informer.run()) for informer in owners]


async def measure(client: Client, gap_s: float) -> float:
    """One run."""
    await client.request(
        "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    )
    for _ in range(100):
        with contextlib.suppress(KubeError):
            await client.request("GET", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/default")
            break
        await asyncio.sleep(0.2)
    await make_nodes(client)
    services, kubelet, truth, seen = Services(client, Roll()), Kubelet(client), Truth(client), Seen()
    manifest = {
        "apiVersion": "rollcall.dev/v1alpha1", "kind": "MonitoredService",
        "metadata": {"name": "leave", "namespace": NAMESPACE, "uid": "uid-leave", "creationTimestamp": now(), "generation": 1},
        "spec": {"selector": {"matchLabels": {"suite": "leave"}}},
    }  # fmt: skip
    jobs = [asyncio.ensure_future(job) for job in (services.run(), kubelet.informer.run(), kubelet.beat())]
    try:
        services.put(manifest)
        watch = services.get((NAMESPACE, "leave"))
        assert watch is not None
        watch.ledger.left = seen.left  # type: ignore[method-assign]
        if gap_s:
            jobs.append(asyncio.ensure_future(look_away(watch, truth, gap_s)))
        await everything(client, truth, kubelet)
        until_s = time.monotonic() + 150
        while not truth.causes.keys() <= seen.causes.keys() and time.monotonic() < until_s:
            await asyncio.sleep(1)
        await asyncio.sleep(5)
    finally:
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
    return table(truth, seen)


async def run(given: argparse.Namespace) -> float:
    """With a cluster of its own."""
    cluster = Cluster.up(given.name, provider="local", nodes=0)
    try:
        async with Client(Access.from_kubeconfig(cluster.kubeconfig)) as client:
            return await measure(client, given.gap)
    finally:
        if not given.keep:
            cluster.down()


def main() -> None:
    """As the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", default="departures", help="name of the cluster")
    parser.add_argument("--gap", type=float, default=0.0, help="seconds for which nobody watches, in the middle of it")
    parser.add_argument("--keep", action="store_true", help="leave the cluster running")
    sys.exit(uvloop.run(run(parser.parse_args())) < NOT_RIGHT_BELOW)


if __name__ == "__main__":
    main()
