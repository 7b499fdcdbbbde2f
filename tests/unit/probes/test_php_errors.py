"""Errors of PHP, by type and with a place in the application's code, from a real php-fpm; and answers that stay the same."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.agent.pod import Pod
from tests.unit.probes.fastcgi import call, request
from tests.unit.probes.fpm import Fpm, Listener

PAGE = Path(__file__).parent / "apps" / "faults.php"
SOURCE = PAGE.read_text().splitlines()


def line_of(text: str) -> int:
    [number] = [number for number, line in enumerate(SOURCE, 1) if text in line]
    return number


THROWS = line_of("throw new NoCapacity(")
FAULTS = {
    # mode: (name, function, line)
    "uncaught": ("exception NoCapacity", "Feed->read", THROWS),
    "chained": ("exception LogicException", "{main}", line_of("throw new LogicException(")),
    "internal": ("exception PDOException", "open_database", line_of("return new PDO(")),
    "library": ("exception OutOfBoundsException", "{main}", line_of("ask_library();")),
    "top": ("exception DomainException", "{main}", line_of('"in the script')),
    "call": ("exception Error", "{main}", line_of("no_such_function();")),
    "type": ("exception TypeError", "{main}", line_of("strlen([])")),
    "anonymous": ("exception Exception", "{main}", line_of("new class(")),
    "memory": ("fatal memory limit", "", line_of("$hoard[] =")),
    "time": ("timeout max_execution_time", "", line_of("for (;;) {")),
    "parse": ("fatal parse error", "", 1),
    "user": ("fatal E_USER_ERROR", "", line_of("E_USER_ERROR")),
    "caught": ("exception DomainException", "", line_of("caught by the application")),
    "status": ("http 503", "", 0),
    "in-shutdown": ("exception DomainException", "{closure}", line_of("while shutting down")),
    "cleared": ("exception DomainException", "{main}", line_of("cleared by a framework")),
}
WARNINGS = {
    "warning": "warning E_WARNING",
    "deprecated": "warning E_USER_DEPRECATED",
}
SILENT = ("ok", "suppressed", "unwanted", "handled", "handlers")
INI = "display_errors=On\nhtml_errors=Off\nlog_errors=Off\nerror_reporting=-1\n"


@pytest.fixture
def agent(pod: Pod) -> Iterator[Listener]:
    with Listener(pod) as made:
        yield made


@pytest.mark.parametrize("opcache", [True, False])
def test_each_failure_is_told_by_type_and_place(pod: Pod, agent: Listener, opcache: bool) -> None:
    fpm = Fpm(pod, ini=INI, extensions=("pdo", "pdo_sqlite"), workers=1, opcache=opcache)
    agent.finished(1)
    for number, (mode, (name, function, line)) in enumerate(FAULTS.items(), 2):
        before = dict(agent.errors)
        agent.samples.clear()
        agent.source._sampled.clear()
        call(fpm.socket, PAGE, f"m={mode}")
        agent.finished(number)
        assert {key: value - before.get(key, 0) for key, value in agent.errors.items() if value != before.get(key)} == {
            name: 1
        }, mode
        [sample] = agent.samples
        assert sample["error"] == name, mode
        assert sample["endpoint"] == "GET /faults.php", mode
        assert (sample["function"], sample["line"]) == (function, line), mode
        if line > 1:
            assert sample["file"] == "faults.php", mode
    assert agent.file.totals.errors == len(FAULTS)


def test_without_our_extension_a_failure_that_the_application_answers_is_its_status(pod: Pod, agent: Listener) -> None:
    fpm = Fpm(pod, ini=INI, native=False)
    call(fpm.socket, PAGE, "m=caught")
    agent.finished(2)
    assert agent.errors == {"http 500": 1}


def test_a_message_is_bounded_and_tells_of_no_person(pod: Pod, agent: Listener) -> None:
    fpm = Fpm(pod, ini=INI)
    call(fpm.socket, PAGE, "m=uncaught")
    agent.finished(2)
    [sample] = agent.samples
    assert sample["message"] == "no capacity for <email>, card <number>, password=<hidden> and key <token>"
    assert len(sample["message"]) <= 200


@pytest.mark.parametrize("mode", WARNINGS)
@pytest.mark.parametrize("native", [True, False])
def test_the_last_warning_of_a_request_is_counted_and_no_failure(pod: Pod, agent: Listener, mode: str, native: bool) -> None:
    """By our extension, which counts all (test_php_warnings.py), or without it by the probe."""
    fpm = Fpm(pod, ini=INI, native=native)
    call(fpm.socket, PAGE, f"m={mode}")
    agent.finished(2)
    assert agent.errors == {WARNINGS[mode]: 1}
    assert agent.file.totals.errors == 0


@pytest.mark.parametrize("native", [True, False])
def test_what_the_application_suppresses_or_handles_is_no_warning(pod: Pod, agent: Listener, native: bool) -> None:
    fpm = Fpm(pod, ini=INI, native=native)
    for mode in SILENT:
        call(fpm.socket, PAGE, f"m={mode}")
    agent.finished(len(SILENT) + 1)
    assert agent.errors == {}


def test_answers_and_logs_are_the_same_with_and_without_the_probe(pod: Pod, agent: Listener) -> None:
    """Each byte of every answer, and of the error log, whatever goes wrong in the application."""
    modes = [mode for mode in (*FAULTS, *WARNINGS, *SILENT) if mode != "time"]
    ini = INI.replace("log_errors=Off", f"log_errors=On\nerror_log={pod.folder}/php-errors.log")
    log = pod.folder / "php-errors.log"
    found = []
    for probe in (True, False):
        fpm = Fpm(pod, probe=probe, ini=ini, extensions=("pdo", "pdo_sqlite"))
        # PHP numbers nameless classes in the order in which it compiles them.
        answers = [re.sub(rb"(\.php:\d+\$)\d+", rb"\1n", call(fpm.socket, PAGE, f"m={mode}")) for mode in modes]
        found.append(
            (dict(zip(modes, answers, strict=True)), [line.partition("] ")[2] for line in log.read_text().splitlines()])
        )
        log.unlink()
        pod.stop(fpm.process)
    for mode in modes:
        assert found[0][0][mode] == found[1][0][mode], mode
    assert found[0][1] == found[1][1]


def test_a_client_that_leaves_is_an_abort_and_no_failure(pod: Pod, agent: Listener) -> None:
    fpm = Fpm(pod, ini=INI)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(fpm.socket))
        client.sendall(request(PAGE, "m=long"))
        client.recv(1000)
    agent.finished(2)
    assert agent.errors == {"abort client": 1}
    assert agent.file.totals.errors == 0


def test_memory_is_no_problem_when_its_limit_may_not_be_raised(pod: Pod, agent: Listener) -> None:
    fpm = Fpm(pod, ini=INI, extra="php_admin_value[memory_limit]=4M", opcache=False)
    call(fpm.socket, PAGE, "m=memory")
    agent.finished(2)
    assert agent.errors == {"fatal memory limit": 1}
    assert agent.samples[0]["line"] == line_of("$hoard[] =")
