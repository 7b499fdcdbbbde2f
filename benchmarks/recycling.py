"""Workers that come and go: gunicorn and php-fpm replace theirs 20 times a second each, and the agent's memory must stay flat.

    python benchmarks/recycling.py [--seconds 600] [--rate 100] [--requests-per-worker 5]

Real servers with `--max-requests` and `pm.max_requests`, a real agent over TLS, an operator that adds up what it is told. Each
answer is counted by the client; at the end the operator's totals, and its endpoints', must be the same numbers. Bounds: agent's
memory within 5 % after the first tenth of the time and below 20 MiB, no request lost.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "agent_sidecar")]

from rollcall_agent.sources.cost import memory_kib  # noqa: E402
from tests.unit.agent.fake_operator import FakeOperator, make_certificate  # noqa: E402
from tests.unit.agent.pod import Pod, free_port, poll_until  # noqa: E402
from tests.unit.probes.client import get  # noqa: E402
from tests.unit.probes.fastcgi import call  # noqa: E402
from tests.unit.probes.fpm import PAGE, Fpm  # noqa: E402

APPS = ROOT / "tests/unit/probes/apps"
KINDS = ("gunicorn", "php-fpm")
SAMPLE_S = 10.0
MASTERS = 11
"""gunicorn's arbiter sleeps between two workers that it starts: one alone replaces some three a second."""
WORKERS = 5
CLIENTS = 32
"""Per server: while workers are replaced, some requests wait."""


class Side:
    """One pod: its servers, its agent, its operator, and what the client saw."""

    def __init__(self, kind: str, folder: Path, certificate: tuple[Path, Path], per_worker: int) -> None:
        self.kind = kind
        self.operator = FakeOperator(certificate)
        folder.mkdir()
        self.pod = Pod(folder, f"localhost:{self.operator.port}", certificate[0])
        self.agent = self.pod.start_agent()
        self.answered = 0
        self.failed = 0
        self._lock = threading.Lock()
        self.memory: list[tuple[float, float]] = []
        if kind == "gunicorn":
            self._ports = [free_port() for _ in range(MASTERS)]
            for port in self._ports:
                options = [f"-w{WORKERS}", "--preload", f"--max-requests={per_worker}", "--log-level=critical"]
                options.append(f"-b127.0.0.1:{port}")
                self.pod.start_application([sys.executable, "-m", "gunicorn", *options, "flask_app:app"], port, APPS)
        else:
            self._fpm = Fpm(self.pod, extra=f"pm.max_requests={per_worker}", workers=6)
        self._before = 0 if kind == "gunicorn" else self._wait_quiet()

    def _wait_quiet(self) -> int:
        """php-fpm's start asked for a page already."""
        self.operator.wait_for_report()
        time.sleep(1)
        return int(self.operator.last["finished"])

    def ask(self, client: int) -> bool:
        """One request; whether it was answered."""
        if self.kind == "gunicorn":
            return get(self._ports[client % MASTERS], "/item/1")[0] == 200
        try:
            return b"fine" in call(self._fpm.socket, PAGE, "m=ok")
        except OSError:
            return False

    def load(self, client: int, rate: float, until_s: float) -> None:
        """Requests at a steady rate, one after the other."""
        due = time.monotonic()
        while due < until_s and time.monotonic() < until_s:
            answered = self.ask(client)
            with self._lock:
                self.answered += answered
                self.failed += not answered
            due += 1 / rate
            time.sleep(max(0.0, due - time.monotonic()))

    def sample(self, elapsed_s: float) -> None:
        """Note the agent's memory."""
        pids = [self.agent.pid, *self.pod.children(self.agent)]
        self.memory.append((elapsed_s, sum(memory_kib(pid) for pid in pids) / 1024))

    def finish(self) -> dict[str, object]:
        """Everything told: the row of the table."""
        counted = lambda: int(self.operator.last["finished"]) - self._before  # noqa: E731
        poll_until(lambda: counted() >= self.answered, "every answered request is counted", timeout_s=10)
        time.sleep(2)
        told = sum(row[0] for row in self.operator.facts.counted().values()) - self._before
        settled = [mib for at, mib in self.memory if at >= self.memory[-1][0] / 10]
        files = len(list(self.pod.run.rglob("*.worker")))
        self.pod.__exit__()
        return {
            "kind": self.kind,
            "answered": self.answered,
            "failed": self.failed,
            "counted": counted(),
            "by endpoint": told,
            "first": settled[0],
            "last": settled[-1],
            "highest": max(settled),
            "files": files,
        }


def main() -> int:
    """Run both side by side and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--rate", type=float, default=100.0, help="requests per second and server")
    parser.add_argument("--requests-per-worker", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name)
        certificate = make_certificate(folder)
        sides = [Side(kind, folder / kind, certificate, options.requests_per_worker) for kind in KINDS]
        began = time.monotonic()
        until_s = began + options.seconds
        each = options.rate / CLIENTS
        clients = [
            threading.Thread(target=side.load, args=(number, each, until_s)) for side in sides for number in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        while time.monotonic() < until_s:
            time.sleep(min(SAMPLE_S, max(0.1, until_s - time.monotonic())))
            for side in sides:
                side.sample(time.monotonic() - began)
        for client in clients:
            client.join()
        elapsed_s = time.monotonic() - began
        print(f"{elapsed_s:.0f} s, {options.requests_per_worker} requests per worker")
        print(f"{'server':10}{'answered':>10}{'failed':>8}{'counted':>9}{'by endpoint':>13}{'workers/s':>11}", end="")
        print(f"{'MiB at 1/10':>13}{'at end':>8}{'highest':>9}{'growth':>8}{'files left':>12}")
        held = True
        for row in [side.finish() for side in sides]:
            first, last, highest = (float(str(row[key])) for key in ("first", "last", "highest"))
            growth = last / first - 1
            per_second = int(str(row["answered"])) / options.requests_per_worker / elapsed_s
            print(f"{row['kind']:10}{row['answered']:>10}{row['failed']:>8}{row['counted']:>9}{row['by endpoint']:>13}", end="")
            print(f"{per_second:>11.1f}{first:>13.1f}{last:>8.1f}{highest:>9.1f}{growth:>8.1%}{row['files']:>12}")
            held &= row["answered"] == row["counted"] == row["by endpoint"] and growth <= 0.05 and highest <= 20
    print("bounds (nothing lost, memory within 5 % and 20 MiB):", "held" if held else "BROKEN")
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
