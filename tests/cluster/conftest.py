"""The cluster that all tests of this folder share: brought up once, taken down at the end.

A machine that cannot run it fails these tests; they are never skipped, a green run means that they ran.
"""

import os
from collections.abc import Iterator

import pytest
from tests.harness.cluster import DEFAULT_NAME, Cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A running cluster; ROLLCALL_CLUSTER names it, ROLLCALL_KEEP_CLUSTER=1 leaves it for the next run."""
    running = Cluster.up(os.environ.get("ROLLCALL_CLUSTER", DEFAULT_NAME))
    yield running
    if os.environ.get("ROLLCALL_KEEP_CLUSTER") != "1":
        running.down()
