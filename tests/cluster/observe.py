"""Independent observers for cluster tests: the live stream as users get it, the API server's events, the kernel's processes.

None of them asks Rollcall about another's truth.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kubernetes import client as kube
from kubernetes import config as kube_config
from kubernetes import watch as kube_watch
from urllib3.exceptions import ProtocolError

from rollcall.cli.connection import Target, identify
from rollcall.cli.stream import frames
from rollcall.cli.top import path_of, stream_of
from tests.harness.cluster import Cluster
from tests.harness.install import NAMESPACE
from tests.harness.local import provider

STATES = ("pending", "serving", "unready", "silent", "bare", "leaving")
Picture = dict[str, Any]


def core_api(cluster: Cluster) -> kube.CoreV1Api:
    """The official client, as the second opinion."""
    settings = kube.Configuration()
    kube_config.load_kube_config(config_file=str(cluster.kubeconfig), client_configuration=settings)
    return kube.CoreV1Api(kube.ApiClient(settings))


def until(condition: Callable[[], Any], timeout_s: float, what: str) -> Any:
    """The first true value of `condition`; fails the test after `timeout_s`."""
    deadline_s = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline_s, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.05)
    return value


def condition(cluster: Cluster, namespace: str, service: str, kind: str) -> dict[str, Any]:
    """A condition of a MonitoredService as its status has it, empty when it has none of this type."""
    found = json.loads(cluster.kubectl("-n", namespace, "get", "msvc", service, "-o", "json"))
    return next((c for c in found.get("status", {}).get("conditions", ()) if c["type"] == kind), {})


def said_by(cluster: Cluster) -> list[tuple[str, str]]:
    """(who, last lines of its log) of each pod of the operator, and of the API server where it speaks of us."""
    found = []
    kubectl = partial(cluster.kubectl, "--request-timeout=5s", "-n", NAMESPACE, check=False)
    for pod in kubectl("get", "pods", "-l", "app.kubernetes.io/name=rollcall", "-o", "name").split():
        found.append((pod, kubectl("logs", pod, "--tail=40")))
    plan = provider.load(cluster.name)
    log = plan.folder / "logs/kube-apiserver.log" if plan is not None else None
    if log is not None and log.exists():
        found.append(("kube-apiserver", "\n".join([line for line in log.read_text().splitlines() if "rollcall" in line][-20:])))
    return found


class LiveStream:
    """Follows one service in the live API while the `with` block runs: `samples` are (Unix time of arrival, picture)."""

    def __init__(self, cluster: Cluster, namespace: str, service: str) -> None:
        self._target = Target(kubeconfig=str(cluster.kubeconfig), namespace=namespace)
        self._path = stream_of(path_of(service, namespace, all_namespaces=False))
        self.samples: list[tuple[float, Picture]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._follow()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        until(lambda: self.samples, 30, "a first frame of the live stream")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(timeout=15)

    async def _follow(self) -> None:
        caller = identify(self._target)
        stream = frames(caller, self._path)
        try:
            async for frame in stream:
                if frame.picture is not None and frame.trouble is None:
                    self.samples.append((time.time(), frame.picture))
                if self._stop.is_set():
                    return
        finally:
            await stream.aclose()  # type: ignore[attr-defined]

    @property
    def newest(self) -> Picture:
        """The last picture that came."""
        return self.samples[-1][1]

    def wait(self, condition: Callable[[Picture], Any], timeout_s: float, what: str) -> Picture:
        """The newest picture once it satisfies `condition`."""
        until(lambda: condition(self.newest), timeout_s, f"{what}; last: {self.newest['pods']}")
        return self.newest

    def first(self, condition: Callable[[Picture], Any], since: float = 0.0) -> float | None:
        """Arrival time of the first sample from `since` on that satisfies `condition`."""
        return next((at for at, picture in list(self.samples) if at >= since and condition(picture)), None)


def state_in(picture: Picture, pod: str) -> str | None:
    """The state of a pod in a picture, None when it is not on the roll."""
    return next((entry["state"] for entry in picture["roll"] if entry["name"] == pod), None)


@dataclass
class Life:
    """When the API server told of each step of a pod, Unix seconds of arrival."""

    uid: str
    added: float | None = None
    leaving: float | None = None
    deleted: float | None = None
    ready: list[tuple[float, bool]] = field(default_factory=list)


class PodEvents:
    """Watches pods at the API server, beside Rollcall."""

    def __init__(self, cluster: Cluster, namespace: str, selector: str) -> None:
        self._api = core_api(cluster)
        self._watch = kube_watch.Watch()
        self._options = {"namespace": namespace, "label_selector": selector}
        self.lives: dict[str, Life] = {}
        self.initial: set[str] = set()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        found = self._api.list_namespaced_pod(**self._options)
        self.initial = {pod.metadata.name for pod in found.items}
        self._version = found.metadata.resource_version
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._watch.stop()

    def _follow(self) -> None:
        with contextlib.suppress(ProtocolError):  # how the official client takes its own stop()
            self._read()

    def _read(self) -> None:
        stream = self._watch.stream(
            self._api.list_namespaced_pod, **self._options, resource_version=self._version, timeout_seconds=300
        )
        for event in stream:
            now, pod = time.time(), event["object"]
            life = self.lives.setdefault(pod.metadata.name, Life(pod.metadata.uid))
            if event["type"] == "ADDED":
                life.added = life.added or now
            if pod.metadata.deletion_timestamp is not None:
                life.leaving = life.leaving or now
            if event["type"] == "DELETED":
                life.deleted = now
            ready = any(c.type == "Ready" and c.status == "True" for c in pod.status.conditions or [])
            if not life.ready or life.ready[-1][1] != ready:
                life.ready.append((now, ready))


def processes_of(uid: str, command: str) -> list[int]:
    """Ids, on this machine, of the processes of a pod whose command line contains `command`; nodes are namespaces here."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                groups, line = (entry / "cgroup").read_text(), (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if (uid in groups or uid.replace("-", "_") in groups) and command in line:
                found.append(int(entry.name))
    return sorted(found)


def started_at(pid: int) -> float:
    """When a process began, Unix seconds with a resolution of 10 ms."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    boot_s = next(int(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime"))
    precise_s = time.time() - float(Path("/proc/uptime").read_text().split()[0])
    # btime is whole seconds; uptime gives the fraction
    assert abs(precise_s - boot_s) < 2
    return precise_s + ticks / os.sysconf("SC_CLK_TCK")
