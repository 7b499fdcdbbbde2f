"""What must hold at every instant, looked at once a second beside every cluster test, by the live API as people get it.

Pods are each in one bucket and the buckets add up; totals never fall; no slot is taken twice; a pod that left has one cause,
and keeps it. While there is no operator there is nothing to see; for a while after a restart totals may still be on their way.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from rollcall.cli.connection import CliError, LiveApi, Target, identify, live_api
from tests.harness.cluster import Cluster

STATES = ("pending", "serving", "unready", "silent", "bare", "leaving")
EVERY_S = 1.0
SETTLE_S = 20.0
"""After the operator was away, its agents come over one after the other."""
Json = dict[str, Any]


@dataclass
class Invariants:
    """What was seen of each service, and what was wrong with it."""

    violations: list[str] = field(default_factory=list)
    looked: int = 0
    _totals: dict[str, dict[str, int]] = field(default_factory=dict)
    _causes: dict[str, dict[str, str]] = field(default_factory=dict)
    _settled_s: float = float("-inf")

    def away(self) -> None:
        """The operator did not answer."""
        self._settled_s = time.monotonic() + SETTLE_S

    def see(self, pictures: list[Json]) -> None:
        """All services at one moment."""
        self.looked += 1
        names = {f"{picture['namespace']}/{picture['name']}" for picture in pictures}
        for known in (self._totals, self._causes):
            for gone in known.keys() - names:
                del known[gone]
        for picture in pictures:
            name = f"{picture['namespace']}/{picture['name']}"
            for said in (
                *self._buckets(picture),
                *self._monotonic(name, picture),
                *self._slots(picture),
                *self._one_cause(name, picture),
            ):
                self.violations.append(f"{name} at {picture['at']:.2f}: {said}")

    @staticmethod
    def _buckets(picture: Json) -> list[str]:
        pods, roll = picture["pods"], picture["roll"]
        found = []
        if pods["total"] != sum(pods[state] for state in STATES):
            found.append(f"the buckets do not add up: {pods}")
        counted = Counter(pod["state"] for pod in roll)
        if {state: pods[state] for state in STATES if pods[state]} != dict(counted):
            found.append(f"the roll has {dict(counted)}, the buckets {pods}")
        if len({pod["uid"] for pod in roll}) != len(roll):
            found.append("a pod is on the roll twice")
        if sum(picture["bare"].values()) != pods["bare"]:
            found.append(f"{pods['bare']} bare pods, but reasons {picture['bare']}")
        return found

    def _monotonic(self, name: str, picture: Json) -> list[str]:
        now = {f"totals.{key}": value for key, value in picture["totals"].items()}
        before = self._totals.get(name, {})
        fallen = [f"{key} fell from {before[key]} to {value}" for key, value in now.items() if value < before.get(key, 0)]
        if fallen and time.monotonic() < self._settled_s:
            return []
        self._totals[name] = now
        return fallen

    @staticmethod
    def _slots(picture: Json) -> list[str]:
        taken = Counter(pod["slot"] for pod in picture["roll"] if pod.get("slot"))
        return [f"slot {slot} is taken {count} times" for slot, count in taken.items() if count > 1]

    def _one_cause(self, name: str, picture: Json) -> list[str]:
        recent = (picture.get("departures") or {}).get("recent") or []
        found = [f"{uid} is told {count} times" for uid, count in Counter(each["uid"] for each in recent).items() if count > 1]
        known = self._causes.setdefault(name, {})
        for each in recent:
            before = known.setdefault(each["uid"], each["cause"])
            if before != each["cause"]:
                found.append(f"{each['name']} left by {before}, and then by {each['cause']}")
                known[each["uid"]] = each["cause"]
        here = {pod["uid"] for pod in picture["roll"]}
        return found + [f"{each['name']} has left, and is on the roll" for each in recent if each["uid"] in here]


class Watcher:
    """Looks until `stop`; `take` gives what was wrong since it was asked last."""

    def __init__(self, cluster: Cluster) -> None:
        self._target = Target(kubeconfig=str(cluster.kubeconfig), namespace="default")
        self._stop = threading.Event()
        self.seen = Invariants()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._look()), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the looking."""
        self._stop.set()
        self._thread.join(timeout=15)

    def take(self) -> list[str]:
        """Violations since the last call."""
        found, self.seen.violations = self.seen.violations, []
        return found

    async def _look(self) -> None:
        while not self._stop.is_set():
            with contextlib.suppress(CliError, OSError, TimeoutError, asyncio.CancelledError):
                async with live_api(identify(self._target)) as api:
                    while not self._stop.is_set():
                        self.seen.see(await self._pictures(api))
                        await asyncio.sleep(EVERY_S)
            self.seen.away()
            await asyncio.sleep(EVERY_S)

    @staticmethod
    async def _pictures(api: LiveApi) -> list[Json]:
        async with api.get("/v1/services") as response:
            listed = (await response.json())["services"]
        pictures = []
        for service in listed:
            with contextlib.suppress(CliError):  # deleted meanwhile
                async with api.get(f"/v1/services/{service['namespace']}/{service['name']}") as response:
                    pictures.append(await response.json())
        return pictures
