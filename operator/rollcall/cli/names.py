"""What shell completion offers for names: kubectl is asked, as the caller; when it does not answer soon, nothing is offered."""

from __future__ import annotations

import subprocess

import typer

from rollcall.cli.connection import CliError, Target

WITHIN_S = 3.0


def services(ctx: typer.Context, incomplete: str) -> list[str]:
    """MonitoredServices of the namespace."""
    return _told(ctx, incomplete, "get", "monitoredservices.rollcall.dev", "--output=name")


def pods(ctx: typer.Context, incomplete: str) -> list[str]:
    """Pods of the namespace."""
    return _told(ctx, incomplete, "get", "pods", "--output=name")


def namespaces(ctx: typer.Context, incomplete: str) -> list[str]:
    """Namespaces, where the caller may list them."""
    return _told(ctx, incomplete, "get", "namespaces", "--output=name")


def contexts(ctx: typer.Context, incomplete: str) -> list[str]:
    """Contexts of the kubeconfig."""
    return _told(ctx, incomplete, "config", "get-contexts", "--output=name")


def _told(ctx: typer.Context, incomplete: str, *args: str) -> list[str]:
    """The names that kubectl prints, a line each, as kind/name where it gets objects."""
    given = ctx.params
    target = Target(given.get("context"), given.get("kubeconfig"))
    namespace = [f"--namespace={given['namespace']}"] if given.get("namespace") else []
    try:
        command = target.kubectl(*args, *namespace)
        found = subprocess.run(  # noqa: S603 - kubectl of this machine, and words of its user
            command,
            env=target.environment,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=True,
            stdin=subprocess.DEVNULL,
        )
    except (CliError, OSError, ValueError, subprocess.SubprocessError):
        return []  # a shell that completes has no place for errors
    names = [line.rpartition("/")[2] if args[0] == "get" else line for line in found.stdout.splitlines()]
    return [name for name in names if name.startswith(incomplete)]
