"""The MonitoredServices of a namespace as they are at this moment, where what was heard so far may be a little old.

A watch tells late on a busy node, and often a service and its first pods are created by one command.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

import aiohttp

from rollcall.api.monitoredservice import API_VERSION, GROUP, KIND, PLURAL, VERSION
from rollcall.kube.client import Client, KubeError

PATIENCE_S = 1.0
"""The API server waits three seconds for the webhook, which must have answered by then."""
AT_ONCE = 4
"""Lists under way: whoever reaches the webhook can make up namespaces."""
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_log = logging.getLogger(__name__)


class Newest:
    """`look` lists the services of a namespace and hands each to `put`. Who asks while a list is under way shares the next one
    with all who ask meanwhile, so that a thousand pods cost a few lists."""

    def __init__(self, client: Client, put: Callable[[Mapping[str, Any]], None]) -> None:
        self._client = client
        self._put = put
        self._next: dict[str, asyncio.Task[None]] = {}
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(AT_ONCE)

    async def look(self, namespace: str) -> None:
        """Until a list that began after this call is handed over. Says in the log when that cannot be had in `PATIENCE_S`."""
        if not _NAMESPACE.fullmatch(namespace):
            return
        task = self._next.get(namespace)
        if task is None:
            task = self._next[namespace] = asyncio.create_task(self._after(self._under_way.get(namespace), namespace))
        done, _ = await asyncio.wait({task}, timeout=PATIENCE_S)
        if not done:
            _log.warning("MonitoredServices of %s as heard before: no answer within %.0f s", namespace, PATIENCE_S)

    async def _after(self, other: asyncio.Task[None] | None, namespace: str) -> None:
        if other is not None:
            await asyncio.wait({other})
        async with self._places:
            task = self._under_way[namespace] = self._next.pop(namespace)
            try:
                await self._list(namespace)
            except (KubeError, aiohttp.ClientError, OSError, TimeoutError) as error:
                _log.warning("MonitoredServices of %s as heard before: %s", namespace, error or type(error).__name__)
            finally:
                if self._under_way[namespace] is task:
                    del self._under_way[namespace]

    async def _list(self, namespace: str) -> None:
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}"
        for manifest in (await self._client.request("GET", path))["items"]:
            # A list leaves the kind of its items out.
            self._put(manifest | {"apiVersion": API_VERSION, "kind": KIND})
