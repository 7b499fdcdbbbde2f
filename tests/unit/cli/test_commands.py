"""The command line as a person calls it: help, one sentence for each thing that can be wrong, and an exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from rollcall import __version__
from rollcall.cli.main import main

CONFIG = {
    "apiVersion": "v1",
    "kind": "Config",
    "current-context": "here",
    "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
    "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
    "users": [{"name": "u", "user": {"token": "t"}}],
}


class Outcome(NamedTuple):
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Rollcall = Callable[..., Outcome]


@pytest.fixture
def rollcall(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Rollcall:
    """The command in this process: importing its libraries takes a second, each time."""
    for name in ("KUBECONFIG", "ROLLCALL_NAMESPACE", "ROLLCALL_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")

    def call(*args: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["rollcall", *args])
        code = 0
        try:
            main()
        except SystemExit as ending:
            code = int(ending.code or 0)
        return Outcome(code, *capsys.readouterr())

    return call


@pytest.fixture
def kubeconfig(tmp_path: Path) -> str:
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(CONFIG))
    return str(path)


def test_help_names_every_command(rollcall: Rollcall) -> None:
    found = rollcall("--help")
    assert found.returncode == 0
    for command in ("top", "get", "endpoints", "pods", "departures", "why", "doctor", "cost", "inject", "version"):
        assert command in found.stdout
    assert "--operator-namespace" in rollcall("top", "--help").stdout


def test_version(rollcall: Rollcall) -> None:
    assert rollcall("--version") == (0, f"rollcall {__version__}\n", "")
    assert rollcall("version", "--client") == (0, f"command line  {__version__}\n", "")
    assert rollcall("version", "--client", "-o", "yaml") == (0, f"commandLine: {__version__}\n", "")


def test_version_of_an_operator_that_cannot_be_reached(rollcall: Rollcall, kubeconfig: str) -> None:
    found = rollcall("version", "--kubeconfig", kubeconfig)
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.splitlines()[1].startswith("operator      – (the API server cannot be reached: ")
    told = json.loads(rollcall("version", "--kubeconfig", kubeconfig, "-o", "json").stdout)
    assert told == {"commandLine": __version__, "operator": None}


@pytest.mark.parametrize(
    "args",
    [
        ["top", "--colour"],
        ["nothing"],
        ["top", "--seconds", "soon"],
        ["top", "--output", "xml", "--kubeconfig", "none"],
        ["endpoints", "newsfeed", "another"],
        ["pods", "newsfeed", "-o", "xml"],
        ["get", "-o", "xml"],
        ["top", "-o", "wide"],
        ["top", "--skin", "pink"],
        ["pods", "newsfeed", "-l", "app=feed,", "--kubeconfig", "none"],
        ["get", "-l", "env in prod", "--kubeconfig", "none"],
        ["endpoints", "newsfeed", "-l", "app=feed"],
        ["pods", "newsfeed", "-A"],
        ["get", "newsfeed", "--all-namespaces"],
    ],
)
def test_wrong_usage_ends_with_2(rollcall: Rollcall, args: list[str]) -> None:
    found = rollcall(*args)
    assert found.returncode == 2
    assert found.stderr
    assert "Traceback" not in found.stderr


def test_without_a_kubeconfig(rollcall: Rollcall, tmp_path: Path) -> None:
    found = rollcall("top", "--kubeconfig", str(tmp_path / "missing"))
    assert found.returncode == 1
    assert found.stderr.startswith("rollcall: no usable kubeconfig: ")
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize("broken", ["", "[1, 2]", "{unclosed", "contexts: []\ncurrent-context: here"])
def test_a_broken_kubeconfig(rollcall: Rollcall, tmp_path: Path, broken: str) -> None:
    path = tmp_path / "config"
    path.write_text(broken)
    found = rollcall("top", "--kubeconfig", str(path))
    assert found.returncode == 1
    assert found.stderr.startswith("rollcall: no usable kubeconfig: ")
    assert "Traceback" not in found.stderr


def test_an_unknown_context(rollcall: Rollcall, kubeconfig: str) -> None:
    found = rollcall("top", "--kubeconfig", kubeconfig, "--context", "elsewhere")
    assert found.returncode == 1
    assert "elsewhere" in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize("command", [["top"], ["top", "newsfeed", "--once"], ["cost"], ["errors", "x"]])
def test_a_server_that_cannot_be_reached(rollcall: Rollcall, kubeconfig: str, command: list[str]) -> None:
    found = rollcall(*command, "--kubeconfig", kubeconfig)
    assert found.returncode == 1
    assert found.stderr.startswith("rollcall: the API server cannot be reached: ")
    assert "refused" in found.stderr
    assert found.stderr.count("\n") == 1


def test_the_installed_command_is_the_same(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        "from rollcall.cli.main import main; main()",
        "top",
        "--kubeconfig",
        str(tmp_path / "missing"),
    ]
    found = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=60, check=False)
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr.startswith("rollcall: no usable kubeconfig: ")
