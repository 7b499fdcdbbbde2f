"""The sample service `orders` and what it calls, whose behaviour a test sets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.conftest import two_serve
from tests.cluster.observe import Picture
from tests.harness.cluster import Cluster
from tests.harness.install import Rollcall
from tests.harness.paths import REPOSITORY
from tests.harness.truth import LoadPod, load_options

EXAMPLES = REPOSITORY / "examples"
_SERVERS = {"delay": ("payments", 8081), "spread": ("payments", 8081), "capacity": ("dynamodb", 8082)}


@pytest.fixture(scope="module")
def orders(cluster: Cluster, rollcall: Rollcall) -> Iterator[str]:
    """The namespace of `orders` and of all that it calls; two pods serve."""
    for image in ("orders", "backing", "load"):
        cluster.build(image)
    cluster.kubectl("apply", "-f", EXAMPLES / "namespace.yaml")
    cluster.kubectl("-n", "shop", "apply", "-f", REPOSITORY / "tests/harness/backing/manifest.yaml")
    cluster.kubectl("-n", "shop", "wait", "pod/backing", "--for=condition=Ready", "--timeout=90s")
    manifests = ("-f", EXAMPLES / "orders/monitoredservice.yaml", "-f", EXAMPLES / "orders/manifest.yaml")
    cluster.kubectl("-n", "shop", "apply", *manifests)
    cluster.kubectl("-n", "shop", "rollout", "status", "deployment/orders", "--timeout=120s")
    rollcall.wait_for("shop", "orders", two_serve, "two pods serve")
    yield "shop"
    cluster.remove_namespace("shop")


def start(load: LoadPod, mix: str, rate: float = 20, seconds: float = 120, service: str = "orders") -> None:
    """Begin to send requests."""
    load.start(*load_options("shop", service=service, rate=rate, seconds=seconds, mix=mix))


def control(cluster: Cluster, what: str, value: int) -> None:
    """Set the neighbour's delay (ms) or the median of a varying one, or the table's capacity (reads a second)."""
    container, port = _SERVERS[what]
    request = f"u.Request('http://127.0.0.1:{port}/{what}/{value}', method='PUT')"
    _ask(cluster, container, request)


def account(cluster: Cluster) -> list[int]:
    """How long the neighbour took for each charge since its delay was set, in microseconds, by its own clock."""
    found: list[int] = json.loads(_ask(cluster, "payments", "'http://127.0.0.1:8081/account'"))
    return found


def _ask(cluster: Cluster, container: str, request: str) -> str:
    code = f"import urllib.request as u; print(u.urlopen({request}).read().decode())"
    return cluster.kubectl("-n", "shop", "exec", "backing", "-c", container, "--", "/opt/backing/bin/python", "-c", code)


def dependency(picture: Picture, name: str) -> dict[str, Any] | None:
    """The row of a dependency in a picture, None when there is none."""
    rows = (picture.get("dependencies") or {"rows": []})["rows"]
    return next((row for row in rows if row["dependency"] == name), None)
