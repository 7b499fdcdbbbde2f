"""Messages of the PHP probe on a stream, whole and in pieces, and what breaks it; the line that goes the other way."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rollcall_agent.sources.php import ASK_EVERY_US, KEY_BYTES, MAX_MESSAGE_BYTES, NO_VISITORS, PhpSource, visitors_line
from tests.unit.agent.php_stream import NOW_US, Rig, begin, end, message, rig

__all__ = ["rig"]


def test_begin_and_end(rig: Rig) -> None:
    rig.stream.sendall(begin())
    assert rig.counts() == (1, 0, 0, 1)
    assert rig.file.in_flight.bands == [0, 1, 0, 0]
    assert rig.file.requests_in_flight(NOW_US) == [(1, "GET /index.php")]
    rig.stream.sendall(end(status=503))
    assert rig.counts() == (1, 1, 0, 0)
    assert rig.file.totals.responses == [0, 0, 0, 0, 1]
    assert rig.file.totals.errors == 1


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
