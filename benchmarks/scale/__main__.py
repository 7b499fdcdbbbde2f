"""The fleet at full size: one operator, a real API server, pods that exist in it alone, real tokens, agents over TLS.

    python -m benchmarks.scale [--pods 5000] [--seconds 60]     everything side by side, one table
    python -m benchmarks.scale --growth [--pods 10000]          what it costs from 100 to 10,000 agents, and the ceiling
    python -m benchmarks.scale --churn [10000]                  so many pods born and gone: memory
    python -m benchmarks.scale --scale-ups [1000]               each new pod on the roll within a second, as what it is

Control plane, operator, agents and this share the machine; the first three have precedence over whatever else runs there. Pods
are made through the admission webhook, as ready as a kubelet would report them, on nodes that are objects with a lease; 20
services in 5 namespaces, each with one owner of its pods. Each pod's agent is a connection of another process, with a token
bound to the pod, two reports a second, FACTS of 25 requests to 50 endpoints with each. What is shown is measured from outside:
CPU and memory of the operator's process, the live API as a viewer sees it, the API server's own counters. The cluster is one of
its own name, so one for tests may run beside; it is removed at the end.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "operator"), str(ROOT / "agent_sidecar"), str(ROOT)]

import uvloop  # noqa: E402

from benchmarks.scale.growth import growth  # noqa: E402
from benchmarks.scale.live import Live  # noqa: E402
from benchmarks.scale.lives import lives  # noqa: E402
from benchmarks.scale.phases import Whole  # noqa: E402
from benchmarks.scale.pods import Pods  # noqa: E402
from benchmarks.scale.processes import Helper, OperatorProcess, pid_of, prefer, room_for_files  # noqa: E402
from benchmarks.scale.scale_ups import scale_ups  # noqa: E402
from benchmarks.scale.scene import Scene  # noqa: E402
from benchmarks.scale.stage import Stage, client_of, cluster_of  # noqa: E402
from rollcall.kube.client import Access  # noqa: E402


async def run(given: argparse.Namespace) -> None:
    """What was asked for, on a cluster that is made for it."""
    room_for_files()
    current = asyncio.current_task()
    assert current is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, current.cancel)
    cluster, address = cluster_of(given.name)
    folder = Path(tempfile.mkdtemp(prefix="rollcall-scale-"))
    authority = folder / "authority.pem"
    try:
        async with client_of(cluster) as client, Live(Access.from_kubeconfig(cluster.kubeconfig).tls) as live:
            for command in ("kube-apiserver", "etcd"):
                prefer(pid_of(given.name, command))
            stage = Stage(cluster, client, address)
            await stage.prepare()
            operator = OperatorProcess(stage.operator_access(folder), Path(given.log), watch=given.watch, plain=given.growth)
            agents = Helper("agents.py", *(() if given.growth else ("--authority", str(authority))), prefer=True)
            asker = Helper("asker.py", prefer=True)
            scene = Scene(given, stage, operator, agents, asker, live, Pods(stage), authority)
            try:
                await scene.begin()
                await asker.start()
                await measure(scene)
            finally:
                await scene.end()
    finally:
        shutil.rmtree(folder)
        if not given.keep:
            cluster.down()


async def measure(scene: Scene) -> None:
    """One of four."""
    given = scene.given
    if given.growth:
        await growth(scene)
    elif given.churn:
        await lives(scene)
    elif given.scale_ups:
        await scale_ups(scene)
    else:
        await Whole(scene).all()


def main() -> None:
    """As the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--growth", action="store_true", help="the growth curve of agents without TLS, and the ceiling")
    which.add_argument("--churn", type=int, nargs="?", const=10_000, help="pods that are born and go")
    which.add_argument("--scale-ups", type=int, nargs="?", const=1000, help="scale-ups that are watched")
    parser.add_argument("--pods", type=int, help="pods with agents (5,000; 10,000 at most in the growth curve)")
    parser.add_argument("--churn-rate", type=float, default=200, help="pods made and removed each second of the churn phase")
    parser.add_argument("--seconds", type=float, default=60, help="length of each phase")
    parser.add_argument("--name", default="scale", help="name of the cluster")
    parser.add_argument("--log", default=str(ROOT / "build/scale-operator.log"), help="file for the operator's log")
    parser.add_argument("--watch", action="store_true", help="write beside the log what held the operator's event loop")
    parser.add_argument("--keep", action="store_true", help="leave the cluster running")
    given = parser.parse_args()
    given.pods = given.pods or (10_000 if given.growth else 5000)
    uvloop.run(run(given))


if __name__ == "__main__":
    main()
