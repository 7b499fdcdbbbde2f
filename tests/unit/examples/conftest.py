"""Sample servers that end with their test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.examples.sample_servers import SampleServer, start

StartSample = Callable[[str], SampleServer]


@pytest.fixture
def start_sample(tmp_path: Path) -> Iterator[StartSample]:
    """Start a sample by its name; whatever is still running after the test is killed."""
    running: list[SampleServer] = []

    def start_one(name: str) -> SampleServer:
        running.append(start(name, tmp_path))
        return running[-1]

    yield start_one
    for server in running:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
