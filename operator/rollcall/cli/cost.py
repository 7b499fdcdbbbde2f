"""`rollcall cost`: what monitoring itself uses, as the agents and the operator measure it on themselves."""

from __future__ import annotations

import asyncio
import statistics
from typing import Any

from rich.table import Table

from rollcall.cli.connection import Caller, live_api
from rollcall.cli.top import wide_console

MIB = 1024 * 1024


async def _collect(caller: Caller, namespace: str | None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    query = f"?namespace={namespace}" if namespace else ""
    async with live_api(caller) as api:
        async with api.get("/v1/operator") as response:
            operator = await response.json()
        async with api.get(f"/v1/services{query}") as response:
            services = (await response.json())["services"]
        pictures = []
        for service in services:
            async with api.get(f"/v1/services/{service['namespace']}/{service['name']}") as response:
                pictures.append(await response.json())
    return operator, pictures


def run_cost(caller: Caller, namespace: str | None) -> None:
    """Print a table: per service the agents' CPU and memory (median and largest), and the operator's."""
    operator, pictures = asyncio.run(_collect(caller, namespace))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("WHAT", "PODS", "CPU MEDIAN", "CPU MAX", "MEMORY MEDIAN", "MEMORY MAX"):
        table.add_column(name, justify="left" if name == "WHAT" else "right", no_wrap=True)
    for picture in pictures:
        agents = [pod["agent"] for pod in picture["roll"] if pod["agent"]]
        cpu = [agent["millicores"] for agent in agents if agent["millicores"] is not None]
        memory = [agent["memoryBytes"] / MIB for agent in agents]
        table.add_row(
            f"agents of {picture['namespace']}/{picture['name']}",
            str(len(agents)),
            *(f"{value:.1f}m" for value in (statistics.median(cpu), max(cpu)) if cpu) if cpu else ("–", "–"),
            *(f"{value:.1f}Mi" for value in (statistics.median(memory), max(memory))) if memory else ("–", "–"),
        )
    cpu_operator = operator["millicores"]
    table.add_row(
        f"operator {operator['version']}", "1", f"{cpu_operator:.1f}m", "–", f"{operator['memoryBytes'] / MIB:.1f}Mi", "–"
    )
    wide_console().print(table)
