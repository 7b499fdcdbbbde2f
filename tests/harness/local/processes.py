"""Background processes that outlive the harness and are found again by recorded pid and start time.

A pid alone may meanwhile belong to a stranger; pid and start time together do not. Nothing is ever ended by its name.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import HarnessError

_started_here: list[subprocess.Popen[bytes]] = []
"""Children of this very process: kept so that they are reaped when they end."""


@dataclass(frozen=True)
class Process:
    """One process that was started: its pid as seen from outside any namespace, and when the kernel says it began."""

    name: str
    pid: int
    started_ticks: int
    """Field 22 of /proc/PID/stat: clock ticks since boot."""

    @property
    def alive(self) -> bool:
        for child in _started_here:
            child.poll()
        return _stat(self.pid) == (self.started_ticks, True)


@dataclass(frozen=True)
class Namespaces:
    """The namespaces of a node, named by the pid of the process that holds them."""

    holder: int

    def enter(self) -> list[str]:
        """The command prefix that runs the rest inside the node: network, mounts and pids are the node's."""
        return ["nsenter", f"--target={self.holder}", "--net", "--mount", "--pid", "--"]


def start(name: str, argv: Sequence[str | Path], folder: Path, inside: Namespaces | None = None) -> Process:
    """Start `argv` in the background, record it under `folder`/processes and log to `folder`/logs.

    Inside a node the process recorded is the one in there, not the `nsenter` that waits for it outside.
    """
    command = [str(part) for part in argv]
    child = _spawn(name, [*inside.enter(), *command] if inside else command, folder)
    pid = _only_child(child, name) if inside else child.pid
    return _record(name, pid, folder)


def start_holder(name: str, pause: Path, folder: Path) -> Process:
    """Start the process that holds a node's namespaces open and is PID 1 in there: when it dies, all in there die."""
    command = ["unshare", "--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]
    # The folder is no argument that it reads: `mentioning` knows it by that.
    child = _spawn(name, [*command, str(pause), f"{folder}{os.sep}"], folder)
    return _record(name, _only_child(child, name), folder)


def recorded(folder: Path) -> list[Process]:
    """All processes recorded under `folder`/processes, alive or not."""
    found = []
    for file in sorted((folder / "processes").glob("*.json")):
        # A harness killed while it wrote leaves half a record, of a process that `leftovers` finds by the folder.
        with contextlib.suppress(ValueError, TypeError):
            found.append(Process(**json.loads(file.read_text())))
    return found


def find(name: str, folder: Path) -> Process | None:
    """The process recorded as `name`, if it is alive."""
    return next((process for process in recorded(folder) if process.name == name and process.alive), None)


def mentioning(folder: Path) -> list[Process]:
    """Processes whose command line has an argument in `folder`: what a killed harness could not record any more."""
    needle = f"{folder}{os.sep}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().split(b"\0")
            executable = os.path.basename(os.readlink(entry / "exe"))
            ours = executable in {"etcd", "coredns", "containerd", "kubelet", "pause"} or executable.startswith("kube-")
            if ours and any(needle in word for word in words):
                ticks, _ = _stat(int(entry.name))
                found.append(Process(executable, int(entry.name), ticks))
    return found


def stop(processes: Iterable[Process], grace_s: float = 5.0) -> None:
    """SIGTERM to all, SIGKILL to what is left after `grace_s`; returns when every one of them has really gone."""
    waiting = [process for process in processes if process.alive]
    for signal_number, patience_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 20.0)):
        for process in waiting:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal_number)
        deadline = time.monotonic() + patience_s
        while waiting and time.monotonic() < deadline:
            time.sleep(0.02)
            waiting = [process for process in waiting if process.alive]
    if waiting:
        raise HarnessError(f"cannot end {', '.join(f'{p.name} (pid {p.pid})' for p in waiting)}: the kernel keeps it")


def _spawn(name: str, command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    log = folder / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", start_new_session=True
        )
    _started_here.append(child)
    return child


def _record(name: str, pid: int, folder: Path) -> Process:
    ticks, _ = _stat(pid)
    process = Process(name, pid, ticks)
    file = folder / "processes" / f"{name}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(asdict(process)))
    return process


def _only_child(parent: subprocess.Popen[bytes], name: str) -> int:
    deadline = time.monotonic() + 5.0
    while time.monotonic() < deadline and parent.poll() is None:
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
        if children:
            return int(children[0])
        time.sleep(0.005)
    raise HarnessError(f"cannot start {name}: it ended at once; its log says why")


def _stat(pid: int) -> tuple[int, bool]:
    """Start time in ticks and whether it runs (a zombie does not); (-1, False) when there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return -1, False
    fields = text.rpartition(")")[2].split()  # the name before it may contain anything
    return int(fields[19]), fields[0] not in "ZX"
