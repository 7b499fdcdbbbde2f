"""Both recorders, native and pure, count calls of dependencies, give them to their request, and show them while they last."""

from __future__ import annotations

import asyncio
import contextvars
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from rollcall_agent.wire import grid, layout
from rollcall_agent.wire.facts import REASONS
from tests.unit.agent.pod import poll_until
from tests.unit.probes.test_recorder import fresh, read
from tests.unit.probes.worker import Worker

ORDERS = "postgresql orders"
API = "http api.example.com"


@pytest.fixture(params=["native", "pure"])
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """Each kind of recorder, begun in no request."""
    from _rollcall_probe.pure_calls import here  # type: ignore[import-not-found]

    token = here.set(None)
    yield from fresh(tmp_path, monkeypatch, request.param)
    here.reset(token)


def worker(folder: Path) -> Worker:
    [path] = folder.glob("*.worker")
    return Worker(path)


def settle(recorder: ModuleType) -> None:
    """As the probe's thread does twice a second."""
    getattr(recorder.current, "settle", lambda: None)()


def call(recorder: ModuleType, name: str = ORDERS, reason: int | None = None, seconds: float = 0.0) -> None:
    record = recorder.current.begin_call(name)
    if seconds:
        time.sleep(seconds)
    record.end(reason)
    record.end(0)


def test_calls_failures_and_latencies(recorder: ModuleType, tmp_path: Path) -> None:
    recorder.begin("GET").finish()
    for number in range(100):
        call(recorder, ORDERS, number % 5 if number % 2 else None)
    call(recorder, API)
    recorder.current.count_call(API, 1_000_000, 3)
    found = worker(tmp_path).dependencies()
    assert (found[ORDERS].calls, found[ORDERS].failed) == (100, dict.fromkeys(REASONS, 10))
    assert (found[API].calls, found[API].failed, found[API].duration_us >= 1000) == (2, {"throttled": 1}, True)
    journal = worker(tmp_path).journal()
    assert [dependency for dependency, _ in journal] == [1] * 100 + [2] * 2
    assert journal[-1][1] == grid.bucket_of_ns(1_000_000)


def test_more_calls_than_their_journal_has_places(recorder: ModuleType, tmp_path: Path) -> None:
    recorder.begin("GET").finish()
    for _ in range(layout.CALLS + 10):
        call(recorder)
    assert worker(tmp_path).dependencies()[ORDERS].calls == layout.CALLS + 10


def test_a_request_waits_for_its_calls(recorder: ModuleType, tmp_path: Path) -> None:
    request = recorder.begin("GET")
    call(recorder, ORDERS, seconds=0.02)
    call(recorder, API, seconds=0.05)
    call(recorder, ORDERS, seconds=0.02)
    request.name("/feed")
    request.status = 200
    request.finish()
    settle(recorder)
    found = worker(tmp_path).dependencies()
    assert all(row.waited_us == pytest.approx(row.duration_us, abs=2) for row in found.values())
    assert (found[ORDERS].waited_us >= 40_000, found[API].waited_us >= 50_000) == (True, True)
    [point] = worker(tmp_path).points()
    longest = max(found, key=lambda name: found[name].waited_us)
    assert (point.endpoint, point.dependency, point.error, point.outcome) == ("GET /feed", longest, "", 2)
    assert point.waited_us == found[ORDERS].waited_us + found[API].waited_us <= point.elapsed_us
    assert point.cpu_us < point.elapsed_us - 50_000, "it slept"
    call(recorder, ORDERS, seconds=0.02)  # outside of any request
    settle(recorder)
    after = worker(tmp_path).dependencies()[ORDERS]
    assert (after.calls, after.waited_us) == (3, found[ORDERS].waited_us)


def test_a_request_of_a_thread_tells_its_cpu_time_and_one_of_a_task_does_not(recorder: ModuleType, tmp_path: Path) -> None:
    request = recorder.begin("GET")
    until = time.thread_time() + 0.03
    while time.thread_time() < until:
        pass
    request.finish()
    recorder.begin_task("GET").finish()
    request = recorder.begin("GET")
    ender = threading.Thread(target=request.finish)
    ender.start()
    ender.join()
    settle(recorder)
    points = worker(tmp_path).points()
    assert 30_000 <= points[0].cpu_us <= points[0].elapsed_us
    assert [point.cpu_us for point in points[1:]] == [layout.CPU_UNKNOWN] * 2


def test_of_a_busy_thread_the_cpu_time_of_some_requests_is_told(recorder: ModuleType, tmp_path: Path) -> None:
    for _ in range(800):
        recorder.begin("GET").finish()
    time.sleep(0.005)
    recorder.begin("GET").finish()
    settle(recorder)
    known = [point.cpu_us != layout.CPU_UNKNOWN for point in worker(tmp_path).points()]
    assert 100 <= sum(known) < 400
    assert (known[0], known[-1]) == (True, True)


