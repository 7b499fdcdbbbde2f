"""Events about causes: a dependency has too little for us, or has enough again; workers crash; pods leave.

The leader looks twice a second and tells what is new, at most once a minute and kind: what comes in between is part of the next
one, or is over by then and never told. What the status says already was told by an earlier leader.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from rollcall.control.causes import crash_sentence, shortages
from rollcall.control.telling import tell_of
from rollcall.kube.client import Client
from rollcall.model.bursts import Bursts
from rollcall.model.causes import Crashes, Throttled
from rollcall.model.departures import ABNORMAL
from rollcall.model.show import crashes_of, throttled_of

if TYPE_CHECKING:
    from rollcall.control.services import Services
    from rollcall.control.watch import ServiceWatch

LOOK_S = 0.5
EVERY_S = 60.0
SETTLE_S = 30.0
_Shortage = tuple[str, str]


class Announcement(NamedTuple):
    """An event's type, reason and message."""

    kind: str
    reason: str
    message: str


@dataclass
class Told:
    """What people were told of one service."""

    shortages: set[_Shortage] = field(default_factory=set)
    crash: float | None = None
    """Unix time of the newest crash that was told."""
    settled_s: float = float("-inf")
    """Before that, an absence says nothing: agents come over to a new leader."""
    at_s: dict[str, float] = field(default_factory=dict)
    """When an event of a reason was last made."""

    def may(self, reason: str, now_s: float) -> bool:
        """Whether another event of this reason may be made now; it counts as made."""
        if now_s - self.at_s.get(reason, float("-inf")) < EVERY_S:
            return False
        self.at_s[reason] = now_s
        return True


def news(told: Told, throttled: list[Throttled], crashes: Crashes | None, now_s: float) -> list[Announcement]:
    """What is to be told now; `told` is brought up to date."""
    found = []
    lasting = {(each.dependency, each.reason) for each in throttled}
    if lasting - told.shortages and told.may("DependencyThrottled", now_s):
        told.shortages |= lasting
        found.append(Announcement("Warning", "DependencyThrottled", shortages(throttled)))
    over = sorted(told.shortages - lasting) if now_s >= told.settled_s else []
    if over and told.may("DependencyRecovered", now_s):
        told.shortages -= set(over)
        said = "; ".join(f"{dependency}: no calls {reason} any more" for dependency, reason in over)
        found.append(Announcement("Normal", "DependencyRecovered", said))
    last = crashes.last if crashes is not None else None
    another = last is not None and (told.crash is None or last > told.crash)
    if crashes is not None and another and told.may("WorkersCrashing", now_s):
        told.crash = last
        found.append(Announcement("Warning", "WorkersCrashing", crash_sentence(crashes)))
    return found


def departures(bursts: Bursts, now_s: float) -> list[Announcement]:
    """Pods that left, one event for each cause and burst; a warning where nobody asked for it."""
    return [
        Announcement("Warning" if cause in ABNORMAL else "Normal", cause.value, sentence)
        for cause, sentence in bursts.over(now_s)
    ]


class Announcer:
    """Run it while this replica leads."""

    def __init__(self, client: Client, services: Services, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._services = services
        self._clock = clock
        self._told: dict[str, Told] = {}

    async def run(self) -> None:
        """Look at all services until cancelled."""
        self._told.clear()
        while True:
            for watch, announcement in self.round():
                await tell_of(self._client, watch.service, *announcement)
            await asyncio.sleep(LOOK_S)

    def round(self) -> list[tuple[ServiceWatch, Announcement]]:
        """One look; the events to make."""
        watches = {watch.service.metadata.uid: watch for watch in self._services}
        self._told = {uid: self._told.get(uid) or self._begin(watch) for uid, watch in watches.items()}
        now_s = self._clock()
        return [
            (watch, announcement)
            for uid, watch in watches.items()
            for announcement in (
                *news(self._told[uid], throttled_of(watch.fleet), crashes_of(watch.fleet), now_s),
                *departures(watch.departing.bursts, now_s),
            )
        ]

    def _begin(self, watch: ServiceWatch) -> Told:
        """A service that is new here: what stands in its status is told already."""
        standing = {(each.dependency, each.reason) for each in watch.service.status.throttled}
        return Told(standing, settled_s=self._clock() + SETTLE_S)
