"""Up can be repeated, survives a run that was killed, and down leaves nothing: tried on a cluster of its own."""

import os
import shutil
import signal
import time
from collections.abc import Iterator

import pytest

from tests.harness.cluster import Cluster
from tests.harness.errors import HarnessError
from tests.harness.local import processes, provider
from tests.harness.local.plan import Plan

pytestmark = pytest.mark.cluster

_NAME = "rollcall-lifecycle"


@pytest.fixture(scope="module", autouse=True)
def _removed_at_the_end() -> Iterator[None]:
    yield
    provider.down(_NAME)


@pytest.fixture
def spare() -> Plan:
    """A running one-node cluster beside the one that the other tests share; started when the test before broke it."""
    Cluster.up(_NAME, "local", nodes=1)
    plan = provider.load(_NAME)
    assert plan is not None
    return plan


def _pids(plan: Plan) -> set[tuple[int, int]]:
    return {(process.pid, process.started_ticks) for process in processes.recorded(plan.folder)}


def _kill_all(plan: Plan) -> None:
    for process in processes.recorded(plan.folder):
        os.kill(process.pid, signal.SIGKILL)


def test_up_again_changes_nothing(spare: Plan) -> None:
    before = _pids(spare)
    Cluster.up(_NAME, "local", nodes=1)
    assert _pids(spare) == before


def test_up_cleans_what_a_killed_run_left(spare: Plan) -> None:
    before = _pids(spare)
    _kill_all(spare)
    begun = time.monotonic()
    cluster = Cluster.up(_NAME, "local", nodes=1)
    assert time.monotonic() - begun < 20
    assert not _pids(spare) & before
    assert all(provider.running(spare).values())
    assert cluster.kubectl("get", "--raw", "/readyz") == "ok"


def test_up_ends_processes_that_a_killed_run_did_not_record(spare: Plan) -> None:
    before = processes.recorded(spare.folder)
    shutil.rmtree(spare.folder / "processes")
    Cluster.up(_NAME, "local", nodes=1)
    assert [process.name for process in before if process.alive] == []


def test_down_leaves_nothing(spare: Plan) -> None:
    assert provider.leftovers(spare) != []
    assert provider.down(_NAME)
    assert provider.leftovers(spare) == []
    assert not spare.folder.exists()
    with pytest.raises(HarnessError, match="there is no cluster"):
        Cluster.running(_NAME)


def test_a_node_that_lost_its_power_comes_back(spare: Plan) -> None:
    cluster = Cluster.running(_NAME)
    (node,) = cluster.nodes
    node.stop()
    assert not node.alive
    node.start()
    assert node.alive
    cluster.wait(f"node/{node.name}", "--for=condition=Ready")


def test_a_part_of_a_node_is_stopped_and_started_alone(spare: Plan) -> None:
    (node,) = Cluster.running(_NAME).nodes
    before = _pids(spare)
    node.stop_part("kubelet")
    assert not node.alive
    node.start_part("kubelet")
    assert node.alive
    assert len(_pids(spare) - before) == 1
