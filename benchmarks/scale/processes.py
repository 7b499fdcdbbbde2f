"""The operator, the agents and who asks the webhook, as processes of this benchmark, and what they use."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.harness.paths import REPOSITORY

TICKS = os.sysconf("SC_CLK_TCK")
NICE = -10
"""Of operator, control plane and agents, which in a cluster have CPU requests and machines of their own: here whoever else is
on the machine takes the same processors."""
PATHS = os.pathsep.join(str(REPOSITORY / part) for part in ("operator", "agent_sidecar"))
PLAIN = """
from rollcall.ingest import server
with_tls = server.protocols
server.protocols = lambda door, tls: with_tls(door, None)
from rollcall.__main__ import main
main()
"""
"""The operator whose agents come without TLS."""


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


def pid_of(cluster: str, command: str) -> int:
    """A process of the control plane of this cluster, by the folder in its command line."""
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (each / "cmdline").read_bytes().decode().split("\0")
            if words[0].endswith(f"/{command}") and any(f"/{cluster}/" in word for word in words):
                return int(each.name)
    raise SystemExit(f"there is no {command} of the cluster {cluster}")


class OperatorProcess:
    """One replica of the operator, with its log in a file."""

    def __init__(self, kubeconfig: Path, log: Path, *, watch: bool = False, plain: bool = False) -> None:
        self._environment = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")} | {
            "KUBECONFIG": str(kubeconfig),
            "PYTHONPATH": PATHS,
            "ROLLCALL_NAME": "rollcall",
            "ROLLCALL_NAMESPACE": "rollcall-system",
            "ROLLCALL_KUBELET": "false",
        }
        self._command = (
            ["-c", PLAIN] if plain else [str(Path(__file__).with_name("watched.py"))] if watch else ["-m", "rollcall"]
        )
        self._log = log
        log.parent.mkdir(exist_ok=True)
        log.write_bytes(b"")
        self._process: subprocess.Popen[bytes] | None = None
        self.ended = 0
        """How often it was ended, and so gave leadership away."""

    def start(self) -> None:
        environment = self._environment | {"ROLLCALL_WATCH": f"{self._log}.holds-{self.ended + 1}"}
        with self._log.open("ab") as log:
            command = [sys.executable, *self._command]
            self._process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, start_new_session=True, preexec_fn=_end_with_us
            )
        prefer(self._process.pid)

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

    def used(self) -> Used:
        """Until now."""
        assert self._process is not None
        if self._process.poll() is not None:
            raise SystemExit(f"the operator ended; see {self._log}")
        return Used(self._process.pid)


def _end_with_us() -> None:
    """In the child: SIGTERM when who started it has ended, however that was."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def prefer(pid: int) -> None:
    """Where it may be done: among processes of its session, and that session among others."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, NICE)
        Path(f"/proc/{pid}/autogroup").write_text(str(NICE))


class Helper:
    """A script of this folder that takes orders, lines of JSON, and answers each with a line."""

    def __init__(self, script: str, *arguments: str, prefer: bool = False) -> None:
        self._command = [sys.executable, str(Path(__file__).with_name(script)), *arguments]
        self._prefer = prefer
        self._one_at_a_time = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdin=pipe, stdout=pipe, limit=2**22, start_new_session=True
        )
        if self._prefer:
            prefer(self._process.pid)

    async def ask(self, **order: Any) -> Any:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._one_at_a_time:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            await self._process.stdin.drain()
            line = await self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self._command[1]} ended early")
        return json.loads(line)

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
