"""The command line as a process: its summary, its files and its way out on SIGTERM."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Target:
    """A server that answers `/` at once and `/held` when `release` is set."""

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.held = asyncio.Semaphore(0)
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET /held "):
            self.held.release()
            await self.release.wait()
        writer.write(BODY)
        writer.close()


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    target = Target()
    server = await asyncio.start_server(target.serve, "127.0.0.1", 0)
    target.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    yield target
    target.release.set()
    server.close()


async def load(*options: str) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.harness.load", "run", *options, stdout=PIPE, stderr=PIPE, cwd=Path(__file__).parents[3]
    )


async def test_summary_is_one_line_and_raw_has_every_request(target: Target, tmp_path: Path) -> None:
    raw = tmp_path / "raw.jsonl"
    process = await load(f"--url={target.url}", "--rates=100:0.2,50:0.2", "--mix=/=1,/x/{n}=1", "--seed=3", f"--raw={raw}")
    stdout, stderr = await process.communicate()
    summary = json.loads(stdout)
    requests = [json.loads(line) for line in raw.read_text().splitlines()]
    assert process.returncode == 0
    assert (stdout.count(b"\n"), stderr) == (1, b"")
    assert summary["sent"] == summary["answered"] == len(requests) == 30
    assert {request["id"] for request in requests} == {f"3-{number}" for number in range(1, 31)}
    assert {name: endpoint["sent"] for name, endpoint in summary["endpoints"].items()} == {
        name: sum(request["endpoint"] == name for request in requests) for name in ("/", "/x/{n}")
    }


async def test_sigterm_stops_the_starts_and_waits_for_what_is_open(target: Target) -> None:
    process = await load(f"--url={target.url}", "--rate=20", "--duration=3600", "--mix=/held")
    for _ in range(3):
        await target.held.acquire()
    process.send_signal(signal.SIGTERM)
    # Not over yet: the open requests are awaited.
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(process.wait(), 0.3)
    target.release.set()
    stdout, _ = await asyncio.wait_for(process.communicate(), 5)
    summary = json.loads(stdout)
    assert process.returncode == 0
    assert summary["complete"] is False
    assert 3 <= summary["sent"] < 30
    assert summary["answered"] == summary["sent"]


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--mix=feed=1", "a path starts with /"),
        ("--rates=100", "not RATE:SECONDS: '100'"),
        ("--url=newsfeed", "not http://HOST[:PORT]: 'newsfeed'"),
    ],
)
async def test_a_wrong_option_is_named(option: str, message: str) -> None:
    process = await load("--url=http://127.0.0.1:1", option)
    _, stderr = await process.communicate()
    assert process.returncode == 2
    assert message in stderr.decode()
