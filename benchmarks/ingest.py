"""CPU per report of the real ingest server, next to a C server that reads the same bytes and adds the same vectors.

    python benchmarks/ingest.py [--connections 100,1000,10000] [--seconds 4] [--rounds 2] [--facts 50]

Each server runs on a processor of its own, its load (agents that send 2 reports a second each, spread evenly) on another; CPU
is the kernel's count for the server's thread, so it holds everything that a report causes there: network, decoding, the
fold four times a second. Servers take turns and the best round of each counts, because others may use the machine. A last
line per server is saturated: reports as fast as they are taken. With --facts, each report comes with FACTS of so many requests
over 50 endpoints. Memory is what each connection adds to the server, of which only the operator's is judged. Bounds
(performance.md): 2.5 times C per report; 10,000 agents at 2 reports a second 20 % of a core plain, 60 % with TLS; nothing
dropped; 40 KiB per pod.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "operator"), str(ROOT / "agent_sidecar")]

import uvloop  # noqa: E402

from rollcall.control.certificates import Certificates, load_into, renewed  # noqa: E402
from rollcall.ingest.agent import Door  # noqa: E402
from rollcall.ingest.server import protocols  # noqa: E402
from rollcall.kube.review import PodIdentity  # noqa: E402
from rollcall.model.fleet import Fleet  # noqa: E402
from rollcall.model.roll import Roll  # noqa: E402
from rollcall.model.states import PodFacts  # noqa: E402
from rollcall_agent.wire import facts, frames, grid, report  # noqa: E402

NUMBER = struct.Struct("<Q")
HEAD = struct.Struct("<QQQQ")
"""seq, window_end_us, started, finished: the part of a report that changes here."""
NAME = "rollcall-ingest.rollcall-system.svc"
SERVERS = ("C", "plain", "TLS")
INTERVAL_S = 0.5
FOLD_S = 0.25
TICK_S = 0.01
WELCOMED_WITHIN_S = 120
BUSY = 1000
"""With fewer agents the cost is that of being awake and of folding four times a second: shown, but no cost per report."""
ENDPOINTS = 50
SATURATED = 50
"""Connections of the saturated line."""


# --- the servers


def serve(listener: socket.socket, certificates: Certificates | None, connections: int) -> None:
    """The operator's own server with its fold, for as many pods as there will be connections."""

    async def run() -> None:
        roll, fleet = Roll(), Fleet("shop", "newsfeed")
        roll.add(fleet)
        for number in range(connections):
            fleet.upsert(PodFacts(f"uid-{number}", f"pod-{number}", "shop", running=True, ready=True, injected=True))
        door = Door(roll, identify, time.monotonic, "0.1.0", hello_within_s=WELCOMED_WITHIN_S)
        loop = asyncio.get_running_loop()
        answers = asyncio.create_task(answer(door, fleet))
        tls = None
        if certificates is not None:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            load_into(tls, certificates)
        server = await loop.create_server(protocols(door, tls), sock=listener)
        while not answers.done():
            roll.fold(time.monotonic(), time.time())
            await asyncio.sleep(FOLD_S)
        server.close()

    uvloop.run(run())


async def identify(token: str) -> PodIdentity:
    """Tokens are pod numbers here: what a TokenReview costs is the API server's affair."""
    return PodIdentity("shop", f"pod-{token}", f"uid-{token}")


