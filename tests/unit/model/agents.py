"""An application pod and its agent, simulated: it knows every request it ever answered, so tests can ask for the truth."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rollcall.model.states import PodFacts
from rollcall_agent.wire import grid, report


def facts(uid: str = "uid-a", **changes: Any) -> PodFacts:
    """A pod that serves: running, ready, injected, started long ago."""
    given: dict[str, Any] = {
        "uid": uid, "name": uid.replace("uid", "pod"), "namespace": "shop", "running": True, "ready": True, "injected": True,
        "started_at": 0.0,
    }  # fmt: skip
    return PodFacts(**(given | changes))


@dataclass
class Agent:
    """What one agent has counted since its epoch began. Response times are seconds."""

    uid: str = "uid-a"
    epoch: str = "e1"
    seq: int = 0
    times_s: list[float] = field(default_factory=list)
    errors: int = 0
    lost: int = 0
    in_flight: int = 0
    bands: tuple[int, int, int, int] = (0, 0, 0, 0)
    cpu_us: int = 0
    flags: int = report.FLAG_PROBE

    @property
    def finished(self) -> int:
        """Requests answered since the epoch began."""
        return len(self.times_s)

    def answer(self, times_s: Iterable[float], errors: int = 0) -> None:
        """Requests were answered, `errors` of them by a failure."""
        self.times_s.extend(times_s)
        self.errors += errors

    def restart(self, epoch: str) -> None:
        """The agent lost its memory: everything begins at zero in a new epoch."""
        self.epoch, self.times_s, self.errors, self.lost, self.in_flight = epoch, [], 0, 0, 0

    def body(self, now_s: float, **changes: Any) -> bytes:
        """The next report."""
        self.seq += 1
        histogram = [0] * grid.BUCKETS
        for time_s in self.times_s:
            histogram[grid.bucket_of_ns(round(time_s * 1e9))] += 1
        values = {
            "seq": self.seq,
            "window_end_us": round(now_s * 1e6),
            "started": self.finished + self.in_flight + self.lost,
            "finished": self.finished,
            "errors": self.errors,
            "lost": self.lost,
            "duration_us": round(sum(self.times_s) * 1e6),
            "responses": (0, self.finished - self.errors, 0, 0, self.errors),
            "in_flight": self.in_flight,
            "bands": self.bands,
            "agent_cpu_us": self.cpu_us,
            "agent_rss_kib": 9000,
            "flags": self.flags,
            "workers": 2,
            "histogram": histogram,
        }
        return report.pack(values | changes)
