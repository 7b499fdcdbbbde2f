"""One JSON line per WSGI request with the latency as the application itself measured it, in microseconds.

Written by the application and not by its server, so that it holds under any WSGI server; and by a thread of its own, so that no
request waits for its line.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

STDOUT = 1


class RequestLog:
    """WSGI middleware that writes `{"at", "id", "method", "path", "status", "latency_us"}` when a response is closed."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        started = time.perf_counter_ns()
        status = 500

        def start(line: str, headers: list[tuple[str, str]], *exc_info: Any) -> Callable[[bytes], object]:
            nonlocal status
            status = int(line[:3])
            return start_response(line, headers, *exc_info)

        def finish() -> None:
            _write(environ, status, (time.perf_counter_ns() - started) // 1000)

        try:
            return _Body(self._app(environ, start), finish)
        except BaseException:
            finish()
            raise


class _Body:
    """The application's response body; `finish` runs once the server closes it."""

    def __init__(self, body: Iterable[bytes], finish: Callable[[], None]) -> None:
        self._body = body
        self._finish = finish

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        try:
            if hasattr(self._body, "close"):
                self._body.close()
        finally:
            self._finish()


def _write(environ: WSGIEnvironment, status: int, latency_us: int) -> None:
    line = {
        "at": round(time.time(), 6),
        "id": environ.get("HTTP_X_REQUEST_ID"),
        "method": environ["REQUEST_METHOD"],
        "path": environ["PATH_INFO"],
        "status": status,
        "latency_us": latency_us,
    }
    _writer().put(line)


class _Writer:
    """Writes lines in the background, in their order; what is queued when the process ends is written then."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._lines: SimpleQueue[dict[str, Any] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="request-log", daemon=True)
        self._thread.start()
        atexit.register(self._end)

    def put(self, line: dict[str, Any]) -> None:
        self._lines.put(line)

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            # One write call per line: the workers share the pipe, and a short write to a pipe is atomic.
            os.write(STDOUT, json.dumps(line, separators=(",", ":")).encode() + b"\n")

    def _end(self) -> None:
        if self.pid == os.getpid():
            self._lines.put(None)
            self._thread.join()


_lock = threading.Lock()
_current: _Writer | None = None


def _writer() -> _Writer:
    """This process's writer: a forked worker makes its own, because threads do not survive a fork."""
    global _current
    with _lock:
        if _current is None or _current.pid != os.getpid():
            _current = _Writer()
        return _current
