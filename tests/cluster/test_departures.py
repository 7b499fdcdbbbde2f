"""Each cause is made to happen to pods of every kind of workload, as people and controllers do it; Rollcall says it.

The tests go in the order of the file: the one that cuts the power of a node is the last but one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.leaving import (
    GONE_AT_ONCE,
    HOG,
    NAMESPACE,
    PRIORITY,
    apply,
    job,
    pod,
    seated,
    seats,
    service,
    stage,
    template,
    workload,
)
from tests.cluster.observe import LiveStream, condition, until
from tests.harness.cluster import Cluster
from tests.harness.install import NAMESPACE as OPERATOR
from tests.harness.install import Rollcall
from tests.harness.local.node import Node
from tests.harness.paths import REPOSITORY
from tests.harness.truth import LoadPod, load_options

pytestmark = [pytest.mark.cluster, pytest.mark.patient]

Json = dict[str, Any]


class Leaving:
    """The pods of the namespace, as the API server and as Rollcall have them."""

    def __init__(self, cluster: Cluster, live: LiveStream) -> None:
        self.cluster, self.live = cluster, live
        self.node = cluster.nodes[0].name
        self.expected: dict[str, str] = {}

    def kubectl(self, *args: str, **options: Any) -> str:
        return self.cluster.kubectl("-n", NAMESPACE, *args, **options)

    def pods(self, app: str) -> dict[str, str]:
        """UIDs by name."""
        found = json.loads(self.kubectl("get", "pods", "-l", f"app={app}", "-o", "json"))["items"]
        return {each["metadata"]["name"]: each["metadata"]["uid"] for each in found}

    @property
    def recent(self) -> dict[str, Json]:
        """Departures by UID."""
        return {gone["uid"]: gone for gone in self.live.newest["departures"]["recent"]}

    def have_left(self, cause: str, *uids: str, within_s: float = 40) -> list[Json]:
        """These pods are departures of this cause."""
        self.expected |= dict.fromkeys(uids, cause)
        until(lambda: set(uids) <= set(self.recent), within_s, f"{len(uids)} pods have left by {cause}")
        found = [self.recent[uid] for uid in uids]
        assert {gone["cause"] for gone in found} == {cause}, [(gone["name"], gone["cause"], gone["evidence"]) for gone in found]
        return found


@pytest.fixture(scope="module")
def leaving(cluster: Cluster, rollcall: Rollcall) -> Iterator[Leaving]:
    """All workloads run."""
    cluster.load(cluster.build("newsfeed"))
    apply(cluster, *stage(cluster.nodes[0].name))
    for what in ("deployment/web", "deployment/anew", "deployment/doomed", "deployment/drained", "statefulset/store"):
        cluster.kubectl("-n", NAMESPACE, "rollout", "status", what, "--timeout=90s")
    cluster.kubectl("-n", NAMESPACE, "rollout", "status", "daemonset/everywhere", "--timeout=60s")
    with LiveStream(cluster, NAMESPACE, "leaving") as live:
        live.wait(lambda picture: picture["pods"]["total"] == 18, 30, "eighteen pods on the roll")
        yield Leaving(cluster, live)
    cluster.kubectl("delete", "priorityclass", PRIORITY["metadata"]["name"], "--ignore-not-found")
    cluster.remove_namespace(NAMESPACE)


def test_an_owner_that_wants_fewer(leaving: Leaving) -> None:
    web, store, paused = leaving.pods("web"), leaving.pods("store"), leaving.pods("paused")
    leaving.kubectl("scale", "deployment/web", "--replicas=2")
    leaving.kubectl("scale", "statefulset/store", "--replicas=2")
    leaving.kubectl("patch", "job", "paused", "--type=merge", "-p", '{"spec": {"suspend": true}}')
    until(lambda: len(leaving.pods("web")) == 2, 30, "two pods are left")
    gone = set(web.values()) - set(leaving.pods("web").values())
    found = leaving.have_left("ScaleIn", *gone, store["store-2"], *paused.values())
    evidence = {departure["evidence"] for departure in found}
    assert "StatefulSet/store wants 2 pods, and had 3" in evidence
    assert "Job/paused is suspended" in evidence
    assert any(said.startswith("Deployment/web wants 2 pods") for said in evidence)


def test_somebody_deletes_pods(leaving: Leaving) -> None:
    names = ["bare", "store-0", *list(leaving.pods("web"))[:1], *list(leaving.pods("everywhere"))[:1], *leaving.pods("runs")]
    uids = {name: uid for app in ("bare", "store", "web", "everywhere", "runs") for name, uid in leaving.pods(app).items()}
    doomed = leaving.pods("doomed")
    leaving.kubectl("delete", "pod", *names, "--wait=false")
    leaving.kubectl("delete", "deployment", "doomed", "--wait=false")
    found = leaving.have_left("Deleted", *(uids[name] for name in names), *doomed.values())
    evidence = Counter(departure["evidence"] for departure in found)
    assert evidence["Deployment/doomed was deleted"] == 2
    assert evidence["somebody deleted it; nothing controls it"] == 1


def test_a_newer_revision(leaving: Leaving) -> None:
    leaving.kubectl("rollout", "status", "statefulset/store", "--timeout=60s")
    leaving.kubectl("rollout", "status", "daemonset/everywhere", "--timeout=60s")
    before = [uid for app in ("web", "anew", "store", "everywhere") for uid in leaving.pods(app).values()]
    what = ("deployment/web", "deployment/anew", "statefulset/store", "daemonset/everywhere")
    leaving.kubectl("set", "env", *what, "GENERATION=2")
    assert len(before) == 7
    leaving.have_left("Rollout", *before, within_s=60)


def test_pods_that_end_by_themselves(leaving: Leaving) -> None:
    """They stay as objects, and are counted once."""
    objects = [
        pod("hog", HOG), pod("exits", ["sh", "-c", "exit 3"]), job("sums", ["true"]), job("fails", ["sh", "-c", "exit 4"]),
    ]  # fmt: skip
    apply(leaving.cluster, *objects)
    apps = {"hog": "OOMKilled", "exits": "Crashed", "sums": "Completed", "fails": "Crashed"}
    until(lambda: all(leaving.pods(app) for app in apps), 20, "they are made")
    found = {app: leaving.have_left(cause, *leaving.pods(app).values())[0] for app, cause in apps.items()}
    assert found["exits"]["evidence"] == "container web ended with exit code 3"
    assert "memory" in found["hog"]["evidence"]
    assert all(leaving.pods(app) for app in apps), "all are still there"


def test_a_container_that_crashes_again_and_again_is_no_departure(leaving: Leaving) -> None:
    def loops(picture: Json) -> Json | None:
        return next((entry for entry in picture["roll"] if entry["name"] == "loops"), None)

    leaving.live.wait(
        lambda picture: (loops(picture) or {}).get("reason") == "CrashLooping", 60, "it is shown as crash-looping"
    )
    assert leaving.pods("loops")["loops"] not in leaving.recent


def test_a_node_is_drained(leaving: Leaving) -> None:
    uids = [*leaving.pods("drained").values(), *leaving.pods("drained-bare").values()]
    name = leaving.node
    leaving.cluster.kubectl(
        "drain", name, "--pod-selector=app in (drained, drained-bare)", "--force", "--ignore-daemonsets", "--timeout=30s"
    )  # fmt: skip
    leaving.cluster.kubectl("uncordon", name)
    found = leaving.have_left("Eviction", *uids)
    assert all(gone["evidence"].startswith("evicted through the eviction API") for gone in found)


def test_a_pod_makes_room_for_another(leaving: Leaving) -> None:
    cluster, node = leaving.cluster, leaving.node
    seats(cluster, node, 1)
    apply(cluster, PRIORITY, seated("humble"))
    cluster.wait("pod/humble", "--for=condition=Ready", "-n", NAMESPACE)
    uid = leaving.pods("humble")["humble"]
    apply(cluster, seated("proud", priorityClassName=PRIORITY["metadata"]["name"]))
    leaving.have_left("Preemption", uid)


def test_the_last_seconds_of_a_pod_with_traffic(leaving: Leaving, rollcall: Rollcall) -> None:
    cluster = leaving.cluster
    cluster.load(cluster.build("load"))
    apply(cluster, service("newsfeed", {"app": "newsfeed"}))
    leaving.kubectl("apply", "-f", str(REPOSITORY / "examples/newsfeed/manifest.yaml"))
    leaving.kubectl("rollout", "status", "deployment/newsfeed", "--timeout=90s")
    load = LoadPod(cluster, NAMESPACE)
    load.start(*load_options(NAMESPACE, rate=40, seconds=20))
    with LiveStream(cluster, NAMESPACE, "newsfeed") as live:
        live.wait(lambda picture: (picture["traffic"]["requestsPerSecond"] or 0) > 20, 30, "traffic")
        slots = {entry["slot"] for entry in live.newest["roll"]}
        leaving.kubectl("scale", "deployment/newsfeed", "--replicas=1")
        picture = live.wait(lambda picture: picture["departures"]["recent"], 60, "a pod has left")
    load.stop()
    load.delete()
    (gone,) = picture["departures"]["recent"]
    assert slots == {"newsfeed-01", "newsfeed-02"}
    assert gone["slot"] in slots
    assert (gone["cause"], gone["final"], gone["inFlight"]) == ("ScaleIn", True, 0)
    assert gone["requestsPerSecond"] > 2
    assert gone["p95"] > 0
    assert picture["departures"]["lastHour"] == picture["departures"]["total"] == {"ScaleIn": 1}
    shown = rollcall.run("departures", "newsfeed", "-n", NAMESPACE)
    assert gone["name"] in shown
    assert "ScaleIn" in shown


def test_slots_and_totals_outlive_the_operator(leaving: Leaving, rollcall: Rollcall) -> None:
    def slots(picture: Json) -> dict[str, str]:
        return {entry["uid"]: entry["slot"] for entry in picture["roll"]}

    before = leaving.live.newest
    assert len(set(slots(before).values())) == len(before["roll"])
    assert any(int(slot.rpartition("-")[2]) > len(before["roll"]) for slot in slots(before).values()), "there are gaps"
    path = "jsonpath={.status.departures.total}"
    until(lambda: _total(leaving, path) == before["departures"]["total"], 20, "the totals are in the status")
    former = _operators(leaving.cluster)
    leaving.cluster.kubectl("-n", OPERATOR, "delete", "pod", "-l", "app.kubernetes.io/name=rollcall", "--wait=false")
    until(lambda: len(found := _operators(leaving.cluster)) == 1 and found != former, 60, "another operator is alone")
    after = rollcall.wait_for(
        NAMESPACE,
        "leaving",
        lambda picture: picture["at"] > before["at"] and picture["roll"] and all(entry["slot"] for entry in picture["roll"]),
        "it has all slots",
    )
    assert slots(after) == slots(before)
    for span in ("total", "lastHour", "last24h"):
        assert after["departures"][span] == before["departures"][span], span


def _total(leaving: Leaving, path: str) -> Json:
    found: Json = json.loads(leaving.kubectl("get", "msvc", "leaving", "-o", path) or "{}")
    return found


def test_a_node_loses_its_power(leaving: Leaving) -> None:
    node = _without_operator(leaving.cluster)
    apply(leaving.cluster, pod("stranded", nodeName=node.name, tolerations=GONE_AT_ONCE))
    leaving.cluster.wait("pod/stranded", "--for=condition=Ready", "-n", NAMESPACE)
    (uid,) = leaving.pods("stranded").values()
    node.stop()
    try:
        leaving.live.wait(
            lambda picture: ("leaving", "NodeLost") in {(e["state"], e["reason"]) for e in picture["roll"] if e["uid"] == uid},
            60,
            "its pod leaves, and it is said why",
        )
        leaving.kubectl("delete", "pod", "stranded", "--force", "--grace-period=0")
        leaving.have_left("NodeLost", uid)
    finally:
        node.start()
        leaving.cluster.wait(f"node/{node.name}", "--for=condition=Ready", timeout_s=180)  # of a busy machine


def _operators(cluster: Cluster) -> dict[str, str]:
    """Their pods, and the nodes of these."""
    line = 'jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName}{"\\n"}{end}'
    found = cluster.kubectl("-n", OPERATOR, "get", "pods", "-l", "app.kubernetes.io/name=rollcall", "-o", line)
    return dict(each.split() for each in found.splitlines() if len(each.split()) == 2)


def _without_operator(cluster: Cluster) -> Node:
    """A node on which no operator runs; the former one may still be ending."""
    (host,) = until(lambda: set(_operators(cluster).values()) if len(_operators(cluster)) == 1 else None, 40, "one operator")
    return next(node for node in cluster.nodes if node.name != host)


def test_fifty_become_five_in_one_event(leaving: Leaving) -> None:
    """Pods that no node takes: to their owner, and to whom it tells, they are as any other."""
    nowhere = template("crowd", nodeSelector={"is": "nowhere"})
    del nowhere["metadata"]["labels"]["suite"]
    apply(leaving.cluster, service("crowd", {"app": "crowd"}), workload("Deployment", "crowd", 50, nowhere))
    with LiveStream(leaving.cluster, NAMESPACE, "crowd") as live:
        live.wait(lambda picture: picture["pods"]["pending"] == 50, 60, "fifty pods wait")
        leaving.kubectl("scale", "deployment/crowd", "--replicas=5")
        live.wait(lambda picture: picture["departures"]["total"] == {"ScaleIn": 45}, 60, "all left for one cause")
    until(lambda: _messages(leaving, "crowd"), 30, "an event")
    [message] = _messages(leaving, "crowd")
    assert message.startswith("45 pods left: ScaleIn: Deployment/crowd wants 5 pods")
    assert condition(leaving.cluster, NAMESPACE, "crowd", "PodsLost")["status"] == "False"


def _messages(leaving: Leaving, name: str) -> list[str]:
    found = json.loads(leaving.kubectl("get", "events", "-o", "json"))["items"]
    return [each["message"] for each in found if each["involvedObject"]["name"] == name and each["reason"] == "ScaleIn"]


def test_every_cause_was_seen_once_per_pod_and_told_in_few_events(
    leaving: Leaving, measured: Callable[[str, object], None]
) -> None:
    assert set(leaving.expected.values()) == {
        "ScaleIn", "Rollout", "Eviction", "Preemption", "NodeLost", "OOMKilled", "Crashed", "Completed", "Deleted",
    }  # fmt: skip
    measured("pods that left on the cluster, and those with the right cause", [len(leaving.expected)] * 2)
    until(lambda: _events(leaving)["NodeLost"], 30, "the last event")
    events = _events(leaving)
    for cause, told in events.items():
        assert {kind for kind, _ in told} == {"Warning" if cause in ("NodeLost", "OOMKilled", "Crashed") else "Normal"}
    assert [message.partition(":")[0] for _, message in events["ScaleIn"]] == ["4 pods left"]
    assert len(events["Rollout"]) <= 2
    assert sum(map(len, events.values())) <= 2 * len(events)
    lost = condition(leaving.cluster, NAMESPACE, "leaving", "PodsLost")
    assert lost["status"] == "True"
    assert lost["reason"] in ("NodeLost", "OOMKilled", "Crashed")


def _events(leaving: Leaving) -> dict[str, list[tuple[str, str]]]:
    """Of the service: type and message by reason."""
    found: dict[str, list[tuple[str, str]]] = {cause: [] for cause in leaving.expected.values()}
    for event in json.loads(leaving.kubectl("get", "events", "-o", "json"))["items"]:
        if event["involvedObject"]["name"] == "leaving" and event["reason"] in found:
            found[event["reason"]].append((event["type"], event["message"]))
    return found
