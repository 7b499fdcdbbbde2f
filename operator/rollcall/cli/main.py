"""`rollcall`: commands and their options. An expected failure is one sentence and an exit code, never a traceback."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from rollcall.cli import names
from rollcall.cli.connection import CliError, Target, identify
from rollcall.cli.cost import run_cost
from rollcall.cli.dashboard import PORT, run_dashboard
from rollcall.cli.doctor import run_doctor
from rollcall.cli.inject import inject_command
from rollcall.cli.labels import by
from rollcall.cli.options import (
    AllNamespaces,
    AsData,
    AsOutput,
    Data,
    LabelColumns,
    Output,
    Seconds,
    Selector,
    Service,
    ShowLabels,
    Skin,
    Watch,
    one_or_all,
    with_target,
)
from rollcall.cli.parts import HELP, OF_PODS, run_get, run_part
from rollcall.cli.top import run_top
from rollcall.cli.version import run_version, show_version
from rollcall.cli.why import run_why

app = typer.Typer(
    name="rollcall",
    help="Every pod answers, every second: a live picture of autoscaled services on Kubernetes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def rollcall(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version of this command line.", callback=show_version, is_eager=True)
    ] = False,
) -> None:
    """What all commands have in common."""


@app.command()
@with_target
def top(
    target: Target,
    service: Service = None,
    all_namespaces: AllNamespaces = False,
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end.")] = False,
    output: Annotated[Data, typer.Option("--output", "-o", help="json and yaml print one picture.")] = Data.TABLE,
    seconds: Seconds = None,
    skin: Annotated[Skin | None, typer.Option(envvar="ROLLCALL_SKIN", help="Colours.")] = None,
    at: Annotated[int | None, typer.Option(help="Print one picture: of this Unix time, in the last 15 minutes.", min=1)] = None,
) -> None:
    """The live screen: all services, a service, a pod; ? lists its keys. Without a terminal, a line per second."""
    chosen, caller = one_or_all(service, all_namespaces=all_namespaces), identify(target)
    run_top(caller, chosen, all_namespaces=all_namespaces, single=once, output=output, seconds=seconds, skin=skin, at=at)


@app.command()
@with_target
def get(
    target: Target,
    service: Service = None,
    all_namespaces: AllNamespaces = False,
    watch: Watch = False,
    output: AsOutput = Output.TABLE,
    selector: Selector = None,
    label_columns: LabelColumns = None,
    show_labels: ShowLabels = False,
) -> None:
    """Services: health, pods, requests, response times, errors, coverage, users."""
    chosen, labels = one_or_all(service, all_namespaces=all_namespaces), by(selector, label_columns, every=show_labels)
    run_get(identify(target), chosen, all_namespaces=all_namespaces, output=output, watch=watch, labels=labels)


@app.command()
@with_target
def cost(target: Target, all_namespaces: AllNamespaces = False, output: AsData = Data.TABLE) -> None:
    """What monitoring itself uses: CPU and memory of agents and operator."""
    caller = identify(target)
    run_cost(caller, None if all_namespaces else caller.target.namespace, output=output)


@app.command()
@with_target
def doctor(target: Target, output: AsData = Data.TABLE) -> None:
    """Check cluster, webhook, rights, injection, versions and coverage, of all or a namespace; each finding with its remedy."""
    raise typer.Exit(run_doctor(identify(target), target.namespace, output=output))


@app.command()
@with_target
def why(
    target: Target,
    pod: Annotated[
        str,
        typer.Argument(help="A pod, also as pod/NAME, also one that no MonitoredService selects.", autocompletion=names.pods),
    ],
    output: AsData = Data.TABLE,
) -> None:
    """Why a pod is in its state: why it is bare, silent or not monitored, and what to do about it."""
    run_why(identify(target), pod, output=output)


@app.command()
@with_target
def dashboard(
    target: Target,
    all_namespaces: AllNamespaces = False,
    port: Annotated[
        int | None, typer.Option(help=f"Local port [default: {PORT}, or a free one where that is taken].", min=0, max=65535)
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
) -> None:
    """The web page, at a local address that signs you in with your kubeconfig; all namespaces unless one is named."""
    named = None if all_namespaces else target.namespace
    run_dashboard(identify(target), namespace=named, port=port, browser=browser)


app.command(name="inject")(inject_command)


WatchSeconds = Annotated[float | None, typer.Option(help="With --watch: end after so many seconds.", min=0)]


def _part_command(name: str) -> Callable[..., None]:
    def part(
        target: Target,
        service: Service = None,
        all_namespaces: AllNamespaces = False,
        watch: Watch = False,
        output: AsOutput = Output.TABLE,
        seconds: WatchSeconds = None,
        selector: Selector = None,
        label_columns: LabelColumns = None,
        show_labels: ShowLabels = False,
    ) -> None:
        chosen, labels = one_or_all(service, all_namespaces=all_namespaces), by(selector, label_columns, every=show_labels)
        everywhere, caller = all_namespaces, identify(target)
        run_part(name, caller, chosen, all_namespaces=everywhere, output=output, watch=watch, seconds=seconds, labels=labels)

    return with_target(part, without=() if name in OF_PODS else ("selector", "label_columns", "show_labels"))


for _name, _help in HELP.items():
    app.command(name=_name, help=_help)(_part_command(_name))


@app.command()
@with_target
def version(
    target: Target,
    client: Annotated[bool, typer.Option("--client", help="This command line's alone; asks no cluster.")] = False,
    output: AsData = Data.TABLE,
) -> None:
    """The versions of this command line and of the operator."""
    run_version(target, client=client, output=output)


def main() -> None:
    """Entry point of `rollcall` and `kubectl-rollcall`."""
    try:
        sys.exit(app(standalone_mode=False) or 0)
    except CliError as error:
        print(f"rollcall: {error}", file=sys.stderr)
        sys.exit(error.code)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            sys.stdout.close()
        sys.exit(0)
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")):
            error.show()  # type: ignore[attr-defined]
            sys.exit(2)
        raise
