"""The operator and the agents, as processes of this benchmark, and what they use."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.harness.paths import REPOSITORY

TICKS = os.sysconf("SC_CLK_TCK")
NICE = -10
"""Of the operator, as a CPU request is in a cluster: here API server, agents and whoever else is on the machine take the same
processors."""
PATHS = os.pathsep.join(str(REPOSITORY / part) for part in ("operator", "agent_sidecar"))


def room_for_files() -> None:
    """Thousands of connections are as many files."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Used:
    """What a process has used until now."""

    def __init__(self, pid: int) -> None:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        self.cpu_s = (int(fields[11]) + int(fields[12])) / TICKS
        self.at_s = time.monotonic()
        self.kib = int(Path(f"/proc/{pid}/status").read_text().partition("VmRSS:")[2].split()[0])

    def cores_since(self, before: Used) -> float:
        """Processors used since then."""
        return (self.cpu_s - before.cpu_s) / (self.at_s - before.at_s)


class OperatorProcess:
    """One replica of the operator, with its log in a file."""

    def __init__(self, kubeconfig: Path, log: Path, *, watch: bool = False) -> None:
        self._watch = watch
        self._environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")} | {
            "KUBECONFIG": str(kubeconfig),
            "PYTHONPATH": PATHS,
            "ROLLCALL_NAME": "rollcall",
            "ROLLCALL_NAMESPACE": "rollcall-system",
            "ROLLCALL_KUBELET": "false",
        }
        self._log = log
        log.parent.mkdir(exist_ok=True)
        log.write_bytes(b"")
        self._process: subprocess.Popen[bytes] | None = None
        self.ended = 0
        """How often it was ended, and so gave leadership away."""

    def start(self) -> None:
        with self._log.open("ab") as log:
            environment, command = self._environment, [sys.executable, "-m", "rollcall"]
            if self._watch:
                command = [sys.executable, str(Path(__file__).with_name("watched.py"))]
                environment = environment | {"ROLLCALL_WATCH": f"{self._log}.holds-{self.ended + 1}"}
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        _prefer(self._process.pid)

    async def stop(self) -> None:
        """End it as a kubelet would."""
        if self._process is not None:
            self._process.terminate()
            await asyncio.get_running_loop().run_in_executor(None, self._process.wait)
            self._process = None
            self.ended += 1

    def log_lines(self, text: str) -> int:
        """Lines of the log that have this in them."""
        return sum(text in line for line in self._log.read_text().splitlines())

    @property
    def pid(self) -> int:
        assert self._process is not None
        if self._process.poll() is not None:
            raise SystemExit(f"the operator ended; see {self._log}")
        return self._process.pid

    def used(self) -> Used:
        """Until now."""
        return Used(self.pid)


def _prefer(pid: int) -> None:
    """Where it may be done: among processes of its session, and that session among others."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, NICE)
        Path(f"/proc/{pid}/autogroup").write_text(str(NICE))


class AgentsProcess:
    """All agents; `ask` gives an order and reads the answer."""

    def __init__(self, authority: Path) -> None:
        self._authority = authority
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("agents.py")), "--authority", str(self._authority)]
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, limit=2**20)

    async def ask(self, **order: Any) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        await self._process.stdin.drain()
        line = await self._process.stdout.readline()
        if not line:
            raise SystemExit("the agents' process ended early")
        return dict(json.loads(line))

    def used(self) -> Used:
        assert self._process is not None
        return Used(self._process.pid)

    async def stop(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            try:
                await asyncio.wait_for(self._process.wait(), 10)
            except TimeoutError:
                self._process.kill()
