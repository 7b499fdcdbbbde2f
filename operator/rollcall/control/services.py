"""The MonitoredServices that exist: for the webhook a look-up by namespace, for the model a watch each.

Every replica keeps this, so that a standby answers the webhook and begins to lead with all pods already known.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rollcall.api.monitoredservice import InvalidMonitoredServiceError, MonitoredService
from rollcall.control.breaker import Breaker
from rollcall.control.watch import NamespaceWorkloads, ServiceWatch, causes_of
from rollcall.inject import names
from rollcall.kube.client import Client
from rollcall.kube.informer import Informer
from rollcall.kube.objects import Namespace, Node
from rollcall.model.departures import NodeFacts
from rollcall.model.kept import Parts
from rollcall.model.roll import Key, Roll

STEP_S = 0.25
"""How often pods that leave are looked at."""
REMEMBERED = 1000
"""UIDs of services that were deleted: of several who tell of services, the slowest may still tell that one is there."""
NOTHING: Mapping[str, Parts] = {}
_log = logging.getLogger(__name__)


class Services:
    """Start with `run`; feed with `put` and `remove` (kopf does)."""

    def __init__(
        self,
        client: Client,
        roll: Roll,
        on_change: Callable[[], None] = lambda: None,
        visitor_key: Callable[[str], str | None] = lambda uid: None,
        breaker: Breaker | None = None,
    ) -> None:
        self._client = client
        self._roll = roll
        self._on_change = on_change
        self._visitor_key = visitor_key
        self.breaker = breaker or Breaker("")
        self._watches: dict[Key, ServiceWatch] = {}
        self._workloads: dict[str, NamespaceWorkloads] = {}
        self._enabled: dict[str, bool] = {}
        self._namespaces = Informer(
            client, "/api/v1/namespaces", Namespace, on_change=self._namespace_changed, on_delete=self._namespace_deleted
        )
        self._node_facts: dict[str, NodeFacts] = {}
        self._nodes = Informer(client, "/api/v1/nodes", Node, on_change=self._node_changed, on_delete=self._node_deleted)
        self._leading = False
        self._gone: deque[str] = deque(maxlen=REMEMBERED)

    def __iter__(self) -> Iterator[ServiceWatch]:
        return iter(self._watches.values())

    def get(self, key: Key) -> ServiceWatch | None:
        """The watch of one service."""
        return self._watches.get(key)

    def of_namespace(self, namespace: str) -> list[MonitoredService]:
        """The services of a namespace by name, for the webhook, which asks from another thread: what is iterated is a copy."""
        return [watch.service for key, watch in sorted(self._watches.items()) if key[0] == namespace]

    @property
    def namespaces(self) -> set[str]:
        """Namespaces that have a service."""
        return {namespace for namespace, _ in self._watches}

    @property
    def agent_namespaces(self) -> set[str]:
        """Namespaces in which agents run or may start any moment."""
        return self.namespaces | {namespace for namespace, enabled in self._enabled.items() if enabled}

    @property
    def synced(self) -> bool:
        """Whether everything that is watched was listed once; also asked from the webhook's thread."""
        return self._namespaces.synced.is_set() and all(watch.synced for watch in list(self._watches.values()))

    async def run(self) -> None:
        """Follow namespaces and nodes, and look at pods that leave, until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for job in (self._namespaces.run(), self._nodes.run(), self._step()):
                    group.create_task(job)
        finally:
            await asyncio.gather(*(watch.stop() for watch in self._watches.values()))
            await asyncio.gather(*(workloads.stop() for workloads in self._workloads.values()))

    async def _step(self) -> None:
        while True:
            unix_s = time.time()
            for watch in self._watches.values():
                watch.departing.step(unix_s)
                watch.settle()
            await asyncio.sleep(STEP_S)

    def node_of(self, name: str) -> NodeFacts | None:
        """A node as it is now; None while nodes are not known."""
        if not self._nodes.synced.is_set():
            return None
        return self._node_facts.get(name) or NodeFacts(name, exists=False)

    def _node_changed(self, node: Node) -> None:
        self._node_facts[node.metadata.name] = node.facts()

    def _node_deleted(self, node: Node) -> None:
        self._node_facts.pop(node.metadata.name, None)

    def put(self, manifest: Mapping[str, Any]) -> None:
        """A MonitoredService appeared or changed. One that cannot be read (an older schema let it in) is logged and left."""
        try:
            service = MonitoredService.from_object(manifest)
        except InvalidMonitoredServiceError as error:
            meta = manifest.get("metadata", {})
            _log.error("MonitoredService %s/%s is left out: %s", meta.get("namespace"), meta.get("name"), error)
            return
        if service.metadata.uid in self._gone:
            return
        key = (service.namespace, service.name)
        watch = self._watches.get(key)
        if watch is not None and watch.service.metadata.uid == service.metadata.uid:
            if service.metadata.generation < watch.service.metadata.generation:
                return  # told late, by the slower of two
            if watch.service.metadata.generation != service.metadata.generation:
                watch.update(service)
            else:
                watch.seen(service)
            if not self._leading:
                watch.ledger.kept(causes_of(service))
            return
        if watch is not None:
            self.remove(key)
        self._begin(key, service)

    def _begin(self, key: Key, service: MonitoredService) -> None:
        namespace = service.namespace
        if namespace not in self._workloads:
            self._workloads[namespace] = NamespaceWorkloads(self._client, namespace, lambda: self._workloads_changed(namespace))
        key_of_visitors = self._visitor_key(service.metadata.uid)
        watch = ServiceWatch(
            self._client, self._roll, service, self._workloads[namespace], key_of_visitors, self.breaker, self.node_of
        )
        watch.namespace_enabled = self._enabled.get(namespace, False)
        watch.refresh()
        watch.workloads_changed()
        self._watches[key] = watch
        _log.info("watching %s/%s", *key)
        self._on_change()

    def remove(self, key: Key) -> None:
        """A MonitoredService was deleted."""
        watch = self._watches.pop(key, None)
        if watch is None:
            return
        self._gone.append(watch.service.metadata.uid)
        watch.leave()
        _stop_soon(watch.stop())
        if key[0] not in self.namespaces:
            _stop_soon(self._workloads.pop(key[0]).stop())
        _log.info("not watching %s/%s any more", *key)
        self._on_change()

    def look_at_image(self) -> None:
        """Whether injection pauses, because the agent's image cannot be pulled; every replica looks."""
        self.breaker.round(watch.pods for watch in self._watches.values())

    def has_pod(self, uid: str) -> bool:
        """Whether a service lists a pod of this UID."""
        return any(uid in watch.pods for watch in self._watches.values())

    @property
    def uids(self) -> dict[Key, str]:
        """The UID of each service."""
        return {key: watch.service.metadata.uid for key, watch in self._watches.items()}

    def begin_term(self, kept: Mapping[str, Parts] = NOTHING) -> None:
        """This replica leads from now on, and goes on from what was kept, by UID."""
        self._leading = True
        for watch in self._watches.values():
            watch.begin_term(kept.get(watch.service.metadata.uid))

    def end_term(self) -> None:
        """Another one leads: what it writes is what was counted."""
        self._leading = False

    def _workloads_changed(self, namespace: str) -> None:
        for key, watch in self._watches.items():
            if key[0] == namespace:
                watch.workloads_changed()

    def _namespace_changed(self, namespace: Namespace) -> None:
        self._set_enabled(namespace.metadata.name, namespace.metadata.labels.get(names.OPT_LABEL) == names.OPTED_IN)

    def _namespace_deleted(self, namespace: Namespace) -> None:
        self._set_enabled(namespace.metadata.name, False)

    def _set_enabled(self, namespace: str, enabled: bool) -> None:
        if enabled != self._enabled.get(namespace, False):
            self._on_change()
        self._enabled[namespace] = enabled
        for key, watch in self._watches.items():
            if key[0] == namespace and watch.namespace_enabled != enabled:
                watch.namespace_enabled = enabled
                watch.refresh()


_stopping: set[asyncio.Task[None]] = set()


def _stop_soon(stop: Any) -> None:
    task = asyncio.ensure_future(stop)
    _stopping.add(task)
    task.add_done_callback(_stopping.discard)
