"""What the PHP probe adds to a request of php-fpm, whole and by part, and to a call that is told.

    python benchmarks/php_probe.py [--rounds 30] [--requests 100]

Two php-fpm of the same configuration, with one worker each and opcache, are called over their unix sockets in turns, round by
round: one bare, one with the probe and the real agent behind it. A round's figure is the CPU time that the worker process used
per request (/proc/PID/schedstat); the table shows medians, the added cost is the median of the rounds' differences. Parts are
differences between rows: visitors = with the agent's file of visitors, errors = a request that warns or fails. The script reads
$_SERVER, as every front controller does: PHP makes that table when a script first asks for it.
Bound: 30 µs per request with everything on, without the extension uopz; 10 µs per call of a dependency that uopz has the probe
tell, up to 80 in 100 ms; those beyond are counted only. A call is the execution of a prepared `select 1` in memory.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "agent_sidecar")]

from tests.unit.agent.pod import Pod, poll_until  # noqa: E402
from tests.unit.probes.fastcgi import call  # noqa: E402
from tests.unit.probes.fpm import Fpm  # noqa: E402

APPS = Path(__file__).parents[1] / "tests/unit/probes/apps"
FAULTS = APPS / "faults.php"
BOUND_US = 30.0
CALL_BOUND_US = 10.0
CALLS = {"a call that is told and counted": "cost", "a call that is counted only": "burst"}
VISITORS = "cookie:sid\n00112233445566778899aabbccddeeff\n"
COOKIE = {"HTTP_COOKIE": "theme=dark; sid=0123456789abcdef"}
INI = "display_errors=Off\nlog_errors=Off\nerror_reporting=-1\n"
UOPZ = "uopz.exit=1\n"
Pair = tuple[float, float]


class Row(NamedTuple):
    """What is compared: a kind of request, with visitors counted or not."""

    title: str
    mode: str
    visitors: bool
    bounded: bool = False


# Extensions of PHP, and what is measured with them.
GROUPS: tuple[tuple[tuple[str, ...], tuple[Row, ...]], ...] = (
    (
        (),
        (
            Row("begin and end", "hello", False),
            Row("with visitors", "hello", True, bounded=True),
            Row("with visitors, a warning", "warning", True),
            Row("with visitors, an uncaught exception", "uncaught", True),
        ),
    ),
    (("excimer",), (Row("with visitors, excimer loaded", "hello", True),)),
    (("uopz", "pdo", "pdo_sqlite"), (Row("with visitors, uopz loaded", "hello", True),)),
)


def cpu_us(pid: int) -> float:
    """CPU time that a process has used."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1000


class Server:
    """A php-fpm with one worker and the probe or without."""

    def __init__(self, folder: Path, probe: bool, extensions: tuple[str, ...]) -> None:
        folder.mkdir()
        self.pod = Pod(folder, "localhost:9", None)
        if probe:
            self.pod.start_agent()
            poll_until((self.pod.run / "php.sock").exists, "the agent listens")
        self._fpm = Fpm(self.pod, probe=probe, ini=INI + UOPZ, extensions=extensions, workers=1)
        [self._worker] = self.pod.children(self._fpm.process)
        self.visitors = self.pod.run / "agent" / "visitors"

    def round(self, mode: str, requests: int) -> float:
        """CPU µs per request of the worker."""
        before = cpu_us(self._worker)
        for _ in range(requests):
            call(self._fpm.socket, FAULTS, f"m={mode}", **COOKIE)
        return (cpu_us(self._worker) - before) / requests

    def call_us(self, mode: str) -> float:
        """Time per call, as the script measures it."""
        return int(call(self._fpm.socket, APPS / "waits.php", f"m={mode}").rpartition(b"\n")[2]) / 1000

    def close(self) -> None:
        self.pod.__exit__()


def measure(folder: Path, extensions: tuple[str, ...], rows: tuple[Row, ...], options: argparse.Namespace) -> list[list[Pair]]:
    """(bare, with the probe) of each round, in µs, for each row; all rows take turns."""
    servers = {name: Server(folder / name, name != "bare", extensions) for name in ("bare", "probe", "visitors")}
    try:
        servers["visitors"].visitors.write_text(VISITORS)
        for server in servers.values():
            for row in rows:
                server.round(row.mode, 100)
        times: list[list[Pair]] = [[] for _ in rows]
        for number in range(options.rounds):
            for row, found in zip(rows, times, strict=True):
                names = ["bare", "visitors" if row.visitors else "probe"]
                used = {
                    name: servers[name].round(row.mode, options.requests) for name in (names if number % 2 else names[::-1])
                }
                found.append((used[names[0]], used[names[1]]))
                time.sleep(0.1)  # the agent reads every 100 ms
    finally:
        for server in servers.values():
            server.close()
    return times


def measure_calls(folder: Path, rounds: int) -> dict[str, list[Pair]]:
    """(bare, with probe and uopz) of each round, in µs, by kind of call."""
    clients = ("pdo", "pdo_sqlite")
    servers = {
        name: Server(folder / name, name != "bare", (("uopz",) if name != "bare" else ()) + clients)
        for name in ("bare", "probe")
    }
    try:
        return {
            title: [(servers["bare"].call_us(mode), servers["probe"].call_us(mode)) for _ in range(rounds)]
            for title, mode in CALLS.items()
        }
    finally:
        for server in servers.values():
            server.close()


def main() -> int:
    """Measure, print the table; exit code 1 when the bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--requests", type=int, default=100, help="requests per round; more than 130 overflow the stream")
    options = parser.parse_args()
    held = True
    print(f"{'request':40}{'bare µs':>9}{'probe µs':>10}{'added µs':>10}{'bound':>7}")
    for extensions, rows in GROUPS:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            times = measure(Path(folder), extensions, rows, options)
        for row, pairs in zip(rows, times, strict=True):
            bare, probe = (statistics.median(pair[index] for pair in pairs) for index in (0, 1))
            added = statistics.median(b - a for a, b in pairs)
            held = held and (not row.bounded or added <= BOUND_US)
            bound = f"{BOUND_US:.0f}" if row.bounded else ""
            print(f"{row.title:40}{bare:>9.1f}{probe:>10.1f}{added:>10.1f}{bound:>7}", flush=True)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        for title, pairs in measure_calls(Path(folder), max(3, options.rounds // 6)).items():
            bare, probe = (statistics.median(pair[index] for pair in pairs) for index in (0, 1))
            added = statistics.median(b - a for a, b in pairs)
            held = held and added <= CALL_BOUND_US
            print(f"{title:40}{bare:>9.1f}{probe:>10.1f}{added:>10.1f}{CALL_BOUND_US:>7.0f}", flush=True)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
