"""PHP workers that die while they serve: what the extension leaves behind, and what the agent makes of it.

With a real extension of PHP's that is broken in several ways.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.agent.fake_operator import FakeOperator
from tests.unit.agent.pod import Pod, poll_until
from tests.unit.probes.client import get
from tests.unit.probes.fastcgi import call
from tests.unit.probes.fpm import PROBES, Fpm, Listener
from tests.unit.probes.test_php_apache import Apache
from tests.unit.probes.test_php_apache import pod as apache_pod  # noqa: F401 - a fixture

APPS = Path(__file__).parent / "apps"
SCRIPT = APPS / "breaking.php"
ENDPOINT = "GET /breaking.php"
WAYS = {
    "null_pointer": (11, 0, True),
    "in_the_c_library": (11, 0, False),
    "into_nowhere": (11, 0, False),
    "aborts": (6, None, False),
    "used_up": (11, None, True),
}
"""Signal, address, and whether the module itself (not its caller) is the broken extension."""
LIBRARY = next((PROBES / "php/native").glob("*/rollcall_crash.so"), None)
assert LIBRARY, "these tests need the extension: make native builds it"


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> str:
    library = str(tmp_path_factory.mktemp("broken") / "breaks.so")
    includes = subprocess.run(["php-config8.2", "--includes"], check=True, capture_output=True, text=True).stdout.split()
    command = ["cc", "-O0", "-w", "-shared", "-fPIC", *includes, str(APPS / "breaks_php.c"), "-o", library]
    subprocess.run(command, check=True)
    return library


@pytest.fixture
def agent(pod: Pod) -> Iterator[Listener]:
    with Listener(pod) as made:
        yield made


def loads(broken: str) -> str:
    return f"extension={broken}\n"


@pytest.mark.parametrize("way", WAYS)
def test_a_crash_in_an_extension_is_told_with_its_library(pod: Pod, agent: Listener, broken: str, way: str) -> None:
    fpm = Fpm(pod, scanned=loads(broken))
    workers = set(pod.children(fpm.process))
    assert call(fpm.socket, SCRIPT, f"way={way}") == b""
    agent.until(lambda: agent.source.deaths, "a death")
    [death] = agent.source.deaths
    assert death.crash is not None
    number, address, is_module = WAYS[way]
    assert (death.runtime, death.endpoint, death.unanswered, death.crash.signal) == ("php", ENDPOINT, 1, number)
    assert death.worker in workers
    assert (death.crash.module if is_module else death.crash.caller) == broken
    assert address is None or death.crash.address == address
    assert 0 < death.started_us <= death.crash.at_us
    assert list(pod.run.rglob("*.crash")) == []
    # The master has survived and begins another worker; the other requests are not concerned.
    assert all(call(fpm.socket, SCRIPT).endswith(b"fine") for _ in range(20))
    poll_until(lambda: len(set(pod.children(fpm.process)) - {death.worker}) == 2, "another worker")
    agent.finished(21)
    assert agent.file.totals.lost == 1
    assert agent.source.deaths == [death]


def test_the_former_action_proceeds(pod: Pod, agent: Listener, broken: str) -> None:
    """php-fpm's own log says the same as without us: which signal."""
    logs = []
    for probe in (True, False):
        fpm = Fpm(pod, probe=probe, scanned=loads(broken), workers=1)
        assert [call(fpm.socket, SCRIPT, f"way={way}") for way in WAYS] == [b""] * len(WAYS)
        fpm.get("ok")  # by the worker after the last
        pod.stop(fpm.process)
        log = pod.folder / "fpm-error.log"
        logs.append([line.partition("exited on signal ")[2].partition(" after")[0] for line in log.read_text().splitlines()])
        log.unlink()
    assert logs[0] == logs[1]
    assert [line for line in logs[0] if line] == ["11 (SIGSEGV)"] * 3 + ["6 (SIGABRT)", "11 (SIGSEGV)"]


def test_a_worker_that_is_killed_is_told_without_a_signal(pod: Pod, agent: Listener) -> None:
    fpm = Fpm(pod, workers=1)
    hanging = threading.Thread(target=fpm.get, args=("hang&us=20000000",))
    hanging.start()
    agent.until(lambda: agent.steps(), "a request in flight")
    [worker] = pod.children(fpm.process)
    os.kill(worker, signal.SIGKILL)
    hanging.join()
    agent.until(lambda: agent.source.deaths, "a death")
    [death] = agent.source.deaths
    assert (death.worker, death.crash, death.endpoint, death.unanswered) == (worker, None, "GET /page.php", 1)


def test_workers_that_end_idle_or_begin_a_new_stream_are_no_deaths(pod: Pod, agent: Listener) -> None:
    fpm = Fpm(pod, workers=1, extra="pm.max_requests=3")
    for _ in range(300):  # nobody reads: the stream overflows, more than once
        fpm.get("ok")
    pod.stop(fpm.process)
    agent.until(lambda: agent.source.workers == 0, "all streams have ended")
    for _ in range(50):
        agent.read()
    poll_until(lambda: (agent.read(), not agent.source._vanished)[1], "what is in doubt is decided")
    assert agent.source.deaths == []


