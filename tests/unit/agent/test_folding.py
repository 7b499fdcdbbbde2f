"""Worker files: read while they live, folded exactly once when they are dead, ignored when they are not what they seem."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from rollcall_agent import report
from rollcall_agent.facts_log import FactsLog
from rollcall_agent.ledger import Ledger
from rollcall_agent.sources.folder import WorkerFolder
from rollcall_agent.sources.worker_file import BadWorkerFileError, WorkerFile
from rollcall_agent.state import State
from rollcall_agent.wire import layout

BOUNDS = (1000, 3000, 8000)
SECOND = 1_000_000
MOMENT = report.Moment(workers=1, busy=0, listen_queue=None, resources=None)


def make_ledger(folder: Path) -> Ledger:
    return Ledger(str(folder), layout.RUNTIME_PYTHON, "python")


def open_folder(run: Path) -> tuple[WorkerFolder, State]:
    (run / "agent").mkdir(exist_ok=True)
    state = State(str(run / "agent"))
    state.load()
    return WorkerFolder(str(run), state, FactsLog(str(run / "agent"))), state


def test_live_files_are_summed_and_requests_fall_into_bands(tmp_path: Path) -> None:
    ledgers = [make_ledger(tmp_path), make_ledger(tmp_path)]
    now_us = 100 * SECOND
    for ledger, ages_ms in zip(ledgers, ([10, 1000, 2999], [3000, 7999, 8000, 20_000]), strict=True):
        ledger.use_slots(len(ages_ms))
        for slot, age_ms in enumerate(ages_ms):
            ledger.open_slot(slot, now_us - age_ms * 1000, 0)
        ledger.finished(0, 2, False, 1000)
    folder, _ = open_folder(tmp_path)
    folder.scan(now_us, BOUNDS)
    totals, in_flight = folder.sum()
    assert (totals.started, totals.finished, totals.lost) == (9, 2, 0)
    assert in_flight.bands == [1, 2, 2, 2]
    assert (in_flight.total, in_flight.oldest_ms) == (7, 20_000)
    assert folder.workers == 2


def test_a_dead_worker_is_folded_once_and_its_open_requests_are_lost(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path)
    ledger.use_slots(2)
    ledger.open_slot(1, 1, 0)
    ledger.finished(ledger.endpoint("GET /a"), 5, True, 2_000_000)
    path = Path(ledger.path)
    folder, state = open_folder(tmp_path)
    folder.scan(SECOND, BOUNDS)
    ledger.detach()
    for _ in range(2):
        folder.scan(SECOND, BOUNDS)
        totals, in_flight = folder.sum()
        assert (totals.started, totals.finished, totals.lost, totals.errors) == (2, 1, 1, 1)
        assert in_flight.total == 0
    assert not path.exists()
    assert state.endpoints == {"GET /a": [1, 1, 2000]}


def test_a_crash_between_state_and_unlink_does_not_fold_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = make_ledger(tmp_path)
    ledger.finished(0, 2, False, 1000)
    folder, _ = open_folder(tmp_path)
    folder.scan(SECOND, BOUNDS)
    ledger.detach()

    def crash(path: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(os, "unlink", crash)
        with pytest.raises(KeyboardInterrupt):
            folder.scan(SECOND, BOUNDS)
    assert os.path.exists(ledger.path)
    again, _ = open_folder(tmp_path)
    again.scan(SECOND, BOUNDS)
    assert again.sum()[0].finished == 1
    assert not os.path.exists(ledger.path)


def test_a_crash_before_the_state_is_written_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = make_ledger(tmp_path)
    ledger.finished(0, 2, False, 1000)
    ledger.detach()
    folder, state = open_folder(tmp_path)

    def fail() -> None:
        raise OSError("no space")

    with monkeypatch.context() as full:
        full.setattr(state, "save", fail)
        folder.scan(SECOND, BOUNDS)
        assert folder.sum()[0].finished == 1, "still counted as a live file"
    again, _ = open_folder(tmp_path)
    again.scan(SECOND, BOUNDS)
    assert again.sum()[0].finished == 1


def test_a_file_that_cannot_be_removed_stays_folded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = make_ledger(tmp_path)
    ledger.finished(0, 2, False, 1000)
    ledger.detach()

    def refuse(path: str) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr(os, "unlink", refuse)
    for _ in range(2):
        folder, _ = open_folder(tmp_path)
        for _ in range(2):
            folder.scan(SECOND, BOUNDS)
            assert folder.sum()[0].finished == 1


def _as_user(uid: int, job: Callable[[], None]) -> None:
    """Run a job in a child process of another user, without any privilege; needs root, as the local cluster does."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            job()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def test_files_of_another_user_are_folded_and_removed_from_a_sticky_volume() -> None:
    """A volume in memory is sticky, and agent and application are different users: recycled workers must not fill it."""
    application, agent = 10_001, 65_532
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to other users
        run = Path(name)
        run.chmod(0o1777)
        workers = run / "workers"

        def prepare() -> None:
            (run / "agent").mkdir()
            workers.mkdir()
            workers.chmod(0o777)

        def serve() -> None:
            folder = layout.worker_dir(str(run))
            for _ in range(3):
                ledger = make_ledger(Path(folder))
                ledger.finished(0, 2, False, 1000)
                ledger.detach()

        def fold() -> None:
            folder, _ = open_folder(run)
            folder.scan(SECOND, BOUNDS)
            assert folder.sum()[0].finished == 3

        _as_user(agent, prepare)
        _as_user(application, serve)
        assert len(list(workers.glob("*.worker"))) == 3
        _as_user(agent, fold)
        assert list(run.rglob("*.worker")) == []


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _short(path: Path) -> None:
    path.write_bytes(layout.MAGIC + bytes(1000))


