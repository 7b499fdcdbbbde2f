"""The cluster that all tests of this folder share: brought up once, taken down at the end. Processes that share the tests among
them (pytest-xdist) have a cluster each.

A machine that cannot run it fails these tests; they are never skipped, a green run means that they ran.
"""

import json
import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.invariants import Watcher
from tests.cluster.observe import said_by
from tests.harness.cluster import DEFAULT_NAME, Cluster
from tests.harness.install import Rollcall, install
from tests.harness.paths import REPOSITORY

SAMPLES = {"newsfeed": "web", "legacy": "php"}
"""The sample services, and their application container."""


def two_serve(picture: dict[str, Any]) -> bool:
    """Two pods, both serving, and no other."""
    return bool(picture["pods"]["serving"] == picture["pods"]["total"] == 2)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running cluster; ROLLCALL_CLUSTER names it, ROLLCALL_KEEP_CLUSTER=1 leaves it for the next run."""
    process = os.environ.get("PYTEST_XDIST_WORKER", "")
    running = Cluster.up("-".join(filter(None, (os.environ.get("ROLLCALL_CLUSTER", DEFAULT_NAME), process))))
    yield running
    if os.environ.get("ROLLCALL_KEEP_CLUSTER") != "1":
        running.down()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Of a test that fails, what the operator and the API server said of it: the cluster is gone when somebody reads that."""
    report = yield
    cluster = next((each for each in getattr(item, "funcargs", {}).values() if isinstance(each, Cluster)), None)
    if report.failed and cluster is not None:
        report.sections += said_by(cluster)
    return report


@pytest.fixture(scope="session")
def watcher(cluster: Cluster) -> Iterator[Watcher]:
    """Looks at what must hold at every instant, for as long as the cluster runs."""
    made = Watcher(cluster)
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def invariants(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test that uses the cluster fails on the first violation while it runs."""
    made: Watcher | None = request.getfixturevalue("watcher") if "rollcall" in request.fixturenames else None
    yield
    if made is not None:
        assert made.take() == []


@pytest.fixture(scope="module")
def rollcall(cluster: Cluster) -> Rollcall:
    """Rollcall installed by its chart; a module that uninstalls it leaves it to the next one to install it again."""
    return install(cluster)


@pytest.fixture(scope="module")
def shop(cluster: Cluster, rollcall: Rollcall) -> Iterator[str]:
    """The namespace of the samples, which enforces `restricted`; both services run with two pods, injected, and report."""
    for name in (*SAMPLES, "load"):
        cluster.load(cluster.build(name))
    cluster.kubectl("apply", "-f", REPOSITORY / "examples/namespace.yaml")
    for name in SAMPLES:
        folder = REPOSITORY / "examples" / name
        cluster.kubectl("-n", "shop", "apply", "-f", folder / "monitoredservice.yaml", "-f", folder / "manifest.yaml")
    for name in SAMPLES:
        cluster.kubectl("-n", "shop", "rollout", "status", f"deployment/{name}", "--timeout=120s")
    for name in SAMPLES:
        rollcall.wait_for("shop", name, two_serve, "two pods serve, none leaves")
    yield "shop"
    cluster.remove_namespace("shop")


@pytest.fixture(scope="session")
def measured() -> Iterator[Callable[[str, object], None]]:
    """Note a figure that a test measured; all of them are in build/measured.json at the end."""
    figures: dict[str, object] = {}

    def note(name: str, value: object) -> None:
        figures[name] = value
        print(f"measured {name}: {value}")

    yield note
    path = Path(REPOSITORY) / "build/measured.json"
    path.parent.mkdir(exist_ok=True)
    others = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(others | figures, indent=2) + "\n")
