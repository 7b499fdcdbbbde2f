"""Whatever part of the probe fails, the application answers byte for byte as without it, and stderr says so in few lines."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest

from tests.unit.agent.pod import PROBE, Pod, free_port
from tests.unit.probes.test_servers import APPS, SERVERS, command

CHAOS = Path(__file__).parent / "chaos"
PATHS = ("/item/1", "/boom", "/nope", "/stream", "/item/2")
PLACES = re.findall(r'^    "([\w.]+)",$', (CHAOS / "sitecustomize.py").read_text(), re.MULTILINE)
HOOKS = {
    "gunicorn-sync-flask": ("gunicorn", "werkzeug_bodies", "flask", "flask_routes"),
    "uvicorn-fastapi": ("uvicorn", "starlette", "starlette_routes", "fastapi_routes"),
    "gunicorn-sync-django": ("django_errors", "django_routes", "django_wsgi"),
    "uvicorn-django": ("django_asgi",),
}
SAID = re.compile(r"rollcall: (.+?) in process (\d+):")
_VARYING = re.compile(rb"(?mi)^date: .*\r\n")
KEY = "ab" * 32
COUNTED_IN_C = ("ledger.Ledger.finished", "ledger.Ledger.close_slot", "pure.status_of")


def raw(port: int, path: str) -> bytes:
    """A whole answer as it is on the wire, without its date."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nCookie: sid=anna\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while part := client.recv(65536):
            answer += part
    return _VARYING.sub(b"", answer)


def answers(pod: Pod, server: str, paths: tuple[str, ...] = PATHS, **env: str) -> tuple[list[bytes], str]:
    """(answers to `paths`, what the server wrote)."""
    port = free_port()
    process = pod.start_application(command(server, port), port, APPS, **env)
    found = [raw(port, path) for path in paths * 2]
    pod.stop(process)
    return found, pod.log(process)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[bytes]]:
    """The answers of each server without a probe, asked for once."""
    return {}


def check(
    pod: Pod, expected: dict[str, list[bytes]], server: str, chaos: str, paths: tuple[str, ...] = PATHS, **env: str
) -> str:
    """Compare a server whose probe is broken with one that has none; returns what the broken one wrote."""
    (pod.run / "agent").mkdir()
    (pod.run / "agent/visitors").write_text(f"cookie:sid\n{KEY}\n")
    key = f"{server} {paths}"
    if key not in expected:
        expected[key], _ = answers(pod, server, paths, PYTHONPATH=str(APPS))
        assert expected[key][0].partition(b" ")[2].startswith(b"200")
    path = f"{CHAOS}:{PROBE}:{APPS}"
    found, log = answers(pod, server, paths, PYTHONPATH=path, ROLLCALL_CHAOS=chaos, ROLLCALL_CHAOS_PROBE=str(PROBE), **env)
    assert found == expected[key]
    return log


@pytest.mark.parametrize("mode", ["missing", "raises"])
@pytest.mark.parametrize("server", [name for name in SERVERS if name != "werkzeug-flask"])
def test_all_hooks_fail(server: str, mode: str, pod: Pod, expected: dict[str, list[bytes]]) -> None:
    log = check(pod, expected, server, f"{mode}:all")
    assert "rollcall: no probe in" in log
    assert pod.worker_files() == []


@pytest.mark.parametrize(("server", "hook"), [(server, hook) for server, hooks in HOOKS.items() for hook in hooks])
def test_one_hook_fails_and_the_others_work(server: str, hook: str, pod: Pod, expected: dict[str, list[bytes]]) -> None:
    log = check(pod, expected, server, f"missing:{hook}")
    assert f"rollcall: no probe in {hook}" in log
    assert len(pod.worker_files()) >= 1, "what is left of the probe still counts"


@pytest.mark.parametrize(("server", "runtime"), [("gunicorn-sync-flask", "native"), ("uvicorn-fastapi", "pure")])
@pytest.mark.parametrize("place", PLACES)
def test_something_inside_fails(place: str, server: str, runtime: str, pod: Pod, expected: dict[str, list[bytes]]) -> None:
    # The probe's thread looks at what takes long, so something has to.
    paths = (
        (*PATHS, "/hang/1.2")
        if place.startswith(("watch.", "cgroup.", "ledger.Ledger.resources", "ledger.Ledger.step"))
        else PATHS
    )
    log = check(pod, expected, server, f"inside:{place}", paths, ROLLCALL_NATIVE="on" if runtime == "native" else "off")
    said = SAID.findall(log)
    assert len(said) == log.count("rollcall:")
    assert len(said) == len(set(said)), "each process says a thing once, not for each request"
    assert len({text for text, _ in said}) <= 3, "visitors, errors, and what the probe's thread tells"
    assert said or (runtime == "native" and place in COUNTED_IN_C), "it did fail"


def test_the_places_are_all_tried() -> None:
    assert len(PLACES) == 26
