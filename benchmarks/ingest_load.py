"""Simulated agents, as a process of `ingest.py`: each says HELLO, is welcomed, and sends two reports a second as an agent does,
its FACTS before the report and its POINTS behind it in one piece.

The first second is a warm-up that is not measured: the first report of an agent that was connected for a while before it (here
because thousands of others were connected meanwhile) is taken in as of the past, which costs more, once.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "agent_sidecar")]

import uvloop  # noqa: E402

from rollcall_agent.wire import facts, frames, grid, points, report  # noqa: E402

NUMBER = struct.Struct("<Q")
HEAD = struct.Struct("<QQQQ")
"""seq, window_end_us, started, finished: the part of a report that changes here."""
NAME = "rollcall-ingest.rollcall-system.svc"
INTERVAL_S = 0.5
WARM_UP_S = 1.0
TICK_S = 0.01
BATCH = 100
WELCOMED_WITHIN_S = 120
ENDPOINTS = 50
POINT = points.Point(100, 2, 20_000, 10_000, 5_000, 1, 1, 0, 2)


class Agent(asyncio.Protocol):
    """One simulated agent: says HELLO, counts itself as welcomed, then sends when told. Where it has dependencies, each request
    has waited for one, and it tells as many points as it is asked for."""

    def __init__(self, number: int, welcomed: Callable[[], None], requests: int, dependencies: int = 0) -> None:
        self.number = number
        told = facts_of(number, requests, dependencies) if requests else None
        self.facts = bytearray(frames.encode(frames.FACTS, told)) if told is not None else bytearray()
        self.dependencies = dependencies
        self.points = b""
        self.seq = 0
        self.paused = False
        self._welcomed: Callable[[], None] | None = welcomed
        self.body = bytearray(frames.encode(frames.REPORT, report.pack({"histogram": histogram(number)})))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        hello = {"wire": 1, "token": str(self.number), "pod_uid": f"uid-{self.number}", "epoch": "e", "uptime_ms": 0}
        self.transport.write(frames.encode_json(frames.HELLO, hello))

    def data_received(self, data: bytes) -> None:
        if self._welcomed is not None:
            self._welcomed()
            self._welcomed = None
            self.define()
            told = json.loads(data[frames.PREFIX.size :])["points"] if self.dependencies else 0
            self.points = frames.encode(frames.POINTS, points.pack_points([POINT] * told)) if told else b""

    def define(self) -> None:
        """Name what FACTS are about."""
        if self.facts:
            names = ((index, f"GET /page/{index}") for index in range(1, ENDPOINTS + 1))
            self.transport.write(frames.encode(frames.DEFINE, facts.pack_names(facts.ENDPOINT_NAMES, names)))
        if self.dependencies:
            names = ((index, f"http host-{index}") for index in range(1, self.dependencies + 1))
            self.transport.write(frames.encode(frames.DEFINE, facts.pack_names(facts.DEPENDENCY_NAMES, names)))

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False

    def send(self) -> None:
        """The next report: five more requests."""
        self.seq += 1
        head = (self.seq, time.monotonic_ns() // 1000, 5 * self.seq, 5 * self.seq)
        HEAD.pack_into(self.body, frames.PREFIX.size, *head)
        if self.facts:
            NUMBER.pack_into(self.facts, frames.PREFIX.size, self.seq)
        self.transport.write(b"".join((self.facts, self.body, self.points)))


def facts_of(number: int, requests: int, dependencies: int = 0) -> bytes:
    """FACTS of so many requests: spread over endpoints and over two powers of two of response times; with dependencies, each
    has called one of them for half of its time."""
    records: Counter[tuple[int, int, int]] = Counter()
    middle = grid.bucket_of_ns(20_000_000)
    for request in range(requests):
        endpoint = 1 + request * 7 % ENDPOINTS
        records[facts.REQUESTS, endpoint, 0] += 1
        records[facts.DURATION, endpoint, 0] += 20_000
        records[facts.CELL, endpoint, middle + (number + request * 5) % 32 - 16] += 1
        if dependencies:
            called = 1 + request * 3 % dependencies
            records[facts.CALLS, called, 0] += 1
            records[facts.CALL_DURATION, called, 0] += 10_000
            records[facts.WAITED, called, 0] += 10_000
            records[facts.CALL_CELL, called, middle + (number + request * 5) % 32 - 32] += 1
    return facts.pack_facts(1, 0, ((kind, index, argument, value) for (kind, index, argument), value in records.items()))


def histogram(number: int) -> tuple[int, ...]:
    """Requests of a usual service: response times within two powers of two, around 20 ms."""
    counts = [0] * grid.BUCKETS
    middle = grid.bucket_of_ns(20_000_000)
    for step in range(-16, 17):
        counts[middle + step] = 100 + (number * 7 + step) % 50
    return tuple(counts)


def load(given: argparse.Namespace, tls: ssl.SSLContext | None) -> None:
    """Connect, send for a second, say what was sent; wait for a line, send for so many seconds, say what was sent in all; wait
    for the end of input."""

    async def run() -> None:
        agents = await connected(given, tls)
        await send_evenly(agents, WARM_UP_S)
        say_sent(agents)
        sys.stdin.readline()
        await (send_all_the_time(agents, given.seconds) if given.saturated else send_evenly(agents, given.seconds))
        say_sent(agents)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)

    uvloop.run(run())


async def connected(given: argparse.Namespace, tls: ssl.SSLContext | None) -> list[Agent]:
    """Agents that were welcomed."""
    loop = asyncio.get_running_loop()
    welcomed = asyncio.Semaphore(0)
    port = given.port
    agents = [Agent(number, welcomed.release, given.facts, given.dependencies) for number in range(given.connections)]
    for start in range(0, given.connections, BATCH):
        batch = agents[start : start + BATCH]
        name = NAME if tls else None
        await asyncio.gather(
            *(loop.create_connection(lambda a=agent: a, "127.0.0.1", port, ssl=tls, server_hostname=name) for agent in batch)  # type: ignore[misc]
        )
        for _ in batch:
            await asyncio.wait_for(welcomed.acquire(), WELCOMED_WITHIN_S)
    return agents


def say_sent(agents: list[Agent]) -> None:
    """One line: how many reports were sent until now."""
    print(json.dumps({"sent": sum(agent.seq for agent in agents)}), flush=True)


async def send_evenly(agents: list[Agent], seconds: float) -> None:
    began_s = time.monotonic()
    sent = 0
    while (elapsed_s := time.monotonic() - began_s) < seconds:
        due = int(elapsed_s / INTERVAL_S * len(agents))
        while sent < due:
            agents[sent % len(agents)].send()
            sent += 1
        await asyncio.sleep(TICK_S)


async def send_all_the_time(agents: list[Agent], seconds: float) -> None:
    began_s = time.monotonic()
    while time.monotonic() - began_s < seconds:
        for agent in agents:
            if not agent.paused:
                agent.send()
        await asyncio.sleep(0)


def main() -> None:
    """Load as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--facts", type=int, default=0, help="requests that each agent tells of with each report")
    parser.add_argument("--dependencies", type=int, default=0, help="dependencies that requests call; points are told too then")
    parser.add_argument("--authority", type=Path, help="speak TLS with a server that this certificate vouches for")
    parser.add_argument("--saturated", action="store_true", help="send as fast as reports are taken")
    given = parser.parse_args()
    tls = ssl.create_default_context(cafile=str(given.authority)) if given.authority else None
    load(given, tls)


if __name__ == "__main__":
    main()
