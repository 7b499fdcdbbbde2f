"""Real servers with the real probe, agent and TLS: whatever the server, every request is counted once, with its route."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from rollcall_agent.sources.worker_file import WorkerFile
from rollcall_agent.wire import layout
from tests.unit.agent.fake_operator import FakeOperator
from tests.unit.agent.pod import Pod, free_port, poll_until
from tests.unit.probes.client import burst, get

APPS = Path(__file__).parent / "apps"
ROUNDS = 30
PYTHON = [sys.executable, "-m"]
GUNICORN = [*PYTHON, "gunicorn", "--log-level", "critical", "-b", "127.0.0.1:{port}"]
UVICORN = [*PYTHON, "uvicorn", "--log-level", "critical", "--port", "{port}"]
UWSGI = [
    *(str(Path(sys.prefix) / "bin/uwsgi"), "--home", sys.prefix, "--http-socket", "127.0.0.1:{port}", "--master"),
    *("-p", "2", "--need-app", "--die-on-term", "--enable-threads", "--disable-logging", "--module"),
]
NAMED = {
    "flask": "GET /item/<int:number>",
    "fastapi": "GET /item/{number}",
    "starlette": "GET /item/{number:int}",
    "aiohttp": "GET /item/{number}",
    "django": "GET /item/<int:number>",
    "plain": "GET other",
}

SERVERS = {
    "gunicorn-sync-flask": [*GUNICORN, "-w2", "flask_app:app"],
    "gunicorn-gthread-preload-flask": [*GUNICORN, "-w2", "-k", "gthread", "--threads", "4", "--preload", "flask_app:app"],
    "gunicorn-gevent-flask": [*GUNICORN, "-w1", "-k", "gevent", "flask_app:app"],
    "gunicorn-sync-django": [*GUNICORN, "-w2", "django_app:application"],
    "gunicorn-sync-plain": [*GUNICORN, "-w2", "plain_app:application"],
    "gunicorn-uvicorn-fastapi": [*GUNICORN, "-w2", "-k", "uvicorn.workers.UvicornWorker", "fastapi_app:app"],
    "gunicorn-asgi-fastapi": [*GUNICORN, "-w1", "-k", "asgi", "fastapi_app:app"],
    "uvicorn-fastapi": [*UVICORN, "fastapi_app:app"],
    "uvicorn-django": [*UVICORN, "django_app:asgi"],
    "uvicorn-wsgi-flask": [*UVICORN, "--interface", "wsgi", "flask_app:app"],
    "uvicorn-starlette": [*UVICORN, "starlette_app:app"],
    "gunicorn-uvicorn-starlette": [*GUNICORN, "-w1", "-k", "uvicorn.workers.UvicornWorker", "starlette_app:app"],
    "hypercorn-fastapi": [*PYTHON, "hypercorn", "-w2", "-b", "127.0.0.1:{port}", "fastapi_app:app"],
    "hypercorn-starlette": [*PYTHON, "hypercorn", "-w1", "-b", "127.0.0.1:{port}", "starlette_app:app"],
    "hypercorn-django": [*PYTHON, "hypercorn", "-w1", "-b", "127.0.0.1:{port}", "django_app:asgi"],
    "uwsgi-flask": [*UWSGI, "flask_app:app"],
    "uwsgi-threadless-flask": [*(word for word in UWSGI if word != "--enable-threads"), "flask_app:app"],
    "uwsgi-lazy-flask": [*UWSGI[:-1], "--lazy-apps", "--module", "flask_app:app"],
    "uwsgi-threads-django": [*UWSGI[:-1], "--threads", "2", "--module", "django_app:application"],
    "uwsgi-plain": [*UWSGI, "plain_app"],
    "web-aiohttp": [sys.executable, str(APPS / "aiohttp_app.py"), "{port}"],
    "gunicorn-aiohttp": [*GUNICORN, "-w2", "-k", "aiohttp.GunicornWebWorker", "aiohttp_app:app"],
    "werkzeug-flask": [*PYTHON, "flask", "--app", "flask_app", "run", "--port", "{port}"],
    "wsgiref-plain": [sys.executable, str(APPS / "serve_wsgiref.py"), "{port}"],
    "waitress-plain": [sys.executable, str(APPS / "serve_waitress.py"), "{port}"],
}


def command(server: str, port: int) -> list[str]:
    return [word.format(port=port) for word in SERVERS[server]]


def endpoints(pod: Pod) -> dict[str, int]:
    """Requests by endpoint over all worker files."""
    found: dict[str, int] = {}
    for path in pod.worker_files():
        file = WorkerFile(str(path))
        for name, (requests, _, _) in file.endpoints():
            if requests:
                found[name] = found.get(name, 0) + requests
        file.close()
    return found


def errors(pod: Pod) -> dict[str, int]:
    """Errors by type over all worker files."""
    found: dict[str, int] = {}
    for path in pod.worker_files():
        table = path.read_bytes()[layout.OFF_ERRORS : layout.OFF_ERRORS + layout.ERRORS * layout.ERROR.size]
        for count, length, name in layout.ERROR.iter_unpack(table):
            if count:
                found[name[:length].decode()] = found.get(name[:length].decode(), 0) + count
    return found


@pytest.mark.parametrize("server", SERVERS)
def test_every_request_is_counted_once(server: str, pod: Pod, operator: FakeOperator) -> None:
    port = free_port()
    pod.start_agent()
    pod.start_application(command(server, port), port, APPS)
    assert pod.worker_files() == [], "no worker file before the first request"
    answers = burst(port, ROUNDS)
    failed = 0 if server == "uwsgi-plain" else 500  # uWSGI answers nothing then
    assert answers == {200: 2 * ROUNDS, failed: ROUNDS, 404: ROUNDS}
    seen = operator.wait_for_report(finished=4 * ROUNDS)
    assert seen["started"] == 4 * ROUNDS
    assert seen["errors"] == ROUNDS
    assert seen["responses"] == (0, 2 * ROUNDS, 0, ROUNDS, ROUNDS)
    assert sum(seen["histogram"]) == 4 * ROUNDS
    assert seen["in_flight"] == seen["lost"] == 0
    # uvicorn's WSGI bridge makes a new environ, so Flask's route does not find its request.
    name = "GET other" if server == "uvicorn-wsgi-flask" else NAMED[server.rpartition("-")[2]]
    assert endpoints(pod)[name] == (4 * ROUNDS if name == "GET other" else ROUNDS)
    assert errors(pod) == {"http 500" if server == "uvicorn-wsgi-flask" else "exception RuntimeError": ROUNDS}


@pytest.mark.parametrize("server", ["gunicorn-sync-flask", "uvicorn-fastapi"])
def test_a_hanging_request_is_seen_in_its_band_with_its_endpoint(server: str, pod: Pod, operator: FakeOperator) -> None:
    operator.welcome = {**operator.welcome, "bands_ms": [100, 300, 60_000]}
    port = free_port()
    pod.start_agent()
    pod.start_application(command(server, port), port, APPS)
    caller = threading.Thread(target=get, args=(port, "/hang/1.0"))
    caller.start()
    seen = operator.wait_for_report(bands=(0, 0, 1, 0))
    assert (seen["started"], seen["finished"], seen["in_flight"]) == (1, 0, 1)
    assert seen["oldest_ms"] >= 300
    file = WorkerFile(str(pod.worker_files()[0]))
    [(_, endpoint)] = file.requests_in_flight(2**62)
    file.close()
    assert endpoint.startswith("GET /hang/")
    caller.join()
    operator.wait_for_report(bands=(0, 0, 0, 0), finished=1, in_flight=0)


def test_a_killed_worker_leaves_its_requests_as_lost(pod: Pod, operator: FakeOperator) -> None:
    port = free_port()
    pod.start_agent()
    server = pod.start_application(command("gunicorn-sync-flask", port), port, APPS)
    burst(port, 10)
    caller = threading.Thread(target=get, args=(port, "/hang/30.0"))
    caller.start()
    operator.wait_for_report(in_flight=1, finished=40)
    hanging = next(int(path.name.split("-")[1]) for path in pod.worker_files() if _in_flight(path))
    assert hanging in pod.children(server)
    os.kill(hanging, signal.SIGKILL)
    seen = operator.wait_for_report(lost=1, in_flight=0)
    assert (seen["started"], seen["finished"]) == (41, 40)
    caller.join()
    assert get(port, "/item/1")[0] == 200, "gunicorn has another worker"
    operator.wait_for_report(started=42, finished=41, lost=1)


def _in_flight(path: Path) -> bool:
    file = WorkerFile(str(path))
    try:
        return bool(file.requests_in_flight(2**62))
    finally:
        file.close()


def test_recycled_workers_keep_the_totals_exact(pod: Pod, operator: FakeOperator) -> None:
    port = free_port()
    pod.start_agent()
    recycling = ["--max-requests", "15", *command("gunicorn-sync-flask", port)[-1:]]
    pod.start_application([*command("gunicorn-sync-flask", port)[:-1], *recycling], port, APPS)
    answers = burst(port, ROUNDS, threads=2)
    seen = operator.wait_for_report(finished=answers.total() - answers[0])
    assert seen["errors"] == answers[500]
    assert seen["started"] == seen["finished"] + seen["lost"]
    poll_until(lambda: len(pod.worker_files()) <= 2, "the files of ended workers are gone")


@pytest.mark.parametrize("server", ["gunicorn-sync-flask", "uvicorn-fastapi"])
def test_a_probe_that_cannot_write_changes_no_answer(server: str, pod: Pod, tmp_path: Path) -> None:
    port, other_port = free_port(), free_port()
    broken = pod.start_application(command(server, port), port, APPS, ROLLCALL_RUN=str(tmp_path / "missing"))
    bare = pod.start_application(command(server, other_port), other_port, APPS, ROLLCALL_PROBE="off")
    for path in ("/item/7", "/boom", "/nope", "/stream"):
        assert get(port, path) == get(other_port, path)
    lines = [line for line in pod.log(broken).splitlines() if "rollcall" in line]
    assert 1 <= len(lines) <= 2, "one line per worker process"
    assert "rollcall" not in pod.log(bare)
