"""What the probe tells beside counts, with real servers: errors with samples, visitors, what is slow and why, resources."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from rollcall_agent.wire import facts
from rollcall_agent.wire.report import FLAG_LISTEN_QUEUE, FLAG_RESOURCES
from tests.unit.agent.fake_operator import FakeOperator
from tests.unit.agent.pod import Pod, free_port
from tests.unit.probes.client import get
from tests.unit.probes.test_servers import APPS, GUNICORN, SERVERS

RUNTIMES = ("native", "pure")
KEY = "ab" * 32
SLOW = [*GUNICORN, "-w1", "-k", "gthread", "--threads", "4", "slow_app:app"]


def start(pod: Pod, words: list[str], **env: str) -> int:
    port = free_port()
    pod.start_agent()
    pod.start_application([word.format(port=port) for word in words], port, APPS, **env)
    return port


def kind_of(runtime: str) -> dict[str, str]:
    return {"ROLLCALL_NATIVE": "on" if runtime == "native" else "off"}


@pytest.mark.parametrize("server", [name for name in SERVERS if "plain" not in name and name != "uvicorn-wsgi-flask"])
def test_every_framework_tells_the_exception_behind_a_500(server: str, pod: Pod, operator: FakeOperator) -> None:
    port = start(pod, SERVERS[server])
    for _ in range(3):
        assert get(port, "/boom")[0] == 500
    operator.wait_for(lambda: operator.facts.errors == {"exception RuntimeError": 3}, "three errors of one type")
    sample = next(event for event in operator.events if event["type"] == "error")
    framework = server.rpartition("-")[2]
    assert (sample["function"], sample["message"], sample["endpoint"]) == ("boom", "boom", "GET /boom")
    assert sample["file"] == f"{framework}_app.py"
    assert sample["line"] == 1 + next(
        number for number, line in enumerate((APPS / sample["file"]).read_text().splitlines()) if 'RuntimeError("boom")' in line
    )
    assert operator.facts.counted()["GET /boom"][:2] == (3, 3)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_errors_are_told_apart_and_their_messages_hold_no_secrets(runtime: str, pod: Pod, operator: FakeOperator) -> None:
    port = start(pod, SLOW, **kind_of(runtime))
    for path in ("/secret", "/late", "/unavailable", "/dns", "/nowhere"):
        get(port, path)
    expected = {"exception ValueError": 1, "timeout TimeoutError": 1, "http 503": 1, "exception socket.gaierror": 1}
    operator.wait_for(lambda: operator.facts.errors == expected, f"errors {expected}, seen {operator.facts.errors}")
    operator.wait_for_report(errors=4, finished=5)
    [sample] = [event for event in operator.events if event.get("error") == "exception ValueError"]
    assert sample["message"] == "login of <email> failed: password=*** card <number>"


def test_a_client_that_leaves_is_no_failure_and_is_counted(pod: Pod, operator: FakeOperator) -> None:
    port = start(pod, [*GUNICORN, "-w1", "endless_app:application"])
    client = http.client.HTTPConnection("127.0.0.1", port)
    client.request("GET", "/")
    client.getresponse().read(10)
    client.close()
    operator.wait_for(lambda: operator.facts.errors == {"abort client": 1}, "a client that left")
    operator.wait_for_report(finished=1, errors=0, in_flight=0)


def longest(operator: FakeOperator) -> list[dict[str, Any]]:
    return operator.requests[-1]["requests"] if operator.requests else []


HANGS = {
    "/sleep": ("GET /sleep", "code sleep (slow_app.py:"),
    "/locked": ("GET /locked", "code wait_for_the_lock (slow_app.py:"),
    "/remote/{port}": ("GET /remote/<int:port>", "http http.HTTPResponse._read_status from remote (slow_app.py:"),
}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("path", HANGS)
def test_a_slow_request_is_listed_with_what_it_is_at(path: str, runtime: str, pod: Pod, operator: FakeOperator) -> None:
    endpoint, step = HANGS[path]
    port = start(pod, SLOW, **kind_of(runtime))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        caller = threading.Thread(target=get, args=(port, path.format(port=silent.getsockname()[1])))
        caller.start()
        operator.wait_for(lambda: longest(operator) and longest(operator)[0]["step"], "a slow request with its step")
        [request] = longest(operator)
        assert request["endpoint"] == endpoint
        assert 500 <= request["elapsed_ms"] < 2000, "told long before it ends"
        assert request["step"].startswith(step)
        assert request["step_ms"] <= request["elapsed_ms"]
        caller.join()
    operator.wait_for(lambda: longest(operator) == [], "an empty list when it has ended")


def test_an_async_request_is_listed_with_what_it_awaits(pod: Pod, operator: FakeOperator) -> None:
    port = start(pod, SERVERS["uvicorn-fastapi"])
    caller = threading.Thread(target=get, args=(port, "/hang/2.0"))
    caller.start()
    operator.wait_for(lambda: longest(operator) and longest(operator)[0]["step"], "a slow request with its step")
    [request] = longest(operator)
    assert request["endpoint"] == "GET /hang/{seconds}"
    assert "from hang (fastapi_app.py:" in request["step"]
    caller.join()


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_worker_that_is_stuck_without_the_interpreter_running_is_seen(runtime: str, pod: Pod, operator: FakeOperator) -> None:
    """Nothing of Python runs in the worker meanwhile, neither the probe's thread nor anything else."""
    port = start(pod, [*GUNICORN, "-w1", "--timeout", "60", "slow_app:app"], **kind_of(runtime))
    began = time.monotonic()
    caller = threading.Thread(target=get, args=(port, "/stuck", 60.0))
    caller.start()
    operator.wait_for(lambda: longest(operator), "the stuck request")
    assert time.monotonic() - began < 2.0
    assert longest(operator)[0]["endpoint"] == "GET /stuck"
    caller.join()


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("server", ["gunicorn-sync-flask", "uvicorn-fastapi"])
@pytest.mark.parametrize(
    ("source", "header"),
    [("cookie:sid", "Cookie: a=b; sid={}; z=y"), ("header:X-User", "X-User: {}")],
    ids=["cookie", "header"],
)
def test_visitors_are_counted_by_their_hashes(
    server: str, runtime: str, source: str, header: str, pod: Pod, operator: FakeOperator
) -> None:
    operator.welcome = {**operator.welcome, "visitors": {"from": source, "key": KEY}}
    port = start(pod, SERVERS[server], **kind_of(runtime))
    operator.wait_for(lambda: operator.reports, "the agent was welcomed, and has written what it was told")
    name, _, text = header.partition(": ")
    visitors = [f"visitor-{number}" for number in range(40)]
    for visitor in visitors * 2:
        client = http.client.HTTPConnection("127.0.0.1", port)
        client.request("GET", "/item/1", headers={name: text.format(visitor)})
        client.getresponse().read()
        client.close()
    hashes = [facts.visitor_hash(bytes.fromhex(KEY), visitor.encode()) for visitor in visitors]
    expected = dict(sorted(facts.register_and_rank(hashed) for hashed in hashes))
    operator.wait_for(lambda: operator.facts.visitors == expected, "a register for each visitor")
    followed = sorted(hashed & 0xFFFFFFFF for hashed in hashes if facts.is_sighted(hashed))
    operator.wait_for(lambda: sorted(operator.facts.sightings) == sorted(followed * 2), "each request of the followed ones")
    for path in pod.run.rglob("*"):
        if path.is_file() and path.name != "visitors":
            assert b"visitor-7" not in path.read_bytes(), "no identifier is kept anywhere"


