"""What a PHP request in flight is at, with the extensions uopz and excimer as Debian has them, with ours, and without."""

from __future__ import annotations

import fcntl
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.agent.pod import Pod
from tests.unit.probes.fastcgi import call
from tests.unit.probes.fpm import Fpm, Listener

PAGE = Path(__file__).parent / "apps" / "waits.php"
SOURCE = PAGE.read_text().splitlines()
WITH_WHAT_WAITS = ("pdo", "pdo_sqlite", "curl", "mysqlnd", "mysqli", "pdo_mysql", "igbinary", "redis")
UOPZ = {"extensions": ("uopz", *WITH_WHAT_WAITS), "ini": "uopz.exit=1\ndisplay_errors=On\nhtml_errors=Off\n"}
BARE = {"extensions": WITH_WHAT_WAITS, "ini": "display_errors=On\nhtml_errors=Off\n"}


def line_of(text: str) -> int:
    [number] = [number for number, line in enumerate(SOURCE, 1) if text in line]
    return number


@pytest.fixture
def agent(pod: Pod) -> Iterator[Listener]:
    with Listener(pod) as made:
        yield made


@pytest.fixture
def silent_url() -> Iterator[str]:
    """A server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"


class Request:
    """One request that takes its time."""

    def __init__(self, fpm: Fpm, query: str) -> None:
        self.answer = b""
        self._fpm, self._query = fpm, query
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self.answer = call(self._fpm.socket, PAGE, self._query)

    def end(self) -> bytes:
        self._thread.join()
        return self.answer


def step(agent: Listener, text: str) -> dict[str, Any]:
    """The request in flight, once it is at a step that begins with `text`."""

    def at_it() -> dict[str, Any] | None:
        found = agent.steps()
        return found[0] if found and found[0]["step"].startswith(text) else None

    found: dict[str, Any] = agent.until(at_it, f"a request at {text!r}")
    return found


def places(url: str, lock: Path) -> dict[str, str]:
    """The step of each kind of request."""
    return {
        "m=sleep": f"sleep sleep from nap (waits.php:{line_of('    sleep(2);')})",
        "m=usleep": f"sleep usleep from {{main}} (waits.php:{line_of('usleep(1500000)')})",
        "m=db": f"db PDO::query from Store->slow (waits.php:{line_of('query($text)->')})",
        f"m=http&url={url}": f"http curl_exec from fetch (waits.php:{line_of('var_dump(curl_exec($handle)')})",
        f"m=url&url={url}": f"http file_get_contents from {{main}} (waits.php:{line_of('@file_get_contents')})",
        f"m=lock&file={lock}": f"lock flock from {{main}} (waits.php:{line_of('flock($file, LOCK_EX);')})",
    }


EXTENSIONS = {
    # name: (options of php-fpm, whether our own is there, kinds of request that tell no step)
    "uopz": (UOPZ, False, ()),
    "ours": (BARE, True, ("m=db", "m=http")),
    "both": (UOPZ, True, ()),
}


@pytest.mark.parametrize("name", EXTENSIONS)
def test_calls_that_wait_are_told_with_their_place_in_the_code(pod: Pod, agent: Listener, silent_url: str, name: str) -> None:
    options, native, untold = EXTENSIONS[name]
    fpm = Fpm(pod, workers=1, native=native, **options)
    agent.finished(1)
    lock = pod.folder / "lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        expected = {key: text for key, text in places(silent_url, lock).items() if not key.startswith(untold or "-")}
        for number, (query, text) in enumerate(expected.items(), 2):
            request = Request(fpm, query)
            found = step(agent, text)
            assert found["step"] == text
            assert found["step_ms"] <= found["elapsed_ms"]
            fcntl.flock(file, fcntl.LOCK_UN if "lock" in query else fcntl.LOCK_EX)
            request.end()
            agent.finished(number)
    assert agent.errors == {}


@pytest.mark.parametrize("name", EXTENSIONS)
def test_a_step_that_is_over_is_not_told_any_more(pod: Pod, agent: Listener, name: str) -> None:
    options, native, _ = EXTENSIONS[name]
    fpm = Fpm(pod, workers=1, native=native, **options)
    agent.finished(1)
    request = Request(fpm, "m=after")
    step(agent, "sleep sleep from nap")
    agent.until(lambda: [found["step"] for found in agent.steps()] == [""], "the sleep is over")
    request.end()


def test_a_worker_whose_stream_is_made_anew_goes_on_telling(pod: Pod, agent: Listener) -> None:
    """The agent's process may end the stream at any time; the next request has another one."""
    fpm = Fpm(pod, workers=1, **BARE)
    fpm.get("ok")
    agent.finished(2)
    for _, connection in list(agent.source._sockets.values()):
        connection.shutdown(socket.SHUT_RDWR)
    fpm.get("ok")
    agent.until(lambda: agent.file.totals.finished == 3, "a request on another stream")
    request = Request(fpm, "m=sleep")
    step(agent, "sleep sleep from nap")
    request.end()


