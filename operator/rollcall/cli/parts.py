"""`rollcall endpoints`, `errors`, `requests`, `pods`, `deps`, `departures`, `crashes`: one part of a service, once or live."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from rich.console import RenderableType

from rollcall.cli.connection import Caller, CliError
from rollcall.cli.signals import PARTS, part_of
from rollcall.cli.top import View, once, path_of, show, wide_console

HELP = {
    "endpoints": "Where the time goes: requests, errors and response times of a service by endpoint.",
    "errors": "Errors of a service by type, and samples with the line of the application's code.",
    "requests": "The longest requests in flight of a service, with what each of them is at.",
    "pods": "The pods of a service: CPU, memory, workers, connections that wait, revision.",
    "deps": "What a service waits for: calls, failures and durations by dependency, and where the time goes.",
    "departures": "Pods of a service that left: the cause with its evidence, and what they did in their last seconds.",
    "crashes": "Workers of a service that ended before their time: signal, module, request, revision.",
}


def run_part(command: str, caller: Caller, service: str | None, *, output: str, watch: bool, seconds: float | None) -> None:
    """One of the commands; with `watch` until ctrl-c, or for so many seconds."""
    service = service if service is not None else asyncio.run(_only_service(caller))
    path = path_of(service, caller.target.namespace, all_namespaces=False)
    if watch:
        asyncio.run(show(caller, path, seconds, _json_view(command) if output == "json" else _table_view(command)))
        return
    picture = asyncio.run(once(caller, path))
    if output == "json":
        print(json.dumps(part_of(picture, command), indent=2))
    else:
        wide_console().print(PARTS[command](picture))


async def _only_service(caller: Caller) -> str:
    """The name of the only service of the namespace; raises CliError when there are others, or none."""
    namespace = caller.target.namespace
    found = await once(caller, path_of(None, namespace, all_namespaces=False))
    names = [service["name"] for service in found["services"]]
    if len(names) == 1:
        return str(names[0])
    said = f"name one of {', '.join(names)}" if names else f"there is no MonitoredService in namespace {namespace}"
    raise CliError(said, code=2 if names else 1)


def _table_view(command: str) -> View:
    def render(picture: dict[str, Any], height: int) -> RenderableType:
        table: RenderableType = PARTS[command](picture)
        return table

    def text(picture: dict[str, Any]) -> str:
        console = wide_console()
        with console.capture() as captured:
            console.print(PARTS[command](picture))
        return f"{picture['namespace']}/{picture['name']}\n{captured.get()}"

    return View(render, text)


def _json_view(command: str) -> View:
    def text(picture: dict[str, Any]) -> str:
        return json.dumps(part_of(picture, command))

    return View(None, text)
