"""Why the pods of a service leave: what informers tell of pods, owners and nodes, put before the model.

Every replica does this for itself, so that whoever takes over knows what left before. A pod that is off the list without a
deletion that we saw may have been deleted at once, or its labels have changed; the API server is asked which.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

import aiohttp

from rollcall.kube.client import Client, KubeError
from rollcall.kube.objects import unix
from rollcall.kube.pods import Pod
from rollcall.model.bursts import Bursts
from rollcall.model.departures import NodeFacts, OwnerFacts, Verdict, asked_before_end, cause_of
from rollcall.model.leavers import MISSED_PATIENCE_S, Leaver, Leavers
from rollcall.model.ledger import Ledger

ASKED_AT_ONCE = 16
AGAIN_S = 0.5
OwnerOf = Callable[[Pod, int], OwnerFacts | None]
NodeOf = Callable[[str], NodeFacts | None]
_log = logging.getLogger(__name__)


class Departing:
    """Of one service; `step` it a few times a second."""

    def __init__(
        self,
        client: Client,
        ledger: Ledger,
        owner_of: OwnerOf,
        node_of: NodeOf,
        current: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.since = time.time()
        """Pods that were created later are ours, also if they had finished when they were first seen."""
        self._current = current
        self._client = client
        self._ledger = ledger
        self._owner_of = owner_of
        self._node_of = node_of
        self._clock = clock
        self._leavers: Leavers[Pod] = Leavers()
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._limit = asyncio.Semaphore(ASKED_AT_ONCE)
        self.bursts = Bursts()
        """What people are to be told of."""

    def changed(self, pod: Pod) -> None:
        """A version of a pod."""
        uid, owner = pod.metadata.uid, _owner(pod)
        if pod.finished or pod.metadata.deletion_timestamp is not None:
            first, ours = asked_before_end(pod.end()), (unix(pod.metadata.creation_timestamp) or 0.0) > self.since
            self._leavers.leaves(uid, owner, pod, self._clock(), finished=pod.finished, asked_first=first, ours=ours)
        else:
            self._leavers.stays(uid, owner)

    def deleted(self, pod: Pod, *, missed: bool) -> None:
        """A pod is not listed any more."""
        uid = pod.metadata.uid
        asked = pod.metadata.deletion_timestamp is not None or self._leavers.begun(uid)
        first = pod.metadata.deletion_timestamp is not None
        self._leavers.gone(uid, _owner(pod), pod, self._clock(), missed=missed, held=not asked, asked_first=first)
        if not asked:
            task = asyncio.ensure_future(self._ask(pod))
            self._asking[uid] = task
            task.add_done_callback(lambda _: self._asking.pop(uid, None))

    def forget(self, uid: str) -> None:
        """A pod is off the roll, and has not left."""
        self._leavers.forget(uid)
        self._ledger.stayed(uid)

    async def _ask(self, pod: Pod) -> None:
        """Whether the pod is still there."""
        meta, until_s = pod.metadata, self._clock() + MISSED_PATIENCE_S
        while self._clock() < until_s:
            try:
                async with self._limit:
                    found = await self._client.request("GET", f"/api/v1/namespaces/{meta.namespace}/pods/{meta.name}")
            except KubeError as error:
                if error.status == 404:
                    break
            except (aiohttp.ClientError, OSError, TimeoutError) as error:
                _log.debug("pod %s: %s", meta.name, error)
            else:
                if found["metadata"]["uid"] == meta.uid:
                    self.forget(meta.uid)
                    return
                break
            await asyncio.sleep(AGAIN_S)
        self._leavers.confirm(meta.uid)

    def verdict(self, uid: str) -> Verdict | None:
        """Why a pod leaves, as far as is known."""
        return self._leavers.verdict(uid)

    def step(self, unix_s: float) -> None:
        """Judge the pods that leave, and write down those that have left."""
        now_s = self._clock()
        found = self._leavers.step(now_s, self._judge, current=self._current())
        for leaver in found.left:
            assert leaver.verdict is not None
            assert leaver.gone_s is not None
            self._ledger.left(leaver.pod.facts(), leaver.verdict, unix_s - (now_s - leaver.gone_s))
        for leaver in found.decided:
            assert leaver.verdict is not None
            self.bursts.add(leaver.pod.metadata.name, leaver.pod.workload, leaver.verdict, now_s)

    def _judge(self, leaver: Leaver[Pod]) -> Verdict:
        end = leaver.pod.end(asked_first=leaver.asked_first)
        return cause_of(end, self._owner_of(leaver.pod, leaver.present), self._node_of(end.node) if end.node else None)

    async def stop(self) -> None:
        """End what is being asked."""
        for task in list(self._asking.values()):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def _owner(pod: Pod) -> str:
    owner = pod.controller
    return owner.uid if owner is not None else ""