def test_a_great_many_calls_do_not_overflow_the_stream(pod: Pod, agent: Listener) -> None:
    """The agent reads ten times a second."""
    fpm = Fpm(pod, workers=1, **UOPZ)
    agent.finished(1)
    slowest = 1.0
    for number in range(
        2, 12
    ):  # until this process got its turn as often as the agent does on a machine that is not overloaded
        request = Request(fpm, "m=many")
        lost, slowest, read_at = agent.file.totals.lost, 0.0, time.monotonic()
        while not request.answer:
            agent.read()
            time.sleep(0.1)
            slowest, read_at = max(slowest, time.monotonic() - read_at), time.monotonic()
        assert b"many" in request.end()
        agent.finished(number)
        if slowest < 0.15:
            break
    assert slowest >= 0.15 or agent.file.totals.lost == lost


@pytest.mark.parametrize("mode", ["throws", "warns", "exit"])
def test_uopz_or_not_with_the_probe_the_answer_is_the_same(pod: Pod, agent: Listener, mode: str) -> None:
    answers = []
    for options in (UOPZ, BARE):
        for probe in (True, False):
            fpm = Fpm(pod, workers=1, probe=probe, **options)
            answers.append(call(fpm.socket, PAGE, f"m={mode}").decode())
            pod.stop(fpm.process)
    assert answers[0] == answers[1]
    assert answers[2] == answers[3]
    assert len(answers[0]) > 60


def test_a_call_that_is_told_costs_little(pod: Pod, agent: Listener) -> None:
    """Two messages to an agent and a look at the stack; the bound is 10 µs, on a machine that is at rest."""
    costs = []
    for options in (UOPZ, BARE):
        fpm = Fpm(pod, workers=1, **options)
        agent.read()
        costs.append(int(call(fpm.socket, PAGE, "m=cost").rpartition(b"\n")[2]) / 1000)
        pod.stop(fpm.process)
    assert costs[0] - costs[1] < 30, costs


def test_with_excimer_code_tells_where_it_is(pod: Pod, agent: Listener) -> None:
    fpm = Fpm(pod, workers=1, extensions=("excimer", *WITH_WHAT_WAITS))
    request = Request(fpm, "m=spin&s=2.5")
    found = step(agent, "code spin (waits.php:")
    assert found["elapsed_ms"] >= 900
    request.end()
    agent.finished(2)
    assert call(fpm.socket, PAGE, "m=exit").endswith(b"bye")


def test_without_an_extension_nothing_is_claimed(pod: Pod, agent: Listener) -> None:
    fpm = Fpm(pod, workers=1, native=False, **BARE)
    request = Request(fpm, "m=usleep")
    [found] = agent.until(lambda: agent.steps(older_than_ms=400), "a request that takes long")
    assert (found["endpoint"], found["step"], found["step_ms"]) == ("GET /waits.php", "", None)
    assert [found["worker"]] == pod.children(fpm.process)
    request.end()
