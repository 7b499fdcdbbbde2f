"""Slots of all services in one ConfigMap beside the operator, so that the next leader gives every pod the name that it has.

Not in the status, which is to stay small; not in the pods, which are not ours to write. The leader writes when a pod came
or went: at most every `EVERY_S`, and so rarely that it is no more than `BYTES_PER_S` (5,000 pods are 53 KB). If it dies
between two writes, the next one numbers the pods that it finds and nobody kept by their creation.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import aiohttp

from rollcall.control.bundle import MANAGED
from rollcall.kube.client import Client, KubeError
from rollcall.model.slots import decode

if TYPE_CHECKING:
    from rollcall.control.services import Services

LOOK_S = 0.5
EVERY_S = 5.0
BYTES_PER_S = 4096
WITHOUT_S = 15.0
"""If what was kept cannot be read for so long, pods are numbered anew."""
_log = logging.getLogger(__name__)


class SlotKeeper:
    """Run it while this replica leads."""

    def __init__(
        self, client: Client, services: Services, namespace: str, name: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._services = services
        self._namespace = namespace
        self._name = f"{name}-slots"
        self._path = f"/api/v1/namespaces/{namespace}/configmaps/{self._name}"
        self._clock = clock
        self._kept: dict[str, bytes] = {}
        self._read = False
        self._began_s = 0.0
        self._due_s = 0.0

    async def run(self) -> None:
        """Look at all services twice a second until cancelled; then write once more."""
        self.begin()
        try:
            while True:
                await self.round()
                await asyncio.sleep(LOOK_S)
        finally:
            await self.round(last=True)

    def begin(self) -> None:
        """A term begins: what is kept now, another leader has written."""
        self._kept, self._read, self._began_s, self._due_s = {}, False, self._clock(), 0.0

    async def round(self, *, last: bool = False) -> None:
        """Read if that was not done yet, open what can be opened, write what has changed if it is time."""
        now_s = self._clock()
        if not self._read:
            self._read = await self._load() or now_s - self._began_s >= WITHOUT_S
        if not self._read:
            return
        for watch in self._services:
            if watch.synced and not watch.fleet.slots.is_open:
                watch.fleet.slots.open(decode(self._kept.get(watch.service.metadata.uid, b"")))
        now = self._now()
        if now != self._kept and (last or now_s >= self._due_s):
            size = sum(map(len, now.values()))
            self._due_s = now_s + max(EVERY_S, size * 4 / 3 / BYTES_PER_S)
            if await self._write(now):
                self._kept = now

    def _now(self) -> dict[str, bytes]:
        """By the UID of the service; those that are not known yet as they were kept."""
        found: dict[str, bytes] = {}
        for watch in self._services:
            uid, slots = watch.service.metadata.uid, watch.fleet.slots
            kept = slots.encode() if slots.is_open else self._kept.get(uid, b"")
            if kept:
                found[uid] = kept
        return found

    async def _load(self) -> bool:
        try:
            found = await self._client.request("GET", self._path)
        except KubeError as error:
            if error.status == 404:
                return True
            _log.warning("slots cannot be read: %s", error)
            return False
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            _log.warning("slots cannot be read: %s", error or type(error).__name__)
            return False
        for uid, text in (found.get("binaryData") or {}).items():
            try:
                self._kept[uid] = base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                _log.warning("slots of service %s cannot be read: no base64", uid)
        return True

    async def _write(self, kept: dict[str, bytes]) -> bool:
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self._name, "namespace": self._namespace, "labels": MANAGED},
            "binaryData": {uid: base64.b64encode(data).decode() for uid, data in kept.items()},
        }
        try:
            await self._client.apply(self._path, body)
        except (KubeError, aiohttp.ClientError, OSError, TimeoutError) as error:
            _log.warning("slots were not written: %s", error or type(error).__name__)
            return False
        return True
