"""Pods by state. A fold looks only at pods for which something may have changed: in a fleet of 10,000 that are a few, and
looking at all of them several times a second would cost more than taking in their reports.

A pod's state follows from its facts, from whether its last report is fresh, and, until it has reported, from the time. So a pod
is looked at again when its facts changed, when its row became fresh or stale, and in each fold while it is awaited.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .coverage import Gap
from .rows import Rows
from .states import SILENT_AFTER_S, PodFacts, PodState, ServiceFacts, bare_reason, state_of

if TYPE_CHECKING:
    from .ledger import LastTraffic


class KubeletFigures(NamedTuple):
    """What a kubelet told of the application's container; `at_s` is monotonic."""

    at_s: float
    cpu_millicores: float
    memory_bytes: int


@dataclass(slots=True, eq=False)
class Pod:
    """A pod on the roll; `state` and `reason` (of a bare one) are those of the last fold."""

    facts: PodFacts
    row: int | None = None
    epoch: str | None = None
    state: PodState = PodState.PENDING
    reason: str | None = None
    gap: Gap | None = None
    """Why it does not report, or tells of no request, though it has an agent; looked at once a second."""
    counted: bool = False
    gone_since_s: float | None = None
    bound: bool = False
    """Whether its row goes by the names of a connection."""
    taken: int = 0
    """The highest number of its FACTS, in its epoch, that was taken in."""
    kept: int = 0
    """The same of those that will outlive this process."""
    requests: tuple[float, bytes] | None = None
    """When its agent last told of long requests in flight, and what it told, undecoded."""
    kubelet: KubeletFigures | None = None
    traffic: LastTraffic | None = None
    """What it did when it was told to leave."""


@dataclass(frozen=True, slots=True)
class Away:
    """A pod that left the roll while its agent went on reporting: a label or the selector changed, and may change back."""

    epoch: str | None
    body: bytes
    received_s: float
    taken: int


class Tally:
    """Counts that are kept up to date: tell it of changes, then `update`."""

    def __init__(self) -> None:
        self.counts: Counter[PodState] = Counter()
        self.bare: Counter[str] = Counter()
        self._changed: dict[str, None] = {}
        self._pod_of_row: dict[int, str] = {}
        self._fresh = np.zeros(0, dtype=np.bool_)
        self.serving = np.zeros(0, dtype=np.bool_)
        """Whether the pod of a row serves, by row."""
        self._service: ServiceFacts | None = None

    def changed(self, uid: str) -> None:
        """The facts of a pod, or its row, are not what they were."""
        self._changed[uid] = None

    def seat(self, uid: str, row: int) -> None:
        """A row belongs to this pod from now on."""
        self._pod_of_row[row] = uid
        self.changed(uid)

    def uid_of(self, row: int) -> str:
        """The pod that a row belongs to, or did last."""
        return self._pod_of_row.get(row, "")

    def left(self, pod: Pod) -> None:
        """A pod is not on the roll any more."""
        self._uncount(pod)

    def update(self, pods: Mapping[str, Pod], rows: Rows, service: ServiceFacts, now_s: float, unix_s: float) -> None:
        """Count anew whatever may have changed since the last call."""
        self._note_rows(rows, now_s)
        if service != self._service:
            self._service = service
            self._changed = dict.fromkeys(pods)
        changed, self._changed = self._changed, {}
        for uid in changed:
            pod = pods.get(uid)
            if pod is not None:
                self._count(pod, rows.age_s(pod.row, now_s), service, unix_s)
                if pod.state is PodState.PENDING and pod.facts.running:
                    self._changed[uid] = None  # awaited: only time may change it

    def _note_rows(self, rows: Rows, now_s: float) -> None:
        fresh = now_s - rows.received_s <= SILENT_AFTER_S
        before = np.zeros(len(fresh), dtype=np.bool_)
        before[: len(self._fresh)] = self._fresh
        for row in np.flatnonzero(fresh != before).tolist():
            if row in self._pod_of_row:
                self._changed[self._pod_of_row[row]] = None
        self._fresh = fresh
        if len(self.serving) < len(fresh):
            self.serving = np.concatenate([self.serving, np.zeros(len(fresh) - len(self.serving), dtype=np.bool_)])

    def _count(self, pod: Pod, report_age_s: float | None, service: ServiceFacts, unix_s: float) -> None:
        self._uncount(pod)
        pod.state = state_of(pod.facts, report_age_s, unix_s)
        pod.reason = bare_reason(pod.facts, service) if pod.state is PodState.BARE else None
        pod.counted = True
        self.counts[pod.state] += 1
        if pod.row is not None:
            self.serving[pod.row] = pod.state is PodState.SERVING
        if pod.reason is not None:
            self.bare[pod.reason] += 1

    def _uncount(self, pod: Pod) -> None:
        if not pod.counted:
            return
        pod.counted = False
        self.counts[pod.state] -= 1
        if pod.row is not None and pod.row < len(self.serving):
            self.serving[pod.row] = False
        if pod.reason is not None:
            self.bare[pod.reason] -= 1
