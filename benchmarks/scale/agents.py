"""Thousands of agents in one process: TLS, real tokens, two reports a second each with FACTS of 25 requests to 50 endpoints;
they come back after a broken connection as the agent does.

A line of JSON on standard input is one order, answered by a line: {"add": [[uid, token], …]}, {"drop": [uid, …]},
{"pause": true} and false, {"interval": seconds} between two reports of an agent, {} for the figures alone. What a report counts
as finished are the milliseconds since the machine began: whoever sees that number later knows how old it is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import ssl
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "agent_sidecar"), str(ROOT / "benchmarks")]

import uvloop  # noqa: E402
from ingest_load import ENDPOINTS, HEAD, NUMBER, facts_of, histogram  # noqa: E402

from rollcall_agent.uplink import FIRST_BACKOFF_S, LAST_BACKOFF_S  # noqa: E402
from rollcall_agent.wire import facts, frames, report  # noqa: E402

INTERVAL_S, TICK_S = 0.5, 0.01
REQUESTS = 25
NAME = "rollcall-ingest.rollcall-system.svc"
MOST_OPENING = 400
"""So many handshakes at a time: a process of one agent has none to wait for."""


class Agent(asyncio.Protocol):
    """One agent, over all its connections."""

    def __init__(self, world: World, number: int, uid: str, token: str) -> None:
        self.uid = uid
        self.welcomed = False
        self.dropped = False
        self.paused = False
        self._world = world
        self._token = token
        self._epoch = f"{random.getrandbits(64):016x}"
        self._backoff_s = FIRST_BACKOFF_S
        self._transport: Any = None
        self._decoder = frames.Decoder()
        self._seq = 0
        self._told = 0
        values = {"histogram": histogram(number % 50), "flags": report.FLAG_PROBE, "workers": 2}
        self._body = bytearray(frames.encode(frames.REPORT, report.pack(values)))
        self._facts = bytearray(frames.encode(frames.FACTS, world.facts[number % len(world.facts)]))

    async def connect(self) -> None:
        """Open the next connection, and try again as long as it takes."""
        loop = asyncio.get_running_loop()
        while not self.dropped:
            try:
                async with self._world.opening:
                    tls, name = self._world.tls, NAME if self._world.tls else None
                    await loop.create_connection(lambda: self, "127.0.0.1", self._world.port, ssl=tls, server_hostname=name)
            except OSError:
                await self._pause()
            else:
                return

    async def _pause(self) -> None:
        await asyncio.sleep(random.uniform(0, self._backoff_s))
        self._backoff_s = min(2 * self._backoff_s, LAST_BACKOFF_S)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._decoder, self._seq = transport, frames.Decoder(), 0
        uptime_ms = round((time.monotonic() - self._world.began_s) * 1000)
        hello = {"wire": 1, "agent": "0.1.0", "epoch": self._epoch, "token": self._token, "pod_uid": self.uid}
        self._transport.write(frames.encode_json(frames.HELLO, hello | {"runtimes": ["python"], "uptime_ms": uptime_ms}))

    def connection_lost(self, exc: Exception | None) -> None:
        self.welcomed = False
        if not self.dropped:
            self._world.begin(self._again())

    async def _again(self) -> None:
        await self._pause()
        await self.connect()

    def data_received(self, data: bytes) -> None:
        for kind, body in self._decoder.feed(data):
            if kind == frames.WELCOME:
                self._welcome(json.loads(body))
            elif kind == frames.GOODBYE:
                code = json.loads(body)["code"]
                self._world.goodbyes[code] = self._world.goodbyes.get(code, 0) + 1

    def _welcome(self, said: dict[str, Any]) -> None:
        if not self.welcomed:
            names = ((index, f"GET /page/{index}") for index in range(1, ENDPOINTS + 1))
            self._transport.write(frames.encode(frames.DEFINE, facts.pack_names(facts.ENDPOINT_NAMES, names)))
        self.welcomed, self._backoff_s = True, FIRST_BACKOFF_S
        if "facts" in said:
            self._told = said["facts"]
        self._wanted = "facts" in said

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False

    def send(self) -> bool:
        """The next report, when it can be sent."""
        if not self.welcomed or self.paused or self._transport.is_closing():
            return False
        self._seq += 1
        now_us = time.monotonic_ns() // 1000
        HEAD.pack_into(self._body, frames.PREFIX.size, self._seq, now_us, now_us // 1000, now_us // 1000)
        if self._wanted:
            self._told += 1
            NUMBER.pack_into(self._facts, frames.PREFIX.size, self._told)
            self._transport.write(b"".join((self._facts, self._body)))
        else:
            self._transport.write(bytes(self._body))
        return True

    def drop(self) -> None:
        """The pod is gone."""
        self.dropped = True
        if self._transport is not None:
            self._transport.close()


class World:
    """All agents of this process."""

    def __init__(self, port: int, tls: ssl.SSLContext | None) -> None:
        self.port, self.tls = port, tls
        self.facts = [facts_of(number, REQUESTS) for number in range(50)]
        self.goodbyes: dict[str, int] = {}
        self.began_s = time.monotonic()
        self.opening = asyncio.Semaphore(MOST_OPENING)
        self._agents: dict[str, Agent] = {}
        self._made = 0
        self._sent = self._skipped = 0
        self._paused = False
        self._interval_s = INTERVAL_S
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Any) -> None:
        """Something that goes on beside."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def order(self, order: dict[str, Any]) -> dict[str, Any]:
        """Do as told, and say how things are."""
        for uid, token in order.get("add", ()):
            self._agents[uid] = agent = Agent(self, self._made, uid, token)
            self._made += 1
            self.begin(agent.connect())
        for uid in order.get("drop", ()):
            self._agents.pop(uid).drop()
        self._paused = order.get("pause", self._paused)
        self._interval_s = order.get("interval", self._interval_s)
        welcomed = sum(agent.welcomed for agent in self._agents.values())
        figures = {"agents": len(self._agents), "welcomed": welcomed, "sent": self._sent, "skipped": self._skipped}
        return figures | {"goodbyes": self.goodbyes}

    async def send(self) -> None:
        """Two reports a second of everybody, evenly."""
        began_s, sent = time.monotonic(), 0.0
        ring: list[Agent] = []
        at = 0
        while True:
            now_s = time.monotonic()
            due = min((now_s - began_s) / self._interval_s * len(self._agents), 2 * len(self._agents))
            began_s = now_s
            sent += due
            while sent >= 1:
                sent -= 1
                if at >= len(ring):
                    ring, at = list(self._agents.values()), 0
                if at < len(ring) and not ring[at].dropped and not self._paused:
                    done = ring[at].send()
                    self._sent += done
                    self._skipped += not done
                at += 1
            await asyncio.sleep(TICK_S)


async def run(port: int, authority: Path | None) -> None:
    """Until the end of input."""
    world = World(port, ssl.create_default_context(cafile=str(authority)) if authority else None)
    world.begin(world.send())
    reader = asyncio.StreamReader(limit=2**26)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        print(json.dumps(world.order(json.loads(line))), flush=True)


def main() -> None:
    """As the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=10251)
    parser.add_argument("--authority", type=Path, help="speak TLS with an operator that this certificate vouches for")
    given = parser.parse_args()
    uvloop.run(run(given.port, given.authority))


if __name__ == "__main__":
    main()
