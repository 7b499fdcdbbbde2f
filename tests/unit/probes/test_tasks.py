"""Tasks of a real Celery worker, on a broker of files: each is counted like a request, with its name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rollcall_agent.sources.worker_file import WorkerFile
from tests.unit.agent.fake_operator import FakeOperator
from tests.unit.agent.pod import PROBE, Pod, poll_until

APPS = Path(__file__).parent / "apps"
WORKER = [
    sys.executable,
    "-m",
    "celery",
    "-A",
    "celery_app",
    "worker",
    "--loglevel=warning",
    "--without-gossip",
    "--without-mingle",
]
POOLS = {
    "prefork": ["--pool=prefork", "--concurrency=2"],
    "solo": ["--pool=solo"],
    "threads": ["--pool=threads", "--concurrency=2"],
}


class Celery:
    """A worker, and who sends it tasks."""

    def __init__(self, pod: Pod, pool: str) -> None:
        self._folder = pod.folder / "broker"
        for folder in (self._folder, pod.folder / "broker-control"):
            folder.mkdir()
        self._pod = pod
        environment = {"BROKER": str(self._folder), "PYTHONPATH": f"{PROBE}:{APPS}"}
        self.process = pod.start([*WORKER, *POOLS[pool]], APPS, **environment)

    def send(self, *names: str) -> None:
        """By another process, without a probe."""
        environment = {**os.environ, "BROKER": str(self._folder), "PYTHONPATH": str(APPS)}
        subprocess.run([sys.executable, str(APPS / "celery_app.py"), *names], env=environment, check=True)


def endpoints(pod: Pod) -> dict[str, tuple[int, int]]:
    """(tasks, failures) by endpoint over all worker files."""
    found: dict[str, tuple[int, int]] = {}
    for path in pod.worker_files():
        file = WorkerFile(str(path))
        for name, (requests, errors, _) in file.endpoints():
            if requests:
                before = found.get(name, (0, 0))
                found[name] = (before[0] + requests, before[1] + errors)
        file.close()
    return found


@pytest.mark.parametrize("pool", POOLS)
def test_tasks_are_counted_with_their_name(pool: str, pod: Pod, operator: FakeOperator) -> None:
    pod.start_agent()
    celery = Celery(pod, pool)
    celery.send(*["send"] * 10, *["fail"] * 4, "nested", "again")
    seen = operator.wait_for_report(finished=17, timeout_s=30.0)
    assert (seen["started"], seen["errors"], seen["lost"], seen["in_flight"]) == (17, 4, 0, 0)
    celery.process.send_signal(signal.SIGTERM)  # a warm shutdown settles what waits
    celery.process.wait(15)
    assert operator.last["finished"] == 17


def test_the_names_of_tasks_are_endpoints(pod: Pod) -> None:
    celery = Celery(pod, "solo")
    celery.send(*["send"] * 40, *["fail"] * 40)
    expected = {"TASK feeds.send": (40, 0), "TASK feeds.fail": (40, 40)}

    def counted() -> bool:
        found = endpoints(pod)  # up to 32 that have ended wait in their slots
        return sum(requests for requests, _ in found.values()) >= 80 - 32

    poll_until(counted, "tasks are counted", 30.0)
    found = endpoints(pod)
    assert set(found) == set(expected)
    assert found["TASK feeds.fail"][0] == found["TASK feeds.fail"][1]
    assert found["TASK feeds.send"][1] == 0


def test_a_task_that_is_killed_is_lost_and_one_that_hangs_is_seen(pod: Pod, operator: FakeOperator) -> None:
    operator.welcome = {**operator.welcome, "bands_ms": [100, 300, 60_000]}
    pod.start_agent()
    celery = Celery(pod, "prefork")
    celery.send("hang")
    operator.wait_for_report(bands=(0, 0, 1, 0), timeout_s=30.0)
    [path] = [path for path in pod.worker_files() if _open_endpoints(path)]
    assert _open_endpoints(path) == ["TASK feeds.hang"]
    os.kill(int(path.name.split("-")[1]), signal.SIGKILL)
    operator.wait_for_report(lost=1, in_flight=0)


def _open_endpoints(path: Path) -> list[str]:
    file = WorkerFile(str(path))
    try:
        return [endpoint for _, endpoint in file.requests_in_flight(2**62)]
    finally:
        file.close()
