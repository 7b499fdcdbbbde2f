"""Injection takes itself back: what `model.blame` finds becomes orders to agents, entries of the status, and events.

The leader judges, once a second. A verdict lives in the status of the MonitoredService, so it survives a restart, and every
replica's webhook obeys it there. It ends with another agent image, or when a person says so by the annotation.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rollcall.api.monitoredservice import MonitoredService
from rollcall.api.status import MOST_TAKEN_BACK, TakenBack
from rollcall.control.telling import tell_of
from rollcall.inject.names import RETRY_ANNOTATION
from rollcall.kube.client import Client
from rollcall.kube.objects import unix
from rollcall.kube.pods import Pod, Terminated
from rollcall.model.blame import Blame, Ended, Release, Sight, Verdict

if TYPE_CHECKING:
    from rollcall.control.services import Services
    from rollcall.control.watch import ServiceWatch

LOOK_S = 1.0


class TakeBack:
    """What is known of the crashes in one service, and the verdicts on its workloads."""

    def __init__(self, entries: Iterable[TakenBack] = ()) -> None:
        self.entries = {entry.workload: entry for entry in entries}
        self.blame = Blame(
            Verdict(entry.workload, unix(entry.since) or 0.0, entry.agent, entry.reason) for entry in self.entries.values()
        )

    def pod_changed(self, pod: Pod, ended: Sequence[tuple[str, Terminated]], container: str | None, now: float) -> None:
        """A pod of the service, and what ended in it since it was seen last. Only pods that are restarted for ever count."""
        chosen = pod.application(container)
        if pod.metadata.deletion_timestamp is not None or pod.status.phase in ("Succeeded", "Failed"):
            self.blame.gone(pod.metadata.uid, now)
            return
        if chosen is None or pod.spec.restart_policy != "Always":
            return
        status = next((status for status in pod.status.container_statuses if status.name == chosen.name), None)
        running = status.state.running if status is not None else None
        sight = Sight(
            uid=pod.metadata.uid,
            workload=pod.workload,
            release=Release(pod.revision, pod.agent_image),
            started_at=unix(running.started_at) if running is not None else None,
            ready=status is not None and status.ready,
        )
        lives = [_life(each) for name, each in ended if name == chosen.name]
        self.blame.see(sight, [life for life in lives if life is not None])

    def take(self, verdict: Verdict, service: MonitoredService, agent: str) -> TakenBack:
        """Keep a verdict; `agent` is the image that is injected at this time."""
        entry = TakenBack(
            workload=verdict.workload,
            since=datetime.fromtimestamp(verdict.since, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            reason=verdict.reason,
            agent=agent,
            retry=_retry(service),
        )
        self.entries[entry.workload] = entry
        return entry

    def lift(self, service: MonitoredService, agent: str, now: float) -> list[TakenBack]:
        """Forget the verdicts that do not hold any more: there is another agent, or somebody wants it tried again."""
        retry = _retry(service)
        over = [entry for entry in self.entries.values() if entry.agent != agent or (retry and retry != entry.retry)]
        for entry in over:
            del self.entries[entry.workload]
            # A new agent says nothing for the pods that have the old one.
            self.blame.lift(entry.workload, now, spare=entry.agent if entry.agent != agent else None)
        return over

    def as_status(self) -> list[dict[str, Any]]:
        """The entries for the status, the newest first, at most MOST_TAKEN_BACK."""
        newest = sorted(self.entries.values(), key=lambda entry: (entry.since, entry.workload), reverse=True)
        return [entry.model_dump(by_alias=True, exclude_none=True) for entry in newest[:MOST_TAKEN_BACK]]


def _life(ended: Terminated) -> Ended | None:
    started_at, ended_at = unix(ended.started_at), unix(ended.finished_at)
    return None if started_at is None or ended_at is None else Ended(started_at, max(started_at, ended_at))


def _retry(service: MonitoredService) -> str | None:
    return service.metadata.annotations.get(RETRY_ANNOTATION, "")[:63] or None


class Judge:
    """Run it while this replica leads."""

    def __init__(self, client: Client, services: Services, agent: str, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._services = services
        self._agent = agent
        self._clock = clock

    async def run(self) -> None:
        """Look at all services once a second until cancelled."""
        while True:
            for watch, reason, message in self.round():
                kind = "Warning" if reason == "InjectionTakenBack" else "Normal"
                await tell_of(self._client, watch.service, kind, reason, message)
            await asyncio.sleep(LOOK_S)

    def round(self) -> list[tuple[ServiceWatch, str, str]]:
        """One look; the events to tell people of: service, reason, sentence."""
        now, told = self._clock(), []
        watches = list(self._services)
        proven = self._proven(watches, now) if any(watch.takeback.blame.busy for watch in watches) else {}
        for watch in watches:
            takeback = watch.takeback
            for entry in takeback.lift(watch.service, self._agent, now):
                told.append((watch, "InjectionRetried", f"{entry.workload} is injected again"))
            heard = _heard(watch) if takeback.blame.busy else set()
            for verdict in takeback.blame.step(now, heard, proven):
                takeback.take(verdict, watch.service, self._agent)
                told.append((watch, "InjectionTakenBack", f"{verdict.workload} is not injected any more: {verdict.reason}"))
            watch.fleet.probe_off = takeback.blame.off
        return told

    def _proven(self, watches: Iterable[ServiceWatch], now: float) -> dict[str, float]:
        """For how long, in seconds, some Ready pod lives with each agent image, and with its probe in place."""
        longest: dict[str, float] = {}
        for watch in watches:
            off = watch.fleet.probe_off
            for uid in _heard(watch) - off:
                known, started_at = watch.pods.get(uid), watch.fleet.pods[uid].facts.started_at
                if known is None or known.agent_image is None or started_at is None or not watch.fleet.pods[uid].facts.ready:
                    continue
                longest[known.agent_image] = max(now - started_at, longest.get(known.agent_image, 0.0))
        return longest


def _heard(watch: ServiceWatch) -> set[str]:
    """The UIDs of pods whose agents report."""
    fresh = watch.fleet.last.fresh
    return {uid for uid, pod in watch.fleet.pods.items() if pod.row is not None and pod.row < len(fresh) and fresh[pod.row]}