async def answer(door: Door, fleet: Fleet) -> None:
    """A line on standard input is answered by what was counted, its end ends the server."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while await reader.readline():
        print(json.dumps({"reports": door.counters.reports, "finished": fleet.totals().requests}), flush=True)


# --- the load


class Agent(asyncio.Protocol):
    """One simulated agent: says HELLO, counts itself as welcomed, then sends when told."""

    def __init__(self, number: int, welcomed: Callable[[], None], requests: int) -> None:
        self.number = number
        self.facts = bytearray(frames.encode(frames.FACTS, facts_of(number, requests))) if requests else bytearray()
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
            if self.facts:
                names = ((index, f"GET /page/{index}") for index in range(1, ENDPOINTS + 1))
                self.transport.write(frames.encode(frames.DEFINE, facts.pack_names(facts.ENDPOINT_NAMES, names)))

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
        self.transport.write(bytes(self.facts) + bytes(self.body))


def facts_of(number: int, requests: int) -> bytes:
    """FACTS of so many requests: spread over endpoints and over two powers of two of response times."""
    records: Counter[tuple[int, int, int]] = Counter()
    middle = grid.bucket_of_ns(20_000_000)
    for request in range(requests):
        endpoint = 1 + request * 7 % ENDPOINTS
        records[facts.REQUESTS, endpoint, 0] += 1
        records[facts.DURATION, endpoint, 0] += 20_000
        records[facts.CELL, endpoint, middle + (number + request * 5) % 32 - 16] += 1
    return facts.pack_facts(1, 0, ((kind, index, argument, value) for (kind, index, argument), value in records.items()))


def histogram(number: int) -> tuple[int, ...]:
    """Requests of a usual service: response times within two powers of two, around 20 ms."""
    counts = [0] * grid.BUCKETS
    middle = grid.bucket_of_ns(20_000_000)
    for step in range(-16, 17):
        counts[middle + step] = 100 + (number * 7 + step) % 50
    return tuple(counts)


def load(port: int, connections: int, seconds: float, requests: int, *, tls: ssl.SSLContext | None, saturated: bool) -> None:
    """Connect, say "ready", wait for a line, send for so many seconds, say what was sent, wait for the end of input."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        welcomed = asyncio.Semaphore(0)
        agents: list[Agent] = []
        for start in range(0, connections, 100):
            batch = [Agent(number, welcomed.release, requests) for number in range(start, min(start + 100, connections))]
            name = NAME if tls else None
            await asyncio.gather(
                *(
                    loop.create_connection(lambda a=agent: a, "127.0.0.1", port, ssl=tls, server_hostname=name)
                    for agent in batch
                )  # type: ignore[misc]
            )
            for _ in batch:
                await asyncio.wait_for(welcomed.acquire(), WELCOMED_WITHIN_S)
            agents += batch
        print("ready", flush=True)
        sys.stdin.readline()
        await (send_all_the_time(agents, seconds) if saturated else send_evenly(agents, seconds))
        print(json.dumps({"sent": sum(agent.seq for agent in agents)}), flush=True)
        await loop.run_in_executor(None, sys.stdin.readline)

    uvloop.run(run())


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


# --- one measurement


@dataclass(frozen=True)
class Cost:
    """What a server used while it took in `reports` of the `sent`."""

    cpu_s: float
    wall_s: float
    reports: int
    sent: int
    kib: float
    """Resident memory that each connection added."""

    @property
    def microseconds(self) -> float:
        """CPU per report."""
        return self.cpu_s / self.reports * 1e6

    @property
    def share(self) -> float:
        """Of one core."""
        return self.cpu_s / self.wall_s


class Child:
    """A role of this benchmark in a process of its own, on one processor."""

    def __init__(self, command: list[str], cpu: int, files: tuple[int, ...] = ()) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=files)
        os.sched_setaffinity(self._process.pid, {cpu})

    def ask(self, line: str = "\n") -> dict[str, int]:
        """Say a line and read the answer."""
        self.say(line)
        return dict(json.loads(self.read()))

    def say(self, line: str = "\n") -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()

    def read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a process of the benchmark ended early")
        return line

    def cpu_s(self) -> float:
        """CPU of its only busy thread, system and user, by the scheduler's count in nanoseconds."""
        return int(Path(f"/proc/{self._process.pid}/schedstat").read_text().split()[0]) / 1e9

    def resident_kib(self) -> int:
        """Memory that the process has now."""
        return int(Path(f"/proc/{self._process.pid}/status").read_text().partition("VmRSS:")[2].split()[0])

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def running(role: list[str], cpu: int, files: tuple[int, ...] = ()) -> Iterator[Child]:
    child = Child(role, cpu, files)
    try:
        yield child
    finally:
        child.end()


def measure(server: str, connections: int, seconds: float, tools: Tools, *, saturated: bool = False) -> Cost:
    """One server, one load, one figure."""
    own = [
        sys.executable,
        __file__,
        "--connections",
        str(connections),
        "--seconds",
        str(seconds),
        "--certificates",
        tools.certificates,
        "--facts",
        str(tools.requests),
    ]
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        port, fd = listener.getsockname()[1], str(listener.fileno())
        command = [tools.bound, fd] if server == "C" else [*own, "--role", f"serve-{server}", "--socket", fd]
        with running(command, tools.cpus[0], (listener.fileno(),)) as served:
            listener.close()
            served.ask()
            empty_kib = served.resident_kib()
            pressing = [*own, "--role", f"load-{server}", "--socket", str(port), *(["--saturated"] if saturated else [])]
            with running(pressing, tools.cpus[1]) as loading:
                loading.read()
                before, cpu_s, began_s = served.ask()["reports"], served.cpu_s(), time.monotonic()
                loading.say()
                sent = int(json.loads(loading.read())["sent"])
                wall_s = time.monotonic() - began_s
                reports = last = -1
                while (reports := served.ask()["reports"] - before) not in (sent, last):
                    last = reports
                    time.sleep(0.3)
                kib = (served.resident_kib() - empty_kib) / connections
                return Cost(served.cpu_s() - cpu_s, wall_s, reports, sent, kib)