def test_a_failed_request_tells_its_error(recorder: ModuleType, tmp_path: Path) -> None:
    for status, crashed in ((200, False), (503, False), (None, True), (None, False)):
        request = recorder.begin("GET")
        request.status = status
        (request.crash if crashed else request.finish)()
    settle(recorder)
    told = [(point.error, point.outcome) for point in worker(tmp_path).points()]
    assert told == [("", 2), ("http 503", 5 | 8), ("", 5 | 8), ("abort client", 4)]


def test_a_call_within_a_call_is_the_outer_ones(recorder: ModuleType, tmp_path: Path) -> None:
    recorder.begin("GET")
    outer = recorder.current.begin_call("dynamodb newsfeed")
    assert recorder.current.begin_call("http localhost") is None
    assert recorder.current.begin_event("mongodb x") is None
    outer.end(None)
    event = recorder.current.begin_event("mongodb feed")
    call(recorder)
    event.end(None)
    dropped = recorder.current.begin_call(API)
    time.sleep(0.01)
    dropped.drop()
    found = {name: row.calls for name, row in worker(tmp_path).dependencies().items()}
    assert found == {"dynamodb newsfeed": 1, "mongodb feed": 1, ORDERS: 1}


def test_what_is_dropped_was_waited_for(recorder: ModuleType, tmp_path: Path) -> None:
    request = recorder.begin("GET")
    dropped = recorder.current.begin_call(API)
    time.sleep(0.01)
    dropped.drop()
    request.finish()
    settle(recorder)
    row = worker(tmp_path).dependencies()[API]
    assert (row.calls, row.waited_us >= 10_000) == (0, True)


async def gathered(recorder: ModuleType, names: list[str], seconds: float) -> None:
    async def one(name: str) -> None:
        record = recorder.current.begin_call(name)
        await asyncio.sleep(seconds)
        record.end(None)

    await asyncio.gather(*[one(name) for name in names])


def test_calls_beside_each_other_are_waited_for_no_longer_than_the_request_took(recorder: ModuleType, tmp_path: Path) -> None:
    async def serve() -> None:
        request = recorder.begin_task("GET")
        await gathered(recorder, [ORDERS, ORDERS, ORDERS, API], 0.05)
        request.finish()

    asyncio.run(serve())
    settle(recorder)
    found = worker(tmp_path).dependencies()
    [point] = worker(tmp_path).points()
    assert found[ORDERS].duration_us + found[API].duration_us >= 200_000
    assert point.elapsed_us * 0.99 <= point.waited_us <= point.elapsed_us
    share = found[ORDERS].duration_us / (found[ORDERS].duration_us + found[API].duration_us)
    assert found[ORDERS].waited_us == pytest.approx(share * point.elapsed_us, rel=0.02)
    assert found[API].waited_us == pytest.approx((1 - share) * point.elapsed_us, rel=0.02)
    assert point.dependency == ORDERS


def test_each_task_and_thread_has_its_own_request(recorder: ModuleType, tmp_path: Path) -> None:
    def serve(name: str, calls: int) -> None:
        request = recorder.begin("GET")
        for _ in range(calls):
            call(recorder, name, seconds=0.001)
        request.finish()

    async def serve_task(name: str, calls: int) -> None:
        request = recorder.begin_task("GET")
        for _ in range(calls):
            record = recorder.current.begin_call(name)
            await asyncio.sleep(0.001)
            record.end(None)
        # what copies the context (anyio, asyncio.to_thread) belongs to the request as well
        await asyncio.to_thread(call, recorder, name)
        request.finish()

    async def tasks() -> None:
        await asyncio.gather(*[serve_task(f"http task-{number}", 20) for number in range(5)])

    threads = [threading.Thread(target=serve, args=(f"http thread-{number}", 50)) for number in range(4)]
    for thread in threads:
        thread.start()
    asyncio.run(tasks())
    for thread in threads:
        thread.join()
    settle(recorder)
    found = worker(tmp_path).dependencies()
    assert {name: row.calls for name, row in found.items()} == {
        **{f"http thread-{number}": 50 for number in range(4)},
        **{f"http task-{number}": 21 for number in range(5)},
    }
    assert sorted(point.dependency for point in worker(tmp_path).points()) == sorted(found)
    assert all(0 < row.waited_us <= row.duration_us + row.calls for row in found.values())


def test_many_threads_are_counted_exactly(recorder: ModuleType, tmp_path: Path) -> None:
    recorder.begin("GET").finish()
    together = threading.Barrier(8)

    def work(number: int) -> None:
        together.wait()
        for _ in range(300):
            call(recorder, f"http {number % 3}", 1 if number % 2 else None)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    settle(recorder)
    found = worker(tmp_path).dependencies()
    assert sum(row.calls for row in found.values()) == 2400
    assert sum(sum(row.failed.values()) for row in found.values()) == 1200


