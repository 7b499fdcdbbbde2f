"""One PHP worker's stream into the agent's source, and the messages that go over it."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollcall_agent.ledger import Ledger
from rollcall_agent.sources.harvest import Harvest
from rollcall_agent.sources.longest import longest
from rollcall_agent.sources.php import PhpSource
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
