"""Background processes are found by pid and start time, and end for good."""

import json
import sys
from pathlib import Path

import pytest

from tests.harness.local import processes


@pytest.fixture
def sleeper(tmp_path: Path) -> processes.Process:
    """A recorded process that does nothing."""
    return processes.start("sleeper", [sys.executable, "-c", "import signal; signal.pause()"], tmp_path)


def test_a_process_is_found_until_it_is_stopped(sleeper: processes.Process, tmp_path: Path) -> None:
    assert processes.find("sleeper", tmp_path) == sleeper
    processes.stop([sleeper])
    assert not sleeper.alive
    assert processes.find("sleeper", tmp_path) is None
    assert processes.recorded(tmp_path) == [sleeper]


def test_a_pid_that_belongs_to_a_stranger_now_is_not_ours(sleeper: processes.Process, tmp_path: Path) -> None:
    stale = processes.Process("sleeper", sleeper.pid, sleeper.started_ticks - 1)
    assert not stale.alive
    processes.stop([stale])
    assert sleeper.alive
    processes.stop([sleeper])


def test_half_a_record_is_no_record(tmp_path: Path) -> None:
    folder = tmp_path / "processes"
    folder.mkdir()
    (folder / "a.json").write_text('{"name": "a"')
    (folder / "b.json").write_text(json.dumps({"name": "b"}))
    assert processes.recorded(tmp_path) == []


def test_a_process_that_ignores_a_polite_signal_is_killed(tmp_path: Path) -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); signal.pause()"
    deaf = processes.start("deaf", [sys.executable, "-c", code], tmp_path)
    log = tmp_path / "logs" / "deaf.log"
    while "deaf" not in log.read_text():
        assert deaf.alive
    processes.stop([deaf], grace_s=0.05)
    assert not deaf.alive
