"""A real php-fpm with opcache, clear_env and the real probe: every request ends in the report, whatever the script does."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rollcall_agent.sources.worker_file import WorkerFile
from tests.unit.agent.fake_operator import FakeOperator
from tests.unit.agent.pod import Pod, poll_until
from tests.unit.probes.fpm import Fpm

MODES = {
    # mode: (in the answer, is an error, status class)
    "ok": (b"fine", 0, 2),
    "clean": (b"[[],null,[],0]", 0, 2),
    "exit": (b"bye", 0, 2),
    "fatal": (b"Status: 500", 1, 5),
    "memory": (b"Status: 500", 1, 5),
    "early": (b"early", 0, 2),
    "missing": (b"missing", 0, 4),
    "exit-in-shutdown": (b"ended twice", 0, 2),
    "late": (b"late", 1, 5),
    "handler": (b"handled", 0, 2),
}


def test_whatever_a_script_does_its_end_is_seen_and_nothing_of_the_probe(pod: Pod, operator: FakeOperator) -> None:
    pod.start_agent()
    poll_until((pod.run / "php.sock").exists, "the agent listens")
    fpm = Fpm(pod, ini="display_errors=Off\nopcache.enable=1\n")
    expected = {2: 1, 4: 0, 5: 0}  # one by the start-up check
    for mode, (text, _, status_class) in MODES.items():
        assert text in fpm.get(mode), mode
        expected[status_class] += 1
    total = len(MODES) + 1
    seen = operator.wait_for_report(finished=total)
    assert seen["started"] == total
    assert seen["errors"] == sum(error for _, error, _ in MODES.values())
    assert seen["responses"] == (0, expected[2], 0, expected[4], expected[5])
    assert seen["lost"] == 0
    assert seen["workers"] == 2
    [path] = pod.run.rglob("php-*.worker")
    file = WorkerFile(str(path))
    assert dict(file.endpoints())["GET /page.php"][0] == total
    file.close()


def test_answers_are_the_same_without_an_agent(pod: Pod) -> None:
    """No socket to connect to: the probe gives up silently."""
    fpm = Fpm(pod, ini="display_errors=On\nhtml_errors=Off\n")
    with_probe = {mode: fpm.get(mode) for mode in MODES}
    pod.stop(fpm.process)
    bare = Fpm(pod, probe=False, ini="display_errors=On\nhtml_errors=Off\n")
    assert with_probe == {mode: bare.get(mode) for mode in MODES}


def end_streams(listener: socket.socket) -> None:
    """All that have come so far."""
    with contextlib.suppress(TimeoutError):
        while True:
            listener.accept()[0].close()


def test_a_stream_that_is_full_or_has_ended_is_no_warning_of_the_application(pod: Pod) -> None:
    """An error handler that prints would show it, and so would the page."""
    fpm = Fpm(pod, workers=1, ini="display_errors=On\nhtml_errors=Off\nerror_reporting=-1\n")
    expected = fpm.get("handler"), fpm.get("clean")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(pod.run / "php.sock"))
        listener.listen(64)
        for _ in range(400):  # nobody reads
            assert (fpm.get("handler"), fpm.get("clean")) == expected
        listener.settimeout(0.2)
        with ThreadPoolExecutor(1) as pool:
            hanging = pool.submit(fpm.get, "hang&us=1500000")
            end_streams(listener)
            assert not hanging.done(), "all streams have ended within the request"
            assert hanging.result().endswith(b"\r\n\r\nwoke up")


def test_the_agents_worker_may_die_at_any_time(pod: Pod, operator: FakeOperator) -> None:
    agent = pod.start_agent()
    poll_until((pod.run / "php.sock").exists, "the agent listens")
    fpm = Fpm(pod)
    hanging = threading.Thread(target=fpm.get, args=("hang&us=2500000",))
    hanging.start()
    operator.wait_for_report(in_flight=1)
    with ThreadPoolExecutor(1) as pool:
        burst = pool.submit(lambda: [(fpm.get("ok"), time.sleep(0.004))[0] for _ in range(400)])  # see "room" in docs/wire.md
        for _ in range(2):
            [worker] = poll_until(lambda: pod.children(agent), "a worker process")
            hellos = len(operator.hellos)
            os.kill(worker, signal.SIGKILL)
            operator.wait_for(lambda hellos=hellos: len(operator.hellos) > hellos, "the next worker connects")
        assert all(b"fine" in answer for answer in burst.result())
    hanging.join()
    seen = operator.wait_for_report(finished=402)
    assert (seen["started"], seen["lost"], seen["in_flight"]) == (402, 0, 0)
    assert len({hello["epoch"] for hello in operator.hellos}) == 1


def test_a_killed_fpm_worker_leaves_its_request_as_lost(pod: Pod, operator: FakeOperator) -> None:
    operator.welcome = {**operator.welcome, "bands_ms": [50, 100, 60_000]}
    pod.start_agent()
    poll_until((pod.run / "php.sock").exists, "the agent listens")
    fpm = Fpm(pod)
    threads = [threading.Thread(target=fpm.get, args=("hang&us=20000000",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    operator.wait_for_report(in_flight=2, bands=(0, 0, 2, 0))
    os.kill(pod.children(fpm.process)[0], signal.SIGKILL)
    seen = operator.wait_for_report(lost=1, in_flight=1)
    assert (seen["started"], seen["finished"]) == (3, 1)
    for worker in pod.children(fpm.process):
        os.kill(worker, signal.SIGKILL)
    for thread in threads:
        thread.join()
    operator.wait_for_report(lost=2, in_flight=0)


def test_recycled_fpm_workers_keep_the_totals_exact(pod: Pod, operator: FakeOperator) -> None:
    pod.start_agent()
    poll_until((pod.run / "php.sock").exists, "the agent listens")
    fpm = Fpm(pod, extra="pm.max_requests=10")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(fpm.get, ["ok"] * 200))
    assert all(b"fine" in answer for answer in answers)
    seen = operator.wait_for_report(finished=201)
    assert (seen["started"], seen["lost"], seen["errors"]) == (201, 0, 0)


@pytest.mark.parametrize("where", ["php.ini", "a scanned file"])
def test_a_prepended_file_still_runs(pod: Pod, operator: FakeOperator, tmp_path: Path, where: str) -> None:
    pod.start_agent()
    poll_until((pod.run / "php.sock").exists, "the agent listens")
    own = tmp_path / "its own.php"
    own.write_text("<?php header('X-Own: yes'); $own = 1;")
    setting = f'auto_prepend_file = "{own}"\n'
    fpm = Fpm(pod, ini=setting) if where == "php.ini" else Fpm(pod, scanned=setting)
    answer = fpm.get("clean")
    assert b"X-Own: yes" in answer
    assert b'[{"own":1},null,[],0]' in answer
    operator.wait_for_report(finished=2)
