"""Completion for shells, by itself and through kubectl: commands, options, choices, and names that kubectl tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollcall.cli.completion import main, suggestions

KUBECTL = """#!/bin/sh
case "$KUBECONFIG $*" in
"mine get monitoredservices.rollcall.dev --output=name") printf 'monitoredservice.rollcall.dev/%s\\n' newsfeed mail ;;
"mine get monitoredservices.rollcall.dev --output=name --namespace=other") echo monitoredservice.rollcall.dev/search ;;
"mine get pods --output=name") printf 'pod/%s\\n' newsfeed-1 mail-1 ;;
"mine get namespaces --output=name") printf 'namespace/%s\\n' shop other ;;
"mine config get-contexts --output=name") printf '%s\\n' here arn:aws:eks:cluster/there ;;
"mine --context=away "*) echo 'Unable to connect to the server' >&2; exit 1 ;;
"mine --context=slow "*) exec sleep 60 ;;
*) echo "not expected: $KUBECONFIG $*" >&2; exit 1 ;;
esac
"""


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "kubectl"
    path.write_text(KUBECTL)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setenv("KUBECONFIG", "mine")
    for name in ("_ROLLCALL_COMPLETE", "_TYPER_COMPLETE_FISH_ACTION", "_TYPER_COMPLETE_ARGS"):
        monkeypatch.setenv(name, "")  # so that they are as before afterwards
    return path


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["to"], ["top"]),
        (["top", "--ski"], ["--skin"]),
        (["top", "--skin", ""], ["dark", "light", "contrast"]),
        (["pods", "-o", ""], ["table", "wide", "json", "yaml", "name"]),
        (["top", ""], ["newsfeed", "mail"]),
        (["endpoints", "new"], ["newsfeed"]),
        (["top", "-n", "other", ""], ["search"]),
        (["top", "-n", ""], ["shop", "other"]),
        (["why", "mail"], ["mail-1"]),
        (["top", "--context", ""], ["here", "arn:aws:eks:cluster/there"]),
        (["top", "--context", "away", ""], []),
        (["top", "-n", "nowhere", ""], []),
    ],
)
def test_what_is_offered(kubectl: Path, words: list[str], offered: list[str]) -> None:
    assert [line.partition("\t")[0] for line in suggestions(words)] == offered


def test_a_cluster_that_does_not_answer(kubectl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rollcall.cli.names.WITHIN_S", 0.1)
    assert suggestions(["top", "--context", "slow", ""]) == []


def test_without_kubectl(kubectl: Path) -> None:
    kubectl.unlink()
    assert suggestions(["top", ""]) == []


def test_what_kubectl_reads(kubectl: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["kubectl_complete-rollcall", "requests", "m"])
    main()
    assert capsys.readouterr().out == "mail\n:4\n"
    monkeypatch.setattr("sys.argv", ["kubectl_complete-rollcall", "vers"])
    main()
    assert capsys.readouterr().out == "version\tThe versions of this command line and of...\n:4\n"
