"""What a replica does while it leads: take in agents, fold, write statuses, publish the CA. A term begins and ends as one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

import aiohttp

from rollcall.control.bundle import Bundle
from rollcall.control.services import Services
from rollcall.ingest.server import IngestServer
from rollcall.kube.client import MERGE_PATCH, Client, KubeError
from rollcall.model.kept import Parts
from rollcall.model.roll import Roll
from rollcall.serve.publisher import Publisher

FOLD_S, QUICK_FOLD_S = 0.25, 0.1
QUICK_WHILE_S = 0.002
"""While folds take no longer than this, they are made more often: a step in traffic is then seen up to 0.15 s sooner."""
PUBLISH_S = 5.0
SYNC_WITHIN_S = 10.0
LABEL_WITHIN_S = 2.0
"""An API server that does not answer must not keep a former leader from ending its term."""
LABEL_AGAIN_S = 1.0
LEADER_LABEL = "rollcall.dev/leader"
_log = logging.getLogger(__name__)


class LeaderLabel:
    """The label on our own pod by which the Services for agents and people find the leader."""

    def __init__(self, client: Client, namespace: str, pod: str) -> None:
        self._client = client
        self._pod = pod
        self.shown: bool | None = None
        """What the API server was told last; None when it could not be told."""
        self._path = f"/api/v1/namespaces/{namespace}/pods/{pod}"

    async def set(self, leading: bool) -> None:
        """Put the label on or take it off; outside a cluster there is no pod and nothing to do."""
        if not self._pod:
            self.shown = leading
            return
        self.shown = None
        patch = {"metadata": {"labels": {LEADER_LABEL: "true" if leading else None}}}
        try:
            async with asyncio.timeout(LABEL_WITHIN_S):
                await self._client.request("PATCH", self._path, patch, content_type=MERGE_PATCH)
            self.shown = leading
        except (KubeError, aiohttp.ClientError, OSError, TimeoutError) as error:
            _log.warning("leader label: %s", error or type(error).__name__)


class Memory(Protocol):
    """What an earlier leader kept, by UID of the service."""

    def __call__(self) -> Awaitable[Mapping[str, Parts]]: ...


class Job(Protocol):
    """What runs for as long as a replica leads, and is cancelled then."""

    def run(self) -> Coroutine[Any, Any, None]: ...


class Term:
    """Begins when `lead(True)` is called and ends with `lead(False)`; `run` does the work in between, again and again."""

    def __init__(
        self,
        roll: Roll,
        services: Services,
        publisher: Publisher,
        ingest: IngestServer,
        jobs: Sequence[Job],
        bundle: Bundle,
        label: LeaderLabel,
        ca: Callable[[], str],
        observe_fold: Callable[[float], None],
        memory: Memory,
    ) -> None:
        self._memory = memory
        self._roll = roll
        self._services = services
        self._publisher = publisher
        self._ingest = ingest
        self._jobs = jobs
        self._bundle = bundle
        self._label = label
        self._ca = ca
        self._observe_fold = observe_fold
        self._turn = asyncio.Event()
        self._leading = False
        self.namespaces_changed = asyncio.Event()

    def lead(self, leading: bool) -> None:
        """The lease was won or lost."""
        self._leading = leading
        self._turn.set()

    async def run(self) -> None:
        """Serve terms until cancelled."""
        while True:
            if self._leading:
                await self._serve()
            elif self._label.shown is not False:
                # A container that was restarted finds the label of its former life. And an API server that was away when the
                # term ended still shows it, beside that of who leads now.
                await self._label.set(False)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._turn.wait(), None if self._label.shown is False else LABEL_AGAIN_S)
            self._turn.clear()

    async def _serve(self) -> None:
        await self._begin()
        jobs = [self._fold(), self._publish(), *(job.run() for job in self._jobs)]
        work = [asyncio.create_task(job) for job in jobs]
        try:
            ended = asyncio.create_task(self._turn.wait())
            await asyncio.wait([*work, ended], return_when=asyncio.FIRST_COMPLETED)
            ended.cancel()
        finally:
            await self._end(work)

    async def _begin(self) -> None:
        until_s = time.monotonic() + SYNC_WITHIN_S
        while not self._services.synced and time.monotonic() < until_s:  # noqa: ASYNC110 (many informers, one question)
            await asyncio.sleep(0.05)
        self._services.begin_term(await self._memory())
        self._bundle.forget()
        self._roll.fold(time.monotonic(), time.time())
        self._publisher.leading = True
        await self._ingest.start()
        await self._label.set(True)

    async def _end(self, work: list[asyncio.Task[None]]) -> None:
        self._publisher.leading = False
        self._publisher.turn()
        await self._label.set(False)
        await self._ingest.stop()
        for task in work:
            task.cancel()
        for task in work:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._services.end_term()

    async def _fold(self) -> None:
        due_s = time.monotonic()
        while True:
            started_s, took_s = time.monotonic(), 0.0
            for fleet in list(self._roll):
                began_s = time.monotonic()
                fleet.fold(began_s, time.time())
                took_s += time.monotonic() - began_s
                await asyncio.sleep(0)  # services are folded by themselves, so that the webhook waits for one of them at most
            self._publisher.turn()
            self._observe_fold(took_s)
            due_s = max(due_s + (QUICK_FOLD_S if took_s <= QUICK_WHILE_S else FOLD_S), started_s)
            await asyncio.sleep(due_s - time.monotonic())

    async def _publish(self) -> None:
        while True:
            self.namespaces_changed.clear()
            if not self._label.shown:
                await self._label.set(True)
            await self._bundle.publish(self._ca(), self._services.agent_namespaces)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.namespaces_changed.wait(), PUBLISH_S)
