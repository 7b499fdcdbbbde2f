"""Workers that die while they serve: how many requests they take along, by what signal, in which library, real gunicorn."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.unit.agent.fake_operator import FakeOperator
from tests.unit.agent.pod import Pod, free_port
from tests.unit.probes.client import get
from tests.unit.probes.test_servers import APPS, GUNICORN

SEEN_WITHIN_S = 2.0
WAYS = {
    "null_pointer": (11, "0x0", True),
    "in_the_c_library": (11, "0x0", False),
    "into_nowhere": (11, "0x0", False),
    "aborts": (6, None, False),
    "used_up": (11, "stack", True),
}
"""Signal, address, and whether the module itself (not its caller) is the broken library."""


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> str:
    library = tmp_path_factory.mktemp("broken") / "libbroken.so"
    subprocess.run(["cc", "-O0", "-w", "-shared", "-fPIC", str(APPS / "breaks.c"), "-o", str(library)], check=True)
    return str(library)


def serve(pod: Pod, broken: str, **env: str) -> int:
    port = free_port()
    pod.start_agent()
    words = [*GUNICORN, "-w", "2", "breaking_app:app"]
    pod.start_application([word.format(port=port) for word in words], port, APPS, BROKEN=broken, **env)
    return port


def fetch(port: int, path: str) -> None:
    """A request that nobody answers."""
    assert get(port, path) == (0, b"")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("faulthandler", ["", "1"])
def test_a_crash_in_an_extension_is_told_with_its_library(
    way: str, faulthandler: str, pod: Pod, operator: FakeOperator, broken: str
) -> None:
    port = serve(pod, broken, **({"PYTHONFAULTHANDLER": "1"} if faulthandler else {}))
    assert get(port, "/")[0] == 200
    fetch(port, f"/break/{way}")
    operator.wait_for(lambda: any(event["type"] == "death" for event in operator.events), "a death", SEEN_WITHIN_S)
    signal, address, is_module = WAYS[way]
    [event] = [event for event in operator.events if event["type"] == "death"]
    assert (event["runtime"], event["signal"], event["unanswered"]) == ("python", signal, 1)
    assert (event["endpoint"], event["elapsed_ms"] is not None) == ("GET /break/<way>", True)
    assert event["address"] == address or (address == "stack" and int(event["address"], 16) > 2**32)
    assert (event["module"] if is_module else event["caller"]) == broken
    operator.wait_for(lambda: operator.facts.unanswered == {("GET /break/<way>", signal): 1}, "one request unanswered")
    assert operator.facts.deaths == {signal: 1}
    assert get(port, "/")[0] == 200, "the other workers go on"
    operator.wait_for_report(lost=1, finished=2)


@pytest.mark.parametrize("path", ["/kill", "/exit"])
def test_a_worker_that_vanishes_is_told_without_a_signal(path: str, pod: Pod, operator: FakeOperator, broken: str) -> None:
    port = serve(pod, broken)
    fetch(port, path)
    operator.wait_for(lambda: operator.facts.unanswered == {(f"GET {path}", 0): 1}, "one request unanswered", SEEN_WITHIN_S)
    [event] = [event for event in operator.events if event["type"] == "death"]
    assert (event["signal"], event["module"], event["endpoint"]) == (None, None, f"GET {path}")
    assert operator.facts.deaths == {}


def test_a_worker_that_its_server_gives_up_is_told_by_the_servers_signal(pod: Pod, operator: FakeOperator, broken: str) -> None:
    """gunicorn sends SIGABRT to a worker that is silent for longer than its time-out; a sync worker answers 500 and ends."""
    port = free_port()
    pod.start_agent()
    words = [*GUNICORN, "-w", "1", "--timeout", "2", "breaking_app:app"]
    pod.start_application([word.format(port=port) for word in words], port, APPS, BROKEN=broken)
    assert get(port, "/hang")[0] == 500
    operator.wait_for(lambda: operator.facts.deaths == {6: 1}, "a death")
    [event] = [event for event in operator.events if event["type"] == "death"]
    assert (event["signal"], event["code"], event["module"], event["address"]) == (6, 0, None, None)
    operator.wait_for_report(finished=1, errors=1, lost=0)


def test_workers_that_are_recycled_or_end_idle_are_no_deaths(pod: Pod, operator: FakeOperator, broken: str) -> None:
    port = free_port()
    pod.start_agent()
    words = [*GUNICORN, "-w", "1", "--max-requests", "3", "breaking_app:app"]
    pod.start_application([word.format(port=port) for word in words], port, APPS, BROKEN=broken)
    for _ in range(12):
        assert get(port, "/")[0] == 200
    operator.wait_for_report(finished=12, lost=0)
    assert [event for event in operator.events if event["type"] == "death"] == []
    said = [event["sources"] for event in operator.events if event["type"] == "sources"]
    assert said in ([], [["python"]]), "no worker at the moment is no news"
    assert (operator.facts.deaths, operator.facts.unanswered) == ({}, {})


def test_a_signal_that_the_application_survives_is_no_death(tmp_path: Path, pod: Pod, operator: FakeOperator) -> None:
    app = tmp_path / "survivor.py"
    app.write_text(
        "import os, signal, time\n"
        "signal.signal(signal.SIGABRT, lambda *_: None)\n"
        "def application(environ, start_response):\n"
        "    if environ['PATH_INFO'] == '/abort':\n"
        "        os.kill(os.getpid(), signal.SIGABRT)\n"
        "    if environ['PATH_INFO'] == '/late':\n"
        "        time.sleep(1.2)\n"
        "    start_response('200 OK', [])\n"
        "    return [b'ok']\n"
    )
    port = free_port()
    pod.start_agent()
    words = [*GUNICORN, "-w", "1", "--max-requests", "4", "survivor:application"]
    pod.start_application([word.format(port=port) for word in words], port, tmp_path)
    for path in ("/", "/abort", "/late", "/"):
        assert get(port, path)[0] == 200
    operator.wait_for_report(finished=4)
    assert get(port, "/")[0] == 200
    operator.wait_for_report(finished=5, lost=0)
    assert operator.facts.deaths == {}
    assert [event for event in operator.events if event["type"] == "death"] == []


@pytest.mark.parametrize("attempt", range(3))
def test_first_requests_that_come_together_leave_one_place_for_last_words(
    attempt: int, pod: Pod, operator: FakeOperator, broken: str
) -> None:
    port = free_port()
    pod.start_agent()
    words = [*GUNICORN, "-w", "1", "-k", "gthread", "--threads", "8", "breaking_app:app"]
    pod.start_application([word.format(port=port) for word in words], port, APPS, BROKEN=broken)
    with ThreadPoolExecutor(8) as pool:
        assert {status for status, _ in pool.map(lambda _: get(port, "/"), range(8))} == {200}
    operator.wait_for_report(finished=8)  # a client has its answer a moment before its request has ended
    fetch(port, "/break/null_pointer")
    operator.wait_for(lambda: operator.facts.unanswered == {("GET /break/<way>", 11): 1}, "one request unanswered")
