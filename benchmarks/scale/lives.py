"""Churn without growth: thousands of pods are born, report for a few seconds, and go; what the operator's memory is meanwhile.

A fleet of `STAND` pods stays. The bound is for the time after a warm-up, which is a third of all lives here: by then every
table that goes by time is as long as it gets.
"""

from __future__ import annotations

import asyncio
import time

from .scene import Scene, note, row

STAND = 100
AT_ONCE = 150
LIVES_S = 4.0
STEPS = 10
LINGER_S = 12.0
"""After so long nothing is kept of a pod that left but what is told of departures."""


async def lives(scene: Scene) -> None:
    """`--churn` of them."""
    count: int = scene.given.churn
    note(f"{STAND} pods that stay")
    await scene.grow(STAND)
    await scene.all_serve()
    seen: list[float] = [(await scene.settled(LINGER_S)).kib]
    began_s = time.monotonic()
    for step in range(STEPS):
        before = scene.operator.used()
        step_s = time.monotonic()
        await _come_and_go(scene, count // STEPS)
        rate = count // STEPS / (time.monotonic() - step_s)
        cores = scene.operator.used().cores_since(before)
        await scene.all_serve()
        seen.append((await scene.settled(LINGER_S)).kib)
        row(
            f"{(step + 1) * (count // STEPS):,} pods born and gone",
            "–",
            f"{seen[-1] / 1024:.1f} MiB, {rate:.0f}/s, {cores:.0%} of a core",
        )
    warm = seen[(STEPS + 2) // 3]
    growth = seen[-1] / warm - 1
    what = f"operator's memory from {(STEPS + 2) // 3 * (count // STEPS):,} to {count:,} lives"
    row(what, "≤ 5 %", f"{warm / 1024:.1f} → {seen[-1] / 1024:.1f} MiB: {growth:+.1%}", growth <= 0.05)
    row("in", "–", f"{time.monotonic() - began_s:.0f} s")


async def _come_and_go(scene: Scene, count: int) -> None:
    room = asyncio.Semaphore(AT_ONCE)

    async def live_and_leave() -> None:
        async with room:
            made = await scene.pods.make(token=True)
            await scene.agents.ask(add=[(made.uid, made.token)])
            await asyncio.sleep(LIVES_S)
            await scene.pods.remove(made)
            await scene.agents.ask(drop=[made.uid])

    await asyncio.gather(*(live_and_leave() for _ in range(count)))
