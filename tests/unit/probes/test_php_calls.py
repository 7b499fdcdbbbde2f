"""Calls of dependencies from a real php-fpm with uopz, to the real servers: exact against what the script did."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from rollcall_agent.wire import facts, layout
from tests.unit.agent.pod import Pod, free_port, poll_until
from tests.unit.probes import backends
from tests.unit.probes.fastcgi import call
from tests.unit.probes.fpm import PROBES, Fpm, Listener

PAGE = Path(__file__).parent / "apps" / "calls.php"
CLIENTS = (
    *("pdo", "pdo_sqlite", "curl", "mysqlnd", "mysqli", "pdo_mysql", "pgsql", "pdo_pgsql"),
    *("igbinary", "redis", "msgpack", "memcached"),
)
UOPZ = {"extensions": ("uopz", *CLIENTS), "ini": "uopz.exit=1\ndisplay_errors=On\nhtml_errors=Off\n"}
BARE = {"extensions": CLIENTS, "ini": "display_errors=On\nhtml_errors=Off\n"}
Count = tuple[int, dict[str, int]]
"""Calls of a dependency, and how many of them failed for what."""


@contextmanager
def memcached() -> Iterator[int]:
    """The port of a memcached."""
    port = free_port()
    process = subprocess.Popen(["memcached", "-l", "127.0.0.1", "-p", str(port), "-u", "nobody", "-U", "0"])
    try:
        poll_until(lambda: backends._accepts(port), "memcached answers")
        yield port
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def agent(pod: Pod) -> Iterator[Listener]:
    with Listener(pod) as made:
        yield made


SERVERS: dict[str, Callable[[], AbstractContextManager[int]]] = {
    "mysql": backends.mariadb,
    "pgsql": backends.postgresql,
    "redis": backends.redis,
    "memcached": memcached,
    "http": backends.http,
}


@pytest.fixture(scope="module")
def ports() -> Iterator[Callable[[str], int]]:
    """Each server is started when a test first asks for it."""
    started: dict[str, tuple[AbstractContextManager[int], int]] = {}

    def port(name: str) -> int:
        if name not in started:
            context = SERVERS[name]()
            started[name] = (context, context.__enter__())
        return started[name][1]

    yield port
    for context, _ in started.values():
        context.__exit__(None, None, None)


def rows(agent: Listener) -> dict[str, tuple[Count, int, int]]:
    """By dependency: calls and failures, duration and waited in µs."""
    memory = agent.ledger.memory
    _, _, used = layout.CALL_COUNTERS.unpack_from(memory, layout.OFF_CALLS_WRITTEN)
    found = {}
    for index in range(1, used):
        count, *failed, duration, waited, length, name = layout.DEPENDENCY.unpack_from(
            memory, layout.OFF_DEPENDENCIES + index * layout.DEPENDENCY.size
        )
        reasons = {reason: value for reason, value in zip(facts.REASONS, failed, strict=True) if value}
        found[name[:length].decode()] = ((count, reasons), duration, waited)
    return {name: row for name, row in found.items() if row[0][0]}


def counts(agent: Listener) -> dict[str, Count]:
    return {name: row[0] for name, row in rows(agent).items()}


CASES = {
    # mode: (server, answer, dependencies)
    "sqlite": (
        None,
        b'["2","PDOException"]',
        {"sqlite feed.db": (4, {"error": 1}), "sqlite :memory:": (3, {})},
    ),
    "mysql": ("mysql", b'[3,"PDOException"]', {"mysql shop": (5, {"timeout": 1})}),
    "mysqli": ("mysql", b'[["1"],false,1064]', {"mysql shop": (4, {"error": 1}), "mysql information_schema": (4, {})}),
    "pgsql": ("pgsql", b'[2,"PDOException"]', {"postgresql orders": (5, {"timeout": 1})}),
    "redis": ("redis", b'["value1",false,["value0",false],false]', {"redis 127.0.0.1:{port}": (7, {})}),
    "memcached": ("memcached", b"[1,false,16]", {"memcached 127.0.0.1:{port}": (5, {})}),
    "http": (
        "http",
        b'["ok","ok","ok","ok","ok","ok",false,false]',
        {
            "http 127.0.0.1:{port}": (7, {"error": 2, "throttled": 2, "timeout": 1}),
            "http 127.0.0.1:1": (1, {"refused": 1}),
        },
    ),
}


@pytest.mark.parametrize("mode", CASES)
def test_each_call_is_counted_by_its_dependency(pod: Pod, agent: Listener, ports: Callable[[str], int], mode: str) -> None:
    server, answer, expected = CASES[mode]
    port = ports(server) if server else 0
    answers = []
    for options in (UOPZ, BARE):
        fpm = Fpm(pod, workers=1, **options)
        answers.append(call(fpm.socket, PAGE, f"m={mode}&port={port}&folder={pod.folder}", timeout_s=20))
        agent.read()
        pod.stop(fpm.process)
    assert answers[0] == answers[1]
    assert answers[0].endswith(b"\r\n\r\n" + answer)
    agent.read()
    assert counts(agent) == {name.format(port=port): count for name, count in expected.items()}
    assert b"secret" not in bytes(agent.ledger.memory)
    assert agent.errors == {}


def test_what_a_request_waited_and_its_point(pod: Pod, agent: Listener, ports: Callable[[str], int]) -> None:
    fpm = Fpm(pod, workers=1, **UOPZ)
    call(fpm.socket, PAGE, f"m=mysql&port={ports('mysql')}")
    agent.finished(2)
    [(name, (_, duration_us, waited_us))] = rows(agent).items()
    assert 250_000 < waited_us == duration_us
    written = layout.CALL_COUNTERS.unpack_from(agent.ledger.memory, layout.OFF_CALLS_WRITTEN)[1]
    assert written == 2
    ended, elapsed, waited, cpu, endpoint, dependency, error, outcome, *_ = layout.POINT.unpack_from(
        agent.ledger.memory, layout.OFF_POINTS + layout.POINT.size
    )
    assert (waited, error, outcome) == (waited_us, 0, 2)
    assert elapsed > waited
    assert cpu == layout.CPU_UNKNOWN or cpu < elapsed - 250_000
    assert (agent.ledger.dependency_name(dependency), agent.ledger.endpoint_name(endpoint)) == (name, "GET /calls.php")
    assert ended > elapsed


def test_transfers_side_by_side_wait_no_longer_than_their_request(
    pod: Pod, agent: Listener, ports: Callable[[str], int]
) -> None:
    port = ports("http")
    fpm = Fpm(pod, workers=1, **UOPZ)
    ended = json.loads(call(fpm.socket, PAGE, f"m=multi&n=5&port={port}").rpartition(b"\r\n")[2])
    agent.finished(2)
    assert [(message, result, content) for message, result, _, content in ended] == [(1, 0, "ok")] * 5
    assert ended[-1][2] == 0, "the argument by reference is set"
    [(name, (count, duration_us, waited_us))] = rows(agent).items()
    assert (name, count) == (f"http 127.0.0.1:{port}", (5, {}))
    assert duration_us >= 5 * 300_000
    assert waited_us <= agent.file.totals.duration_us < 5 * 300_000


REFUSED = {
    # mode: (dependency, error)
    "mysqli-refused": ("mysql shop", {}),
    "pdo-refused": ("mysql shop", {"exception PDOException": 1}),
    "redis-refused": ("redis 127.0.0.1:{port}", {"exception RedisException": 1}),
}


@pytest.mark.parametrize("mode", REFUSED)
def test_a_connection_that_fails_is_a_failed_call(pod: Pod, agent: Listener, mode: str) -> None:
    port = free_port()
    name, errors = REFUSED[mode]
    answers = []
    for options in (UOPZ, BARE):
        fpm = Fpm(pod, workers=1, **options)
        answers.append(call(fpm.socket, PAGE, f"m={mode}&port={port}"))
        if options is UOPZ:
            agent.finished(2)
            assert agent.errors == errors
        pod.stop(fpm.process)
    assert answers[0] == answers[1]
    assert counts(agent) == {name.format(port=port): (1, {"refused": 1})}


def test_a_great_many_calls_are_counted_before_their_request_ends(pod: Pod, agent: Listener) -> None:
    fpm = Fpm(pod, workers=1, **UOPZ)
    with ThreadPoolExecutor(1) as pool:  # on a busy machine they are told for longer than the stream has room unread
        called = pool.submit(call, fpm.socket, PAGE, f"m=sqlite&n=2000&folder={pod.folder}")
        agent.until(called.done, "an answer")
    agent.finished(2)
    assert counts(agent) == {"sqlite feed.db": (2001, {"error": 1}), "sqlite :memory:": (2000, {})}


def test_what_is_called_wrongly_fails_as_without_us(pod: Pod, agent: Listener) -> None:
    answers = []
    for probe in (True, False):
        fpm = Fpm(pod, workers=1, probe=probe, **UOPZ)
        answers.append(call(fpm.socket, PAGE, "m=wrong").decode())
        pod.stop(fpm.process)
    assert answers[0] == answers[1]


def test_without_uopz_nothing_is_claimed(pod: Pod, agent: Listener) -> None:
    fpm = Fpm(pod, workers=1, **BARE)
    call(fpm.socket, PAGE, f"m=sqlite&folder={pod.folder}")
    agent.finished(2)
    assert counts(agent) == {}


PLACES = {
    # file: methods that fail
    "steps.php": ("from",),
    "hooks.php": ("open", "openObject", "finish"),
    "calls.php": ("unknown", "transfer", "ofUrl", "add", "index", "take"),
}


@pytest.fixture(scope="module", params=[(file, method) for file, methods in PLACES.items() for method in methods], ids="-".join)
def broken_probe(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the probe of which one method raises."""
    file, method = request.param
    probes = tmp_path_factory.mktemp("probes")
    shutil.copytree(PROBES / "php", probes / "php")
    path = probes / "php" / file
    text, replaced = re.subn(rf"(static function {method}\([^{{]*\{{)", r"\1 throw new \\Error('chaos');", path.read_text())
    assert replaced == 1
    path.write_text(text)
    return probes


def test_a_hook_that_fails_changes_nothing(pod: Pod, agent: Listener, ports: Callable[[str], int], broken_probe: Path) -> None:
    """Of any client: the answers are the same, and the requests are counted."""
    fpm = Fpm(pod, workers=1, probes=broken_probe, **UOPZ)
    for number, (mode, (server, answer, _)) in enumerate(CASES.items(), 2):
        query = f"m={mode}&port={ports(server) if server else 0}&folder={pod.folder}"
        assert call(fpm.socket, PAGE, query, timeout_s=20).endswith(b"\r\n\r\n" + answer), mode
        agent.finished(number)
    assert agent.errors == {}
