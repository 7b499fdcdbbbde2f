"""Calls that our extension counts, without uopz and with it: PostgreSQL by its functions, HTTP by stream wrappers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rollcall_agent.wire import layout
from tests.unit.agent.pod import Pod, free_port
from tests.unit.probes.fastcgi import call
from tests.unit.probes.fpm import Fpm, Listener
from tests.unit.probes.test_php_calls import Count, counts, ports, rows

__all__ = ["ports"]

PAGE = Path(__file__).parent / "apps" / "natives.php"
INI = "uopz.exit=1\ndisplay_errors=On\nhtml_errors=Off\nallow_url_fopen=On\n"
CASES: dict[str, tuple[str | None, dict[str, Count]]] = {
    # mode: (server, dependencies)
    "http": (
        "http",
        {
            "http 127.0.0.1:{port}": (9, {"error": 3, "throttled": 1}),
            "http localhost:1": (1, {"refused": 1}),
        },
    ),
    "thrown": (None, {"http 127.0.0.1:1": (1, {"refused": 1})}),
    "pgsql": ("pgsql", {"postgresql orders": (6, {"timeout": 1}), "postgresql postgres": (4, {"error": 1})}),
    "pgsql-refused": (None, {"postgresql shop": (1, {"refused": 1})}),
}


@pytest.fixture
def agent(pod: Pod) -> Iterator[Listener]:
    with Listener(pod) as made:
        yield made


def fpm_of(pod: Pod, *, uopz: bool = False, probe: bool = True, opcache: bool = True) -> Fpm:
    return Fpm(pod, workers=1, probe=probe, opcache=opcache, ini=INI, extensions=(*(("uopz",) if uopz else ()), "pgsql"))


@pytest.mark.parametrize("uopz", [False, True])
@pytest.mark.parametrize("mode", CASES)
def test_each_call_is_counted_and_nothing_else_changes(
    pod: Pod, agent: Listener, ports: Callable[[str], int], mode: str, uopz: bool
) -> None:
    """Not the texts of warnings either, with the application's file and line in them."""
    server, expected = CASES[mode]
    port = ports(server) if server else free_port()
    answers = []
    for probe in (True, False):
        fpm = fpm_of(pod, uopz=uopz, probe=probe)
        answers.append(call(fpm.socket, PAGE, f"m={mode}&port={port}", timeout_s=20))
        agent.read()
        pod.stop(fpm.process)
    assert answers[0] == answers[1]
    assert mode == "thrown" or b"natives.php on line" in answers[0]
    agent.read()
    assert counts(agent) == {name.format(port=port): count for name, count in expected.items()}
    assert b"secret" not in bytes(agent.ledger.memory)


def test_what_a_request_waited(pod: Pod, agent: Listener, ports: Callable[[str], int]) -> None:
    fpm = fpm_of(pod)
    call(fpm.socket, PAGE, f"m=pgsql&port={ports('pgsql')}")
    agent.finished(2)
    (_, duration_us, waited_us) = rows(agent)["postgresql orders"]
    assert 100_000 < waited_us == duration_us
    point = layout.POINT.unpack_from(agent.ledger.memory, layout.OFF_POINTS + layout.POINT.size)
    assert waited_us <= point[2] <= point[1]
    assert agent.ledger.dependency_name(point[5]) == "postgresql orders"


def test_more_calls_than_there_is_room_for_are_counted_all(pod: Pod, agent: Listener) -> None:
    fpm = fpm_of(pod)
    with ThreadPoolExecutor(1) as pool:
        called = pool.submit(call, fpm.socket, PAGE, "m=many&n=9000", timeout_s=60)
        agent.until(called.done, "an answer")
    agent.finished(2)
    [(name, (count, duration_us, waited_us))] = rows(agent).items()
    assert (name, count) == ("http 127.0.0.1:1", (9000, {"refused": 9000}))
    assert duration_us >= waited_us > 0


def test_a_request_without_calls_tells_none_also_after_one_with_calls(pod: Pod, agent: Listener) -> None:
    fpm = fpm_of(pod, opcache=False)
    for mode in ("many", "none", "many"):
        call(fpm.socket, PAGE, f"m={mode}&n=2")
    agent.finished(4)
    assert counts(agent) == {"http 127.0.0.1:1": (4, {"refused": 4})}
    assert agent.file.totals.errors == 0


def test_the_hash_of_a_visitor_is_that_of_php(pod: Pod, agent: Listener) -> None:
    """By the extension, for texts of up to five blocks."""
    assert call(fpm_of(pod).socket, PAGE, "m=hashes").endswith(b'[[],"3","3",true]')
