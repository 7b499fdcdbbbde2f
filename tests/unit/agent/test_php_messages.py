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
from rollcall_agent.sources.php import MAX_MESSAGE_BYTES, PhpSource
from rollcall_agent.sources.worker_file import WorkerFile
from rollcall_agent.wire import layout

NOW_US = 100_000_000


def begin(started_us: int = NOW_US - 1000, name: bytes = b"GET /index.php") -> bytes:
    return struct.pack("<HBQ", 9 + len(name), 1, started_us) + name


def end(status: int = 200, flags: int = 0, duration_us: int = 5000, name: bytes = b"") -> bytes:
    return struct.pack("<HBQHB", 12 + len(name), 2, duration_us, status, flags) + name


class Rig:
    """One PHP worker's stream into a source, and the file that it fills."""

    def __init__(self, folder: Path) -> None:
        self.ledger = Ledger(str(folder), layout.RUNTIME_PHP, "php")
        self.closed: list[int] = []
        self.source = PhpSource(self.ledger, self.closed.append)
        self.file = WorkerFile(self.ledger.path)
        self.stream = self.connect(7)

    def connect(self, number: int) -> socket.socket:
        probe, agent = socket.socketpair()
        self.source.add(number, agent)
        return probe

    def counts(self) -> tuple[int, int, int, int]:
        """started, finished, lost, in flight"""
        self.source.read(NOW_US)
        self.source.read(NOW_US)  # a stream's end comes after its data
        self.file.read(NOW_US, (1, 3000, 8000))
        totals = self.file.totals
        return totals.started, totals.finished, totals.lost, self.file.in_flight.total


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
    successor = PhpSource(rig.ledger, rig.closed.append)
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
