"""Messages of the PHP probe on a stream, whole and in pieces, and what breaks it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollcall_agent.ledger import Ledger
from rollcall_agent.sources.harvest import Harvest
from rollcall_agent.sources.longest import longest
from rollcall_agent.sources.php import (
    ASK_EVERY_US,
    KEY_BYTES,
    MAX_MESSAGE_BYTES,
    NO_VISITORS,
    SAMPLE_EVERY_US,
    PhpSource,
    visitors_line,
)
from rollcall_agent.sources.worker_file import WorkerFile
from rollcall_agent.wire import layout

NOW_US = 100_000_000


def message(kind: int, body: bytes) -> bytes:
    return struct.pack("<HB", 1 + len(body), kind) + body


def begin(started_us: int = NOW_US - 1000, name: bytes = b"GET /index.php", visitor: int = 0) -> bytes:
    return message(1, struct.pack("<QIQ", started_us, 4711, visitor) + name)


def end(
    status: int = 200, flags: int = 0, duration_us: int = 5000, name: bytes = b"", cpu_us: int = layout.CPU_UNKNOWN
) -> bytes:
    return message(2, struct.pack("<QHBI", duration_us, status, flags, cpu_us) + name)


def error(name: str, text: str = "went wrong", function: str = "feed", file: str = "www/feed.php", line: str = "7") -> bytes:
    return message(3, "\0".join([name, text, function, file, line]).encode())


def step(text: str, since_us: int = NOW_US - 700) -> bytes:
    return message(4, struct.pack("<Q", since_us) + text.encode())


class Rig:
    """One PHP worker's stream into a source, and the file that it fills."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger(str(folder), layout.RUNTIME_PHP, "php")
        self.closed: list[int] = []
        self.visitors = folder / "visitors"
        self.source = PhpSource(self.ledger, self.closed.append, str(self.visitors))
        self.file = WorkerFile(self.ledger.path)
        self.harvest = Harvest(self.file)
        self.stream = self.connect(7)

    def connect(self, number: int) -> socket.socket:
        probe, agent = socket.socketpair()
        self.source.add(number, agent)
        return probe

    def counts(self, now_us: int = NOW_US) -> tuple[int, int, int, int]:
        """started, finished, lost, in flight"""
        self.source.read(now_us)
        self.source.read(now_us)  # a stream's end comes after its data
        self.file.read(now_us, (1, 3000, 8000))
        totals = self.file.totals
        return totals.started, totals.finished, totals.lost, self.file.in_flight.total

    def errors(self, now_us: int = NOW_US) -> dict[str, int]:
        """Errors since the last call, by name."""
        self.counts(now_us)
        found = self.harvest.take()
        assert found is not None
        return found.errors

    def step(self) -> tuple[str, int | None]:
        """What the only request in flight is at, and since how many ms."""
        self.counts()
        [request] = longest([self.file], NOW_US, (0, 3000, 8000))["requests"]
        return request["step"], request["step_ms"]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.stream.close()
    made.file.close()


def test_begin_and_end(rig: Rig) -> None:
    rig.stream.sendall(begin())
    assert rig.counts() == (1, 0, 0, 1)
    assert rig.file.in_flight.bands == [0, 1, 0, 0]
    assert rig.file.requests_in_flight(NOW_US) == [(1, "GET /index.php")]
    rig.stream.sendall(end(status=503))
    assert rig.counts() == (1, 1, 0, 0)
    assert rig.file.totals.responses == [0, 0, 0, 0, 1]
    assert rig.file.totals.errors == 1


def test_a_fatal_error_is_an_error_whatever_its_status_and_an_end_may_rename(rig: Rig) -> None:
    rig.stream.sendall(begin() + end(flags=1, name=b"GET /feed/{user}"))
    assert rig.counts() == (1, 1, 0, 0)
    assert rig.file.totals.errors == 1
    assert dict(rig.file.endpoints())["GET /feed/{user}"] == [1, 1, 5000]


def test_errors_are_counted_by_type_when_their_request_ends(rig: Rig) -> None:
    rig.stream.sendall(begin() + error("exception RuntimeException"))
    assert rig.errors() == {}
    rig.stream.sendall(end(500, flags=1, name=b"GET /feed/{user}"))
    assert rig.errors() == {"exception RuntimeException": 1}
    assert rig.harvest.samples == [
        {
            "error": "exception RuntimeException",
            "message": "went wrong",
            "function": "feed",
            "file": "www/feed.php",
            "line": 7,
            "endpoint": "GET /feed/{user}",
            "at_us": NOW_US,
        }
    ]


