"""`rollcall version`: of this command line, and of the operator where it answers."""

from __future__ import annotations

import asyncio

import typer

from rollcall import __version__
from rollcall.cli.connection import CliError, Target, ask, identify
from rollcall.cli.output import encode


def show_version(wanted: bool) -> None:
    """For `rollcall --version`."""
    if wanted:
        print(f"rollcall {__version__}")
        raise typer.Exit


def run_version(target: Target, *, client: bool, output: str) -> None:
    """Print both; that the operator does not answer is said, and no failure."""
    found: dict[str, str | None] = {"commandLine": __version__}
    trouble = ""
    if not client:
        try:
            found["operator"] = asyncio.run(ask(identify(target), lambda api: api.json("/v1/operator")))["version"]
        except (CliError, OSError) as error:
            found["operator"], trouble = None, str(error)
    if output != "table":
        print(encode(found, output))
        return
    print(f"command line  {__version__}")
    if not client:
        print(f"operator      {found['operator'] or f'– ({trouble})'}")
