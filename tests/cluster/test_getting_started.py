"""docs/getting-started.md as a first-time user follows it: every command is typed, and what the text shows is seen."""

from __future__ import annotations

import pytest

from tests.harness.cluster import Cluster
from tests.harness.guide import follow, steps_of
from tests.harness.install import NAMESPACE
from tests.harness.paths import REPOSITORY

pytestmark = [pytest.mark.cluster, pytest.mark.patient]


def test_from_helm_install_to_the_line_that_hangs(cluster: Cluster) -> None:
    for image in ("operator", "agent", "newsfeed", "load"):
        cluster.load(cluster.build(image))
    cluster.helm("uninstall", "rollcall", "--namespace", NAMESPACE, "--ignore-not-found", "--wait")
    cluster.kubectl("delete", "crd", "monitoredservices.rollcall.dev", "--ignore-not-found")
    cluster.kubectl("delete", "namespace", "shop", "--ignore-not-found", "--timeout=90s")
    steps = steps_of(REPOSITORY / "docs/getting-started.md")
    assert len(steps) > 15
    for step in steps:
        print(f"$ {step.command}\n{follow(step, cluster)}")
