"""Apache with PHP as its module, as `php:apache` and WordPress' own image run it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.agent.pod import Pod, free_port, poll_until
from tests.unit.probes.client import get
from tests.unit.probes.fpm import Listener, add_probe

APPS = Path(__file__).parent / "apps"
CONFIG = """
ServerName localhost
ServerRoot {folder}
Listen 127.0.0.1:{port}
PidFile {folder}/apache.pid
ErrorLog {folder}/apache-error.log
User www-data
Group www-data
LoadModule mpm_prefork_module /usr/lib/apache2/modules/mod_mpm_prefork.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule mime_module /usr/lib/apache2/modules/mod_mime.so
LoadModule php_module /usr/lib/apache2/modules/libphp8.2.so
TypesConfig /etc/mime.types
StartServers 2
MinSpareServers 2
MaxSpareServers 2
MaxRequestWorkers 2
DocumentRoot {root}
<FilesMatch "\\.php$">
  SetHandler application/x-httpd-php
</FilesMatch>
<Directory {root}>
  Require all granted
</Directory>
"""


@pytest.fixture
def pod() -> Iterator[Pod]:
    """In a folder that Apache's user can reach: it does not serve as root."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        with Pod(folder, "localhost:9", None) as made:
            yield made


@pytest.fixture
def agent(pod: Pod) -> Iterator[Listener]:
    with Listener(pod) as made:
        yield made


class Apache:
    """Apache on a port of loopback, with the probe or without."""

    def __init__(self, pod: Pod, *, probe: bool = True, scanned: str = "") -> None:
        self.port = free_port()
        folder = pod.folder
        scan = folder / "apache-conf.d"
        scan.mkdir(exist_ok=True)
        (scan / "10-base.ini").write_text(
            f"zend_extension=opcache\nextension=pdo\nextension=pdo_sqlite\ndisplay_errors=Off\n{scanned}"
        )
        for file in scan.glob("rollcall*.ini"):
            file.unlink()
        if probe:
            add_probe(scan)
        (folder / "apache.conf").write_text(CONFIG.format(folder=folder, port=self.port, root=APPS))
        command = ["/usr/sbin/apache2", "-f", str(folder / "apache.conf"), "-DFOREGROUND"]
        self.process = pod.start(command, PHP_INI_SCAN_DIR=str(scan))
        poll_until(lambda: self.get("ok")[0] == 200, "Apache answers")

    def get(self, mode: str) -> tuple[int, bytes]:
        return get(self.port, f"/faults.php?m={mode}")


def test_requests_and_errors(pod: Pod, agent: Listener) -> None:
    (pod.run / "php.sock").chmod(0o666)
    apache = Apache(pod)
    agent.finished(1)
    assert apache.get("uncaught")[0] == 500
    assert apache.get("status")[0] == 503
    assert apache.get("memory")[0] == 500
    assert apache.get("hello") == (200, b"hello /faults.php?m=hello")
    agent.finished(5)
    assert agent.endpoints == {"GET /faults.php": 5}
    assert agent.errors == {"exception NoCapacity": 1, "http 503": 1, "fatal memory limit": 1}
    assert agent.file.totals.responses == [0, 2, 0, 0, 3]


def test_answers_are_the_same_without_the_probe(pod: Pod, agent: Listener) -> None:
    answers = []
    for probe in (True, False):
        apache = Apache(pod, probe=probe)
        answers.append([apache.get(mode) for mode in ("ok", "uncaught", "warning", "status", "caught", "handlers", "memory")])
        pod.stop(apache.process)
    assert answers[0] == answers[1]
