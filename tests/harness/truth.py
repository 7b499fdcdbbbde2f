"""What really happened, for cluster tests: the load generator's summary and the application's own log of every pod.

Not what Rollcall says: nothing here reads it. Log lines are followed while pods live, for a pod that is gone has no log.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import yaml

from . import binaries
from .cluster import Cluster
from .errors import HarnessError
from .paths import REPOSITORY

DEFAULT_MIX = "/=6,/feed/{user}=3,/slow=0.7,/fail=0.1"


@dataclass(frozen=True)
class Truth:
    """The load generator's summary; `summary` is all of it, latencies in microseconds."""

    sent: int
    answered: int
    statuses: Mapping[str, int]
    """Answers by HTTP status, for example `{"200": 5990, "500": 10}`."""
    errors: Mapping[str, int]
    """Requests without a whole answer, by class (ConnectRefused, Reset, Timeout, ...); empty when there was none."""
    endpoints: Mapping[str, Mapping[str, Any]]
    """Per path template: sent, answered, statuses, errors, latency_us."""
    visitors: int
    """Distinct visitors that were sent."""
    summary: Mapping[str, Any]


@dataclass(frozen=True)
class Served:
    """One request in the application's log. `id` is what the load generator gave it, unique within a run."""

    pod: str
    at: datetime
    """When the line was written, shortly after the answer; by the node's clock."""
    id: str
    path: str
    status: int
    latency_us: int


def parse_summary(output: str) -> Truth:
    """The truth from the output of a load pod, whose last JSON line it is. Raises HarnessError when there is none."""
    lines = [line for line in output.splitlines() if line.startswith('{"url"')]
    if not lines:
        raise HarnessError(f"the load generator wrote no summary but: {output[-500:]!r}")
    summary = json.loads(lines[-1])
    facts = {name: summary[name] for name in ("sent", "answered", "statuses", "errors", "endpoints", "visitors")}
    return Truth(**facts, summary=summary)


def parse_log(pod: str, lines: Iterable[str]) -> list[Served]:
    """The requests in the output of `kubectl logs --timestamps`; tracebacks and the server's own messages are passed over."""
    served = []
    for line in lines:
        at, _, text = line.partition(" ")
        if text.startswith("{") and '"latency_us"' in text:
            entry = json.loads(text)
            facts = (str(entry["id"]), entry["path"], entry["status"], entry["latency_us"])
            served.append(Served(pod, datetime.fromisoformat(at), *facts))
    return served


class LoadPod:
    """A pod that runs the load generator in `namespace`; the run begins when the pod has started."""

    def __init__(self, cluster: Cluster, namespace: str, name: str = "load") -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._name = name

    def start(self, *options: str) -> None:
        """Create the pod with `load run OPTIONS`, replacing one of an earlier run, and wait until it runs."""
        self.delete()
        template = yaml.safe_load((REPOSITORY / "examples/load.yaml").read_text())["spec"]["template"]
        template["spec"]["containers"][0]["args"] = ["run", *options]
        metadata = {**template["metadata"], "name": self._name}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        self._kubectl("apply", "-f", "-", input=json.dumps(pod))
        self._wait_for("{.status.containerStatuses[0].started}", 60)

    def wait(self, timeout_s: float) -> Truth:
        """The truth of the whole run, once it is over. Raises HarnessError after `timeout_s`."""
        self._wait_for("{.status.containerStatuses[0].state.terminated.reason}", timeout_s)
        return parse_summary(self._kubectl("logs", self._name))

    def stop(self, timeout_s: float = 60) -> Truth:
        """End the run now: no further request starts, the open ones are awaited; then the truth of what there was."""
        # A deleted pod's log is gone with it, so the process is told and the pod stays.
        self._kubectl("exec", self._name, "--", "sh", "-c", "kill -TERM 1")
        return self.wait(timeout_s)

    def delete(self) -> None:
        """Remove the pod, if there is one."""
        self._kubectl("delete", "pod", self._name, "--ignore-not-found", "--grace-period=1")

    def _wait_for(self, jsonpath: str, timeout_s: float) -> None:
        self._kubectl("wait", f"pod/{self._name}", f"--for=jsonpath={jsonpath}", f"--timeout={timeout_s:.0f}s")

    def _kubectl(self, *args: str, input: str | None = None) -> str:  # noqa: A002
        return self._cluster.kubectl("-n", self._namespace, *args, input=input)