@pytest.mark.parametrize(
    ("messages", "errors", "failures"),
    [
        (end(503), {"http 503": 1}, 1),
        (end(404), {}, 0),
        (end(200, flags=1), {"fatal error": 1}, 1),
        (end(200, flags=2), {"abort client": 1}, 0),
        (error("fatal memory limit") + end(500, flags=3), {"fatal memory limit": 1, "abort client": 1}, 1),
        (error("warning E_WARNING") + end(), {"warning E_WARNING": 1}, 0),
        (error("warning E_WARNING") + end(502), {"warning E_WARNING": 1, "http 502": 1}, 1),
        (error("nonsense of nobody") + end(), {}, 0),
        (error("exception X", line="many") + end(flags=1), {"exception X": 1}, 1),
        (message(3, b"exception X") + end(flags=1), {"fatal error": 1}, 1),
    ],
)
def test_what_went_wrong_has_one_name(rig: Rig, messages: bytes, errors: dict[str, int], failures: int) -> None:
    rig.stream.sendall(begin() + messages + begin() + end())
    assert rig.errors() == errors
    assert rig.file.totals.errors == failures


def test_samples_of_one_type_are_a_second_apart(rig: Rig) -> None:
    once = begin() + error("exception X") + end(flags=1) + begin() + error("exception Y") + end(flags=1)
    rig.stream.sendall(once * 3)
    assert rig.errors() == {"exception X": 3, "exception Y": 3}
    rig.stream.sendall(once)
    assert rig.errors(NOW_US + SAMPLE_EVERY_US) == {"exception X": 1, "exception Y": 1}
    assert [sample["error"] for sample in rig.harvest.samples] == ["exception X", "exception Y"] * 2


def test_visitors_are_hashes(rig: Rig) -> None:
    rig.stream.sendall(begin(visitor=2**64 - 1) + end() + begin() + end() + begin(visitor=17) + end())
    rig.counts()
    rig.stream.sendall(begin(visitor=17))
    rig.counts()
    found = rig.harvest.take()
    assert found is not None
    assert found.visits == [2**64 - 1, 17, 17]


def told(kind: bytes, key: bytes, name: bytes) -> bytes:
    """A line of the agent's."""
    return kind + key.ljust(64, b"\0") + name + b"\n"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("cookie:sid\n00ff\n", told(b"c", b"\0\xff", b"sid")),
        ("header:X-User-Id\n0a\n", told(b"s", b"\n", b"HTTP_X_USER_ID")),
        (f"clientIP\n{'1f' * 64}\n", told(b"s", b"\x1f" * 64, b"REMOTE_ADDR")),
        (f"clientIP\n{'1f' * 65}\n", NO_VISITORS),
        ("clientIP\n00f\n", NO_VISITORS),
        ("nonsense", NO_VISITORS),
        ("cookie:sid\n\n", NO_VISITORS),
        (None, NO_VISITORS),
    ],
)
def test_the_line_that_workers_are_told(tmp_path: Path, text: str | None, line: bytes) -> None:
    file = tmp_path / "visitors"
    if text is not None:
        file.write_text(text)
    assert visitors_line(str(file)) == line


def calls(names: list[str], entries: list[tuple[int, int, int]]) -> bytes:
    packed = b"".join(bytes([len(name)]) + name.encode() for name in names)
    return message(6, bytes([len(names)]) + packed + b"".join(struct.pack("<BBI", *entry) for entry in entries))


def dependencies(rig: Rig) -> dict[str, tuple[int, list[int], int, int]]:
    """By name: calls, failed by reason, duration and waited in µs."""
    memory = rig.ledger.memory
    found = {}
    for index in range(layout.CALL_COUNTERS.unpack_from(memory, layout.OFF_CALLS_WRITTEN)[2]):
        at = layout.OFF_DEPENDENCIES + index * layout.DEPENDENCY.size
        count, *failed, duration, waited, length, name = layout.DEPENDENCY.unpack_from(memory, at)
        if count:
            found[name[:length].decode()] = (count, failed, duration, waited)
    return found


def point(rig: Rig, number: int = 0) -> tuple[int, ...]:
    found: tuple[int, ...] = layout.POINT.unpack_from(rig.ledger.memory, layout.OFF_POINTS + number * layout.POINT.size)
    return found


def test_calls_are_counted_at_once_and_waited_for_by_their_request(rig: Rig) -> None:
    rig.stream.sendall(begin() + calls(["mysql orders", "redis cache"], [(0, 255, 700), (1, 255, 50), (0, 3, 300)]))
    rig.counts()
    assert dependencies(rig) == {
        "mysql orders": (2, [0, 0, 0, 1, 0], 1000, 0),
        "redis cache": (1, [0, 0, 0, 0, 0], 50, 0),
    }
    rig.stream.sendall(calls(["redis cache"], [(0, 1, 450)]) + end(503, duration_us=5000))
    rig.counts()
    assert dependencies(rig) == {
        "mysql orders": (2, [0, 0, 0, 1, 0], 1000, 1000),
        "redis cache": (2, [0, 1, 0, 0, 0], 500, 500),
    }
    failure = rig.ledger.error("http 503")
    assert point(rig)[1:8] == (5000, 1500, layout.CPU_UNKNOWN, 1, rig.ledger.dependency("mysql orders"), failure, 5 + 8)


