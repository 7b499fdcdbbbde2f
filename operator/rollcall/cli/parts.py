"""`rollcall endpoints`, `errors`, `requests`, `pods`, `deps`, `departures`, `crashes`: one part of a service, once or live."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from rich.console import RenderableType

from rollcall.cli.connection import Caller, CliError
from rollcall.cli.output import encode, is_for_people, names_of, service_names
from rollcall.cli.screen import services_table
from rollcall.cli.signals import part_of, table_for
from rollcall.cli.top import View, line, once, path_of, show, wide_console

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
        view = _table_view if is_for_people(output) else _view
        asyncio.run(show(caller, path, seconds, view(command, output)))
        return
    picture = asyncio.run(once(caller, path))
    if is_for_people(output):
        wide_console().print(table_for(command, output)(picture))
    else:
        print(_text(picture, command, output))


def run_get(caller: Caller, service: str | None, *, all_namespaces: bool, output: str, watch: bool) -> None:
    """Services, a row each; of one service that row alone."""
    namespace = caller.target.namespace
    path = path_of(None, namespace, all_namespaces=all_namespaces)

    def wanted(picture: dict[str, Any]) -> list[dict[str, Any]]:
        found = [each for each in picture["services"] if service in (None, each["name"])]
        if service is not None and not found:
            raise CliError(f'there is no MonitoredService "{service}" in namespace "{namespace}"')
        return found

    if watch:
        view = View(lambda picture, height: services_table(wanted(picture)), line)
        asyncio.run(show(caller, path, None, view))
        return
    found = wanted(asyncio.run(once(caller, path)))
    if is_for_people(output):
        wide_console().print(services_table(found))
    else:
        print(service_names(found) if output == "name" else encode({"services": found}, output))


async def _only_service(caller: Caller) -> str:
    """The name of the only service of the namespace; raises CliError when there are others, or none."""
    namespace = caller.target.namespace
    found = await once(caller, path_of(None, namespace, all_namespaces=False))
    names = [service["name"] for service in found["services"]]
    if len(names) == 1:
        return str(names[0])
    said = f"name one of {', '.join(names)}" if names else f"there is no MonitoredService in namespace {namespace}"
    raise CliError(said, code=2 if names else 1)


def _table_view(command: str, output: str) -> View:
    def render(picture: dict[str, Any], height: int) -> RenderableType:
        return table_for(command, output)(picture)

    def text(picture: dict[str, Any]) -> str:
        console = wide_console()
        with console.capture() as captured:
            console.print(table_for(command, output)(picture))
        return f"{picture['namespace']}/{picture['name']}\n{captured.get()}"

    return View(render, text)


def _view(command: str, output: str) -> View:
    """For programs: JSON on one line, YAML as one document, names."""

    def text(picture: dict[str, Any]) -> str:
        if output == "json":
            return json.dumps(part_of(picture, command))
        return ("---\n" if output == "yaml" else "") + _text(picture, command, output)

    return View(None, text)


def _text(picture: dict[str, Any], command: str, output: str) -> str:
    return names_of(picture, command) if output == "name" else encode(part_of(picture, command), output)
