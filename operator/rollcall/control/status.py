"""CR statuses out: server-side apply, only what changed, rarely. etcd is not a time-series store.

At most one write per object in `EVERY_S`, a flipped condition after `FLIP_S`, and `PER_SECOND` writes in all; always the newest
picture, never a queue. Only the leader writes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp

from rollcall.api.monitoredservice import API_VERSION, GROUP, KIND, PLURAL, VERSION
from rollcall.api.status import WORST_PODS
from rollcall.control.conditions import Context, essence, flips, status_of
from rollcall.control.services import Services
from rollcall.control.watch import ServiceWatch
from rollcall.kube.client import Client, KubeError
from rollcall.model.roll import Key
from rollcall.model.show import picture, worst

LOOK_S = 0.5
EVERY_S = 5.0
FLIP_S = 1.0
PER_SECOND = 20.0
SETTLE_S = 3.0
"""After leadership begins, agents need a moment to come over; until then the last leader's status stands."""
_log = logging.getLogger(__name__)


@dataclass
class _Written:
    """What was last written for one object."""

    uid: str
    at_s: float = float("-inf")
    status: dict[str, Any] = field(default_factory=dict)


class Budget:
    """A token bucket: `PER_SECOND` writes per second, as many at once."""

    def __init__(self, per_second: float = PER_SECOND) -> None:
        self._per_second = per_second
        self._tokens = per_second
        self._at_s = 0.0

    def take(self, now_s: float) -> bool:
        """Whether one more write may go out now."""
        self._tokens = min(self._per_second, self._tokens + (now_s - self._at_s) * self._per_second)
        self._at_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def due(last: _Written, status: dict[str, Any], now_s: float) -> bool:
    """Whether a status is worth a write at this moment."""
    since_s = now_s - last.at_s
    if not last.status:
        return since_s >= EVERY_S
    if flips(status) != flips(last.status):
        return since_s >= FLIP_S
    return since_s >= EVERY_S and essence(status) != essence(last.status)


class StatusWriter:
    """Run it while this replica leads."""

    def __init__(
        self, client: Client, services: Services, count: Counter[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._services = services
        self._count = count
        self._clock = clock
        self._budget = Budget()
        self._written: dict[Key, _Written] = {}

    async def run(self) -> None:
        """Look at all services twice a second until cancelled; then write once more, so that departed totals are kept."""
        self._written.clear()
        await asyncio.sleep(SETTLE_S)
        try:
            while True:
                await self._round(force=False)
                await asyncio.sleep(LOOK_S)
        finally:
            await self._round(force=True)

    async def _round(self, *, force: bool) -> None:
        """`force` is the last round of a term: what differs is written at once, because nobody else knows the totals."""
        for watch in list(self._services):
            key = (watch.service.namespace, watch.service.name)
            if not watch.synced or watch.fleet.last.at_s == 0:
                continue
            last = self._last(key, watch)
            if not force:
                await asyncio.sleep(0)  # a hundred statuses in a row would hold up the webhook
                if self._clock() - last.at_s < FLIP_S:
                    continue
            status = _status(watch, last)
            now_s = self._clock()
            if force:
                wanted = not last.status or essence(status) != essence(last.status)
            else:
                wanted = due(last, status, now_s) and self._budget.take(now_s)
            if wanted:
                last.at_s = now_s
                if await self._write(key, status):
                    last.status = status

    def _last(self, key: Key, watch: ServiceWatch) -> _Written:
        last = self._written.get(key)
        if last is None or last.uid != watch.service.metadata.uid:  # a new object, perhaps under an old name
            last = self._written[key] = _Written(watch.service.metadata.uid, status=_standing(watch))
        return last

    async def _write(self, key: Key, status: dict[str, Any]) -> bool:
        namespace, name = key
        body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name, "namespace": namespace}, "status": status}
        try:
            await self._client.apply(f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}/{name}/status", body)
        except KubeError as error:
            if error.status == 404:  # deleted while we missed the event
                self._services.remove(key)
                self._written.pop(key, None)
            else:
                _log.warning("status of %s/%s was not written: %s", namespace, name, error)
            self._count["failed"] += 1
            return False
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            _log.warning("status of %s/%s was not written: %s", namespace, name, error or type(error).__name__)
            self._count["failed"] += 1
            return False
        self._count["written"] += 1
        return True


def _standing(watch: ServiceWatch) -> dict[str, Any]:
    """The status that the object has now, if it is one of ours."""
    status = watch.service.status.model_dump(by_alias=True, mode="json", exclude_none=True)
    return status if status.get("conditions") and "departed" in status.get("totals", {}) else {}


def _status(watch: ServiceWatch, last: _Written) -> dict[str, Any]:
    fleet = watch.fleet
    context = Context(
        generation=watch.service.metadata.generation,
        departed=fleet.departed(),
        departed_pods=fleet.departed_pods,
        injecting=watch.injecting(),
        now=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        worst=worst(fleet, WORST_PODS),
        taken_back=watch.takeback.as_status(),
        findings=watch.findings,
    )
    return status_of(picture(fleet, with_roll=False, with_lists=True), context, last.status)
