"""Settings and the short commands: install, inspect, version, help."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from rollcall_agent import __version__
from rollcall_agent.__main__ import main
from rollcall_agent.install import install, probes_dir
from rollcall_agent.ledger import Ledger
from rollcall_agent.settings import SettingsError, from_environment
from rollcall_agent.sources.cost import cpu_with_children_us, memory_kib
from rollcall_agent.uplink import checked_bounds_ms, clamp_interval_ms
from rollcall_agent.wire import layout
from tests.unit.agent.pod import SIDECAR


def test_defaults_are_those_of_an_injected_pod() -> None:
    settings = from_environment({})
    assert (settings.operator_host, settings.operator_port) == ("rollcall-ingest.rollcall-system.svc", 10251)
    assert settings.tls
    assert settings.php_socket == "/rollcall/run/php.sock"
    assert settings.ca_file == "/rollcall/ca/ca.crt"
    assert settings.token_file == "/rollcall/token/token"
    assert settings.drain_s == 10


def test_an_address_may_be_ipv6() -> None:
    settings = from_environment({"ROLLCALL_OPERATOR": "[::1]:443"})
    assert (settings.operator_host, settings.operator_port) == ("::1", 443)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ROLLCALL_OPERATOR", "host"),
        ("ROLLCALL_OPERATOR", ":1"),
        ("ROLLCALL_OPERATOR", "host:http"),
        ("ROLLCALL_OPERATOR", "host:70000"),
        ("ROLLCALL_DRAIN_S", "soon"),
        ("ROLLCALL_DRAIN_S", "-1"),
        ("ROLLCALL_DRAIN_S", "inf"),
    ],
)
def test_what_cannot_be_understood_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        from_environment({name: value})


@pytest.mark.parametrize(("asked", "taken"), [(500, 500), (1, 100), (10**9, 10_000), (None, 500), ("1", 500), (True, 500)])
def test_the_interval_stays_within_sense(asked: object, taken: int) -> None:
    assert clamp_interval_ms(asked) == taken


@pytest.mark.parametrize("asked", [None, [], [1, 2], [1, 2, 2], [0, 1, 2], [1, 2, 3.5], [1, 2, True], "123", [1, 2, 10**12]])
def test_bands_that_make_no_sense_are_the_default(asked: object) -> None:
    assert checked_bounds_ms(asked) == (1000, 3000, 8000)


def test_bands_that_make_sense_are_taken() -> None:
    assert checked_bounds_ms([10, 20, 30]) == (10, 20, 30)


def test_install_copies_links_as_files_readable_by_anyone(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        count = install(str(SIDECAR / "probes"), str(tmp_path / "probes"))
    finally:
        os.umask(before)
    files = [path for path in (tmp_path / "probes").rglob("*") if not path.is_dir()]
    assert count == len(files) > 10
    assert not any(path.is_symlink() for path in files)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o644 for path in files)
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o755 for path in (tmp_path / "probes").rglob("*") if path.is_dir())
    ledger = tmp_path / "probes/python/_rollcall_probe/ledger.py"
    assert ledger.read_text() == (SIDECAR / "rollcall_agent/ledger.py").read_text()
    assert install(str(SIDECAR / "probes"), str(tmp_path / "probes")) == count, "again is no error"
    assert not list((tmp_path / "probes").rglob("*.new"))


def test_install_without_probes_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="ROLLCALL_PROBES"):
        probes_dir(str(tmp_path))


def test_inspect_prints_what_the_files_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ledger = Ledger(str(tmp_path), layout.RUNTIME_PYTHON, "python")
    ledger.finished(ledger.endpoint("GET /feed/<user>"), 2, False, 12_000_000)
    ledger.use_slots(1)
    ledger.open_slot(0, 1, ledger.endpoint("GET /slow"))
    (tmp_path / "python-1-bad.worker").write_bytes(b"no")
    assert main(["inspect", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "no agent has run here yet" in printed
    assert "2 started, 1 finished, 0 errors, 0 lost" in printed
    assert "GET /feed/<user>" in printed
    assert "python-1-bad.worker: not readable" in printed
    in_flight = next(line for line in printed.splitlines() if line.strip().startswith("in flight"))
    assert in_flight.endswith("GET /slow")
    ledger.detach()


def test_inspect_of_a_folder_that_is_missing_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(tmp_path / "missing")]) == 1
    assert "missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "printed"),
    [
        (["version"], 0, __version__),
        (["--help"], 0, "usage:"),
        ([], 2, "usage:"),
        (["install"], 2, "usage:"),
        (["rnu"], 2, "usage:"),
    ],
)
def test_words(arguments: list[str], code: int, printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == code
    said = capsys.readouterr()
    assert printed in (said.out if code == 0 else said.err)


def test_the_agent_knows_its_own_cost() -> None:
    assert memory_kib(os.getpid()) > 5000
    assert cpu_with_children_us(os.getpid()) > 0
    assert memory_kib(2**22 + 1) == 0
    assert cpu_with_children_us(2**22 + 1) == 0
