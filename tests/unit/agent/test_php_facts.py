"""What messages of the PHP probe tell of a request: errors, visitors, calls of dependencies, steps."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from rollcall_agent.sources.longest import longest
from rollcall_agent.sources.php import SAMPLE_EVERY_US
from rollcall_agent.sources.php_warnings import PhpWarnings
from rollcall_agent.wire import layout
from tests.unit.agent.php_stream import NOW_US, Rig, begin, end, error, message, rig, step

__all__ = ["rig"]


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


def warn(folder: Path, counts: dict[int, int]) -> None:
    """What the extension in a worker does: count by the number of a type's bit."""
    path = folder / layout.WARNINGS_FILE
    content = bytearray(path.read_bytes())
    for bit, count in counts.items():
        (before,) = struct.unpack_from("<Q", content, 8 + 8 * bit)
        struct.pack_into("<Q", content, 8 + 8 * bit, (before + count) % (1 << 64))
    with path.open("r+b") as file:
        file.write(content)


def test_warnings_that_workers_count_are_taken_in_once_also_by_the_next_process(rig: Rig, tmp_path: Path) -> None:
    assert (tmp_path / layout.WARNINGS_FILE).stat().st_mode & 0o777 == 0o666
    warn(tmp_path, {1: 3, 14: 1})
    assert rig.errors() == {"warning E_WARNING": 3, "warning E_USER_DEPRECATED": 1}
    warn(tmp_path, {1: 2})
    PhpWarnings(str(tmp_path), rig.ledger).take()
    rig.ledger.resume()
    assert rig.errors() == {"warning E_WARNING": 2}
    assert rig.errors() == {}


@pytest.mark.parametrize("counts", [{0: 7, 2: 1, 15: 9}, {1: 1 << 40}, {1: -1}])
def test_counts_of_no_warning_or_nobody_are_none(rig: Rig, tmp_path: Path, counts: dict[int, int]) -> None:
    warn(tmp_path, counts)
    assert rig.errors() == {}
    warn(tmp_path, {1: 1})
    assert rig.errors() == {"warning E_WARNING": 1}


def test_a_file_that_was_cut_off_counts_nothing(rig: Rig, tmp_path: Path) -> None:
    os.truncate(tmp_path / layout.WARNINGS_FILE, 20)
    assert rig.errors() == {}


def test_a_warning_that_the_extension_has_counted_is_a_sample_only(rig: Rig) -> None:
    counted = message(7, error("warning E_NOTICE")[3:])
    rig.stream.sendall(begin() + counted + end() + begin() + error("warning E_NOTICE") + end())
    assert rig.errors() == {"warning E_NOTICE": 1}
    assert [sample["error"] for sample in rig.harvest.samples] == ["warning E_NOTICE"]


def test_only_warnings_are_counted_elsewhere(rig: Rig) -> None:
    rig.stream.sendall(begin() + message(7, error("exception Lost")[3:]) + end(status=500))
    assert rig.errors() == {"exception Lost": 1}
