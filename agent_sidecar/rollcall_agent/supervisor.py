"""PID 1 of the agent's container: it does not end before SIGTERM, and starts the worker process again when that ends or hangs.

It forks without exec, so that both share their memory, and imports next to nothing itself. It listens for PHP probes and keeps
their connections, so that a restart of the worker refuses no connection and loses no message; `receivers` are kept likewise.
"""

from __future__ import annotations

import gc
import mmap
import os
import select
import signal
import socket
import time

from . import control
from .ledger import Ledger
from .log import say
from .receivers import open_receivers
from .settings import Settings
from .sources.php_warnings import open_in
from .wire import layout

FIRST_BACKOFF_S = 0.1
LAST_BACKOFF_S = 5.0
HEALTHY_AFTER_S = 10.0
HANGS_AFTER_S = 10.0
CHECK_EVERY_S = 2.5
KILL_AFTER_S = 1.0
"""How long after the drain deadline the worker is killed."""


class Supervisor:
    """Keeps one worker process running."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._id = os.urandom(8).hex()
        self._heartbeat = memoryview(mmap.mmap(-1, mmap.PAGESIZE)).cast("Q")
        self._poll = select.poll()
        self._worker_pid = 0
        self._worker_since = 0.0
        self._start_at = 0.0
        self._backoff_s = FIRST_BACKOFF_S
        self._channel: socket.socket | None = None
        self._connections: dict[int, socket.socket] = {}
        self._free = list(range(layout.SLOTS - 1, -1, -1))
        self._deadline: float | None = None
        self._asked_to_end = False
        self._exit_code: int | None = None
        self._signals = self._watch_signals()
        self._ledger, self._listener = self._open_php()
        self._receivers = open_receivers(settings)

    def _watch_signals(self) -> int:
        reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask_to_end)
        self._poll.register(reader, select.POLLIN)
        return reader

    def _ask_to_end(self, *_: object) -> None:
        self._asked_to_end = True

    def _open_php(self) -> tuple[Ledger | None, socket.socket | None]:
        """PHP's worker file and listening socket; the agent goes on without them when they cannot be made."""
        settings = self._settings
        try:
            os.makedirs(settings.state_dir, mode=0o755, exist_ok=True)
            os.makedirs(settings.worker_dir, exist_ok=True)
            os.chmod(settings.worker_dir, 0o777)  # any user's workers write here, and without a sticky bit we may remove
            ledger = Ledger(settings.worker_dir, layout.RUNTIME_PHP, "php")
            os.close(open_in(settings.worker_dir))  # PHP that finds the socket finds it, too, and counts its warnings there
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            if os.path.lexists(settings.php_socket):
                os.unlink(settings.php_socket)
            listener.bind(settings.php_socket)
            os.chmod(settings.php_socket, 0o666)
            listener.listen(1024)
            listener.setblocking(False)
        except OSError as error:
            say(f"no PHP in this pod: {error}")
            return None, None
        self._poll.register(listener, select.POLLIN)
        return ledger, listener

    def run(self) -> int:
        """Supervise until SIGTERM has been obeyed; returns the exit code."""
        gc.collect()
        gc.freeze()
        while self._exit_code is None:
            now = time.monotonic()
            if not self._worker_pid and now >= self._start_at:
                self._start(now)
            self._turn(self._wait_ms(time.monotonic()))
            self._reap()
            self._check(time.monotonic())
        return self._exit_code

    def _wait_ms(self, now: float) -> int:
        until = now + CHECK_EVERY_S
        if not self._worker_pid:
            until = min(until, self._start_at)
        if self._deadline is not None:
            until = min(until, self._deadline + KILL_AFTER_S)
        return max(0, int((until - now) * 1000) + 1)

    def _turn(self, wait_ms: int) -> None:
        for fd, _ in self._poll.poll(wait_ms):
            if fd == self._signals:
                os.read(fd, 512)
            elif self._listener is not None and fd == self._listener.fileno():
                self._accept()
            elif self._channel is not None and fd == self._channel.fileno():
                self._forget_closed()

    def _start(self, now: float) -> None:
        ours, theirs = control.pair()
        self._heartbeat[0] = time.monotonic_ns() // 1000
        pid = os.fork()
        if pid == 0:
            self._become_worker(theirs, ours)
        theirs.close()
        self._worker_pid, self._worker_since, self._channel = pid, now, ours
        self._poll.register(ours, select.POLLIN)

    def _become_worker(self, channel: socket.socket, supervisors_end: socket.socket) -> None:
        """In the child: never returns."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            supervisors_end.close()
            if self._listener is not None:
                self._listener.close()
            from .worker import Inheritance, run

            given = Inheritance(
                os.getppid(),
                self._id,
                channel,
                self._heartbeat,
                self._ledger,
                self._connections,
                self._deadline,
                self._receivers,
            )
            code = run(self._settings, given)
        except BaseException as error:
            say(f"worker failed: {type(error).__name__}: {error}{_where(error)}")
        finally:
            os._exit(code)

    def _reap(self) -> None:
        """Collect the worker, and orphans that PID 1 inherits."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self._worker_pid:
                self._worker_ended(os.waitstatus_to_exitcode(status), time.monotonic())

    def _worker_ended(self, code: int, now: float) -> None:
        self._forget_closed()
        assert self._channel is not None
        self._poll.unregister(self._channel)
        self._channel.close()
        self._channel = None
        self._worker_pid = 0
        if self._deadline is not None and (code == 0 or now >= self._deadline):
            self._exit_code = 0
            return
        if now - self._worker_since >= HEALTHY_AFTER_S:
            self._backoff_s = FIRST_BACKOFF_S
        self._start_at = now + self._backoff_s
        say(f"worker ended with {code}, next start in {self._backoff_s:.1f} s")
        self._backoff_s = min(LAST_BACKOFF_S, self._backoff_s * 2)

    def _check(self, now: float) -> None:
        """Obey SIGTERM, and end a worker that hangs."""
        if self._asked_to_end and self._deadline is None:
            self._deadline = now + self._settings.drain_s
            self._start_at = min(self._start_at, now)
            if self._channel is not None:
                try:
                    control.send_drain(self._channel, self._deadline)
                except OSError as error:
                    say(f"worker takes no order: {error}")
        if not self._worker_pid:
            if self._deadline is not None and now >= self._deadline:
                self._exit_code = 0
            return
        silent_s = now - self._heartbeat[0] / 1e6
        if silent_s > HANGS_AFTER_S or (self._deadline is not None and now >= self._deadline + KILL_AFTER_S):
            say(f"worker is killed: no sign of life for {silent_s:.1f} s")
            os.kill(self._worker_pid, signal.SIGKILL)
            self._heartbeat[0] = time.monotonic_ns() // 1000

    def _accept(self) -> None:
        assert self._listener is not None
        while True:
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                say(f"cannot accept a PHP connection: {error}", "accept")
                return
            if not self._free:
                say("more PHP workers than slots", "accept")
                connection.close()
                continue
            number = self._free.pop()
            self._connections[number] = connection
            if self._channel is not None:
                try:
                    control.send_connection(self._channel, number, connection)
                except OSError:
                    self._release(number)  # the worker is stuck; PHP will connect again

    def _forget_closed(self) -> None:
        assert self._channel is not None
        try:
            while (number := control.receive_closed(self._channel)) is not None:
                self._release(number)
        except OSError:
            return  # the worker is gone; its successor will tell again

    def _release(self, number: int) -> None:
        connection = self._connections.pop(number, None)
        if connection is not None:
            connection.close()
            self._free.append(number)


def _where(error: BaseException) -> str:
    """The innermost place of an error, without importing `traceback`."""
    trace = error.__traceback__
    if trace is None:
        return ""
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f" ({os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno})"
