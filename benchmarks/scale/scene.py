"""What every measurement here works with: a control plane, the operator, agents, pods, and the live API as a viewer has it."""

from __future__ import annotations

import argparse
import asyncio
import os
from dataclasses import dataclass
from pathlib import Path

from rollcall.kube.client import KubeError

from .live import Live
from .pods import Made, Pods
from .processes import Helper, OperatorProcess, Used
from .stage import SERVICES, SYSTEM, Stage

BATCH = 100
PATIENCE_S = 120.0
FULL_S = 13.0
"""After so long all windows of a service are full."""


def row(what: str, bound: str, seen: str, met: bool | None = None) -> None:
    """One line of the table."""
    verdict = {True: "met", False: "MISSED", None: ""}[met]
    print(f"{what:<66} {bound:<22} {seen:<40} {verdict}", flush=True)


def note(text: str) -> None:
    """What is being done now, and how busy the machine was in the last minute."""
    print(f"   … {text} (load {os.getloadavg()[0]:.1f})", flush=True)


@dataclass
class Scene:
    """`begin` it."""

    given: argparse.Namespace
    stage: Stage
    operator: OperatorProcess
    agents: Helper
    asker: Helper
    live: Live
    pods: Pods
    authority: Path

    async def begin(self) -> None:
        """The operator leads; agents know whom to trust."""
        self.operator.start()
        await self._authority()
        await self.agents.start()

    async def end(self) -> None:
        """Everything but the cluster."""
        await self.stage.close()
        for helper in (self.agents, self.asker):
            await helper.stop()
        await self.operator.stop()

    async def _authority(self) -> None:
        """The CA that agents go by, as the operator publishes it."""
        for _ in range(300):
            await asyncio.sleep(0.2)
            if len(await self.live.services()) < SERVICES:
                continue
            try:
                found = await self.stage.client.request("GET", f"/api/v1/namespaces/{SYSTEM}/configmaps/rollcall-ca")
            except KubeError:
                continue
            self.authority.write_text(found["data"]["ca.crt"])
            return
        raise SystemExit("the operator did not begin to lead")

    async def settled(self, seconds: float = 3.0) -> Used:
        """What the operator has used when nothing has happened for a while."""
        await asyncio.sleep(seconds)
        return self.operator.used()

    async def grow(self, count: int) -> list[Made]:
        """So many more pods with agents, as fast as the API server makes them."""
        all_made: list[Made] = []
        for start in range(0, count, BATCH):
            made = await self.pods.make_many(min(BATCH, count - start), token=True)
            await self.agents.ask(add=[(one.uid, one.token) for one in made])
            all_made += made
        return all_made

    async def all_serve(self) -> float:
        """Seconds until all pods that there are serve in the live API."""
        count = len(self.pods.alive)
        return await self.live.until({"total": count, "serving": count}, PATIENCE_S)