def test_a_worker_tells_what_its_container_uses(pod: Pod, operator: FakeOperator) -> None:
    port = start(pod, [*GUNICORN, "-w3", "flask_app:app"])
    for _ in range(20):
        get(port, "/item/1")
    operator.wait_for(lambda: operator.last["flags"] & FLAG_RESOURCES, "resources")
    seen = operator.last
    assert seen["memory_bytes"] > 1_000_000
    assert seen["cpu_us"] > 0
    assert seen["flags"] & FLAG_LISTEN_QUEUE
    first = seen["resources_at_us"]
    operator.wait_for(lambda: operator.last["resources_at_us"] >= first + 900_000, "a newer reading a second later")


def test_busy_workers_are_those_with_a_request(pod: Pod, operator: FakeOperator) -> None:
    port = start(pod, [*GUNICORN, "-w2", "slow_app:app"])
    caller = threading.Thread(target=get, args=(port, "/sleep"))
    caller.start()
    operator.wait_for_report(workers=1, busy_workers=1)
    get(port, "/own/a")  # the other worker's first request
    operator.wait_for_report(workers=2, busy_workers=1)
    caller.join()
    operator.wait_for_report(workers=2, busy_workers=0)


def test_a_fork_in_a_process_that_serves_is_warned_of_by_nobody(tmp_path: Path) -> None:
    """The probe's thread is not there while the process forks: `-W error` makes newer interpreters raise otherwise."""
    code = (
        "import os, time\n"
        "from _rollcall_probe import recorder\n"
        "recorder.begin('GET').finish(); time.sleep(0.1)\n"
        "pid = os.fork()\n"
        "if not pid: recorder.begin('GET').finish(); os._exit(0)\n"
        "assert os.waitpid(pid, 0)[1] == 0\n"
        "time.sleep(0.1); print(len(os.listdir('/proc/self/task')))\n"
    )
    probe = Path(__file__).parents[3] / "agent_sidecar/probes/python"
    env = {**os.environ, "PYTHONPATH": str(probe), "ROLLCALL_RUN": str(tmp_path)}
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], env=env, capture_output=True, text=True, timeout=20)
    assert (done.stdout, done.stderr) == ("2\n", "")
    assert len(list(tmp_path.glob("*.worker"))) == 2
