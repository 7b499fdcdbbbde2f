"""One encoded frame per service and fold, shared by all who read it: a hundred viewers cost one encoding."""

from __future__ import annotations

import asyncio

import msgspec

from rollcall.model.fleet import Fleet
from rollcall.model.picture import Picture
from rollcall.model.roll import Key, Roll
from rollcall.model.show import picture


class Publisher:
    """Frames of the newest fold, encoded when first asked for. `turn` is called after each fold."""

    def __init__(self, roll: Roll) -> None:
        self.roll = roll
        self.leading = False
        self.number = 0
        self._turned = asyncio.Event()
        self._frames: dict[Key, bytes] = {}
        self._pictures: dict[Key, Picture] = {}

    def turn(self) -> None:
        """There is a new fold: forget the frames of the last one and wake the readers."""
        self.number += 1
        self._frames.clear()
        self._pictures.clear()
        self._turned.set()
        self._turned = asyncio.Event()

    async def after(self, number: int) -> int:
        """Wait for a fold later than `number`; returns its number at once when there is one already."""
        while self.number <= number:
            await self._turned.wait()
        return self.number

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

    def frame_of_all(self, namespaces: set[str] | None) -> bytes:
        """The summaries of all services, or of those in the given namespaces, by namespace and name."""
        keys = sorted(key for key in self.roll.fleets if namespaces is None or key[0] in namespaces)
        return msgspec.json.encode({"services": [self.summary(self.roll.fleets[key]) for key in keys]})
