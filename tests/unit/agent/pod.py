"""A pod without Kubernetes: a shared folder, a real agent process, and application processes with the real probe."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[3]
SIDECAR = REPOSITORY / "agent_sidecar"
PROBE = SIDECAR / "probes" / "python"


def free_port() -> int:
    """A port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def poll_until(condition: Callable[[], Any], what: str, timeout_s: float = 15.0) -> Any:
    """The condition's first true value; fails after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not seen within {timeout_s} s: {what}"
        time.sleep(0.01)
    return value


def _runs(pid: int) -> bool:
    """Whether the process still holds what it has opened."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Pod:
    """Everything is ended, by process id, when the context ends."""

    def __init__(self, folder: Path, operator: str, ca_file: Path | None, **env: str) -> None:
        self.run = folder / "run"
        self.run.mkdir()
        self.folder = folder
        token = folder / "token"
        token.write_text("the-token\n")
        self._env = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "ROLLCALL"))},
            "ROLLCALL_RUN": str(self.run),
            "ROLLCALL_OPERATOR": operator,
            "ROLLCALL_TOKEN_FILE": str(token),
            "ROLLCALL_POD_UID": "uid-1",
            "ROLLCALL_CA_FILE": str(ca_file or folder / "no-ca"),
            **({} if ca_file else {"ROLLCALL_TLS": "off"}),
            **env,
        }
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Pod:
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._processes):
            self.stop(process)

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """End a process and its children: workers of php-fpm outlive a master that is killed."""
        if process.poll() is not None:
            return
        children = self.children(process)
        process.kill()
        process.wait()
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # A php-fpm does not start while a worker of the one before still holds the socket; and nobody here is told of its end.
        poll_until(lambda: not any(_runs(pid) for pid in children), "the children have ended")

    def start(self, command: list[str], cwd: Path | None = None, **env: str) -> subprocess.Popen[bytes]:
        """Start a process in the pod; its output goes to `<folder>/<n>.log`."""
        log = self.folder / f"{len(self._processes)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(command, cwd=cwd or self.folder, env={**self._env, **env}, stdout=output, stderr=output)
        self._processes.append(process)
        return process

    def log(self, process: subprocess.Popen[bytes]) -> str:
        """What a process has printed so far."""
        return (self.folder / f"{self._processes.index(process)}.log").read_text()

    def start_agent(self) -> subprocess.Popen[bytes]:
        """Start the supervisor as the image does."""
        return self.start([sys.executable, "-S", "-I", str(SIDECAR / "start.py"), "run"])

    def start_application(self, command: list[str], port: int, cwd: Path, **env: str) -> subprocess.Popen[bytes]:
        """Start a web server with the probe on its path and wait until it accepts connections."""
        process = self.start(command, cwd, **{"PYTHONPATH": f"{PROBE}:{cwd}", **env})

        def accepts() -> bool:
            assert process.poll() is None, self.log(process)
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", port)) == 0

        poll_until(accepts, f"{command[0]} accepts connections")
        return process

    def children(self, process: subprocess.Popen[bytes]) -> list[int]:
        """Process ids of the direct children that live."""
        try:
            text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        except FileNotFoundError:
            return []
        return [int(word) for word in text.split()]

    def worker_files(self) -> list[Path]:
        """The files of Python workers that exist now."""
        return sorted(self.run.rglob("python-*.worker"))