def test_the_slot_tells_what_a_request_calls(recorder: ModuleType, tmp_path: Path) -> None:
    request = recorder.begin("GET")
    assert worker(tmp_path).steps() == [""]
    first = recorder.current.begin_event(ORDERS)
    assert worker(tmp_path).steps() == ["db postgresql orders"]
    second = recorder.current.begin_event(API)
    assert worker(tmp_path).steps() == ["http api.example.com"]
    assert (request.call.name, request.call.in_flight) == (API, True)
    first.end(None)
    assert worker(tmp_path).steps() == ["http api.example.com"]
    second.end(None)
    assert (worker(tmp_path).steps(), request.call) == ([""], None)
    third = recorder.current.begin_call("redis sessions")
    assert worker(tmp_path).steps() == ["cache redis sessions"]
    request.finish()
    third.end(None)
    settle(recorder)
    assert worker(tmp_path).steps() == []


def test_a_slow_call_is_told_with_its_place(recorder: ModuleType, tmp_path: Path) -> None:
    request = recorder.begin("GET")
    record = recorder.current.begin_call(ORDERS)
    poll_until(lambda: "from" in worker(tmp_path).steps()[0], "the place that calls")
    [step] = worker(tmp_path).steps()
    assert re.fullmatch(r"db postgresql orders from \w+ \(.*\.py:\d+\)", step)
    record.end(None)
    assert worker(tmp_path).steps() == [""]
    poll_until(lambda: worker(tmp_path).steps() != [""], "what it is at afterwards")
    request.finish()


def test_a_call_that_outlives_its_request(recorder: ModuleType, tmp_path: Path) -> None:
    request = recorder.begin("GET")
    record = recorder.current.begin_call(ORDERS)
    time.sleep(0.01)
    request.finish()
    time.sleep(0.02)
    assert recorder.current.begin_call(API) is None, "still within the call"
    record.end(None)
    assert recorder.current.begin_call(API) is not None
    settle(recorder)
    row = worker(tmp_path).dependencies()[ORDERS]
    assert 10_000 <= row.waited_us <= row.duration_us - 20_000


def test_what_nobody_ends_is_not_counted_and_harms_no_later_request(recorder: ModuleType, tmp_path: Path) -> None:
    for _ in range(100):
        request = recorder.begin("GET")
        recorder.current.begin_call(ORDERS)  # a generator that never finishes
        request.finish()
    request = recorder.begin("GET")
    call(recorder, API)
    request.finish()
    settle(recorder)
    found = worker(tmp_path).dependencies()
    assert (found[ORDERS].calls, found[API].calls) == (0, 1)
    file = read(tmp_path)
    assert (file.totals.finished, file.in_flight.total) == (101, 0)


def test_a_context_that_is_copied_keeps_nothing_alive(recorder: ModuleType, tmp_path: Path) -> None:
    request = recorder.begin("GET")
    context = contextvars.copy_context()
    request.finish()
    context.run(call, recorder, ORDERS)
    settle(recorder)
    row = worker(tmp_path).dependencies()[ORDERS]
    assert (row.calls, row.waited_us) == (1, 0), "the request has ended: it waits for nothing"


def test_a_forked_child_leaves_the_parents_calls(recorder: ModuleType, tmp_path: Path) -> None:
    parent = recorder.begin("GET")
    record = recorder.current.begin_call(ORDERS)
    pid = os.fork()
    if pid == 0:
        record.end(None)  # goes into scratch memory
        recorder.begin("GET")
        call(recorder, API)
        settle(recorder)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    record.end(None)
    parent.finish()
    settle(recorder)
    by_pid = {int(path.name.split("-")[1]): Worker(path).dependencies() for path in tmp_path.glob("*.worker")}
    assert {name: row.calls for name, row in by_pid[os.getpid()].items()} == {ORDERS: 1}
    assert {name: row.calls for name, row in by_pid[pid].items()} == {API: 1}


def test_more_dependencies_than_places(recorder: ModuleType, tmp_path: Path) -> None:
    recorder.begin("GET")
    for number in range(6 * layout.DEPENDENCIES):
        call(recorder, f"http host-{number}")
    names = recorder.process().names
    assert len(names.calls) <= 4 * layout.DEPENDENCIES
    found = worker(tmp_path).dependencies()
    assert len(found) == layout.DEPENDENCIES
    assert found["other"].calls == 5 * layout.DEPENDENCIES + 1
    assert worker(tmp_path).steps() == [""]


def test_the_step_of_a_dependency_is_never_given_to_another(recorder: ModuleType, tmp_path: Path) -> None:
    recorder.begin("GET")
    call(recorder, ORDERS)
    for number in range(2 * layout.STEPS):
        recorder.process().rare.put(recorder.process().ledger.step, f"code {number}")
    recorder.current.begin_call(ORDERS)
    assert worker(tmp_path).steps() == ["db postgresql orders"]


@pytest.mark.parametrize("odd", [b"bytes", 7, None, "\udcff", "x" * 500, ("a", ["unhashable"])])
def test_odd_names_do_not_raise(recorder: ModuleType, tmp_path: Path, odd: Any) -> None:
    recorder.begin("GET")
    record = recorder.current.begin_call(odd)
    if record is not None:
        record.end("what")
