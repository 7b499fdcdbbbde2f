"""What the supervisor opens and keeps for those of its workers' sources that are told of requests: sockets and worker files.

They outlive a worker process, so that its successor goes on counting where it stopped, and no connection is refused meanwhile.
"""

from __future__ import annotations

import mmap
import os
import socket
from typing import NamedTuple

from .ledger import Ledger
from .log import say
from .settings import AccessLog, Settings
from .wire import layout

POSITION_FILE = "access-log"
POSITION_BYTES = 4096
_RECEIVE_BYTES = 4 << 20


class OtlpReceiver(NamedTuple):
    """Listening sockets, and where what they bring is counted."""

    ledger: Ledger
    listeners: list[socket.socket]


class LogReceiver(NamedTuple):
    """How the log comes, where it is counted, and up to where it was; `socket` where it comes to a port."""

    how: AccessLog
    ledger: Ledger
    position: mmap.mmap
    socket: socket.socket | None


class Receivers(NamedTuple):
    """None where the pod has no such source, or it could not be opened."""

    otlp: OtlpReceiver | None = None
    access_log: LogReceiver | None = None


def open_receivers(settings: Settings) -> Receivers:
    """Open what the settings ask for; the agent goes on without what cannot be opened, and says so."""
    otlp = access_log = None
    try:
        if settings.otlp_port:
            listeners = _listen(settings.otlp_port)
            otlp = OtlpReceiver(Ledger(settings.worker_dir, layout.RUNTIME_OTLP, "otlp"), listeners)
    except OSError as error:
        say(f"no OTLP in this pod: port {settings.otlp_port}: {error}")
    try:
        if settings.access_log is not None:
            access_log = _open_log(settings, settings.access_log)
    except OSError as error:
        say(f"no access log in this pod: {error}")
    return Receivers(otlp, access_log)


def _listen(port: int) -> list[socket.socket]:
    """On the pod's loopback, IPv4 and, where there is one, IPv6."""
    found = [socket.create_server(("127.0.0.1", port), backlog=128)]
    try:
        found.append(socket.create_server(("::1", port), family=socket.AF_INET6, backlog=128))
    except OSError as error:
        say(f"no IPv6 for OTLP: {error}")
    for listener in found:
        listener.setblocking(False)
    return found


def _open_log(settings: Settings, how: AccessLog) -> LogReceiver:
    receiver = None
    if how.port:
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)  # the kernel gives what it allows
        receiver.bind(("127.0.0.1", how.port))
        receiver.setblocking(False)
    fd = os.open(f"{settings.state_dir}/{POSITION_FILE}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.posix_fallocate(fd, 0, POSITION_BYTES)
        position = mmap.mmap(fd, POSITION_BYTES)
    finally:
        os.close(fd)
    return LogReceiver(how, Ledger(settings.worker_dir, layout.RUNTIME_ACCESS_LOG, "accessLog"), position, receiver)