def test_calls_side_by_side_are_waited_for_no_longer_than_their_request_takes(rig: Rig) -> None:
    rig.stream.sendall(begin() + calls(["http a", "http b"], [(0, 255, 6000), (1, 255, 3000)]) + end(duration_us=3000))
    rig.counts()
    assert dependencies(rig) == {"http a": (1, [0] * 5, 6000, 2000), "http b": (1, [0] * 5, 3000, 1000)}
    assert point(rig)[1:3] == (3000, 3000)
    rig.stream.sendall(begin() + end(duration_us=10))
    rig.counts()
    assert point(rig, 1)[1:6] == (10, 0, layout.CPU_UNKNOWN, 1, 0)


def test_the_cpu_time_of_a_request_is_no_longer_than_the_request(rig: Rig) -> None:
    unknown = layout.CPU_UNKNOWN
    used = (0, 1500, unknown, 20_000)
    rig.stream.sendall(b"".join(begin() + end(cpu_us=cpu_us) for cpu_us in used))
    rig.counts()
    assert [point(rig, number)[3] for number in range(len(used))] == [0, 1500, unknown, 5000]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\1",
        b"\1\5ab",
        b"\2\1a\0",
        b"\1\1a\1\xff\1\0\0\0",
        b"\1\1a\0\5\1\0\0\0",
        b"\0\0\xff\1\0\0\0",
        b"\1\1a\0\xff\1\0",
    ],
)
def test_calls_that_do_not_fit_the_format_are_none(rig: Rig, body: bytes) -> None:
    rig.stream.sendall(begin() + message(6, body) + end())
    assert rig.counts() == (1, 1, 0, 0)
    assert dependencies(rig) == {}


def test_a_step_is_that_of_the_request_in_flight(rig: Rig) -> None:
    rig.stream.sendall(step("db before any request") + begin())
    assert rig.step() == ("", None)
    rig.stream.sendall(step("db PDO::query from feed (feed.php:16)", NOW_US - 300_000))
    assert rig.step() == ("db PDO::query from feed (feed.php:16)", 300)
    [request] = longest([rig.file], NOW_US, (0, 3000, 8000))["requests"]
    assert (request["worker"], request["id"]) == (4711, f"4711-{NOW_US - 1000}")
    rig.stream.sendall(step("sleep usleep", since_us=0))
    assert rig.step() == ("sleep usleep", 0)
    rig.stream.sendall(step(""))
    assert rig.step() == ("", None)
    rig.stream.sendall(step("db PDO::query") + end() + begin())
    assert rig.step() == ("", None)


def test_the_worker_that_began_last_is_asked_for_resources_once_a_second(rig: Rig) -> None:
    other = rig.connect(8)
    assert (lines(rig.stream), lines(other)) == ([NO_VISITORS], [NO_VISITORS])
    rig.counts()
    assert (lines(rig.stream), lines(other)) == ([], [])
    rig.stream.sendall(begin() + end())
    rig.counts()
    assert (lines(rig.stream), lines(other)) == ([NO_VISITORS], [])
    answer = message(5, struct.pack("<5Q2I", NOW_US, 1, 2, 3, 4, 1500, 6))
    rig.stream.sendall(begin() + answer + end())
    rig.counts()
    assert rig.file.resources == (NOW_US, 1, 2, 3, 4, 1500, 6)
    assert (lines(rig.stream), lines(other)) == ([], [])
    other.sendall(begin() + end())
    rig.counts(NOW_US + ASK_EVERY_US)
    assert (lines(rig.stream), lines(other)) == ([], [NO_VISITORS])
    other.sendall(begin() + end())  # it did not answer: it has not looked yet
    rig.counts(NOW_US + 2 * ASK_EVERY_US)
    assert (lines(rig.stream), lines(other)) == ([], [])
    other.close()


