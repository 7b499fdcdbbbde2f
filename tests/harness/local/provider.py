"""Brings a local cluster up and takes it down: the order of things, and that both can be repeated at any time."""

import fcntl
import json
import os
import platform
import shutil
import ssl
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from .. import archive, binaries, packages, paths
from ..commands import run
from ..errors import HarnessError
from ..images import Image
from ..progress import step
from . import cgroups, control, network, processes
from .node import Node
from .plan import CLUSTERS, Plan
from .settings import PAUSE_IMAGE

_CONTROL = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "coredns")


def up(name: str, node_count: int) -> Plan:
    """Return the running cluster `name`; start it when it does not run as wanted, clean up what a killed run left.

    Raises HarnessError on a system that cannot run it, or when a component does not come up.
    """
    _require_system()
    packages.ensure_node_tools()
    for binary in binaries.SERVERS:
        binaries.ensure(binary)
    binaries.kubectl()
    with _locked(name):
        plan = load(name)
        if plan is None or plan.node_count != node_count or not _healthy(plan):
            if plan is not None:
                _remove(plan)
            plan = _reserve(name, node_count)
            _start(plan)
        _wait_nodes(plan)
    return plan


def down(name: str) -> bool:
    """Remove the cluster and everything of it; False when there was none."""
    with _locked(name):
        plan = load(name)
        if plan is None:
            return False
        _require_system()
        with step(f"remove cluster {name}"):
            _remove(plan)
            shutil.rmtree(plan.folder)
    return True


def load(name: str) -> Plan | None:
    """The cluster that was reserved under this name, running or not."""
    try:
        return Plan(**json.loads((paths.clusters() / name / "cluster.json").read_text()))
    except (OSError, ValueError):
        return None


def nodes(plan: Plan) -> list[Node]:
    """The cluster's nodes."""
    return [Node(plan, node) for node in plan.nodes]


def running(plan: Plan) -> dict[str, bool]:
    """Every component of the control plane and every node, with whether it runs."""
    found = {name: processes.find(name, plan.folder) is not None for name in _CONTROL}
    return found | {node.name: node.alive for node in nodes(plan)}


def leftovers(plan: Plan) -> list[str]:
    """What of this cluster exists on the machine, in words; nothing after `down`."""
    alive = [process for process in processes.recorded(plan.folder) if process.alive]
    found = {f"process {process.pid}" for process in (*alive, *processes.mentioning(plan.folder))}
    found.update(f"process {pid}" for pid in cgroups.processes(plan.cgroup))
    found.update(f"cgroup {path}" for path in cgroups.remains(plan.cgroup))
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    found.update(f"mount {line.split()[1]}" for line in mounts if str(plan.folder) in line)
    found.update(network.remains(plan))
    return sorted(found)


def _require_system() -> None:
    if platform.system() != "Linux":
        raise HarnessError(
            f"cannot run a local cluster on {platform.system()}: it needs Linux (or Docker, for --provider kind)"
        )
    if os.geteuid() != 0:
        raise HarnessError("cannot run a local cluster: namespaces and a bridge need root (or Docker, for --provider kind)")


