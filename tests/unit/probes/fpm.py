"""A real php-fpm with the real probe, and what the agent makes of its messages, in this process: no agent needed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rollcall_agent.ledger import Ledger
from rollcall_agent.sources.harvest import Harvest
from rollcall_agent.sources.longest import longest
from rollcall_agent.sources.php import PhpSource
from rollcall_agent.sources.worker_file import WorkerFile
from rollcall_agent.wire import layout
from tests.unit.agent.pod import SIDECAR, Pod, poll_until
from tests.unit.probes.fastcgi import call

FPM = next(
    (path for name in ("php-fpm8.2", "php-fpm") if (path := shutil.which(name, path="/usr/sbin:/usr/local/sbin:/usr/bin"))), ""
)
PAGE = Path(__file__).parent / "apps" / "page.php"
PROBES = SIDECAR / "probes"
POOL = """
[global]
error_log={folder}/fpm-error.log
daemonize=no
[www]
listen={folder}/fpm.sock
pm=static
pm.max_children={workers}
{extra}
env[ROLLCALL_RUN]={run}
"""
assert FPM, "these tests run php-fpm: python -m tests.harness.packages installs it"


def add_probe(scan: Path, probes: Path = PROBES, *, native: bool = True) -> None:
    """Write the probe's configuration into a folder that PHP scans, with the place that the probe has here."""
    for file in (PROBES / "php/conf.d").glob("*.ini" if native else "rollcall.ini"):
        (scan / file.name).write_text(file.read_text().replace("/rollcall/probes", str(probes)))


class Fpm:
    """php-fpm in a pod, called through its socket. Its extensions are those that are named, whatever this machine enables, and
    with the probe ours (`native`)."""

    def __init__(
        self,
        pod: Pod,
        *,
        probe: bool = True,
        native: bool = True,
        extra: str = "clear_env=yes",
        ini: str = "",
        scanned: str = "",
        extensions: tuple[str, ...] = (),
        workers: int = 2,
        opcache: bool = True,
        probes: Path = PROBES,
    ) -> None:
        folder = pod.folder
        self.socket = folder / "fpm.sock"
        scan = folder / "conf.d"
        shutil.rmtree(scan, ignore_errors=True)
        scan.mkdir()
        lines = ["zend_extension=opcache", "opcache.enable=1"] if opcache else []
        (scan / "10-extensions.ini").write_text("\n".join([*lines, *(f"extension={name}" for name in extensions), scanned]))
        if probe:
            add_probe(scan, probes, native=native)
        (folder / "php.ini").write_text(ini)
        pool = POOL.format(folder=folder, run=pod.run, extra=extra, workers=workers)
        if os.geteuid() == 0:
            pool += "user=root\ngroup=root\n"
        (folder / "pool.conf").write_text(pool)
        command = [FPM, "-R", "-F", "-c", str(folder / "php.ini"), "-y", str(folder / "pool.conf")]
        self.process: subprocess.Popen[bytes] = pod.start(command, PHP_INI_SCAN_DIR=str(scan))
        poll_until(lambda: self._answers(folder / "fpm-error.log"), "php-fpm answers")

    def _answers(self, log: Path) -> bool:
        assert self.process.poll() is None, log.read_text()
        try:
            return b"fine" in call(self.socket, PAGE, "m=ok")
        except OSError:
            return False

    def get(self, mode: str, **params: str) -> bytes:
        """The answer of `apps/page.php`."""
        return call(self.socket, PAGE, f"m={mode}", **params)


class Listener:
    """Takes the place of the agent on `php.sock`: its PHP source and worker file, read whenever a test looks."""

    def __init__(self, pod: Pod) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(pod.run / "php.sock"))
        self._listener.listen(64)
        self._listener.setblocking(False)
        (pod.run / "agent").mkdir()
        self.ledger = Ledger(str(pod.run), layout.RUNTIME_PHP, "php")
        self.source = PhpSource(self.ledger, lambda number: None, str(pod.run / "agent/visitors"))
        self.file = WorkerFile(self.ledger.path)
        self.errors: dict[str, int] = {}
        self.visits: list[int] = []
        self.samples: list[dict[str, Any]] = []
        self._harvest = Harvest(self.file)
        self._number = 0

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.file.close()
        self.ledger.discard()

    def read(self) -> None:
        """Take what has arrived."""
        while True:
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                break
            self.source.add(self._number, connection)
            self._number += 1
        now_us = time.monotonic_ns() // 1000
        self.source.read(now_us)
        self.file.read(now_us, (1000, 3000, 8000))
        found = self._harvest.take()
        if found is not None:
            for name, count in found.errors.items():
                self.errors[name] = self.errors.get(name, 0) + count
            self.visits += found.visits
        self.samples, self._harvest.samples = self.samples + self._harvest.samples, []

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Read until the condition's value is true."""

        def look() -> Any:
            self.read()
            return condition()

        return poll_until(look, what)

    def finished(self, count: int) -> None:
        """Read until so many requests have ended."""
        self.until(lambda: self.file.totals.finished >= count, f"{count} requests ended")
        assert self.file.totals.finished == count

    @property
    def endpoints(self) -> dict[str, int]:
        """Requests by endpoint, without those that had none."""
        return {name: row[0] for name, row in self.file.endpoints() if row[0]}

    def steps(self, older_than_ms: int = 0) -> list[dict[str, Any]]:
        """Requests in flight, as the agent lists them."""
        self.read()
        found: list[dict[str, Any]] = longest([self.file], time.monotonic_ns() // 1000, (older_than_ms, 3000, 8000))["requests"]
        return found
