"""Promise 1 and exactness through faults: an agent that dies, an operator that is deleted, a webhook that is away."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.cluster.observe import LiveStream, PodEvents, processes_of, state_in, until
from tests.harness.cluster import Cluster
from tests.harness.install import NAMESPACE, Rollcall
from tests.harness.truth import LoadPod, Truth, load_options

pytestmark = pytest.mark.cluster


def _failed(truth: Truth) -> int:
    return sum(count for status, count in truth.statuses.items() if status.startswith("5"))


def _assert_exact(rollcall: Rollcall, shop: str, service: str, before: dict[str, int], truth: Truth) -> None:
    """Everything that was sent is counted, once, and nothing that the client saw failed to be answered."""
    after = rollcall.wait_for(
        shop,
        service,
        lambda picture: picture["totals"]["requests"] - before["requests"] >= truth.answered,
        f"{truth.answered} requests more than {before['requests']}",
        timeout_s=30,
    )["totals"]
    assert truth.errors == {}
    assert after["requests"] - before["requests"] == truth.answered == truth.sent
    assert after["errors"] - before["errors"] == _failed(truth)
    assert after["lost"] == before["lost"]


def test_a_killed_agent_worker_harms_nothing(
    cluster: Cluster, rollcall: Rollcall, shop: str, measured: Callable[[str, object], None]
) -> None:
    before = rollcall.picture(shop, "newsfeed")
    uid, name = before["roll"][0]["uid"], before["roll"][0]["name"]
    load = LoadPod(cluster, shop)
    load.start(*load_options(shop, rate=60, seconds=20))
    with PodEvents(cluster, shop, "app=newsfeed") as events, LiveStream(cluster, shop, "newsfeed") as live:
        supervisor, worker = _agent_processes(cluster, shop, name)
        cluster.kubectl("-n", shop, "exec", name, "-c", "rollcall-agent", "--", "sh", "-c", f"kill -9 {worker}")
        killed_at = time.time()
        until(lambda: _agent_processes(cluster, shop, name)[1] not in (None, worker), 10, "the supervisor starts a new worker")
        until(
            lambda: live.first(lambda picture: _fresh(picture, name), killed_at + 0.6),
            10,
            "the pod reports again",
        )
        back_s = (live.first(lambda picture: _fresh(picture, name), killed_at + 0.6) or 0) - killed_at
        truth = load.wait(60)
    load.delete()
    measured("agent killed to reporting again, s", round(back_s, 2))
    assert supervisor == "1"
    assert all(ready for life in events.lives.values() for _, ready in life.ready), "a pod became unready"
    assert processes_of(uid, "gunicorn"), "the application is gone"
    statuses = cluster.kubectl("-n", shop, "get", "pod", name, "-o", "jsonpath={.status.initContainerStatuses[*].restartCount}")
    assert set(statuses.split()) == {"0"}
    _assert_exact(rollcall, shop, "newsfeed", before["totals"], truth)


def _fresh(picture: dict[str, object], name: str) -> bool:
    roll: list[dict[str, object]] = picture["roll"]  # type: ignore[assignment]
    return any(pod["name"] == name and pod["state"] == "serving" and (pod["reportAge"] or 0) < 0.6 for pod in roll)  # type: ignore[operator]


def _agent_processes(cluster: Cluster, namespace: str, pod: str) -> tuple[str, str | None]:
    """Process ids inside the agent's container: supervisor, and its worker if there is one at this moment."""
    listing = cluster.kubectl(
        "-n", namespace, "exec", pod, "-c", "rollcall-agent", "--", "sh", "-c", "cat /proc/1/task/1/children"
    )
    children = listing.split()
    return "1", children[0] if children else None


