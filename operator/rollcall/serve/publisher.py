"""One encoded frame per service and fold, shared by all who read it: a hundred viewers cost one encoding."""

from __future__ import annotations

import asyncio
import logging
import math
import time
import zlib
from collections.abc import Callable

import msgspec

from rollcall.model.dots import dots
from rollcall.model.fleet import Fleet
from rollcall.model.picture import Picture
from rollcall.model.roll import Key, Roll
from rollcall.model.show import picture

RATES = (1, 4)
"""How many pictures a second a reader may ask for; who does not ask gets one per fold, four to ten."""

_log = logging.getLogger(__name__)
KEPT_IN_TURNS = 16
"""Pictures of all services are kept in so many turns; there are at least twenty between two of a service."""
Scope = Key | frozenset[str] | None
"""What a frame is of: one service with its pods, or the summaries of all services, or of those in some namespaces."""


class Publisher:
    """Frames of the newest fold, encoded when first asked for. `turn` is called after each fold."""

    def __init__(self, roll: Roll, clock: Callable[[], float] = time.monotonic) -> None:
        self.roll = roll
        self.leading = False
        self.number = 0
        self._clock = clock
        self._frames: dict[Key, bytes] = {}
        self._parts: dict[tuple[str, Key, float], bytes] = {}
        self._of_all: dict[frozenset[str] | None, bytes] = {}
        self._pictures: dict[Key, Picture] = {}
        self._turned: dict[int | None, asyncio.Event] = {rate: asyncio.Event() for rate in (None, *RATES)}
        self._numbers: dict[int | None, int] = dict.fromkeys(self._turned, 0)
        self._ticks = dict.fromkeys(RATES, -1)

    def turn(self) -> None:
        """There is a new fold: forget the frames of the last one and wake the readers whose turn it is."""
        self.number += 1
        self._frames.clear()
        self._parts.clear()
        self._of_all.clear()
        self._pictures.clear()
        if self.leading:
            self._keep_pictures()
        self._wake(None)
        now_s = self._clock()
        for rate, before in self._ticks.items():
            tick = math.floor(now_s * rate)
            if tick != before or not self.leading:
                self._ticks[rate] = tick
                self._wake(rate)

    def _keep_pictures(self) -> None:
        """For who looks back; of a few services at a time, those first that have waited longest."""
        due = [
            (overdue_s, key)
            for key, fleet in self.roll.fleets.items()
            if fleet.last.unix_s and (overdue_s := fleet.album.overdue_s(fleet.last.unix_s)) >= 0
        ]
        for _, key in sorted(due, reverse=True)[: 1 + len(self.roll.fleets) // KEPT_IN_TURNS]:
            try:
                self._keep_picture(key, self.roll.fleets[key])
            except Exception:  # the past is worth less than the present
                _log.exception("no picture of %s/%s is kept", *key)

    def _keep_picture(self, key: Key, fleet: Fleet) -> None:
        whole = self.frame(key)
        if whole is not None:
            fleet.album.keep(fleet.last.unix_s, whole, msgspec.json.encode(self.summary(fleet)), len(fleet.pods))

    def past(self, key: Key, at: float) -> bytes | None:
        """The service as it was; None when that is not kept."""
        kept = self.roll.fleets[key].album.at(at)
        return None if kept is None else zlib.decompress(kept.whole)

    def past_of_all(self, namespaces: frozenset[str] | None, at: float) -> bytes | None:
        """Summaries of those services of which that moment is kept; None when it is of none."""
        keys = sorted(key for key in self.roll.fleets if namespaces is None or key[0] in namespaces)
        found = [kept.summary for key in keys if (kept := self.roll.fleets[key].album.at(at)) is not None]
        return b'{"services":[%s]}' % b",".join(map(zlib.decompress, found)) if found else None

    def _wake(self, rate: int | None) -> None:
        self._numbers[rate] = self.number
        self._turned[rate].set()
        self._turned[rate] = asyncio.Event()

    async def after(self, number: int, rate: int | None = None) -> int:
        """Wait for a fold later than `number`, of those that are for readers of that rate; returns the newest number, at once
        when there is one already."""
        while self._numbers[rate] <= number:
            await self._turned[rate].wait()
        return self.number

    def body(self, scope: Scope) -> bytes | None:
        """The frame of what is asked for; None when there is no such service."""
        return self.frame(scope) if isinstance(scope, tuple) else self.frame_of_all(scope)

    def fleet(self, scope: Scope) -> Fleet | None:
        """The service, where one is asked for and there is one."""
        return self.roll.fleets.get(scope) if isinstance(scope, tuple) else None

    def summary(self, fleet: Fleet) -> Picture:
        """The service without its pods."""
        key = (fleet.namespace, fleet.name)
        if key not in self._pictures:
            self._pictures[key] = picture(fleet, with_roll=False)
        return self._pictures[key]

    def frame(self, key: Key) -> bytes | None:
        """The service with its pods as JSON; None when there is no such service."""
        fleet = self.roll.fleets.get(key)
        if fleet is None:
            return None
        if key not in self._frames:
            self._frames[key] = msgspec.json.encode(picture(fleet, with_roll=True))
        return self._frames[key]

    def frame_of_all(self, namespaces: frozenset[str] | None) -> bytes:
        """The summaries of all services, or of those in the given namespaces, by namespace and name."""
        if namespaces not in self._of_all:
            keys = sorted(key for key in self.roll.fleets if namespaces is None or key[0] in namespaces)
            services = [self.summary(self.roll.fleets[key]) for key in keys]
            self._of_all[namespaces] = msgspec.json.encode({"services": services})
        return self._of_all[namespaces]

    def seconds(self, fleet: Fleet, after: int) -> bytes:
        """The history since a second as JSON."""
        return self._part("seconds", fleet, after, lambda: fleet.history.picture(fleet, after))

    def points(self, fleet: Fleet, after: float) -> bytes:
        """Finished requests told since then as JSON."""
        return self._part("points", fleet, after, lambda: dots(fleet, after))

    def _part(self, kind: str, fleet: Fleet, after: float, make: Callable[[], object]) -> bytes:
        """Readers that keep up ask for the same."""
        place = (kind, (fleet.namespace, fleet.name), after)
        if place not in self._parts:
            self._parts[place] = msgspec.json.encode(make())
        return self._parts[place]
