"""Who leads: a coordination.k8s.io Lease, renewed every two seconds, taken over when it was not renewed for six.

The clock that decides is our own monotonic one, counted from when we saw the lease change, so that clocks of nodes need not
agree (as in client-go's leaderelection). Losing it for any reason ends leadership before another may begin. A holder that is
known to be dead (`gone`) cannot object, and is not waited for.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp

from rollcall.kube.client import Client, KubeError

DURATION_S = 6
RENEW_S = 2.0
RETRY_S = 0.5
GIVE_UP_S = DURATION_S - RENEW_S
"""A leader that could not renew for so long stops leading, well before others may take over."""
_log = logging.getLogger(__name__)


async def _never(holder: str) -> bool:
    return False


class Lease:
    """Leadership of one name. `leading` is set while it is ours; `on_change(leading)` is called at each turn."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        identity: str,
        on_change: Callable[[bool], None],
        clock: Callable[[], float] = time.monotonic,
        gone: Callable[[str], Awaitable[bool]] = _never,
    ) -> None:
        self.leading = False
        self.holder = ""
        """Who held it when we looked last."""
        self._gone = gone
        self._client = client
        self._collection = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._name = name
        self._identity = identity
        self._on_change = on_change
        self._clock = clock
        self._seen: tuple[str, float] = ("", 0.0)
        self._renewed_s = 0.0

    @property
    def sure(self) -> bool:
        """Whether this replica leads and has renewed of late, also as seen after it was stopped for a while."""
        return self.leading and self._clock() - self._renewed_s < GIVE_UP_S

    async def run(self) -> None:
        """Compete until cancelled; on cancellation a held lease is released, so that the next leader need not wait."""
        try:
            while True:
                await self._step()
                await asyncio.sleep(RENEW_S if self.leading else RETRY_S)
        finally:
            if self.leading:
                self._turn(False)
                await self._release()

    async def _step(self) -> None:
        # A call that hangs must not let us believe in a lease that another may take meanwhile.
        limit_s = max(0.0, self._renewed_s + GIVE_UP_S - self._clock()) if self.leading else GIVE_UP_S
        try:
            async with asyncio.timeout(limit_s):
                won = await self._try()
        except (KubeError, aiohttp.ClientError, OSError, TimeoutError) as error:
            _log.warning("lease %s: %s", self._name, error or type(error).__name__)
            won = self.leading and self._clock() - self._renewed_s < GIVE_UP_S
        self._turn(won)

    def _turn(self, leading: bool) -> None:
        if leading != self.leading:
            self.leading = leading
            _log.info("this replica %s", "leads now" if leading else "does not lead any more")
            self._on_change(leading)

    async def _try(self) -> bool:
        """One attempt to renew or take the lease; True when it is ours afterwards."""
        try:
            lease = await self._client.request("GET", f"{self._collection}/{self._name}")
        except KubeError as error:
            if error.status != 404:
                raise
            return await self._write("POST", self._collection, {"metadata": {"name": self._name}, "spec": {}})
        holder = self.holder = lease["spec"].get("holderIdentity") or ""
        version = lease["metadata"]["resourceVersion"]
        if self._seen[0] != version:
            self._seen = (version, self._clock())
        other = holder and holder != self._identity
        if other and self._clock() - self._seen[1] < DURATION_S and not await self._gone(holder):
            return False
        return await self._write("PUT", f"{self._collection}/{self._name}", lease)

    async def _write(self, method: str, path: str, lease: dict[str, Any]) -> bool:
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        spec = lease["spec"]
        if spec.get("holderIdentity") != self._identity:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = spec.get("leaseTransitions", 0) + 1
        spec |= {"holderIdentity": self._identity, "leaseDurationSeconds": DURATION_S, "renewTime": now}
        started_s = self._clock()
        try:
            await self._client.request(method, path, {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease"} | lease)
        except KubeError as error:
            if error.status == 409:
                return False
            raise
        self._renewed_s = started_s
        return True

    async def _release(self) -> None:
        try:
            lease = await self._client.request("GET", f"{self._collection}/{self._name}")
            if lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"]["holderIdentity"] = ""
                await self._client.request("PUT", f"{self._collection}/{self._name}", lease)
        except (KubeError, aiohttp.ClientError, OSError, TimeoutError) as error:
            _log.warning("lease %s was not released: %s", self._name, error)
