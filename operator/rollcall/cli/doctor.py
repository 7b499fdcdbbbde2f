"""`rollcall doctor`: is everything there that Rollcall needs, and does every pod report? Each finding with its remedy.

It asks the API server as the caller, and the operator by the live API. What the caller may not see is said, and is no failure.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from rollcall import __version__
from rollcall.cli.connection import FORBIDDEN, Caller, CliError, LiveApi, live_api, port_forward
from rollcall.cli.installation import Finding, ask_cluster
from rollcall.cli.output import encode
from rollcall.cli.screen import plain
from rollcall.cli.top import wide_console

SOON_DAYS = 7
_STYLES = {"ok": "green", "warning": "yellow", "failure": "bold red", "unknown": "bright_black"}
_SIGNS = {"ok": "✓", "warning": "!", "failure": "✗", "unknown": "?"}


def run_doctor(caller: Caller, namespace: str | None, *, output: str) -> int:
    """Print all findings, of one namespace or of all; the exit code is 1 when one is a failure."""
    findings = [*ask_cluster(caller, namespace), *asyncio.run(_operator(caller, namespace))]
    if output == "table":
        wide_console().print(table_of(findings))
    else:
        print(encode([asdict(finding) for finding in findings], output))
    return 1 if any(finding.level == "failure" for finding in findings) else 0


def table_of(findings: list[Finding]) -> Table:
    """A row per finding, and its remedy below it."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(width=1)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        style = _STYLES[finding.level]
        table.add_row(Text(_SIGNS[finding.level], style=style), finding.what, plain(finding.said))
        if finding.remedy:
            table.add_row("", "", plain(f"→ {finding.remedy}", style="italic"))
    return table


async def _operator(caller: Caller, namespace: str | None) -> list[Finding]:
    """What the operator says."""
    try:
        async with live_api(caller) as api:
            version = (await api.json("/v1/operator"))["version"]
            found = [await _certificate(caller), _versions(version)]
            services, where = await _services(caller, api, namespace)
    except (CliError, OSError) as error:
        return [Finding("failure", "live API", str(error))]
    if not services:
        return [*found, Finding("warning", "coverage", f"there is no MonitoredService{where}", "apply one")]
    return [*found, *(finding for service in services for finding in coverage_of(service))]


async def _services(caller: Caller, api: LiveApi, namespace: str | None) -> tuple[list[dict[str, Any]], str]:
    """All services, and where they were looked for; who may not read all, reads those of a namespace of their own."""
    if namespace is None:
        try:
            return (await api.json("/v1/services"))["services"], ""
        except CliError as error:
            if error.code != FORBIDDEN:
                raise
    where = namespace or caller.target.namespace
    return (await api.json(f"/v1/services?namespace={where}"))["services"], f" in namespace {where}"


def _versions(operator: str) -> Finding:
    if operator == __version__:
        return Finding("ok", "live API", f"it answers, and is of the version of this command line, {operator}")
    remedy = f"install the command line of version {operator}, or upgrade the release"
    return Finding("warning", "live API", f"it answers; the operator is {operator}, this command line {__version__}", remedy)


async def _certificate(caller: Caller) -> Finding:
    """How long the operator's certificate is valid; that it is the operator's was checked by the handshake."""
    async with port_forward(caller.target) as port:
        name = caller.target.server_name
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=caller.tls, server_hostname=name)
        peer = writer.get_extra_info("peercert")
        writer.close()
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(peer["notAfter"]), UTC)
    said = f"the operator's is valid until {ends:%Y-%m-%d}"
    if (ends - datetime.now(UTC)).days < SOON_DAYS:
        remedy = "the operator renews it by itself after two thirds of its life; its log says why it did not"
        return Finding("warning", "certificate", said, remedy)
    return Finding("ok", "certificate", said)


def coverage_of(picture: dict[str, Any]) -> list[Finding]:
    """Whether every pod of a service reports, and for those that do not the reasons."""
    name, pods = f"{picture['namespace']}/{picture['name']}", picture["pods"]
    reasons = picture["bare"] | picture["gaps"]
    if not pods["total"]:
        return [Finding("warning", "coverage", f"{name}: no pod matches its selector", "check spec.selector")]
    if not reasons:
        return [Finding("ok", "coverage", f"{name}: {pods['total']} pods, none of which is missed")]
    return [
        Finding(
            "warning",
            "coverage",
            f"{name}: {count} of {pods['total']} pods: {reason}",
            f"rollcall pods {picture['name']} -n {picture['namespace']} names them; rollcall why POD says what to do",
        )
        for reason, count in sorted(reasons.items())
    ]