@contextmanager
def _locked(name: str) -> Iterator[None]:
    """One `up` or `down` of a cluster at a time; others wait."""
    paths.clusters().mkdir(parents=True, exist_ok=True)
    with (paths.clusters() / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _reserve(name: str, node_count: int) -> Plan:
    """Write down the cluster's index before anything exists, so that a killed run can be cleaned up."""
    with _locked(""):
        taken = {plan.index for other in paths.clusters().iterdir() if (plan := load(other.name)) and other.name != name}
        previous = load(name)
        candidates = [previous.index] if previous else [index for index in range(CLUSTERS) if index not in taken]
        for index in candidates:
            plan = Plan(name, index, node_count)
            if network.is_free([plan.pods_range, plan.services_range, f"{plan.control_address}/32"]):
                plan.folder.mkdir(parents=True, exist_ok=True)
                content = {"name": name, "index": index, "node_count": node_count}
                (plan.folder / "cluster.json").write_text(json.dumps(content))
                return plan
    raise HarnessError(f"cannot start cluster {name}: {len(taken)} others run and no address range of ours is free of routes")


def _start(plan: Plan) -> None:
    with step("keys, bridge, etcd, kube-apiserver"):
        network.create(plan)
        keys = control.make_keys(plan)
        control.start_etcd(plan)
        control.start_apiserver(plan, keys)
    members = nodes(plan)
    with step(f"{len(members)} nodes with containerd"):
        pause = _pause_image()
        for node in members:
            node.prepare(keys.authority)
            node.start_runtime()
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda node: _load_pause(node, pause), members))
    with step("API server answers"):
        _wait("kube-apiserver", plan, lambda: _ready(plan))
        control.start_controllers(plan, keys)
        for node in members:
            node.start_kubelet()
        run([binaries.kubectl(), "--kubeconfig", plan.kubeconfig, "apply", "-f", "-"], input=control.dns_manifest(plan))


def _load_pause(node: Node, pause: Image) -> None:
    node.wait_runtime()
    if not node.has(pause):
        node.load(pause)


def _pause_image() -> Image:
    file = paths.images() / f"pause-{binaries.PAUSE.version}.tar"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            root, layer = Path(folder, "root"), Path(folder, "layer.tar")
            root.mkdir()
            shutil.copy(binaries.PAUSE.path, root / "pause")
            archive.pack(root, layer, lambda entry: entry)
            archive.write(file, PAUSE_IMAGE, layer, entrypoint=["/pause"], user="65532")
    return Image(PAUSE_IMAGE, file, binaries.PAUSE.version)


def _healthy(plan: Plan) -> bool:
    return all(running(plan).values()) and network.exists(plan) and _ready(plan)


def _remove(plan: Plan) -> None:
    recorded = processes.recorded(plan.folder)
    # At once and without grace: all of their data is thrown away below. Nodes first, so that nothing starts a container anew.
    processes.stop([process for process in recorded if process.name.endswith(".holder")], grace_s=0)
    processes.stop([*recorded, *processes.mentioning(plan.folder)], grace_s=0)
    network.remove(plan)
    cgroups.remove(plan.cgroup)
    for folder in ("processes", "pki", "etcd", "logs"):
        shutil.rmtree(plan.folder / folder, ignore_errors=True)
    for node in plan.nodes:
        shutil.rmtree(node.folder, ignore_errors=True)


def _ready(plan: Plan) -> bool:
    try:
        trust = ssl.create_default_context(cafile=str(plan.folder / "pki" / "ca.crt"))
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trust))
        with opener.open(f"{plan.server}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _wait_nodes(plan: Plan) -> None:
    def all_ready() -> bool:
        query = ["get", "nodes", "-o", "json"]
        items = json.loads(run([binaries.kubectl(), "--kubeconfig", plan.kubeconfig, *query]))["items"]
        ready = {item["metadata"]["name"] for item in items if _condition(item, "Ready") == "True"}
        return ready >= {node.name for node in plan.nodes}

    with step(f"{plan.node_count} nodes Ready"):
        _wait("nodes", plan, all_ready, timeout_s=90)


def _condition(item: dict[str, dict[str, list[dict[str, str]]]], kind: str) -> str:
    return next((c["status"] for c in item.get("status", {}).get("conditions", []) if c["type"] == kind), "Unknown")


def _wait(what: str, plan: Plan, done: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        dead = [name for name, alive in running(plan).items() if not alive and _was_started(plan, name)]
        if dead:
            raise HarnessError(f"{dead[0]} ended while the cluster started; `python -m tests.harness logs {dead[0]}` says why")
        if time.monotonic() > deadline:
            raise HarnessError(
                f"{what} did not become ready within {timeout_s:.0f} s; `python -m tests.harness status` says more"
            )
        time.sleep(0.1)


def _was_started(plan: Plan, name: str) -> bool:
    return (plan.folder / "processes" / f"{name}.json").exists()
