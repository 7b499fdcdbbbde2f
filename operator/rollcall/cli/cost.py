"""`rollcall cost`: what monitoring itself uses, as the agents and the operator measure it on themselves."""

from __future__ import annotations

import asyncio
import statistics
from typing import Any

from rich.text import Text

from rollcall.cli.columns import Columns
from rollcall.cli.connection import Caller, LiveApi, ask
from rollcall.cli.output import encode
from rollcall.cli.screen import NONE
from rollcall.cli.stream import each_of
from rollcall.cli.top import path_of, wide_console

MIB = 1024 * 1024


async def _collect(api: LiveApi, path: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return await api.json("/v1/operator"), (await each_of(api, path))["services"]


def run_cost(caller: Caller, namespace: str | None, *, output: str) -> None:
    """Print a table: per service the agents' CPU and memory (median and largest), and the operator's."""
    path = path_of(None, namespace, all_namespaces=namespace is None)
    operator, pictures = asyncio.run(ask(caller, lambda api: _collect(api, path)))
    rows = [*(_agents(picture) for picture in pictures), _operator(operator)]
    if output != "table":
        print(encode(rows, output))
        return
    table = Columns("WHAT >PODS >CPU_MEDIAN >CPU_MAX >MEMORY_MEDIAN >MEMORY_MAX")
    for row in rows:
        figures = [row[name] for name in ("cpuMillicores", "cpuMillicoresMax", "memoryBytes", "memoryBytesMax")]
        table.add_row(row["what"], str(row["pods"]), *map(_cpu, figures[:2]), *map(_memory, figures[2:]))
    wide_console().print(table)


def _agents(picture: dict[str, Any]) -> dict[str, Any]:
    agents = [pod["agent"] for pod in picture["roll"] if pod["agent"]]
    cpu = [agent["millicores"] for agent in agents if agent["millicores"] is not None]
    memory = [agent["memoryBytes"] for agent in agents]
    return {
        "what": f"agents of {picture['namespace']}/{picture['name']}",
        "pods": len(agents),
        "cpuMillicores": statistics.median(cpu) if cpu else None,
        "cpuMillicoresMax": max(cpu, default=None),
        "memoryBytes": statistics.median(memory) if memory else None,
        "memoryBytesMax": max(memory, default=None),
    }


def _operator(told: dict[str, Any]) -> dict[str, Any]:
    cpu, memory = told["millicores"], told["memoryBytes"]
    figures = {"cpuMillicores": cpu, "cpuMillicoresMax": None, "memoryBytes": memory, "memoryBytesMax": None}
    return {"what": f"operator {told['version']}", "pods": 1, **figures}


def _cpu(millicores: float | None) -> Text:
    return NONE if millicores is None else Text(f"{millicores:.1f}m")


def _memory(size: float | None) -> Text:
    return NONE if size is None else Text(f"{size / MIB:.1f}Mi")
