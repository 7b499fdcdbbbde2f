"""The demo's steps. Everything is what a user would type; the harness only stands in for the user's cluster."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

from ..cluster import Cluster
from ..install import Rollcall, install
from ..paths import REPOSITORY
from ..progress import step
from ..truth import LoadPod, load_options

CLUSTER = "demo"
NAMESPACE = "shop"
SERVICES = ("newsfeed", "legacy")
RATES = {"newsfeed": 120, "legacy": 40}
MIXES = {"newsfeed": "/=6,/feed/{user}=3,/slow=0.7,/fail=0.05", "legacy": "/index.php=6,/feed.php?user={user}=3,/slow.php=0.7"}


def up(provider: str | None, seconds: float) -> None:
    """Set up what is missing, then show the live picture for `seconds` while newsfeed scales 2 → 6 → 2."""
    cluster = Cluster.up(name=CLUSTER, provider=provider)
    for name in (*SERVICES, "load"):
        cluster.load(cluster.build(name))
    started_s = time.monotonic()
    rollcall = install(cluster)
    _apply_samples(cluster)
    with step("wait for the first live row"):
        rollcall.wait_for(NAMESPACE, "newsfeed", lambda picture: picture["pods"]["serving"], "a pod serves")
    print(f"from helm install to the first live row: {time.monotonic() - started_s:.0f} s\n")
    loads = [_load(cluster, service, seconds) for service in SERVICES]
    try:
        _show(cluster, rollcall, seconds)
    finally:
        for load in loads:
            load.delete()
    _end(cluster, rollcall)


def down() -> None:
    """Remove the cluster with all that is in it."""
    Cluster.running(CLUSTER).down()


def _apply_samples(cluster: Cluster) -> None:
    with step("apply the samples and their MonitoredServices"):
        cluster.kubectl("apply", "-f", REPOSITORY / "examples/namespace.yaml")
        for service in SERVICES:
            folder = REPOSITORY / "examples" / service
            cluster.kubectl("-n", NAMESPACE, "apply", "-f", folder / "monitoredservice.yaml", "-f", folder / "manifest.yaml")
        cluster.kubectl("-n", NAMESPACE, "scale", "deployment/newsfeed", "--replicas=2")
        for service in SERVICES:
            cluster.kubectl("-n", NAMESPACE, "rollout", "status", f"deployment/{service}", "--timeout=120s")


def _load(cluster: Cluster, service: str, seconds: float) -> LoadPod:
    load = LoadPod(cluster, NAMESPACE, f"load-{service}")
    options = load_options(
        NAMESPACE, service=service, rate=RATES[service], seconds=seconds + 30, mix=MIXES[service], visitors=500
    )
    load.start(*options)
    return load


def _show(cluster: Cluster, rollcall: Rollcall, seconds: float) -> None:
    """The live picture in front, the scaling behind it."""
    ended = threading.Event()
    scaling = threading.Thread(target=_scale, args=(cluster, seconds, ended), daemon=True)
    scaling.start()
    terminal = sys.stdout.isatty()
    target = ["newsfeed"] if terminal else []
    print(f"$ rollcall top {' '.join([*target, '-n', NAMESPACE])}", flush=True)
    subprocess.run(rollcall.command("top", *target, "-n", NAMESPACE, f"--seconds={seconds}"), check=False)
    ended.set()
    scaling.join()


def _scale(cluster: Cluster, seconds: float, ended: threading.Event) -> None:
    for at, replicas in ((0.15, 6), (0.4, 2)):
        if ended.wait(at * seconds):
            return
        cluster.kubectl("-n", NAMESPACE, "scale", "deployment/newsfeed", f"--replicas={replicas}")


def _end(cluster: Cluster, rollcall: Rollcall) -> None:
    print(f"\n$ kubectl get msvc -n {NAMESPACE}\n{cluster.kubectl('-n', NAMESPACE, 'get', 'msvc')}")
    print(f"$ rollcall cost -n {NAMESPACE}", flush=True)
    subprocess.run(rollcall.command("cost", "-n", NAMESPACE), check=False)
    print(
        f"""
The cluster stays up. What to try next:

  export KUBECONFIG={cluster.kubeconfig} PATH={REPOSITORY / ".venv/bin"}:$PATH
  rollcall top newsfeed -n {NAMESPACE}
  kubectl -n {NAMESPACE} get msvc -w
  kubectl -n {NAMESPACE} scale deployment/newsfeed --replicas=4
  kubectl -n {NAMESPACE} wait msvc/newsfeed --for=condition=Healthy
  kubectl -n {NAMESPACE} apply -f examples/load.yaml     # more load

make demo-down removes everything."""
    )
