"""Names that successive pods reuse: `newsfeed-03` is the third pod of newsfeed, whoever that is.

A pod takes the lowest free number when it comes onto the roll and gives it back when it is off it. Numbers cannot be derived
from what exists: which one is free depends on who left. So they are kept outside, by a hash of the UID, and taken over by the
next leader; pods that it finds and nobody kept are numbered by their creation, which is how the last leader numbered them too,
unless one left in between.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from hashlib import blake2b

KEY_BYTES = 8
_FREE = bytes(KEY_BYTES)


def key_of(uid: str) -> bytes:
    """What a pod is kept by."""
    return blake2b(uid.encode(), digest_size=KEY_BYTES).digest()


def decode(kept: bytes) -> dict[bytes, int]:
    """Numbers by key, from what `Slots.encode` made; a rest that is no whole key is left out."""
    keys = [kept[at : at + KEY_BYTES] for at in range(0, len(kept) - KEY_BYTES + 1, KEY_BYTES)]
    return {key: number for number, key in enumerate(keys, 1) if key != _FREE}


def slot_name(service: str, number: int) -> str:
    """`newsfeed-03`; from the hundredth on three digits."""
    return f"{service}-{number:02d}"


class Slots:
    """Closed at first: pods wait for a number until `open` has told what an earlier leader gave them."""

    def __init__(self, service: str = "") -> None:
        self._service = service
        self.is_open = False
        self.version = 0
        """Goes up when any number was given or taken back."""
        self._number: dict[str, int] = {}
        self._name: dict[str, str] = {}
        self._waiting: dict[str, float] = {}
        self._free: list[int] = []
        self._next = 1
        self._kept: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._number)

    def number(self, uid: str) -> int | None:
        """The number of a pod; None while it waits for one."""
        return self._number.get(uid)

    def name(self, uid: str) -> str | None:
        """The slot of a pod; None while it waits for one."""
        return self._name.get(uid)

    def _give(self, uid: str, number: int) -> None:
        self._number[uid] = number
        self._name[uid] = slot_name(self._service, number)

    def want(self, uid: str, created_at: float) -> None:
        """A pod came onto the roll; it has its number after the next `settle`."""
        if uid not in self._number:
            self._waiting[uid] = created_at

    def release(self, uid: str) -> None:
        """A pod is off the roll."""
        self._waiting.pop(uid, None)
        self._name.pop(uid, None)
        number = self._number.pop(uid, None)
        if number is not None:
            heapq.heappush(self._free, number)
            self.version += 1

    def open(self, kept: Mapping[bytes, int]) -> None:
        """Go by these numbers from now on; what `close` kept goes before."""
        known = self._kept or kept
        self._kept = {}
        for uid in list(self._waiting):
            number = known.get(key_of(uid))
            if number is not None and number > 0:
                del self._waiting[uid]
                self._give(uid, number)
        taken = set(self._number.values())
        self._next = max(taken, default=0) + 1
        self._free = sorted(set(range(1, self._next)) - taken)
        self.is_open = True
        self.version += 1
        self.settle()

    def close(self) -> None:
        """All pods go off the roll for a moment and most come back: keep their numbers until `open`."""
        if self.is_open:
            self._kept = {key_of(uid): number for uid, number in self._number.items()}
        self._number, self._name, self._waiting, self._free, self._next = {}, {}, {}, [], 1
        self.is_open = False

    def settle(self) -> None:
        """Number those that wait, the oldest first."""
        if not self._waiting or not self.is_open:
            return
        for uid in sorted(self._waiting, key=lambda uid: (self._waiting[uid], uid)):
            if self._free:
                self._give(uid, heapq.heappop(self._free))
            else:
                self._give(uid, self._next)
                self._next += 1
        self._waiting = {}
        self.version += 1

    def encode(self) -> bytes:
        """All numbers as one key after the other, by number: eight bytes per slot."""
        keys = [_FREE] * max(self._number.values(), default=0)
        for uid, number in self._number.items():
            keys[number - 1] = key_of(uid)
        return b"".join(keys)
