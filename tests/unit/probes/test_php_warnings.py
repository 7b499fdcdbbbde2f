"""Every warning of PHP's, counted by its type by the extension, compared with what PHP itself has logged."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollcall_agent.wire import layout
from tests.unit.agent.fake_operator import FakeOperator
from tests.unit.agent.pod import Pod, poll_until
from tests.unit.probes.fastcgi import call
from tests.unit.probes.fpm import Fpm, Listener

PAGE = Path(__file__).parent / "apps" / "warnings.php"
EACH = {"E_WARNING": 2, "E_USER_WARNING": 2, "E_USER_NOTICE": 1, "E_USER_DEPRECATED": 1, "E_DEPRECATED": 2}
"""What a round of the script's raises that PHP reports; a request raises one E_USER_NOTICE more, after the script."""
LABELS = {
    "E_WARNING": "Warning",
    "E_USER_WARNING": "Warning",
    "E_USER_NOTICE": "Notice",
    "E_USER_DEPRECATED": "Deprecated",
    "E_DEPRECATED": "Deprecated",
}
"""As PHP's log has them."""


@pytest.fixture
def agent(pod: Pod) -> Iterator[Listener]:
    with Listener(pod) as made:
        yield made


def ini(pod: Pod) -> str:
    return f"display_errors=On\nhtml_errors=Off\nerror_reporting=-1\nlog_errors=On\nerror_log={pod.folder}/php-errors.log\n"


def logged(pod: Pod) -> Counter[str]:
    text = (pod.folder / "php-errors.log").read_text()
    return Counter(re.findall(r"^\[[^\]]+\] PHP (\w+):", text, re.MULTILINE))


def expected(requests: int, rounds: int) -> dict[str, int]:
    counts = {name: count * rounds for name, count in EACH.items()}
    counts["E_USER_NOTICE"] += requests
    return {f"warning {name}": count for name, count in counts.items()}


@pytest.mark.parametrize("opcache", [True, False])
def test_each_warning_is_counted_also_by_workers_that_are_replaced(pod: Pod, agent: Listener, opcache: bool) -> None:
    fpm = Fpm(pod, ini=ini(pod), workers=2, extra="pm.max_requests=3", opcache=opcache)
    requests = 25
    for number in range(requests):
        call(fpm.socket, PAGE, f"n={1 + number % 4}")
    agent.finished(1 + requests)
    rounds = sum(1 + number % 4 for number in range(requests))
    agent.until(lambda: sum(agent.errors.values()) >= sum(expected(requests, rounds).values()), "all warnings")
    assert agent.errors == expected(requests, rounds)
    labels: Counter[str] = Counter()
    for name, count in agent.errors.items():
        labels[LABELS[name.removeprefix("warning ")]] += count
    assert labels == logged(pod)
    assert agent.file.totals.errors == 0


def test_the_last_one_is_a_sample_and_is_not_counted_again(pod: Pod, agent: Listener) -> None:
    fpm = Fpm(pod, ini=ini(pod), workers=1)
    call(fpm.socket, Path(__file__).parent / "apps" / "faults.php", "m=warning")
    agent.until(lambda: agent.errors and agent.samples, "a warning")
    agent.finished(2)
    assert agent.errors == {"warning E_WARNING": 1}
    [sample] = agent.samples
    assert (sample["error"], sample["endpoint"], sample["file"]) == ("warning E_WARNING", "GET /faults.php", "faults.php")
    assert "undefined" in sample["message"]


def test_what_the_application_shows_logs_and_hears_is_the_same(pod: Pod, agent: Listener) -> None:
    found = []
    for probe in (True, False):
        fpm = Fpm(pod, probe=probe, ini=ini(pod), workers=1)
        answer = re.sub(rb"Old[0-9a-f]+", b"Old", call(fpm.socket, PAGE, "n=3"))
        log = pod.folder / "php-errors.log"
        lines = [re.sub(r"Old[0-9a-f]+", "Old", line.partition("] ")[2]) for line in log.read_text().splitlines()]
        found.append((answer, lines))
        log.unlink()
        pod.stop(fpm.process)
    assert found[0] == found[1]
    assert b"RuntimeException2" in found[0][0]


def test_where_the_probe_cannot_ask_whether_they_are_counted_the_extension_is_taken_to_do_it(pod: Pod, agent: Listener) -> None:
    fpm = Fpm(pod, ini=ini(pod), workers=1, extra="php_admin_value[disable_functions]=phpversion")
    call(fpm.socket, Path(__file__).parent / "apps" / "faults.php", "m=deprecated")
    agent.finished(2)
    assert agent.errors == {"warning E_USER_DEPRECATED": 1}


def test_a_file_that_is_none_of_ours_is_made_anew(pod: Pod) -> None:
    path = pod.run / layout.WARNINGS_FILE
    path.symlink_to(pod.folder / "elsewhere")
    with Listener(pod) as agent:
        agent.read()
    assert path.read_bytes()[:8] == b"ROLLWARN"
    assert not path.is_symlink()
    assert not (pod.folder / "elsewhere").exists()


def test_the_operator_has_them_all_although_agent_and_workers_are_replaced_meanwhile(pod: Pod, operator: FakeOperator) -> None:
    """The real agent: its process is killed, then the whole agent, as when its container is started again."""
    first = pod.start_agent()
    poll_until((pod.run / "php.sock").exists, "the agent listens")
    fpm = Fpm(pod, ini=ini(pod), workers=2, extra="pm.max_requests=5")

    def warned(requests: int) -> None:
        for _ in range(10):
            call(fpm.socket, PAGE, "n=2")
        wanted = expected(requests, 2 * requests)
        operator.wait_for(lambda: operator.facts.errors == wanted, "each warning once", 20.0)

    warned(10)
    [worker] = pod.children(first)
    os.kill(worker, signal.SIGKILL)
    warned(20)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    pod.start_agent()
    warned(30)