def test_apache(apache_pod: Pod, broken: str) -> None:  # noqa: F811
    """Its own handler of fatal signals, which comes over ours when its workers begin, still has its say."""
    with Listener(apache_pod) as agent:
        (apache_pod.run / "php.sock").chmod(0o666)
        folder = apache_pod.run / "workers"
        apache_pod.run.chmod(0o1777)
        copy = apache_pod.folder / "breaks.so"
        copy.write_bytes(Path(broken).read_bytes())
        copy.chmod(0o644)
        apache = Apache(apache_pod, scanned=loads(str(copy)))
        assert not folder.exists()
        assert get(apache.port, "/breaking.php?way=null_pointer") == (0, b"")
        agent.until(lambda: agent.source.deaths, "a death")
        [death] = agent.source.deaths
        assert death.crash is not None
        assert (death.crash.signal, death.crash.module, death.endpoint) == (11, str(copy), ENDPOINT)
        assert get(apache.port, "/breaking.php")[1] == b"fine"
        log = apache_pod.folder / "apache-error.log"
        poll_until(lambda: "exit signal Segmentation fault (11)" in log.read_text(), "Apache says so")


def test_it_adds_nothing_to_php(broken: str) -> None:
    """No function, class, setting, output or warning, as a module of the command line too; and it is no reason to crash."""
    code = "echo json_encode([get_defined_functions()['internal'], get_declared_classes(), ini_get_all()]);"
    command = ["php", "-n", "-d", "display_startup_errors=1", "-d", "error_reporting=-1"]
    with_it, without = (
        subprocess.run([*command, *more, "-r", code], capture_output=True, check=True)
        for more in (["-d", f"extension={LIBRARY}"], [])
    )
    assert (with_it.stdout, with_it.stderr) == (without.stdout, b"")
    loaded = subprocess.run([*command, "-d", f"extension={LIBRARY}", "-m"], capture_output=True, check=True, text=True).stdout
    assert "rollcall_crash" in loaded.splitlines()


def test_without_a_folder_to_write_to_a_crash_is_as_it_was(pod: Pod, broken: str) -> None:
    command = ["php", "-n", "-d", f"extension={LIBRARY}", "-d", f"extension={broken}", "-r", "breaks('null_pointer');"]
    ended = subprocess.run(command, env={"ROLLCALL_RUN": "/no/such/folder"}, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (-signal.SIGSEGV, b"", b"")


def test_a_handler_that_passes_the_signal_on_to_ours_does_not_go_round_for_ever(tmp_path: Path) -> None:
    program = str(tmp_path / "chained")
    header = PROBES / "native"
    subprocess.run(["cc", f"-I{header}", "-w", str(APPS / "chained.c"), "-o", program], check=True)
    ended = subprocess.run([program], capture_output=True, check=False, timeout=10)
    assert (ended.returncode, ended.stdout) == (-signal.SIGSEGV, b"kept passed ")


def test_it_needs_no_c_library_and_no_certain_php() -> None:
    """What it takes from the process are a few names, all of them optional."""
    output = subprocess.run(["nm", "-D", str(LIBRARY)], capture_output=True, check=True, text=True).stdout
    assert sorted(line.split()[-2:] for line in output.splitlines()) == [
        ["T", "get_module"],
        ["w", "environ"],
        ["w", "module_registry"],
        ["w", "sapi_module"],
        ["w", "zend_error_cb"],
        ["w", "zend_fetch_function_str"],
        ["w", "zend_get_executed_filename"],
        ["w", "zend_get_executed_lineno"],
        ["w", "zend_hash_str_find"],
        ["w", "zend_throw_exception_hook"],
    ]
    needed = subprocess.run(["readelf", "-d", str(LIBRARY)], capture_output=True, check=True, text=True).stdout
    assert "NEEDED" not in needed


@pytest.mark.parametrize("way", ["null_pointer", "killed"])
def test_the_operator_hears_of_it_within_two_seconds(pod: Pod, operator: FakeOperator, broken: str, way: str) -> None:
    """From a real php-fpm through the real agent."""
    pod.start_agent()
    poll_until((pod.run / "php.sock").exists, "the agent listens")
    fpm = Fpm(pod, scanned=loads(broken), workers=2)
    operator.wait_for_report(finished=1)
    if way == "killed":
        hanging = threading.Thread(target=fpm.get, args=("hang&us=20000000",))
        hanging.start()
        operator.wait_for(lambda: operator.last["in_flight"] == 1, "a request in flight")
        for worker in pod.children(fpm.process):
            os.kill(worker, signal.SIGKILL)
        hanging.join()
        expected, endpoint = 0, "GET /page.php"
    else:
        assert call(fpm.socket, SCRIPT, f"way={way}") == b""
        expected, endpoint = 11, ENDPOINT
    operator.wait_for(lambda: operator.facts.unanswered == {(endpoint, expected): 1}, "one request unanswered", 2.0)
    [event] = [event for event in operator.events if event["type"] == "death"]
    assert (event["runtime"], event["signal"] or 0, event["endpoint"], event["unanswered"]) == ("php", expected, endpoint, 1)
    assert event["module"] == (broken if expected else None)
    assert operator.facts.deaths == ({11: 1} if expected else {})
