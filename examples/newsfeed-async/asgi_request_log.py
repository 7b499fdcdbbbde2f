"""One JSON line per HTTP request of an ASGI application, with the latency as the application itself measured it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

STDOUT = 1


class RequestLog:
    """ASGI middleware that writes `{"at", "id", "method", "path", "status", "latency_us"}` when the application returns."""

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter_ns()
        # What the server answers when the application raises before it has sent anything.
        status = 500

        async def watched_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        finally:
            _write(scope, status, (time.perf_counter_ns() - started) // 1000)


def _write(scope: Message, status: int, latency_us: int) -> None:
    request_id = dict(scope["headers"]).get(b"x-request-id")
    line = {
        "at": round(time.time(), 6),
        "id": request_id.decode("latin-1") if request_id else None,
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "latency_us": latency_us,
    }
    os.write(STDOUT, json.dumps(line, separators=(",", ":")).encode() + b"\n")
