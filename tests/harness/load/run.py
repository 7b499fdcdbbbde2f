"""Runs a plan against a target: starts each request when it is due, awaits none of them, and tallies what comes back."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, TextIO
from urllib.parse import urlsplit

from .exchange import ExchangeError, exchange
from .mix import Endpoint, draw
from .schedule import Step, offsets, on_time
from .tally import LATE_S, Outcome, Tally

RESOLVE_TIMEOUT_S = 30.0
_RESOLVE_PAUSE_S = 0.2


@dataclass(frozen=True)
class Plan:
    """What to send: to which URL, in which steps and mix, with which time-out for each request."""

    url: str
    steps: Sequence[Step]
    mix: list[Endpoint]
    timeout_s: float = 30.0
    seed: int = 1
    visitors: int = 0
    """Each request is one of so many visitors', drawn evenly, and has the cookie `sid` of his; 0: none has a cookie."""


class Run:
    """One run of a plan. The raw outcome of each request goes to `raw` as a JSON line, when there is one."""

    def __init__(self, plan: Plan, raw: TextIO | None = None) -> None:
        self._plan = plan
        self._raw = raw
        self._all = Tally()
        self._endpoints: defaultdict[str, Tally] = defaultdict(Tally)
        self._source = random.Random(plan.seed)
        self._seen: set[int] = set()
        self._late_starts = 0
        self._latest_start_s = 0.0
        self._first_start = self._last_start = 0.0
        self._stopped = False
        self._starter: asyncio.Task[None] | None = None
        self._open: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """Start no further request; those that are open are still awaited."""
        self._stopped = True
        if self._starter is not None:
            self._starter.cancel()

    async def run(self) -> dict[str, Any]:
        """Send everything, wait for every answer (each bounded by the time-out) and return the summary.

        Raises OSError when the target's name cannot be resolved within `RESOLVE_TIMEOUT_S`.
        """
        target = urlsplit(self._plan.url)
        port = target.port or 80
        address = await _resolve(target.hostname or "", port)
        began_at = time.time()
        self._starter = asyncio.create_task(self._start_all(address, port, target.netloc))
        if self._stopped:
            self._starter.cancel()
        await asyncio.wait({self._starter})
        if not self._starter.cancelled():
            self._starter.result()
        while self._open:
            await asyncio.wait(self._open)
        return self._summary(began_at)

    async def _start_all(self, address: str, port: int, host: str) -> None:
        endpoints = draw(self._plan.mix, self._plan.seed)
        async for scheduled in on_time(offsets(self._plan.steps), asyncio.sleep):
            template, path = next(endpoints)
            task = asyncio.create_task(self._request(template, path, scheduled, address, port, host))
            self._open.add(task)
            task.add_done_callback(self._open.discard)
            # The task starts its connection now, also while a late schedule is being made up for.
            await asyncio.sleep(0)

    async def _request(self, template: str, path: str, scheduled: float, address: str, port: int, host: str) -> None:
        request_id = self._count_start(template, scheduled)
        lines = [f"GET {path} HTTP/1.1", f"Host: {host}", f"X-Request-Id: {request_id}", *self._cookie(), "Connection: close"]
        message = "\r\n".join(lines) + "\r\n\r\n"
        status, error = None, None
        started = time.perf_counter()
        try:
            status = await exchange(address, port, message.encode(), self._plan.timeout_s)
        except ExchangeError as failure:
            error = failure.kind
        outcome = Outcome(template, scheduled, started, time.perf_counter(), status, error)
        self._all.add(outcome)
        self._endpoints[template].add(outcome)
        if self._raw is not None:
            print(json.dumps({"id": request_id, **asdict(outcome)}, separators=(",", ":")), file=self._raw)

    def _cookie(self) -> list[str]:
        if not self._plan.visitors:
            return []
        visitor = self._source.randrange(self._plan.visitors)
        self._seen.add(visitor)
        return [f"Cookie: theme=dark; sid=visitor-{self._plan.seed}-{visitor}"]

    def _count_start(self, template: str, scheduled: float) -> str:
        """Count a request as sent and say its id, which is unique within the run."""
        now = time.perf_counter()
        late_s = now - scheduled
        self._late_starts += late_s > LATE_S
        self._latest_start_s = max(self._latest_start_s, late_s)
        if not self._all.sent:
            self._first_start = now
        self._last_start = now
        self._all.sent += 1
        self._endpoints[template].sent += 1
        return f"{self._plan.seed}-{self._all.sent}"

    def _summary(self, began_at: float) -> dict[str, Any]:
        span_s = self._last_start - self._first_start
        return {
            "url": self._plan.url,
            "seed": self._plan.seed,
            "steps": [asdict(step) for step in self._plan.steps],
            "began_at": began_at,
            "ended_at": time.time(),
            "complete": not self._stopped,
            "rate_held": round((self._all.sent - 1) / span_s, 3) if span_s else None,
            "late_starts": self._late_starts,
            "latest_start_us": round(self._latest_start_s * 1e6),
            "visitors": len(self._seen),
            "cpu_seconds": round(time.process_time(), 3),
            **self._all.summary(),
            "endpoints": {template: tally.summary() for template, tally in sorted(self._endpoints.items())},
        }


async def _resolve(host: str, port: int) -> str:
    """The target's address, asked for once: a look-up per request would measure the name server."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + RESOLVE_TIMEOUT_S
    while True:
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            return str(found[0][4][0])
        except OSError:
            # A service that was created a moment ago is not in the DNS yet.
            if loop.time() > deadline:
                raise
            await asyncio.sleep(_RESOLVE_PAUSE_S)