@pytest.mark.parametrize("force", [False, True], ids=["deleted", "killed"])
def test_totals_are_exact_after_the_operator_was_away(cluster: Cluster, rollcall: Rollcall, shop: str, force: bool) -> None:
    before = {service: rollcall.picture(shop, service)["totals"] for service in ("newsfeed", "legacy")}
    loads = {service: LoadPod(cluster, shop, f"load-{service}") for service in before}
    mixes = {
        "newsfeed": "/=6,/feed/{user}=3,/slow=0.7,/fail=0.1",
        "legacy": "/index.php=6,/feed.php?user={user}=3,/fail.php=0.1",
    }
    for service, load in loads.items():
        load.start(*load_options(shop, service=service, rate=50, seconds=25, mix=mixes[service]))
    options = ("--grace-period=0", "--force") if force else ()
    with PodEvents(cluster, shop, "app in (newsfeed, legacy)") as events:
        cluster.kubectl("-n", NAMESPACE, "delete", "pod", "-l", "app.kubernetes.io/name=rollcall", "--wait=false", *options)
        truths = {service: load.wait(90) for service, load in loads.items()}
    for load in loads.values():
        load.delete()
    cluster.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/rollcall", "--timeout=60s")
    assert all(ready for life in events.lives.values() for _, ready in life.ready), "a pod became unready"
    for service, truth in truths.items():
        _assert_exact(rollcall, shop, service, before[service], truth)


def test_pods_created_without_a_webhook_start_at_once_and_are_listed_bare(
    cluster: Cluster, rollcall: Rollcall, shop: str, measured: Callable[[str, object], None]
) -> None:
    with PodEvents(cluster, shop, "app=newsfeed") as events:
        cluster.kubectl("-n", NAMESPACE, "scale", "deployment/rollcall", "--replicas=0")
        cluster.kubectl(
            "-n", NAMESPACE, "wait", "pod", "-l", "app.kubernetes.io/name=rollcall", "--for=delete", "--timeout=60s"
        )
        asked_at = time.time()
        cluster.kubectl("-n", shop, "scale", "deployment/newsfeed", "--replicas=3")
        name = until(lambda: next((n for n in events.lives if n not in events.initial), None), 20, "a pod is created")
        created_s = (events.lives[name].added or 0) - asked_at
        until(lambda: any(ready for _, ready in events.lives[name].ready), 30, "the pod is Ready")
    measured("pod created without a webhook after, s", round(created_s, 2))
    assert created_s < 3 + 1  # the time-out of the webhook, and a second
    cluster.kubectl("-n", NAMESPACE, "scale", "deployment/rollcall", "--replicas=1")
    cluster.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/rollcall", "--timeout=60s")
    picture = rollcall.wait_for(shop, "newsfeed", lambda picture: picture["bare"], "the bare pod is listed")
    assert state_in(picture, name) == "bare"
    assert picture["bare"] == {"WebhookUnavailable": 1}
    assert next(pod["reason"] for pod in picture["roll"] if pod["name"] == name) == "WebhookUnavailable"
    until(
        lambda: "WebhookUnavailable" in cluster.kubectl("-n", shop, "get", "msvc", "newsfeed", "-o", "jsonpath={.status.bare}"),
        20,
        "the reason in the status",
    )
    cluster.kubectl("-n", shop, "wait", "msvc/newsfeed", "--for=condition=Covered=False", "--timeout=10s")
    cluster.kubectl("-n", shop, "scale", "deployment/newsfeed", "--replicas=2")


def test_cost_of_agent_and_operator(
    cluster: Cluster, rollcall: Rollcall, shop: str, measured: Callable[[str, object], None]
) -> None:
    """The command prints it, and the kernel agrees: an agent of at most 20 MiB."""
    shown = rollcall.run("cost", "-n", shop)
    print(shown)
    assert "agents of shop/newsfeed" in shown
    assert "operator" in shown
    for service in ("newsfeed", "legacy"):
        for pod in rollcall.picture(shop, service)["roll"]:
            if pod["agent"]:
                measured(f"agent of {service}, MiB", round(pod["agent"]["memoryBytes"] / 2**20, 1))
                assert pod["agent"]["memoryBytes"] <= 20 * 2**20
