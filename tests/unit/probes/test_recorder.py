"""Both recorders, native and pure, count exactly under threads, re-entrant calls and forks, and never raise."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rollcall_agent.sources.worker_file import WorkerFile
from rollcall_agent.wire import layout
from tests.unit.agent.pod import poll_until


def fresh(folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> Iterator[ModuleType]:
    """The probe's module as in a fresh process, writing into `folder`, with this kind of recorder."""
    from _rollcall_probe import native, watch  # type: ignore[import-not-found]
    from _rollcall_probe import recorder as module

    monkeypatch.setenv("ROLLCALL_RUN", str(folder))
    monkeypatch.setenv("ROLLCALL_NATIVE", "on" if kind == "native" else "off")
    native._loaded.clear()
    assert (native.module() is not None) == (kind == "native")
    module.current, module._off = None, False
    module._installed.clear()
    yield module
    watch.before_fork()
    watch._watches.clear()
    module.current, module._off = None, False
    module._installed.clear()
    native._loaded.clear()


@pytest.fixture(params=["native", "pure"])
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """Each kind of recorder."""
    yield from fresh(tmp_path, monkeypatch, request.param)


@pytest.fixture
def pure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The recorder in Python, whose parts a test may replace."""
    yield from fresh(tmp_path, monkeypatch, "pure")


def end(request: Any, crashed: bool) -> None:
    (request.crash if crashed else request.finish)()


def read(folder: Path) -> WorkerFile:
    [path] = folder.glob("*.worker")
    file = WorkerFile(str(path))
    file.read(2**62, (1000, 3000, 8000))
    return file


def test_threads_are_counted_exactly(recorder: ModuleType, tmp_path: Path) -> None:
    threads, each = 8, 500
    together = threading.Barrier(threads)

    def work() -> None:
        together.wait()
        for number in range(each):
            request = recorder.begin("GET")
            request.name(f"/{number % 3}")
            request.status = 500 if number % 10 == 0 else 200
            request.finish()
            request.finish()

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    file = read(tmp_path)
    total = threads * each
    assert (file.totals.started, file.totals.finished, file.totals.errors) == (total, total, total // 10)
    assert sum(file.totals.histogram) == total
    assert file.in_flight.total == 0
    by_name = {name: counts[0] for name, counts in file.endpoints() if counts[0]}
    assert by_name == {f"GET /{n}": threads * len(range(n, each, 3)) for n in range(3)}, "a name is known to who comes second"


def test_a_finalizer_or_signal_handler_may_count_while_counts_are_settled(
    pure: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("_rollcall_probe.pure._SETTLE_EVERY", 1)
    ledger = _ledger_of(pure)
    real = ledger.finished
    inner = []

    def finished(*arguments: object) -> None:
        if len(inner) < 3:  # as a signal handler would, in the middle of it and on the same thread
            request = pure.begin("POST")
            inner.append(request)
            request.status = 200
            request.finish()
        real(*arguments)

    ledger.finished = finished
    request = pure.begin("GET")
    request.finish()
    assert read(tmp_path).totals.finished == 1 + len(inner) == 4


def _ledger_of(recorder: ModuleType):  # type: ignore[no-untyped-def]
    warm_up = recorder.begin("GET")
    ledger = warm_up.recorder.ledger
    warm_up.recorder.free.append(warm_up.slot)
    ledger.close_slot(warm_up.slot)
    del warm_up.recorder.open[warm_up.slot]
    return ledger


def test_what_finds_the_lock_taken_is_settled_by_its_holder(
    pure: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("_rollcall_probe.pure._SETTLE_EVERY", 1)
    request = pure.begin("GET")
    current = request.recorder
    other = pure.begin("GET")
    current.lock.acquire()
    other.finish()  # does not wait
    assert other in current.pending
    assert read(tmp_path).totals.finished == 1, "the agent sees it in its slot"
    current.lock.release()
    request.finish()
    assert not current.pending
    assert read(tmp_path).totals.finished == 2


def test_a_forked_child_has_a_file_of_its_own_and_leaves_the_parents(recorder: ModuleType, tmp_path: Path) -> None:
    parent = recorder.begin("GET")
    go_reader, go_writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        parent.finish()  # goes into scratch memory
        child = recorder.begin("GET")
        child.finish()
        recorder.begin("GET")
        os.read(go_reader, 1)
        os._exit(0)
    try:
        poll_until(lambda: len(list(tmp_path.glob("python-*.worker"))) == 2, "a second file")
        files = [WorkerFile(str(path)) for path in tmp_path.glob("python-*.worker")]
        by_pid = {file.pid: file for file in files}
        mine, childs = by_pid[os.getpid()], by_pid[pid]
        assert not mine.is_dead()
        assert not childs.is_dead()
        for file in (mine, childs):
            file.read(2**62, (1, 2, 3))
        assert (mine.totals.finished, mine.in_flight.total) == (0, 1)
    finally:
        os.write(go_writer, b".")
        os.waitpid(pid, 0)
    assert childs.is_dead()
    assert not mine.is_dead(), "the child's end does not let go of the parent's lock"
    childs.read(2**62, (1, 2, 3))
    assert (childs.totals.finished, childs.in_flight.total) == (1, 1)


def test_the_parents_file_is_dead_when_only_a_child_lives(recorder: ModuleType, tmp_path: Path) -> None:
    ready_reader, ready_writer = os.pipe()
    parent = os.fork()
    if parent == 0:
        recorder.begin("GET")
        child = os.fork()
        if child == 0:
            signal.pause()
        os.write(ready_writer, child.to_bytes(4, "little"))
        os._exit(0)
    child = int.from_bytes(os.read(ready_reader, 4), "little")
    os.waitpid(parent, 0)
    try:
        file = read(tmp_path)
        poll_until(file.is_dead, "the child has let go of its share in the lock")
    finally:
        os.kill(child, signal.SIGKILL)


def test_more_requests_than_slots_are_counted_without_one(recorder: ModuleType, tmp_path: Path) -> None:
    requests = [recorder.begin("GET") for _ in range(layout.SLOTS + 5)]
    file = read(tmp_path)
    assert (file.totals.started, file.in_flight.total) == (layout.SLOTS + 5, layout.SLOTS + 5)
    for request in requests:
        request.finish()
    file = read(tmp_path)
    assert (file.totals.finished, file.in_flight.total) == (layout.SLOTS + 5, 0)


@pytest.mark.parametrize(
    ("status", "crashed", "status_class", "error"),
    [
        (200, False, 2, False),
        ("204 No Content", False, 2, False),
        (302, False, 3, False),
        (404, False, 4, False),
        (500, False, 5, True),
        (0, False, 4, False),
        (0, True, 5, True),
        (200, True, 2, True),
        ("what", False, 5, True),
        (999, False, 5, True),
        (None, False, 4, False),
        (None, True, 5, True),
    ],
)
def test_outcomes(recorder: ModuleType, tmp_path: Path, status: object, crashed: bool, status_class: int, error: bool) -> None:
    request = recorder.begin("GET")
    request.status = status
    end(request, crashed)
    totals = read(tmp_path).totals
    assert totals.responses == [1 if number == status_class else 0 for number in range(1, 6)]
    assert totals.errors == int(error)


def test_methods_and_routes_are_bounded(recorder: ModuleType, tmp_path: Path) -> None:
    for number in range(500):
        for method in ("GET", f"ODD{number}"):
            request = recorder.begin(method)
            request.name(f"/{number}")
            request.finish()
    names = recorder.process().names
    assert all(len(routes) <= 4 * layout.ENDPOINTS for routes in [*names.methods.values(), names.unknown])
    file = read(tmp_path)
    assert file.totals.finished == 1000
    assert len(file.endpoints()) == layout.ENDPOINTS


def test_a_folder_that_cannot_be_written_turns_the_probe_off_with_one_line(
    recorder: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ROLLCALL_RUN", str(tmp_path / "missing"))
    assert [recorder.begin("GET") for _ in range(3)] == [None] * 3
    [line] = capfd.readouterr().err.splitlines()
    assert "rollcall: probe is off" in line


def test_a_failure_while_counting_turns_the_probe_off_and_does_not_raise(
    pure: ModuleType, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("_rollcall_probe.pure._SETTLE_EVERY", 1)
    request = pure.begin("GET")

    def broken(*arguments: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(request.recorder.ledger, "finished", broken)
    request.finish()
    assert pure.begin("GET") is None
    assert capfd.readouterr().err.count("probe is off") == 1
