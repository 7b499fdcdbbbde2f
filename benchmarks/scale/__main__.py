"""The fleet at full size: one operator, a real API server, pods that exist in it alone, real tokens, agents over TLS.

    python -m benchmarks.scale [--pods 5000] [--churn 200] [--seconds 60] [--keep]

Control plane, operator, agents and this share the machine. Pods are made through the admission webhook, as ready as a kubelet
would report them, on nodes that are objects with a lease; 20 services in 5 namespaces. Each pod's agent is a TLS connection of
another process, with a token bound to the pod, two reports a second, FACTS of 25 requests to 50 endpoints with each. What is
shown is measured from outside: CPU and memory of the operator's process, the live API as a viewer sees it, the API server's own
counters. The cluster is one of its own name, so one for tests may run beside; it is removed at the end.
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

from benchmarks.scale.live import Live  # noqa: E402
from benchmarks.scale.phases import Run  # noqa: E402
from benchmarks.scale.processes import AgentsProcess, OperatorProcess, room_for_files  # noqa: E402
from benchmarks.scale.stage import Stage, client_of, cluster_of  # noqa: E402
from rollcall.kube.client import Access  # noqa: E402


async def measure(given: argparse.Namespace) -> None:
    """All phases, one after the other; the table grows as they end."""
    room_for_files()
    current = asyncio.current_task()
    assert current is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, current.cancel)
    cluster, address = cluster_of(given.name)
    folder = Path(tempfile.mkdtemp(prefix="rollcall-scale-"))
    live_tls = Access.from_kubeconfig(cluster.kubeconfig).tls
    try:
        async with client_of(cluster) as client, Live(live_tls) as live:
            stage = Stage(cluster, client, address)
            await stage.prepare()
            operator = OperatorProcess(stage.operator_access(folder), Path(given.log), watch=given.watch)
            agents = AgentsProcess(folder / "authority.pem")
            run = Run(given, stage, operator, agents, live)
            try:
                await run.all(folder / "authority.pem")
            finally:
                await stage.close()
                await agents.stop()
                await operator.stop()
    finally:
        shutil.rmtree(folder)
        if not given.keep:
            cluster.down()


def main() -> None:
    """As the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pods", type=int, default=5000, help="pods with agents")
    parser.add_argument("--churn", type=float, default=200, help="pods made, and as many removed, each second of the churn")
    parser.add_argument("--seconds", type=float, default=60, help="length of each phase")
    parser.add_argument("--name", default="scale", help="name of the cluster")
    parser.add_argument("--log", default=str(ROOT / "build/scale-operator.log"), help="file for the operator's log")
    parser.add_argument("--watch", action="store_true", help="write beside the log what held the operator's event loop")
    parser.add_argument("--keep", action="store_true", help="leave the cluster running")
    uvloop.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
