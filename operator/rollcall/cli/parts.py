"""`rollcall endpoints`, `errors`, `requests`, `pods`, `deps`, `departures`, `crashes`: one part of a service, once or live."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.text import Text

from rollcall.cli.connection import Caller, CliError, ask
from rollcall.cli.labels import By, narrowed, none_with, services_with, with_pods
from rollcall.cli.output import encode, is_for_people, names_of, service_names
from rollcall.cli.screen import nothing, services_table
from rollcall.cli.signals import part_of, requests_of_each, table_for
from rollcall.cli.stream import each_of, frames, frames_of_each
from rollcall.cli.top import View, line, once, path_of, show, stream_of, wide_console

ALL = By()
OF_PODS = ("pods", "requests")
"""Parts whose rows are of one pod each, so that labels can select them."""
HELP = {
    "endpoints": "Where the time goes: requests, errors and response times of a service by endpoint.",
    "errors": "Errors of a service by type, and samples with the line of the application's code.",
    "requests": "The longest requests in flight, with what each of them is at.",
    "pods": "The pods of a service: CPU, memory, workers, connections that wait, revision.",
    "deps": "What a service waits for: calls, failures and durations by dependency, and where the time goes.",
    "departures": "Pods of a service that left: the cause with its evidence, and what they did in their last seconds.",
    "crashes": "Workers of a service that ended before their time: signal, module, request, revision.",
}


def run_part(
    command: str,
    caller: Caller,
    service: str | None,
    *,
    all_namespaces: bool = False,
    output: str,
    watch: bool,
    seconds: float | None,
    labels: By = ALL,
) -> None:
    """One of the commands, for one service, or for all of the namespace or of all namespaces; with `watch` until ctrl-c, or for
    so many seconds."""
    path = path_of(service, caller.target.namespace, all_namespaces=all_namespaces)
    if watch:
        newest = frames(caller, stream_of(path)) if service is not None else frames_of_each(caller, path)
        view = _table_view(command, output, labels)
        if not is_for_people(output):
            view = View(None, lambda picture: _again(part_of(picture, command), names_of(picture, command), output))
        shown = narrowed(newest, lambda picture: with_pods(picture, labels.selector))
        asyncio.run(show(shown, seconds, view))
        return
    whole = asyncio.run(once(caller, path) if service is not None else _each(caller, path))
    picture = with_pods(whole, labels.selector)
    if is_for_people(output):
        print_table(_shown(picture, command, output, labels), output)
    else:
        print(_text(picture, command, output))


async def _each(caller: Caller, path: str) -> dict[str, Any]:
    return await ask(caller, lambda api: each_of(api, path))


def run_get(caller: Caller, service: str | None, *, all_namespaces: bool, output: str, watch: bool, labels: By = ALL) -> None:
    """Services, a row each; of one service that row alone."""
    if service is not None and labels.selector is not None:
        raise CliError("services are named or selected by labels, not both", code=2)
    namespace = caller.target.namespace
    path = path_of(None, namespace, all_namespaces=all_namespaces)

    def wanted(picture: dict[str, Any]) -> dict[str, Any]:
        found = [each for each in picture["services"] if service in (None, each["name"])]
        if service is not None and not found:
            raise CliError(f'there is no MonitoredService "{service}" in namespace "{namespace}"')
        return {"services": services_with(found, labels.selector)}

    def table(found: list[dict[str, Any]]) -> RenderableType:
        if not found and labels.selector is not None:
            return none_with("MonitoredService here", labels.selector)
        return services_table(found, labels=labels.shown)

    if watch:
        view = View(lambda picture, height: table(picture["services"]), line)
        if not is_for_people(output):
            view = View(None, lambda picture: _again(picture, service_names([picture]), output))
        asyncio.run(show(narrowed(frames(caller, stream_of(path)), wanted), None, view))
        return
    found = wanted(asyncio.run(once(caller, path)))["services"]
    if is_for_people(output):
        print_table(table(found), output)
    else:
        print(service_names(found) if output == "name" else encode({"services": found}, output))


def _again(told: dict[str, Any], names: str, output: str) -> str:
    """For programs, again and again: JSON on one line, YAML as one document, names."""
    if output == "json":
        return json.dumps(told)
    return names if output == "name" else f"---\n{encode(told, output)}"


def _shown(picture: dict[str, Any], command: str, output: str, labels: By) -> RenderableType:
    """The part of a service as a table; of several, each below its name, but their requests in flight as one list."""
    table = table_for(command, output, labels=labels.shown)
    if "services" not in picture:
        if labels.selector is not None and not picture["roll"]:
            return none_with(f"pod of {picture['name']}", labels.selector)
        return table(picture)
    services: list[dict[str, Any]] = picture["services"]
    if not services:
        return nothing("there is no MonitoredService here") if labels.selector is None else none_with("pod", labels.selector)
    if len(services) == 1 and labels.selector is None:
        return table(services[0])
    if command == "requests":
        return requests_of_each(services, labels=labels.shown)
    parts: list[RenderableType] = []
    for each in services:
        parts += [Text(), Text(f"{each['namespace']}/{each['name']}", style="bold"), table(each)]
    return Group(*parts[1:])


def print_table(table: RenderableType, output: str, to: Console | None = None) -> None:
    """As wide as the terminal, without some columns if need be; with `-o wide`, and in a file, all of them are there."""
    console = to or wide_console()
    if output == "wide" or not console.is_terminal:
        unlimited = console.options.update(max_width=10_000)
        console.width = max(console.width, Measurement.get(console, unlimited, table).maximum)
    console.print(table)


def _table_view(command: str, output: str, labels: By) -> View:
    def render(picture: dict[str, Any], height: int) -> RenderableType:
        return _shown(picture, command, output, labels)

    def text(picture: dict[str, Any]) -> str:
        console = wide_console()
        with console.capture() as captured:
            print_table(_shown(picture, command, output, labels), output, console)
        return f"{picture['namespace']}/{picture['name']}\n{captured.get()}"

    return View(render, text)


def _text(picture: dict[str, Any], command: str, output: str) -> str:
    services = picture.get("services", [picture])
    if output == "name":
        return "\n".join(filter(None, (names_of(each, command) for each in services)))
    told = [part_of(each, command) for each in services]
    return encode({"services": told} if "services" in picture else told[0], output)
