"""Who should report and does not, and why: looked at once a second by the leader, because only it hears agents."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from rollcall.ingest.strangers import Strangers
from rollcall.model.coverage import Heard, gap_of
from rollcall.model.fleet import Fleet
from rollcall.model.roll import Roll
from rollcall.model.tally import Pod

if TYPE_CHECKING:
    from rollcall.control.services import Services

LOOK_S = 1.0
SETTLE_S = 15.0
"""After leadership begins agents need so long to come over; until then their absence says nothing."""


class Coverage:
    """Run it while this replica leads."""

    def __init__(
        self, services: Services, roll: Roll, strangers: Strangers, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._services = services
        self._roll = roll
        self._strangers = strangers
        self._clock = clock

    async def run(self) -> None:
        """Look at all pods until cancelled."""
        await asyncio.sleep(SETTLE_S)
        while True:
            self.round(time.time())
            await asyncio.sleep(LOOK_S)

    def round(self, unix_s: float) -> None:
        """One look at everything."""
        for watch in self._services:
            counts: Counter[str] = Counter()
            for pod in watch.fleet.pods.values():
                pod.gap = gap_of(pod.facts, pod.state, self.heard(watch.fleet, pod), unix_s) if pod.facts.injected else None
                if pod.gap is not None:
                    counts[pod.gap.value] += 1
            watch.fleet.gaps = dict(counts)

    def heard(self, fleet: Fleet, pod: Pod) -> Heard:
        """What is known of a pod's agent at this moment."""
        return Heard(
            connected=pod.facts.uid in self._roll.sessions,
            report_age_s=fleet.report_age_s(pod, self._clock()),
            refused=self._strangers.code(pod.facts.ip),
            tells=fleet.sources.any(pod.row),
        )