def run_load(
    cluster: Cluster,
    namespace: str,
    *,
    service: str = "newsfeed",
    rate: float = 100,
    seconds: float = 10,
    mix: str = DEFAULT_MIX,
    timeout_s: float = 30,
    seed: int = 1,
) -> Truth:
    """Run load against `service` to its end and return the truth. Use LoadPod to do something meanwhile."""
    pod = LoadPod(cluster, namespace)
    pod.start(*load_options(namespace, service=service, rate=rate, seconds=seconds, mix=mix, timeout_s=timeout_s, seed=seed))
    try:
        return pod.wait(seconds + timeout_s + 30)
    finally:
        pod.delete()


def load_options(
    namespace: str,
    *,
    service: str = "newsfeed",
    rate: float = 100,
    seconds: float = 10,
    mix: str = DEFAULT_MIX,
    timeout_s: float = 30,
    seed: int = 1,
    visitors: int = 0,
) -> Sequence[str]:
    """Options of `load run` for a service of the cluster."""
    return (
        f"--url=http://{service}.{namespace}.svc",
        f"--rate={rate}",
        f"--duration={seconds}",
        f"--mix={mix}",
        f"--timeout={timeout_s}",
        f"--seed={seed}",
        f"--visitors={visitors}",
    )


class ApplicationLog:
    """Follows the application's log in all pods of a selector, those to come included, while its `with` block runs.

    >>> with ApplicationLog(cluster, "shop", "app=newsfeed", "web", tmp_path) as log:
    ...     truth = run_load(cluster, "shop", rate=300, seconds=60)
    >>> log.latencies_us()

    A container that restarts is followed again from its new start. Files, one per followed container, go to `folder`.
    """

    def __init__(self, cluster: Cluster, namespace: str, selector: str, container: str, folder: Path) -> None:
        self._kubectl = (str(binaries.kubectl()), f"--namespace={namespace}")
        self._environment = cluster.environment()
        self._selector = selector
        self._container = container
        self._folder = folder
        self._watch: subprocess.Popen[str] | None = None
        self._watcher: threading.Thread | None = None
        self._followers: dict[tuple[str, str], subprocess.Popen[str]] = {}
        self._since = datetime.now(UTC)

    def __enter__(self) -> Self:
        running = f'{{.status.containerStatuses[?(@.name=="{self._container}")].state.running.startedAt}}'
        self._watch = self._popen(
            subprocess.PIPE,
            *("get", "pods", "--watch", f"--selector={self._selector}"),
            f'--output=jsonpath={{.metadata.name}}{{" "}}{running}{{"\\n"}}',
        )
        assert self._watch.stdout is not None
        self._watcher = threading.Thread(target=self._follow_each, args=(self._watch.stdout,), daemon=True)
        self._watcher.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._watch is not None
        assert self._watcher is not None
        self._watch.terminate()
        self._watch.wait()
        self._watcher.join()
        for follower in self._followers.values():
            follower.terminate()
        for follower in self._followers.values():
            follower.wait()

    def served(self) -> list[Served]:
        """Every request of all pods that was logged since this object was made."""
        found: list[Served] = []
        for pod, started in tuple(self._followers):
            with self._file(pod, started).open() as lines:
                found += (request for request in parse_log(pod, lines) if request.at >= self._since)
        return found

    def served_all(self, count: int, timeout_s: float = 10) -> list[Served]:
        """Like `served`, once there are `count` requests: the last lines are under way for a moment.

        Returns what there is after `timeout_s`, so that a test compares numbers and not a time-out.
        """
        deadline = time.monotonic() + timeout_s
        while len(found := self.served()) < count and time.monotonic() < deadline:
            time.sleep(0.3)
        return found

    def latencies_us(self) -> list[int]:
        """The latency of every logged request, as the application measured it."""
        return [request.latency_us for request in self.served()]

    def _follow_each(self, lines: Iterable[str]) -> None:
        for line in lines:
            pod, _, started = line.strip().partition(" ")
            if started and (pod, started) not in self._followers:
                with self._file(pod, started).open("w") as output:
                    follow = ("logs", "--follow", "--timestamps", pod, f"--container={self._container}")
                    self._followers[pod, started] = self._popen(output, *follow)

    def _file(self, pod: str, started: str) -> Path:
        return self._folder / f"{pod}.{started.replace(':', '')}.log"

    def _popen(self, output: int | IO[str], *args: str) -> subprocess.Popen[str]:
        command = [*self._kubectl, *args]
        return subprocess.Popen(command, env=self._environment, stdin=subprocess.DEVNULL, stdout=output, text=True)