def _foreign(path: Path) -> None:
    path.write_bytes(os.urandom(layout.FILE_BYTES))


def _newer(path: Path) -> None:
    header = layout.HEADER.pack(layout.MAGIC, layout.VERSION + 1, 1, 0, 1, layout.SLOTS, 0, 1)
    path.write_bytes(header.ljust(layout.FILE_BYTES, b"\0"))


def _link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [_empty, _short, _foreign, _newer, _link, _fifo, _folder])
def test_what_is_no_worker_file_is_ignored_with_one_line(
    make: Callable[[Path], None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"python-{make.__name__}.worker"
    make(path)
    good = make_ledger(tmp_path)
    good.finished(0, 2, False, 1000)
    folder, _ = open_folder(tmp_path)
    for _ in range(3):
        folder.scan(SECOND, BOUNDS)
    assert folder.sum()[0].finished == 1
    assert capsys.readouterr().err.count("is ignored") == 1
    assert os.path.lexists(path), "not ours to remove"


def test_a_hostile_file_cannot_break_the_report(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path)
    content = bytearray(Path(ledger.path).read_bytes())
    content[layout.OFF_SLOTS_USED : layout.OFF_ENDPOINTS] = b"\xff" * (layout.OFF_ENDPOINTS - layout.OFF_SLOTS_USED)
    content[layout.OFF_ENDPOINTS :] = b"\xff" * (layout.FILE_BYTES - layout.OFF_ENDPOINTS)
    Path(ledger.path).write_bytes(content)

    folder, _ = open_folder(tmp_path)
    folder.scan(SECOND, BOUNDS)
    totals, in_flight = folder.sum()
    assert len(report.body(1, 1, totals, in_flight, MOMENT, 1, 1, 0)) > 1000
    file = WorkerFile(ledger.path)
    assert len(file.endpoints()) == layout.ENDPOINTS
    assert file.requests_in_flight(SECOND) == [], "all of them claim to have ended"
    file.close()
    ledger.detach()
    folder.scan(SECOND, BOUNDS)
    assert report.body(1, 1, *folder.sum(), MOMENT, 1, 1, 0)


def test_a_file_that_is_truncated_while_it_is_read_is_given_up(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path)
    file = WorkerFile(ledger.path)
    os.truncate(ledger.path, 100)
    with pytest.raises(BadWorkerFileError):
        file.read(SECOND, BOUNDS)
    file.close()


def test_requests_that_wait_to_be_settled_are_counted_and_not_twice(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path)
    get = ledger.endpoint("GET /a")
    ledger.use_slots(3)
    for slot, (outcome, elapsed_ns) in enumerate([(2, 5_000_000), (5 | layout.OUTCOME_ERROR, 7_000_000), (0, 0)]):
        layout.SLOT.pack_into(ledger.memory, layout.OFF_SLOTS + slot * layout.SLOT.size, 1, get, outcome, elapsed_ns, 0)
    file = WorkerFile(ledger.path)

    def counts() -> tuple[int, int, int, int, int, int]:
        file.read(SECOND, BOUNDS)
        totals = file.totals
        counted = dict(file.endpoints())["GET /a"][0]
        return totals.started, totals.finished, totals.errors, totals.duration_us, file.in_flight.total, counted

    expected = (3, 2, 1, 12_000, 1, 2)
    assert counts() == expected
    ledger.settling()
    ledger.finished(get, 2, False, 5_000_000)
    assert counts()[:5] == expected[:5], "in the middle of settling the totals stay as they were"
    ledger.close_slot(0)
    ledger.finished(get, 5, True, 7_000_000)
    ledger.close_slot(1)
    ledger.settling()
    assert counts() == expected
    assert file.totals.responses == [0, 1, 0, 0, 1]
    assert sum(file.totals.histogram) == 2
    ledger.detach()
    assert file.is_dead()
    file.read(SECOND, BOUNDS)
    assert file.final().lost == 1
    file.close()


def test_a_worker_that_died_while_it_settled_is_read_all_the_same(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path)
    ledger.finished(0, 2, False, 1000)
    ledger.settling()
    folder, _ = open_folder(tmp_path)
    ledger.detach()
    folder.scan(SECOND, BOUNDS)
    assert folder.sum()[0].finished == 1
    assert not os.path.exists(ledger.path)


def test_started_never_falls_when_a_request_ends_between_the_two_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = make_ledger(tmp_path)
    ledger.use_slots(1)
    ledger.open_slot(0, 1, 0)
    file = WorkerFile(ledger.path)
    file.read(SECOND, BOUNDS)
    assert file.totals.started == 1
    real = os.pread

    def pread(fd: int, count: int, offset: int) -> bytes:
        data = real(fd, count, offset)
        if offset == 0:
            ledger.finished(0, 2, False, 1000)
            ledger.close_slot(0)
        return data

    with monkeypatch.context() as racing:
        racing.setattr(os, "pread", pread)
        file.read(SECOND, BOUNDS)
    assert file.totals.started == 1
    file.close()