@dataclass(frozen=True)
class Tools:
    """The compiled bound, a file with certificates, the processors for server and load, and the requests of each FACTS."""

    bound: str
    certificates: str
    cpus: tuple[int, int]
    requests: int


@contextmanager
def tools(requests: int) -> Iterator[Tools]:
    """Compile the bound and make certificates in a temporary folder."""
    available = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="rollcall-bench-") as folder:
        bound = f"{folder}/ingest_bound"
        subprocess.run(
            ["gcc", "-O2", "-march=native", "-o", bound, str(Path(__file__).with_suffix("")) + "_bound.c"], check=True
        )
        made = renewed(None, [NAME], datetime.now(UTC))
        certificates = Path(folder, "certificates.json")
        certificates.write_text(json.dumps({key: value.decode() for key, value in made.to_data().items()}))
        yield Tools(bound, str(certificates), (available[-1], available[0]), requests)


# --- the table


def compare(sizes: list[int], seconds: float, rounds: int, requests: int) -> None:
    """Measure everything, print a line as soon as it is known."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sizes = [size for size in sizes if size <= most - 200]
    head = f"{'agents':>10} {'server':>7} {'reports/s':>10} {'µs/report':>10} {'x C':>6} {'core':>7}"
    print(f"{head} {'dropped':>8} {'KiB/agent':>9}   bound")
    with tools(requests) as ready:
        saturated_too = [(SATURATED, True)] if not requests else []  # so many FACTS of one agent would be refused
        for connections, saturated in [*((size, False) for size in sizes), *saturated_too]:
            best: dict[str, Cost] = {}
            for _ in range(rounds):
                for server in SERVERS:
                    found = measure(server, connections, seconds, ready, saturated=saturated)
                    if server not in best or found.microseconds < best[server].microseconds:
                        best[server] = found
            for server in SERVERS:
                print(line(connections, server, best[server], best["C"], saturated), flush=True)


def line(connections: int, server: str, cost: Cost, bound: Cost, saturated: bool) -> str:
    ratio = cost.microseconds / bound.microseconds
    wanted = []
    if server == "plain" and (saturated or connections >= BUSY):
        wanted.append(("≤ 2.5 x C", ratio <= 2.5))
    if connections == 10_000 and server != "C":
        limit = 0.2 if server == "plain" else 0.6
        wanted.append((f"≤ {limit:.0%} of a core", cost.share <= limit))
    if server != "C" and connections >= BUSY and not saturated:
        wanted.append(("≤ 40 KiB", cost.kib <= 40))
    if cost.sent != cost.reports:
        wanted.append(("nothing dropped", False))
    verdict = ", ".join(f"{text} {'met' if met else 'MISSED'}" for text, met in wanted)
    agents = "saturated" if saturated else str(connections)
    return (
        f"{agents:>10} {server:>7} {cost.reports / cost.wall_s:>10.0f} {cost.microseconds:>10.2f} {ratio:>6.2f} "
        f"{cost.share:>7.1%} {cost.sent - cost.reports:>8} {cost.kib:>9.1f}   {verdict}"
    )


def main() -> None:
    """Play the role that the arguments name; without one, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", default="100,1000,10000", help="numbers of agents, by commas")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=2, help="measurements of each, of which the best counts")
    parser.add_argument("--facts", type=int, default=0, help="requests that each agent tells of with each report")
    for hidden in ("--role", "--socket", "--certificates"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--saturated", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.role is None:
        compare([int(size) for size in given.connections.split(",")], given.seconds, given.rounds, given.facts)
        return
    role, server = given.role.split("-")
    certificates = None
    if server == "TLS":
        texts = json.loads(Path(given.certificates).read_text())
        certificates = Certificates.from_data({key: text.encode() for key, text in texts.items()})
    if role == "serve":
        serve(socket.socket(fileno=int(given.socket)), certificates, int(given.connections))
    else:
        tls = ssl.create_default_context(cadata=certificates.bundle.decode()) if certificates else None
        load(int(given.socket), int(given.connections), given.seconds, given.facts, tls=tls, saturated=given.saturated)


if __name__ == "__main__":
    main()
