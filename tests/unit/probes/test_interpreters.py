"""`sitecustomize` in real interpreters, old and new: it arms the probe, hands over, costs nothing elsewhere, never raises."""

from __future__ import annotations

import ast
import glob
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rollcall_agent.install import install
from rollcall_agent.sources.worker_file import WorkerFile
from tests.unit.agent.pod import PROBE, SIDECAR

FOUND = {sys.executable, *glob.glob(os.path.expanduser("~/.pyenv/versions/3.*/bin/python")), *glob.glob("/usr/bin/python3.*")}
VERSIONS: dict[str, str] = {}
for found in sorted(FOUND):
    if re.search(r"python(3\.\d+)?$", found):
        said = subprocess.run(
            [found, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True, text=True
        )
        if said.returncode == 0 and tuple(map(int, said.stdout.split("."))) >= (3, 8):
            VERSIONS.setdefault(said.stdout.strip(), found)

SERVE = """
import threading, urllib.request, urllib.error
from wsgiref.simple_server import make_server, WSGIRequestHandler
WSGIRequestHandler.log_message = lambda *arguments: None
def application(environ, start_response):
    if environ["PATH_INFO"] == "/boom":
        raise RuntimeError("boom")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]
server = make_server("127.0.0.1", 0, application)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = "http://127.0.0.1:%d" % server.server_port
assert urllib.request.urlopen(url + "/a").read() == b"hello"
try:
    urllib.request.urlopen(url + "/boom")
except urllib.error.HTTPError as error:
    assert error.code == 500
import asyncio
from _rollcall_probe import asgi
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})
async def send(message):
    pass
asyncio.run(asgi.wrap(app)({"type": "http", "method": "PUT"}, None, send))
"""


def run(python: str, code: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "ROLLCALL"))}
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, env={**clean, **env}, timeout=60)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("version", VERSIONS)
def test_requests_are_counted_by_every_supported_version(version: str, tmp_path: Path) -> None:
    probes = tmp_path / "probes"
    install(str(SIDECAR / "probes"), str(probes))
    done = run(VERSIONS[version], SERVE, PYTHONPATH=str(probes / "python"), ROLLCALL_RUN=str(tmp_path))
    assert "rollcall:" not in done.stderr
    [path] = tmp_path.glob("python-*.worker")
    file = WorkerFile(str(path))
    assert file.is_dead()
    file.read(0, (1, 2, 3))
    assert (file.totals.finished, file.totals.errors) == (3, 1)
    assert file.totals.responses == [0, 2, 0, 0, 1]
    assert {name: counts[0] for name, counts in file.endpoints() if counts[0]} == {"GET other": 2, "PUT other": 1}
    file.close()


def test_the_probe_is_written_in_the_oldest_version_whatever_this_machine_has() -> None:
    folders = os.walk(PROBE, followlinks=True)
    sources = [Path(folder) / name for folder, _, names in folders for name in names if name.endswith(".py")]
    assert len(sources) > 10, "links to the wire and the ledger included"
    for source in sources:
        ast.parse(source.read_text(), feature_version=(3, 8))


def test_the_next_sitecustomize_runs_in_our_place(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("ran = 'the application\\'s own'\n")
    done = run(sys.executable, "import sitecustomize; print(sitecustomize.ran)", PYTHONPATH=f"{PROBE}:{tmp_path}")
    assert done.stdout.strip() == "the application's own"


def test_errors_of_the_next_sitecustomize_are_its_own(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("raise ValueError('theirs')\n")
    with_us = run(sys.executable, "print(1)", PYTHONPATH=f"{PROBE}:{tmp_path}")
    alone = run(sys.executable, "print(1)", PYTHONPATH=str(tmp_path))
    assert "ValueError: theirs" in alone.stderr
    assert (with_us.stdout, with_us.stderr) == (alone.stdout, alone.stderr)


def test_a_process_that_serves_nothing_imports_nothing_of_ours_but_the_hooks(tmp_path: Path) -> None:
    code = "import sys, json, http.client; print(sorted(n for n in sys.modules if 'rollcall' in n or n in ('mmap', 'fcntl')))"
    done = run(sys.executable, code, PYTHONPATH=str(PROBE), ROLLCALL_RUN=str(tmp_path))
    assert done.stdout.strip() == "['_rollcall_probe', '_rollcall_probe.early', '_rollcall_probe.hooks']"
    assert list(tmp_path.iterdir()) == []


def test_off_means_off(tmp_path: Path) -> None:
    done = run(
        sys.executable, "import sys; print('_rollcall_probe' in sys.modules)", PYTHONPATH=str(PROBE), ROLLCALL_PROBE="off"
    )
    assert done.stdout.strip() == "False"


def test_a_broken_probe_costs_one_line_and_nothing_else(tmp_path: Path) -> None:
    install(str(SIDECAR / "probes"), str(tmp_path))
    (tmp_path / "python/_rollcall_probe/servers.py").write_text("raise RuntimeError('broken')\n")
    code = "import wsgiref.handlers; print(wsgiref.handlers.BaseHandler.run.__module__)"
    done = run(sys.executable, code, PYTHONPATH=str(tmp_path / "python"))
    assert done.stdout.strip() == "wsgiref.handlers"
    assert done.stderr.splitlines() == ["rollcall: no probe in wsgiref: RuntimeError('broken')"]
    (tmp_path / "python/_rollcall_probe/hooks.py").write_text("1 / 0\n")
    done = run(sys.executable, "print('fine')", PYTHONPATH=str(tmp_path / "python"))
    assert done.stdout.strip() == "fine"
    assert len(done.stderr.splitlines()) == 1


def test_modules_keep_their_own_loader_and_may_be_looked_for_and_reloaded() -> None:
    code = """
import importlib, importlib.util
assert importlib.util.find_spec("wsgiref.handlers").name == "wsgiref.handlers"
import wsgiref.handlers as handlers
assert type(handlers.__spec__.loader).__name__ == "SourceFileLoader"
assert handlers.__spec__.loader.exec_module.__self__ is handlers.__spec__.loader
assert hasattr(handlers.BaseHandler.run, "__wrapped__")
importlib.reload(handlers)
assert hasattr(handlers.BaseHandler.run, "__wrapped__")
"""
    run(sys.executable, code, PYTHONPATH=str(PROBE))


def test_the_probe_has_the_agents_own_files() -> None:
    package = PROBE / "_rollcall_probe"
    for name in ("ledger.py", "wire/layout.py", "wire/grid.py"):
        assert (package / name).resolve() == (SIDECAR / "rollcall_agent" / name).resolve()
