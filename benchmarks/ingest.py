"""CPU per report of the real ingest server, next to a C server that reads the same bytes and adds the same vectors.

    python benchmarks/ingest.py [--connections 100,1000,10000] [--seconds 4] [--rounds 2] [--facts 25] [--everything]

Each server runs on a processor of its own, its load (agents that send 2 reports a second each, spread evenly) on another; CPU
is the kernel's count for the server's thread, so it holds everything that a report causes there: network, decoding, the
fold four times a second. Servers take turns and the best round of each counts, because others may use the machine. A last
line per server is saturated: reports as fast as they are taken. With --facts, each report comes with FACTS of so many requests
over 50 endpoints. With --everything, without C, each of them has called one of 20 dependencies, the agents tell as many POINTS
as they are asked for, and the age of the newest reports right after a fold is shown (up to half a second of it is the agent's).
Memory is what each connection adds to the server, of which only the operator's is judged. Bounds (performance.md): 2.5 times C
per report; 10,000 agents at 2 reports a second 20 % of a core plain, 60 % with TLS; nothing dropped; 40 KiB per pod.

The servers are `ingest_server.py` and `ingest_bound.c`, the load is `ingest_load.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "operator"), str(HERE.parent / "agent_sidecar")]

from rollcall.control.certificates import renewed  # noqa: E402

NAME = "rollcall-ingest.rollcall-system.svc"
SERVERS = ("C", "plain", "TLS")
DEPENDENCIES, REQUESTS = 20, 25
"""Of --everything: dependencies, and requests in each FACTS."""
BUSY = 1000
"""With fewer agents the cost is that of being awake and of folding four times a second: shown, but no cost per report."""
SATURATED = 50
"""Connections of the saturated line."""
POLL_S = 0.02
QUIET_S = 0.5
"""When no report was taken in for so long, none is on its way."""


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
    lost: int = 0
    """FACTS, points and events that were not taken, and connections sent away."""
    p50_ms: int = 0
    p99_ms: int = 0
    """Age of the agents' newest reports at the folds."""

    @property
    def microseconds(self) -> float:
        """CPU per report."""
        return self.cpu_s / self.reports * 1e6

    def share(self, agents: int | None) -> float:
        """Of one core, while so many agents report twice a second, also when the load could not keep up; None: as sent."""
        return self.cpu_s / self.wall_s if agents is None else self.microseconds * 2 * agents / 1e6


class Child:
    """A role of this benchmark in a process of its own, on one processor."""

    def __init__(self, command: list[str], cpu: int, files: tuple[int, ...] = ()) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=files)
        os.sched_setaffinity(self._process.pid, {cpu})

    def ask(self) -> dict[str, int]:
        """Say a line and read the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self.read()

    def read(self) -> dict[str, int]:
        """The next line that it says."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit("a process of the benchmark ended early")
        return dict(json.loads(line))

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
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        port, fd = listener.getsockname()[1], listener.fileno()
        with running(tools.serving(server, fd, connections), tools.cpus[0], (fd,)) as served:
            listener.close()
            served.ask()
            empty_kib = served.resident_kib()
            with running(tools.loading(server, port, connections, seconds, saturated), tools.cpus[1]) as loading:
                warm = settled(served, 0, loading.read()["sent"])["reports"]
                cpu_s, began_s = served.cpu_s(), time.monotonic()
                sent = loading.ask()["sent"] - warm
                wall_s = time.monotonic() - began_s
                now = served.ask()
                ages = now.get("p50_ms", 0), now.get("p99_ms", 0)
                taken = settled(served, warm, sent)
                cpu_s = served.cpu_s() - cpu_s
                kib = (served.resident_kib() - empty_kib) / connections
                return Cost(cpu_s, wall_s, taken["reports"] - warm, sent, kib, lost(taken, tools), *ages)


def settled(served: Child, before: int, sent: int) -> dict[str, int]:
    """What was taken in since there were `before` reports, as soon as all that were sent are, or no more come."""
    last, quiet_since_s = -1, time.monotonic()
    while (found := served.ask())["reports"] - before != sent and time.monotonic() - quiet_since_s < QUIET_S:
        if found["reports"] != last:
            last, quiet_since_s = found["reports"], time.monotonic()
        time.sleep(POLL_S)
    return found


def lost(taken: dict[str, int], tools: Tools) -> int:
    """What was not taken beside reports."""
    return taken.get("dropped", 0) + (taken["reports"] - taken["facts"] if tools.requests and "facts" in taken else 0)


