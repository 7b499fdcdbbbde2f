"""What a pod without an agent uses, from its node's kubelet, against what the kernel says of its process."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.observe import processes_of, until
from tests.harness.cluster import Cluster
from tests.harness.install import NAMESPACE as OPERATOR
from tests.harness.install import Rollcall

pytestmark = [pytest.mark.cluster, pytest.mark.patient]

NAMESPACE = "unseen"
HELD_BYTES = 40 << 20
_BUSY = (
    f"import time\nheld = bytearray(b'x' * {HELD_BYTES})\n"
    "began, used = time.monotonic(), time.process_time()\n"
    "while True:\n"
    "    while time.process_time() - used < 0.1 * (time.monotonic() - began): pass\n"
    "    time.sleep(0.08)"
)
"""As much in each window, however busy the machine is: what it could not do it does later, and soon, for it asks for more."""
MANIFESTS: list[dict[str, Any]] = [
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
    {
        "apiVersion": "rollcall.dev/v1alpha1",
        "kind": "MonitoredService",
        "metadata": {"name": "busy", "namespace": NAMESPACE},
        "spec": {"selector": {"matchLabels": {"app": "busy"}}},
    },
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "busy", "namespace": NAMESPACE, "labels": {"app": "busy"}},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {"name": "envoy", "image": "docker.io/rollcall/newsfeed:dev", "command": ["sleep", "3600"]},
                {
                    "name": "busy",
                    "image": "docker.io/rollcall/newsfeed:dev",
                    "command": ["python3", "-c", _BUSY],
                    "resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": "1500m", "memory": "128Mi"}},
                },
            ],
        },
    },
]


@pytest.fixture
def busy(cluster: Cluster, rollcall: Rollcall) -> Iterator[str]:
    """A bare pod that uses 100 millicores and holds 40 MiB; its UID."""
    cluster.load(cluster.build("newsfeed"))
    cluster.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": MANIFESTS}))
    cluster.wait("pod/busy", "--for=condition=Ready", "-n", NAMESPACE)
    yield cluster.kubectl("-n", NAMESPACE, "get", "pod", "busy", "-o", "jsonpath={.metadata.uid}")
    cluster.remove_namespace(NAMESPACE)


def test_a_bare_pod_shows_what_it_uses(
    cluster: Cluster, rollcall: Rollcall, busy: str, measured: Callable[[str, object], None]
) -> None:
    (process,) = until(lambda: processes_of(busy, "held = bytearray"), 10, "its process")
    before, before_s = _cpu_s(process), time.monotonic()

    def figures() -> dict[str, Any] | None:
        (pod,) = rollcall.picture(NAMESPACE, "busy")["roll"]
        # two readings of a kubelet, ten seconds apart, after its start
        return pod["resources"] if pod["resources"] and time.monotonic() - before_s > 25 else None

    found = until(figures, 60, "figures from the kubelet")
    truth = 1000 * (_cpu_s(process) - before) / (time.monotonic() - before_s)
    measured("CPU of a bare pod, kubelet against /proc, millicores", [round(found["cpuMillicores"], 1), round(truth, 1)])
    assert found["source"] == "kubelet"
    assert 0 <= found["age"] <= 30
    assert found["cpuMillicores"] == pytest.approx(truth, rel=0.15)
    assert HELD_BYTES < found["memoryBytes"] < HELD_BYTES + (24 << 20)
    assert (found["cpuRequestMillicores"], found["cpuLimitMillicores"], found["memoryLimitBytes"]) == (500, 1500, 128 << 20)
    summary = rollcall.picture(NAMESPACE, "busy")
    assert summary["bare"] == {"NamespaceNotEnabled": 1}
    assert summary["resources"]["pods"] == 1
    since = f"--since={int(time.monotonic() - before_s) + 1}s"
    log = cluster.kubectl("-n", OPERATOR, "logs", "-l", "app.kubernetes.io/name=rollcall", "--tail=-1", since)
    assert "kubelet of" not in log, "no kubelet refused, with its certificate verified"


def _cpu_s(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
