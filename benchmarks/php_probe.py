"""What the PHP probe adds to a request of php-fpm, whole and by part.

    python benchmarks/php_probe.py [--rounds 30] [--requests 100]

Two php-fpm of the same configuration, with one worker each and opcache, are called over their unix sockets in turns, round by
round: one bare, one with the probe and the real agent behind it. A round's figure is the CPU time that the worker process used
per request (/proc/PID/schedstat); the table shows medians, the added cost is the median of the rounds' differences. Parts are
differences between rows: visitors = with the agent's file of visitors, errors = a request that warns or fails. The script reads
$_SERVER, as every front controller does: PHP makes that table when a script first asks for it.
Bound: 30 µs per request with everything on, without the extension uopz.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "agent_sidecar")]

from tests.unit.agent.pod import Pod, poll_until  # noqa: E402
from tests.unit.probes.fastcgi import call  # noqa: E402
from tests.unit.probes.fpm import Fpm  # noqa: E402

FAULTS = Path(__file__).parents[1] / "tests/unit/probes/apps/faults.php"
BOUND_US = 30.0
VISITORS = "cookie:sid\n00112233445566778899aabbccddeeff\n"
COOKIE = {"HTTP_COOKIE": "theme=dark; sid=0123456789abcdef"}
INI = "display_errors=Off\nlog_errors=Off\nerror_reporting=-1\n"
UOPZ = "uopz.exit=1\n"
# title, mode of the page, visitors, extensions of PHP, whether the bound holds for it
ROWS = (
    ("begin and end", "hello", "", (), False),
    ("with visitors", "hello", VISITORS, (), True),
    ("with visitors, a warning", "warning", VISITORS, (), False),
    ("with visitors, an uncaught exception", "uncaught", VISITORS, (), False),
    ("with visitors, excimer loaded", "hello", VISITORS, ("excimer",), False),
    ("with visitors, uopz loaded", "hello", VISITORS, ("uopz", "pdo", "pdo_sqlite"), False),
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

    def close(self) -> None:
        self.pod.__exit__()


def measure(
    folder: Path, row: tuple[str, str, str, tuple[str, ...], bool], rounds: int, requests: int
) -> tuple[float, float, float]:
    """(bare µs, with the probe µs, added µs) of one row."""
    _, mode, visitors, extensions, _ = row
    bare, probe = Server(folder / "bare", False, extensions), Server(folder / "probe", True, extensions)
    try:
        if visitors:
            probe.visitors.write_text(visitors)
        for server in (bare, probe):
            server.round(mode, 200)
        times: list[tuple[float, float]] = []
        for number in range(rounds):
            order = (bare, probe) if number % 2 else (probe, bare)
            found = {}
            for server in order:
                found[server] = server.round(mode, requests)
                time.sleep(0.06)  # the agent reads every 50 ms
            times.append((found[bare], found[probe]))
    finally:
        bare.close()
        probe.close()
    bares, probes = zip(*times, strict=True)
    return statistics.median(bares), statistics.median(probes), statistics.median(b - a for a, b in times)


def main() -> int:
    """Measure, print the table; exit code 1 when the bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--requests", type=int, default=100, help="requests per round; more than 130 overflow the stream")
    options = parser.parse_args()
    held = True
    print(f"{'request':40}{'bare µs':>9}{'probe µs':>10}{'added µs':>10}{'bound':>7}")
    for row in ROWS:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            bare, probe, added = measure(Path(folder), row, options.rounds, options.requests)
        bound = f"{BOUND_US:.0f}" if row[4] else ""
        held = held and (not row[4] or added <= BOUND_US)
        print(f"{row[0]:40}{bare:>9.1f}{probe:>10.1f}{added:>10.1f}{bound:>7}", flush=True)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
