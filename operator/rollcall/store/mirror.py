"""A replica that does not lead copies what the leader keeps, once a second, and once more when it takes over.

It asks the leader's live API, pod to pod, as what both of them are: the service account of the operator, and nobody else is
answered. So a fail-over needs no volume that two pods can mount.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import ssl
from collections.abc import Callable

import aiohttp
import msgspec

from rollcall.kube.client import Client, KubeError
from rollcall.store.database import Changes, Row
from rollcall.store.keeper import Keeper

EVERY_S = 1.0
WITHIN_S = 5.0
LAST_WITHIN_S = 1.0
GONE_WITHIN_S = 0.5
PATH = "/replica/kept"


class _Copy(msgspec.Struct, array_like=True):
    log: str
    version: int
    services: list[str]
    rows: list[tuple[str, str, int, bytes]]


def encode(changes: Changes) -> bytes:
    """As it goes from leader to standby."""
    return msgspec.msgpack.encode(_Copy(changes.log, changes.version, changes.services, [(*row,) for row in changes.rows]))


def decode(body: bytes) -> Changes:
    """The way back; raises ValueError."""
    try:
        copy = msgspec.msgpack.decode(body, type=_Copy)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None
    return Changes(copy.log, copy.version, copy.services, [Row(*row) for row in copy.rows])


_ERRORS = (KubeError, aiohttp.ClientError, OSError, TimeoutError, ValueError, sqlite3.Error)
_log = logging.getLogger(__name__)


class Mirror:
    """`run` it always; `last` when leadership begins. `holder` is who leads (a pod), as far as is known."""

    def __init__(
        self,
        client: Client,
        keeper: Keeper,
        namespace: str,
        identity: str,
        holder: Callable[[], str],
        ca: Callable[[], bytes],
        host: str,
        port: int,
    ) -> None:
        self._client = client
        self._keeper = keeper
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        self._identity = identity
        self._holder = holder
        self._ca = ca
        self._host = host
        self._port = port
        self._trusted: tuple[bytes, ssl.SSLContext] | None = None
        self._leader = ("", "")
        """Pod and address of who was asked last."""
        self._heard = ""
        """The last leader that listened when we called."""
        self.failing = False
        """Whether the last attempt to copy from another replica failed."""

    async def run(self) -> None:
        """Copy as long as another replica leads."""
        while True:
            leader = self._holder()
            if self._keeper.keeping and leader and leader != self._identity:
                await self._copy(leader, WITHIN_S)
            await asyncio.sleep(EVERY_S)

    async def last(self) -> None:
        """Copy once more from who led before, if it is still there: what it wrote at its end."""
        leader = self._leader[0]
        if self._keeper.keeping and leader and leader != self._identity:
            await self._copy(leader, LAST_WITHIN_S)
        self._leader = ("", "")

    async def gone(self, leader: str) -> bool:
        """Whether a leader is dead: it refuses where it has listened, as every replica does for as long as it lives, or its pod
        is not there. One that just does not answer may live, and a network that always refuses says nothing of it."""
        gone = await self._is_gone(leader)
        if gone:
            self._leader = ("", "")  # nobody need be asked for its last words
        return gone

    async def _is_gone(self, leader: str) -> bool:
        try:
            async with asyncio.timeout(GONE_WITHIN_S):
                if self._leader[0] != leader:
                    await self._find(leader)
                _, writer = await asyncio.open_connection(self._leader[1], self._port)
                writer.close()
                self._heard = leader
        except ConnectionRefusedError:
            return self._heard == leader
        except KubeError as error:
            return error.status == 404
        except (aiohttp.ClientError, OSError, TimeoutError):
            return await self._is_deleted(leader)
        return False

    async def _is_deleted(self, leader: str) -> bool:
        try:
            async with asyncio.timeout(GONE_WITHIN_S):
                await self._client.request("GET", f"{self._pods}/{leader}")
        except KubeError as error:
            return error.status == 404
        except (aiohttp.ClientError, OSError, TimeoutError):
            return False
        return False

    async def _find(self, leader: str) -> None:
        pod = await self._client.request("GET", f"{self._pods}/{leader}")
        address = pod.get("status", {}).get("podIP")
        if not address:
            raise ConnectionError(f"{leader} has no address")
        self._leader = (leader, address)

    async def _copy(self, leader: str, within_s: float) -> None:
        try:
            async with asyncio.timeout(within_s):
                if self._leader[0] != leader:
                    await self._find(leader)
                await self._keeper.copy(decode(await self._ask(self._leader[1])))
            self._keeper.copies["taken"] += 1
            self.failing = False
        except _ERRORS as error:
            if not self.failing:
                _log.warning("what %s keeps was not copied: %s", leader, error or type(error).__name__)
            self.failing = True
            self._keeper.copies["failed"] += 1

    async def _ask(self, address: str) -> bytes:
        host = f"[{address}]" if ":" in address else address
        log, version = self._keeper.copied
        async with self._client.elsewhere(
            f"https://{host}:{self._port}{PATH}",
            {"who": self._identity, "log": log, "version": str(version)},
            self._context(),
            self._host,
        ) as response:
            if response.status != 200:
                raise ValueError(f"HTTP {response.status}: {(await response.text())[:200]}")
            return await response.read()

    def _context(self) -> ssl.SSLContext:
        ca = self._ca()
        if self._trusted is None or self._trusted[0] != ca:
            self._trusted = ca, ssl.create_default_context(cadata=ca.decode())
        return self._trusted[1]
