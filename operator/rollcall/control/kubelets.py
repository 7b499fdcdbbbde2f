"""CPU and memory of pods whose probe reports none (bare, unprobed, silent), from the kubelets of their nodes.

Only nodes that have such pods are asked, each at most every `EVERY_S`; one that refuses is asked ever more rarely, and the log
says so once. In a fleet that is all probed nobody is asked.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import aiohttp

from rollcall.kube.client import KubeError
from rollcall.kube.kubelet import Figures, KubeletError
from rollcall.model import resources

if TYPE_CHECKING:
    from rollcall.control.watch import ServiceWatch
    from rollcall.model.states import PodFacts

LOOK_S = 2.0
EVERY_S = 10.0
JITTER_S = 2.0
AGAIN_S = (30.0, 600.0)
"""A kubelet that did not answer is asked again after so long, doubled each time, up to the second."""
AT_ONCE = 16
ADDRESS_S = 600.0
_log = logging.getLogger(__name__)


class Asked(Protocol):
    """`kube.kubelet.Kubelets`, as far as it is used here."""

    async def address(self, node: str) -> str: ...
    async def ask(self, address: str) -> list[Figures]: ...


@dataclass(slots=True)
class _Node:
    due_s: float = 0.0
    failures: int = 0
    address: str = ""
    address_s: float = 0.0


class KubeletPoller:
    """Run it while this replica leads."""

    def __init__(
        self,
        kubelets: Asked,
        watches: Iterable[ServiceWatch],
        clock: Callable[[], float] = time.monotonic,
        unix_clock: Callable[[], float] = time.time,
    ) -> None:
        self._kubelets = kubelets
        self._watches = watches
        self._clock = clock
        self._unix_clock = unix_clock
        self._nodes: dict[str, _Node] = {}
        self._limit = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Look every two seconds whom to ask, until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                for name in self.due():
                    group.create_task(self.ask(name))
                await asyncio.sleep(LOOK_S)

    def due(self) -> list[str]:
        """The nodes to ask now; each is not due again before it was asked and its pause is over."""
        now_s, wanted = self._clock(), {pod.node for _, pod in self._pods() if pod.node}
        self._nodes = {name: node for name, node in self._nodes.items() if name in wanted or node.due_s > now_s}
        due = [name for name in wanted if self._nodes.setdefault(name, _Node()).due_s <= now_s]
        for name in due:
            self._nodes[name].due_s = now_s + EVERY_S + random.uniform(0, JITTER_S)  # noqa: S311 (jitter)
        return due

    async def ask(self, name: str) -> None:
        """Ask one node and give its figures to the fleets."""
        node = self._nodes.get(name)
        if node is None:
            return
        async with self._limit:
            try:
                found = await self._kubelets.ask(await self._address(name, node))
            except (KubeletError, KubeError, aiohttp.ClientError, OSError, TimeoutError) as error:
                self._failed(name, node, error)
                return
        if node.failures:
            _log.info("kubelet of %s answers again", name)
        node.failures = 0
        self._give(name, found)

    async def _address(self, name: str, node: _Node) -> str:
        now_s = self._clock()
        if not node.address or now_s - node.address_s > ADDRESS_S:
            node.address, node.address_s = await self._kubelets.address(name), now_s
        return node.address

    def _failed(self, name: str, node: _Node, error: Exception) -> None:
        if not node.failures:
            _log.warning(
                "kubelet of %s: %s; its pods without a probe show no CPU and memory", name, error or type(error).__name__
            )
        first_s, longest_s = AGAIN_S
        node.due_s = self._clock() + min(longest_s, first_s * 2 ** min(node.failures, 10)) * random.uniform(0.8, 1)  # noqa: S311
        node.failures += 1
        node.address = ""

    def _give(self, name: str, found: Iterable[Figures]) -> None:
        by_container = {(each.uid, each.container): each for each in found}
        offset_s = self._unix_clock() - self._clock()
        for watch, pod in self._pods():
            known = watch.pods.get(pod.uid) if pod.node == name else None
            chosen = known.application(watch.service.spec.container) if known is not None else None
            figures = by_container.get((pod.uid, chosen.name)) if chosen is not None else None
            if figures is not None:
                at_s = min(self._clock(), figures.at - offset_s)
                watch.fleet.kubelet(pod.uid, figures.cpu_millicores, figures.memory_bytes, at_s)

    def _pods(self) -> list[tuple[ServiceWatch, PodFacts]]:
        return [(watch, pod) for watch in self._watches for pod in resources.without(watch.fleet)]