@dataclass(frozen=True)
class Tools:
    """The compiled bound, files with certificates, the processors for server and load, the requests of each FACTS, and whether
    agents tell everything."""

    bound: str
    certificates: str
    authority: str
    cpus: tuple[int, int]
    requests: int
    everything: bool

    def serving(self, server: str, fd: int, connections: int) -> list[str]:
        """The command of a server on an inherited socket."""
        if server == "C":
            return [self.bound, str(fd)]
        command = [sys.executable, str(HERE / "ingest_server.py"), "--socket", str(fd), "--connections", str(connections)]
        command += ["--ages"] if self.everything else []
        return [*command, "--certificates", self.certificates] if server == "TLS" else command

    def loading(self, server: str, port: int, connections: int, seconds: float, saturated: bool) -> list[str]:
        """The command of a load on a server at that port."""
        command = [sys.executable, str(HERE / "ingest_load.py"), "--port", str(port), "--connections", str(connections)]
        command += ["--seconds", str(seconds), "--facts", str(self.requests)]
        command += ["--dependencies", str(DEPENDENCIES)] if self.everything else []
        command += ["--authority", self.authority] if server == "TLS" else []
        return [*command, "--saturated"] if saturated else command


@contextmanager
def tools(requests: int, *, everything: bool) -> Iterator[Tools]:
    """Compile the bound and make certificates in a temporary folder."""
    available = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="rollcall-bench-") as folder:
        bound = f"{folder}/ingest_bound"
        subprocess.run(["gcc", "-O2", "-march=native", "-o", bound, str(HERE / "ingest_bound.c")], check=True)
        made = renewed(None, [NAME], datetime.now(UTC))
        certificates = Path(folder, "certificates.json")
        certificates.write_text(json.dumps({key: value.decode() for key, value in made.to_data().items()}))
        authority = Path(folder, "authority.pem")
        authority.write_bytes(made.bundle)
        yield Tools(bound, str(certificates), str(authority), (available[-1], available[0]), requests, everything)


# --- the table


def compare(sizes: list[int], seconds: float, rounds: int, requests: int, *, everything: bool) -> None:
    """Measure everything, print a line as soon as it is known."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sizes = [size for size in sizes if size <= most - 200]
    servers = SERVERS[1:] if everything else SERVERS
    head = f"{'agents':>10} {'server':>7} {'reports/s':>10} {'µs/report':>10} {'x C':>6} {'core':>7}"
    ages = f" {'p50 ms':>7} {'p99 ms':>7}" if everything else ""
    print(f"{head} {'dropped':>8} {'KiB/agent':>9}{ages}   bound")
    with tools(requests, everything=everything) as ready:
        saturated_too = [(SATURATED, True)] if not requests else []  # so many FACTS of one agent would be refused
        for connections, saturated in [*((size, False) for size in sizes), *saturated_too]:
            best: dict[str, Cost] = {}
            for _ in range(rounds):
                for server in servers:
                    found = measure(server, connections, seconds, ready, saturated=saturated)
                    if server not in best or found.microseconds < best[server].microseconds:
                        best[server] = found
            for server in servers:
                print(line(connections, server, best[server], best.get("C"), saturated), flush=True)


def line(connections: int, server: str, cost: Cost, bound: Cost | None, saturated: bool) -> str:
    """One line of the table; without a `bound` to compare with it has the ages of reports."""
    ratio = cost.microseconds / bound.microseconds if bound is not None else None
    share = cost.share(None if saturated else connections)
    wanted = []
    if server == "plain" and ratio is not None and (saturated or connections >= BUSY):
        wanted.append(("≤ 2.5 x C", ratio <= 2.5))
    if connections == 10_000 and (server == "TLS" or (server == "plain" and ratio is not None)):
        limit = 0.2 if server == "plain" else 0.6
        wanted.append((f"≤ {limit:.0%} of a core", share <= limit))
    if server != "C" and connections >= BUSY and not saturated:
        wanted.append(("≤ 40 KiB", cost.kib <= 40))
    dropped = cost.sent - cost.reports + cost.lost
    if dropped:
        wanted.append(("nothing dropped", False))
    verdict = ", ".join(f"{text} {'met' if met else 'MISSED'}" for text, met in wanted)
    agents = "saturated" if saturated else str(connections)
    ages = f" {cost.p50_ms:>7} {cost.p99_ms:>7}" if ratio is None else ""
    return (
        f"{agents:>10} {server:>7} {cost.reports / cost.wall_s:>10.0f} {cost.microseconds:>10.2f} "
        f"{'-' if ratio is None else format(ratio, '.2f'):>6} {share:>7.1%} {dropped:>8} {cost.kib:>9.1f}{ages}   {verdict}"
    )


def main() -> None:
    """Compare as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", default="100,1000,10000", help="numbers of agents, by commas")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=2, help="measurements of each, of which the best counts")
    parser.add_argument("--facts", type=int, default=0, help="requests that each agent tells of with each report")
    parser.add_argument("--everything", action="store_true", help="dependencies and points too; 25 requests unless said")
    given = parser.parse_args()
    requests = given.facts or (REQUESTS if given.everything else 0)
    sizes = [int(size) for size in given.connections.split(",")]
    compare(sizes, given.seconds, given.rounds, requests, everything=given.everything)


if __name__ == "__main__":
    main()
