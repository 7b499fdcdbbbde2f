"""The sources that are told of requests by somebody else's program, OTLP and access logs, as the worker's loop drives them.

Their modules are loaded only where the pod has them: most pods do not.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

from ..receivers import Receivers

if TYPE_CHECKING:
    from .access_log import AccessLogSource
    from .otlp import OtlpSource

LOG_PAUSE_S = 0.02
"""After a log's lines were read from its socket, others wait this long. The kernel's default buffer holds about 300 lines."""
_PROBES = ("python", "php")


class ToldSources:
    """What `receivers` opened; their descriptors are in `epoll`."""

    def __init__(self, receivers: Receivers, epoll: select.epoll) -> None:
        self._epoll = epoll
        self._otlp: OtlpSource | None = None
        self._log: AccessLogSource | None = None
        self._resume_log_at: float | None = None
        if receivers.otlp is not None:
            from .otlp import OtlpSource

            self._otlp = OtlpSource(*receivers.otlp)
            epoll.register(self._otlp.fileno, select.EPOLLIN)
        if receivers.access_log is not None:
            from .access_log import AccessLogSource

            self._log = AccessLogSource(receivers.access_log)
            if self._log.fileno is not None:
                epoll.register(self._log.fileno, select.EPOLLIN)

    @property
    def connections(self) -> int:
        """Open connections over which more may come."""
        return self._otlp.connections if self._otlp is not None else 0

    def owns(self, fd: int) -> bool:
        """Whether a descriptor is one of these."""
        return fd >= 0 and fd in (self._otlp and self._otlp.fileno, self._log and self._log.fileno)

    def due(self, now: float) -> float:
        """When `turn` has something to do, however little is readable."""
        if self._otlp is not None and self._otlp.is_behind:
            return now
        return self._resume_log_at if self._resume_log_at is not None else now + 3600.0

    def ready(self, fd: int, now: float) -> None:
        """A descriptor is readable."""
        if self._log is not None and fd == self._log.fileno:
            self._log.receive(int(now * 1e6))
            self._epoll.modify(fd, 0)
            self._resume_log_at = now + LOG_PAUSE_S
        elif self._otlp is not None:
            self._otlp.turn(int(now * 1e6))

    def turn(self, now: float) -> None:
        """Go on with what had to wait."""
        if self._otlp is not None and self._otlp.is_behind:
            self._otlp.turn(int(now * 1e6))
        if self._resume_log_at is not None and now >= self._resume_log_at:
            self._resume_log_at = None
            if self._log is not None and self._log.fileno is not None:
                self._epoll.modify(self._log.fileno, select.EPOLLIN)

    def tick(self, now_us: int, sources: list[str]) -> None:
        """Read what there is, before a report. Whoever is nearer to the request counts it, where `sources` tell of it already:
        a probe goes before spans of its language, and both go before the log of a web server in front of them."""
        if self._otlp is not None:
            self._otlp.probed = frozenset(name for name in sources if name in _PROBES)
            self._otlp.tick(now_us)
        if self._log is not None:
            self._log.is_told = any(name != "accessLog" for name in sources)
            self._log.tick(now_us)

    def in_flight(self, now_us: int) -> int | None:
        """Requests in flight, where somebody has told of them lately."""
        return self._otlp.in_flight(now_us) if self._otlp is not None else None
