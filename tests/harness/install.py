"""Rollcall in a cluster of the harness: install by the chart as a user would, ask by the command line as a user would."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .cluster import Cluster
from .errors import HarnessError
from .paths import REPOSITORY
from .progress import step

NAMESPACE = "rollcall-system"
IMAGES = ("operator", "agent")


@dataclass(frozen=True)
class Rollcall:
    """An installed Rollcall."""

    cluster: Cluster

    def command(self, *args: str) -> list[str]:
        """A `rollcall` command line for this cluster."""
        return [str(Path(sys.executable).parent / "rollcall"), *args, f"--kubeconfig={self.cluster.kubeconfig}"]

    def run(self, *args: str) -> str:
        """The output of a `rollcall` command; raises HarnessError with its complaint."""
        done = subprocess.run(self.command(*args), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise HarnessError(f"rollcall {' '.join(args)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def picture(self, namespace: str, service: str) -> dict[str, Any]:
        """One service as the live API shows it now."""
        picture: dict[str, Any] = json.loads(self.run("top", service, "-n", namespace, "-o", "json"))
        return picture

    def wait_for(
        self, namespace: str, service: str, condition: Callable[[dict[str, Any]], object], what: str, timeout_s: float = 60
    ) -> dict[str, Any]:
        """The first picture that satisfies `condition`; raises HarnessError after `timeout_s`."""
        deadline_s = time.monotonic() + timeout_s
        last = "nothing"
        while time.monotonic() < deadline_s:
            try:
                picture = self.picture(namespace, service)
            except HarnessError as error:
                last = str(error)
            else:
                if condition(picture):
                    return picture
                rows = (picture["endpoints"] or {"rows": ()})["rows"]
                requests = {row["endpoint"]: row["requests"] for row in rows}
                last = f"{picture['pods']} {picture['totals']} {requests}"
            time.sleep(0.2)
        raise HarnessError(f"{namespace}/{service}: not within {timeout_s:.0f} s: {what}; last: {last}")

    def metrics(self) -> str:
        """The page that Prometheus would scrape."""
        path = f"/api/v1/namespaces/{NAMESPACE}/services/rollcall-metrics:8080/proxy/metrics"
        return self.cluster.kubectl("get", "--raw", path)


def install(cluster: Cluster, *values: str) -> Rollcall:
    """`helm upgrade --install` with the images of this checkout, waiting until the operator is ready."""
    built = {name: cluster.build(name) for name in IMAGES}
    for image in built.values():
        cluster.load(image)
    with step("helm install rollcall"):
        # The tag stays `dev`, so that a new build only comes to life when the template changes with it.
        values = (f"podAnnotations.build={built['operator'].inputs[:16]}", *values)
        sets = [f"--set={value}" for value in values]
        cluster.helm(
            "upgrade", "--install", "rollcall", REPOSITORY / "charts/rollcall", "--namespace", NAMESPACE, "--create-namespace",
            "--set=image.tag=dev,agent.image.tag=dev", *sets, "--wait", "--timeout", "120s",
        )  # fmt: skip
    return Rollcall(cluster)
