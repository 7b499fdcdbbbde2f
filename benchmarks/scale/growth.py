"""How the operator's cost grows with the fleet, 100 to 10,000 agents without TLS, and how many reports one process can take.

At each size the operator's own CPU and memory; what the machine's other processes take of the processors is not in them. At the
largest size agents then report more often, step by step, until the operator does not keep up: reports stay under way, or what a
viewer sees gets old.
"""

from __future__ import annotations

import asyncio
from itertools import pairwise

import numpy as np

from .live import total
from .scene import FULL_S, Scene, note, row
from .stage import SERVICES, service_of

SIZES = (100, 200, 500, 1000, 2000, 5000, 10_000)
MEASURE_S = 12.0
INTERVALS_S = (0.4, 0.3, 0.25, 0.2, 0.15)
OLD_MS = 2000
"""A viewer who sees older figures (p99) sees an operator that does not keep up."""


async def growth(scene: Scene) -> None:
    """The curve, and its end."""
    sizes = [size for size in SIZES if size <= scene.given.pods]
    heads = ("of a core", "µs/agent·s", "µs/report", "fold ms", "MiB", "KiB/agent", "age p50", "p99 ms")
    print(f"{'agents':>7} " + " ".join(f"{head:>10}" for head in heads))
    costs: dict[int, float] = {}
    base_kib = (await scene.settled()).kib
    for size in sizes:
        await scene.grow(size - len(scene.pods.alive))
        await scene.all_serve()
        await asyncio.sleep(FULL_S)
        figures = await _measure(scene)
        costs[size] = figures["cores"] / size
        found = (
            f"{figures['cores']:.1%}",
            f"{costs[size] * 1e6:.0f}",
            f"{figures['per_report_us']:.1f}",
            f"{figures['fold_ms']:.2f}",
            f"{figures['kib'] / 1024:.0f}",
            f"{(figures['kib'] - base_kib) / size:.1f}",
            f"{figures['p50']:.0f}",
            f"{figures['p99']:.0f}",
        )
        print(f"{size:>7} " + " ".join(f"{each:>10}" for each in found), flush=True)
    for one, other in pairwise(sizes):
        # The bound is for a doubling; of a step of another size, its power.
        doubling = (costs[other] * other / (costs[one] * one)) ** (1 / np.log2(other / one))
        row(f"{one:,} → {other:,} agents: each doubling", "≤ 2.1 ×", f"{doubling:.2f} ×", doubling <= 2.1)
    await _ceiling(scene, sizes[-1])


async def _ceiling(scene: Scene, agents: int) -> None:
    best = 2.0 * agents
    for interval_s in INTERVALS_S:
        note(f"{agents} agents, a report each {interval_s:g} s")
        await scene.agents.ask(interval=interval_s)
        await asyncio.sleep(5)
        figures = await _measure(scene)
        seen = f"{figures['taken']:.0f}/s taken of {figures['sent']:.0f}/s, {figures['cores']:.0%} of a core"
        keeps_up = figures["taken"] >= 0.97 * figures["sent"] and figures["p99"] < OLD_MS
        row(
            f"{agents / interval_s:,.0f} reports/s asked for (agents: {figures['agents']:.0%} of a core)",
            "–",
            f"{seen}, p99 {figures['p99']:.0f} ms",
        )
        if not keeps_up:
            break
        best = max(best, figures["taken"])
        if figures["sent"] < 0.9 * agents / interval_s:
            note("the agents' process does not send more")
            break
    row("reports a second that one process was seen to keep up with", "–", f"{best:,.0f}/s, {best / 2:,.0f} agents at 2 Hz")


async def _measure(scene: Scene) -> dict[str, float]:
    before, text_before = scene.operator.used(), (await scene.live.metrics())[0]
    agents_before, said_before = scene.agents.used(), await scene.agents.ask()
    ages = await scene.live.ages_ms(*service_of(SERVICES - 1), MEASURE_S)
    after, text = scene.operator.used(), (await scene.live.metrics())[0]
    agents, said = scene.agents.used(), await scene.agents.ask()
    span_s = after.at_s - before.at_s

    def grown(name: str) -> float:
        return total(text, name) - total(text_before, name)

    p50, p99 = np.quantile(ages, (0.5, 0.99)) if len(ages) else (np.inf, np.inf)
    reports = grown("rollcall_reports_total")
    return {
        "cores": after.cores_since(before),
        "agents": agents.cores_since(agents_before),
        "per_report_us": (after.cpu_s - before.cpu_s) / max(1.0, reports) * 1e6,
        "fold_ms": grown("rollcall_fold_seconds_sum") / max(1.0, grown("rollcall_fold_seconds_count")) * 1000,
        "kib": after.kib,
        "taken": reports / span_s,
        "sent": (said["sent"] - said_before["sent"]) / span_s,
        "p50": float(p50),
        "p99": float(p99),
    }