def test_all_workers_are_told_when_visitors_are_known_by_something_else(rig: Rig) -> None:
    other = rig.connect(8)
    assert (lines(rig.stream), lines(other)) == ([NO_VISITORS], [NO_VISITORS])
    rig.visitors.write_text("cookie:sid\n0aff\n")
    rig.stream.sendall(begin() + end())
    rig.counts()
    line = told(b"c", b"\n\xff", b"sid")
    assert (lines(rig.stream), lines(other)) == ([line], [line])
    third = rig.connect(9)
    assert lines(third) == [line]
    for text, line in (
        ("nonsense", NO_VISITORS),
        ("clientIP\n77\n", told(b"s", b"\x77", b"REMOTE_ADDR")),
        (None, NO_VISITORS),
    ):
        rig.visitors.write_text(text) if text else rig.visitors.unlink()
        rig.source._ask_at_us = 0
        third.sendall(begin() + end())
        rig.counts()
        assert lines(third) == [line]
    other.close()
    third.close()


def test_a_worker_that_leaves_its_line_unread_has_just_ended(rig: Rig, capfd: pytest.CaptureFixture[str]) -> None:
    rig.stream.sendall(begin() + end() + begin())
    rig.stream.close()
    assert rig.counts() == (2, 1, 1, 0)
    assert capfd.readouterr().err == ""


def lines(stream: socket.socket) -> list[bytes]:
    """What the agent has sent down a stream since the last call."""
    stream.setblocking(False)
    try:
        data = stream.recv(1000)
    except BlockingIOError:
        return []
    finally:
        stream.setblocking(True)
    found = []
    while data:
        end = data.index(b"\n", 1 + KEY_BYTES) + 1  # a key may hold one
        found.append(data[:end])
        data = data[end:]
    return found


@pytest.mark.parametrize("started_us", [0, NOW_US + 1, 2**64 - 1])
def test_another_clock_than_ours_is_taken_as_now(rig: Rig, started_us: int) -> None:
    rig.stream.sendall(begin(started_us))
    rig.counts()
    assert rig.file.in_flight.oldest_ms == 0


def test_a_stream_that_ends_with_a_request_open_loses_it(rig: Rig) -> None:
    rig.stream.sendall(begin() + end() + begin())
    rig.stream.close()
    assert rig.counts() == (2, 1, 1, 0)
    assert rig.closed == [7]
    again = rig.connect(7)
    again.sendall(begin())
    assert rig.counts() == (3, 1, 1, 1)
    again.close()


def test_a_begin_without_the_end_before_it_loses_that_one(rig: Rig) -> None:
    rig.stream.sendall(begin() + begin())
    assert rig.counts() == (2, 0, 1, 1)


def test_an_unknown_message_is_skipped(rig: Rig) -> None:
    rig.stream.sendall(struct.pack("<HB", 4, 99) + b"new" + begin())
    assert rig.counts() == (1, 0, 0, 1)


@pytest.mark.parametrize("length", [0, MAX_MESSAGE_BYTES + 1, 65535])
def test_an_impossible_length_ends_the_stream(rig: Rig, length: int) -> None:
    rig.stream.sendall(begin() + struct.pack("<HB", length, 1))
    assert rig.counts() == (1, 0, 1, 0)
    assert rig.closed == [7]


def test_a_successor_process_goes_on_where_this_one_stopped(rig: Rig) -> None:
    """The supervisor keeps stream and map; a new source finds open requests and names in the file."""
    rig.stream.sendall(begin(name=b"GET /a.php"))
    rig.counts()
    probe, agent = socket.socketpair()
    successor = PhpSource(rig.ledger, rig.closed.append, str(rig.visitors))
    successor.add(7, agent)
    probe.sendall(end() + begin(name=b"GET /b.php"))
    successor.read(NOW_US)
    assert rig.counts() == (2, 1, 0, 1)
    assert [name for name, _ in rig.file.endpoints()] == ["other", "GET /a.php", "GET /b.php"]
    probe.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(1, 30), max_size=30))
def test_pieces_are_put_together(tmp_path_factory: pytest.TempPathFactory, cuts: list[int]) -> None:
    rig = Rig(tmp_path_factory.mktemp("php"))
    stream = (begin() + end()) * 5
    for cut in [*cuts, len(stream)]:
        rig.stream.sendall(stream[:cut])
        rig.source.read(NOW_US)
        stream = stream[cut:]
    assert rig.counts() == (5, 5, 0, 0)
    rig.stream.close()
    rig.source.read(NOW_US)
    rig.file.close()
    rig.ledger.discard()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=5))
def test_random_bytes_end_the_stream_or_are_counted(tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]) -> None:
    rig = Rig(tmp_path_factory.mktemp("php"))
    for chunk in chunks:
        if not rig.closed:
            rig.stream.sendall(chunk)
            rig.source.read(NOW_US)
    started, finished, lost, in_flight = rig.counts()
    assert started == finished + lost + in_flight
    rig.stream.close()
    rig.source.read(NOW_US)
    rig.file.close()
    rig.ledger.discard()
