"""People who look: at the page through `rollcall dashboard`, and by many command lines at once."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import yaml
from playwright.sync_api import Page, expect

from tests.cluster.observe import until
from tests.harness.chromium import Tabs
from tests.harness.cluster import Cluster
from tests.harness.guide import environment_of
from tests.harness.install import Rollcall
from tests.harness.paths import REPOSITORY

PICTURES = REPOSITORY / "build/surfaces"
_FORKS = """
import json, os, sys, tempfile
from rollcall.cli import main
def start(words):
    out, err = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
    if (pid := os.fork()) == 0:
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        sys.argv = ["rollcall", *words]
        main.main()
    return pid, out, err
def text(file):
    file.seek(0)
    return file.read()
ended, running, todo = {}, {}, list(enumerate(json.load(sys.stdin)))
while todo or running:
    while todo and len(running) < 4:
        place, words = todo.pop(0)
        pid, out, err = start(words)
        running[pid] = place, out, err
    pid, status = os.wait()
    place, out, err = running.pop(pid)
    ended[place] = os.waitstatus_to_exitcode(status), text(out), text(err)
json.dump([ended[place] for place in sorted(ended)], sys.stdout)
"""
"""Python is started and the command line is read once, not for each of them; each is a process of its own."""


SECTIONS = (
    ("Pods", re.compile(r"newsfeed-\d\d.*newsfeed-\w+-\w+.*● serving")),
    ("Longest requests in flight", re.compile(r"GET /hang/<int:seconds>code hang \(newsfeed\.py:\d+\) for")),
    ("Dependencies", "sqlite newsfeed.db"),
    ("Endpoints", "GET /feed/<int:user>"),
    ("Departures", re.compile("ScaleIn.*wants 2 pods, and had 3")),
    ("Departures", re.compile("Rollout.*has a newer revision")),
    ("Errors by type", "exception RuntimeError"),
    ("Samples of errors", re.compile(r"RuntimeError: the recommendation model is missingnewsfeed\.py:\d+ fail")),
)
"""Tables of a service, and what is in them when it has scaled in, was deployed anew, failed and hangs."""
KEYS = (
    (b"/newsf\r", b"/newsf"),
    (b"\r", b"in flight"),
    (b":departures\r", b"Rollout"),
    (b":pods\r", b"newsfeed-"),
    (b"\r", b"told by"),
    (b"\x1b[D", "❚❚".encode()),
    (b"\x1b", "● live".encode()),
    (b"?", b"help"),
)
"""From all services to a pod, into its past and back, and what comes then."""


class Said(NamedTuple):
    """What a command ended with."""

    code: int
    out: str
    err: str


def say(cluster: Cluster, commands: Sequence[Sequence[str]], kubeconfig: Path | None = None) -> list[Said]:
    """`rollcall` with each of these words, four at a time."""
    environment = environment_of(cluster) | {"KUBECONFIG": str(kubeconfig or cluster.kubeconfig)}
    done = subprocess.run(
        [sys.executable, "-c", _FORKS], input=json.dumps(commands), env=environment, capture_output=True, text=True, check=True
    )
    return [Said(*each) for each in json.loads(done.stdout)]


WRONG = (
    (["pods", "nobody", "-n", "shop"], 1, 'there is no MonitoredService "nobody" in namespace "shop"'),
    (["why", "nobody", "-n", "shop"], 1, 'there is no pod "nobody" in namespace "shop"'),
    (["endpoints", "newsfeed", "-n", "elsewhere"], 1, 'there is no MonitoredService "newsfeed" in namespace "elsewhere"'),
    (["get", "--operator-namespace", "elsewhere"], 1, "Rollcall is not installed in namespace elsewhere"),
    (["get", "--context", "elsewhere"], 1, "no usable kubeconfig"),
)
"""What somebody mistypes, the exit code, and what is said."""
PARTS = ("pods", "requests", "endpoints", "deps", "errors", "departures", "crashes")
FORMATS = ("table", "wide", "json", "yaml", "name")
DATA = ("table", "json", "yaml")


def every_form(pod: str, namespace: str) -> list[list[str]]:
    """Every command that prints what is there, in every form that it has."""
    here = ("-n", namespace)
    return [
        *([part, "newsfeed", *here, "-o", form] for part in PARTS for form in FORMATS),
        *(["get", *here, "-o", form] for form in FORMATS),
        *(["why", pod, *here, "-o", form] for form in DATA),
        *(["top", "newsfeed", *here, "--once", "-o", form] for form in DATA),
        *([name, *here, "-o", form] for name in ("cost", "doctor", "version") for form in DATA),
    ]


def check(words: Sequence[str], said: Said) -> None:
    """Whether it is what the form promises."""
    assert (said.code, said.err) == (0, ""), (words, said)
    form = words[-1]
    if form == "json":
        assert json.loads(said.out), words
    elif form == "yaml":
        assert yaml.safe_load(said.out), words
    elif form == "name" and words[0] in ("pods", "departures"):
        assert all(line.startswith("pod/newsfeed-") or line == "pod/bare" for line in said.out.splitlines()), said.out
    elif form != "name":
        assert said.out.strip(), words
        assert "…" not in said.out, "in a file nothing is cut"


def sentence(said: Said) -> str:
    """What a command complains of: one line, which is no traceback."""
    lines = said.err.strip().splitlines()
    assert len(lines) == 1, said
    assert lines[0].startswith("rollcall: "), said
    assert said.out == "", said
    return lines[0]


def shell(cluster: Cluster, command: str, folder: Path) -> str:
    """What a line that somebody pastes prints; fails with its complaint."""
    done = subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment_of(cluster), capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 124), f"$ {command}\n{done.stdout}{done.stderr}"
    return done.stdout


def ask(address: str, path: str) -> threading.Thread:
    """Send a request to a pod, however long it takes."""

    def send() -> None:
        connection = http.client.HTTPConnection(address, 8080, timeout=90)
        try:
            connection.request("GET", path)
            connection.getresponse().read()
        except OSError:
            pass  # the pod has gone meanwhile
        finally:
            connection.close()

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    return thread


class Dashboard:
    """`rollcall dashboard` of somebody, while the `with` block runs. The first page signs in by the printed address, as a
    person does; those of other browsers are given its secret."""

    def __init__(self, rollcall: Rollcall, tabs: Tabs, *words: str, kubeconfig: Path | None = None) -> None:
        self._command = [*rollcall.command("dashboard", "--no-browser", *words)[:-1]]
        self._environment = os.environ | {"KUBECONFIG": str(kubeconfig or rollcall.cluster.kubeconfig)}
        self._tabs = tabs
        self._secret = ""
        self.base = ""
        self.address = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, env=self._environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
        )
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()
        self.base = self.address.partition("#")[0]
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.terminate()
        self._process.wait(10)

    def open(self, place: str = "", **options: Any) -> Page:
        """A page in a browser of its own."""
        if self._secret:
            return self._tabs.open(f"{self.base}{place}", token=self._secret, **options)
        page = self._tabs.open(self.address, **options)
        self._secret = until(lambda: page.evaluate("sessionStorage.getItem('rollcall')"), 20, "the printed address signs in")
        if place:
            page.goto(f"{self.base}{place}")
        return page


def tile_of(page: Page, service: str, words: str = "", within_s: float = 20) -> str:
    """The text of a service's tile, once it has these words."""
    found = page.locator(f"a.tile[href='#/s/{service}']")
    expect(found).to_contain_text(words, timeout=within_s * 1000)
    return found.inner_text()


def table(page: Page, name: str) -> Any:
    """A table by its name."""
    return page.get_by_role("table", name=name, exact=True)


def figure(page: Page, label: str) -> Any:
    """The number above a label."""
    return page.locator(".figure", has=page.get_by_text(label, exact=True)).locator("b")


def past(page: Page, service: str) -> dict[str, Any]:
    """The last minutes as the page is told them."""
    call = "path => fetch(path, {headers: {Authorization: `Bearer ${sessionStorage.getItem('rollcall')}`}}).then(a => a.json())"
    found: dict[str, Any] = page.evaluate(call, f"/v1/services/{service}/history")
    return found


def keep(page: Page, name: str, *, whole: bool = False) -> None:
    """A picture for whoever wants to look, in build/surfaces."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}.png", full_page=whole)


def downloaded(page: Page, button: str) -> bytes:
    """The file that a button gives."""
    with page.expect_download() as download:
        page.get_by_role("button", name=button).click()
    return Path(download.value.path()).read_bytes()
