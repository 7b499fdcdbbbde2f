"""What one leader hands over to the next, in one ConfigMap beside the operator: slots, so that every pod keeps the name that it
has, and how many pods left in the last hour and day.

Not in the status, which is to stay small; not in the pods, which are not ours to write. The leader writes when a pod came or
went: at most every `EVERY_S`, and so rarely that it is no more than `BYTES_PER_S` (slots of 5,000 pods are 53 KB). If it dies
between two writes, the next one numbers the pods that it finds and nobody kept by their creation.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import aiohttp
import msgspec

from rollcall.control.bundle import MANAGED
from rollcall.kube.client import Client, KubeError
from rollcall.model.slots import decode

if TYPE_CHECKING:
    from rollcall.control.services import Services
    from rollcall.control.watch import ServiceWatch

LOOK_S = 0.5
EVERY_S = 5.0
BYTES_PER_S = 4096
COUNTS = ".departures"
"""Ending of keys with counts: no key may have both kinds of data."""
WITHOUT_S = 15.0
"""If what was kept cannot be read for so long, pods are numbered anew."""
LAST_WITHIN_S = 2.0
"""An API server that does not answer must not keep a former leader from ending its term."""
_log = logging.getLogger(__name__)


class Kept(NamedTuple):
    """Of one service: slots as `Slots.encode`, counts as `Ledger.tell`."""

    slots: bytes = b""
    counts: str = ""


class Handover:
    """Run it while this replica leads."""

    def __init__(
        self, client: Client, services: Services, namespace: str, name: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._services = services
        self._namespace = namespace
        self._name = f"{name}-handover"
        self._path = f"/api/v1/namespaces/{namespace}/configmaps/{self._name}"
        self._clock = clock
        self.begin()

    async def run(self) -> None:
        """Look at all services twice a second until cancelled; then write once more."""
        self.begin()
        try:
            while True:
                await self.round()
                await asyncio.sleep(LOOK_S)
        finally:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_WITHIN_S):
                    await self.round(last=True)

    def begin(self) -> None:
        """A term begins: what is kept now, another leader has written."""
        self._kept: dict[str, Kept] = {}
        """By the UID of the service."""
        self._read, self._began_s, self._due_s = False, self._clock(), 0.0

    async def round(self, *, last: bool = False) -> None:
        """Read if that was not done yet, take over what can be, write what has changed if it is time."""
        now_s = self._clock()
        if not self._read:
            self._read = await self._load() or now_s - self._began_s >= WITHOUT_S
        if not self._read:
            return
        for watch in self._services:
            if watch.synced and not watch.fleet.slots.is_open:
                self._take_over(watch)
        now = self._now()
        if now != self._kept and (last or now_s >= self._due_s):
            size = sum(len(kept.slots) * 4 // 3 + len(kept.counts) for kept in now.values())
            self._due_s = now_s + max(EVERY_S, size / BYTES_PER_S)
            if await self._write(now):
                self._kept = now

    def _take_over(self, watch: ServiceWatch) -> None:
        kept = self._kept.get(watch.service.metadata.uid, Kept())
        watch.fleet.slots.open(decode(kept.slots))
        if kept.counts:
            try:
                watch.ledger.begin(kept.counts)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                _log.warning("departures of %s/%s cannot be read: %s", watch.service.namespace, watch.service.name, error)

    def _now(self) -> dict[str, Kept]:
        """Services that are not known yet, as they were kept."""
        found: dict[str, Kept] = {}
        for watch in self._services:
            uid, slots = watch.service.metadata.uid, watch.fleet.slots
            kept = Kept(slots.encode(), watch.ledger.tell()) if slots.is_open else self._kept.get(uid, Kept())
            if any(kept):
                found[uid] = kept
        return found

    async def _load(self) -> bool:
        try:
            found = await self._client.request("GET", self._path)
        except KubeError as error:
            if error.status == 404:
                return True
            _log.warning("%s cannot be read: %s", self._name, error)
            return False
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            _log.warning("%s cannot be read: %s", self._name, error or type(error).__name__)
            return False
        slots = found.get("binaryData") or {}
        counts = {name.removesuffix(COUNTS): text for name, text in (found.get("data") or {}).items()}
        self._kept = {uid: Kept(_bytes(slots.get(uid, "")), counts.get(uid, "")) for uid in slots.keys() | counts.keys()}
        return True

    async def _write(self, now: dict[str, Kept]) -> bool:
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self._name, "namespace": self._namespace, "labels": MANAGED},
            "binaryData": {uid: base64.b64encode(kept.slots).decode() for uid, kept in now.items() if kept.slots},
            "data": {uid + COUNTS: kept.counts for uid, kept in now.items() if kept.counts},
        }
        try:
            await self._client.apply(self._path, body)
        except (KubeError, aiohttp.ClientError, OSError, TimeoutError) as error:
            _log.warning("%s was not written: %s", self._name, error or type(error).__name__)
            return False
        return True


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""
