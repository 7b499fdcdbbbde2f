"""`rollcall`: commands and their options. An expected failure is one sentence and an exit code, never a traceback."""

from __future__ import annotations

import contextlib
import sys
from typing import Annotated

import typer

from rollcall import __version__
from rollcall.cli import output as formats
from rollcall.cli.connection import Caller, CliError, Target, identify
from rollcall.cli.cost import run_cost
from rollcall.cli.dashboard import run_dashboard
from rollcall.cli.doctor import run_doctor
from rollcall.cli.inject import inject_command
from rollcall.cli.parts import HELP, run_get, run_part
from rollcall.cli.top import run_top
from rollcall.cli.why import run_why

app = typer.Typer(
    name="rollcall",
    help="Every pod answers, every second: a live picture of autoscaled services on Kubernetes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Context = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig.")]
Kubeconfig = Annotated[str | None, typer.Option("--kubeconfig", envvar="KUBECONFIG", help="Path of the kubeconfig.")]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Namespace of the service; default: that of the context.")
]
AllNamespaces = Annotated[bool, typer.Option("--all-namespaces", "-A", help="All namespaces.")]
OperatorNamespace = Annotated[str, typer.Option(envvar="ROLLCALL_NAMESPACE", help="Namespace that the operator runs in.")]
OperatorName = Annotated[str, typer.Option(envvar="ROLLCALL_NAME", help="Name of the Helm release's services.")]


@app.command()
def top(
    service: Annotated[str | None, typer.Argument(help="A MonitoredService; all of them when left out.")] = None,
    namespace: Namespace = None,
    all_namespaces: AllNamespaces = False,
    once: Annotated[bool, typer.Option("--once", help="Print one picture and end.")] = False,
    output: Annotated[str, typer.Option("--output", "-o", help="table or json; json prints one picture.")] = "table",
    seconds: Annotated[float | None, typer.Option(help="End after so many seconds.", min=0)] = None,
    skin: Annotated[str | None, typer.Option(envvar="ROLLCALL_SKIN", help="dark, light or contrast.")] = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    operator_namespace: OperatorNamespace = "rollcall-system",
    operator_name: OperatorName = "rollcall",
) -> None:
    """The live screen: all services, a service, a pod; ? lists its keys. Without a terminal, a line per second."""
    formats.check(output, ("table", "json"))
    if skin is not None:
        formats.check_skin(skin)
    caller = identify(Target(context, kubeconfig, namespace, operator_namespace, operator_name))
    run_top(caller, service, all_namespaces=all_namespaces, single=once, output=output, seconds=seconds, skin=skin)


@app.command()
def get(
    service: Annotated[str | None, typer.Argument(help="A MonitoredService; all of them when left out.")] = None,
    namespace: Namespace = None,
    all_namespaces: AllNamespaces = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show them as they change, until ctrl-c.")] = False,
    output: Annotated[str, typer.Option("--output", "-o", help=formats.HELP)] = "table",
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    operator_namespace: OperatorNamespace = "rollcall-system",
    operator_name: OperatorName = "rollcall",
) -> None:
    """Services: health, pods, requests, response times, errors, coverage, users."""
    formats.check(output)
    caller = identify(Target(context, kubeconfig, namespace, operator_namespace, operator_name))
    run_get(caller, service, all_namespaces=all_namespaces, output=output, watch=watch)


@app.command()
def cost(
    namespace: Namespace = None,
    all_namespaces: AllNamespaces = False,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    operator_namespace: OperatorNamespace = "rollcall-system",
    operator_name: OperatorName = "rollcall",
) -> None:
    """What monitoring itself uses: CPU and memory of agents and operator."""
    caller: Caller = identify(Target(context, kubeconfig, namespace, operator_namespace, operator_name))
    run_cost(caller, None if all_namespaces else caller.target.namespace)


@app.command()
def doctor(
    namespace: Namespace = None,
    output: Annotated[str, typer.Option("--output", "-o", help="table or json.")] = "table",
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    operator_namespace: OperatorNamespace = "rollcall-system",
    operator_name: OperatorName = "rollcall",
) -> None:
    """Check cluster, webhook, certificate, rights, versions and coverage; each finding with its remedy."""
    formats.check(output, ("table", "json"))
    caller = identify(Target(context, kubeconfig, namespace, operator_namespace, operator_name))
    raise typer.Exit(run_doctor(caller, output=output))


@app.command()
def why(
    pod: Annotated[str, typer.Argument(help="A pod, also as pod/NAME, also one that no MonitoredService selects.")],
    namespace: Namespace = None,
    output: Annotated[str, typer.Option("--output", "-o", help="table or json.")] = "table",
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    operator_namespace: OperatorNamespace = "rollcall-system",
    operator_name: OperatorName = "rollcall",
) -> None:
    """Why a pod is in its state: why it is bare, silent or not monitored, and what to do about it."""
    formats.check(output, ("table", "json"))
    caller = identify(Target(context, kubeconfig, namespace, operator_namespace, operator_name))
    run_why(caller, pod.removeprefix("pod/"), output=output)


@app.command()
def dashboard(
    namespace: Namespace = None,
    all_namespaces: AllNamespaces = False,
    port: Annotated[int, typer.Option(help="Local port; 0 takes a free one.", min=0, max=65535)] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page.")] = True,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    operator_namespace: OperatorNamespace = "rollcall-system",
    operator_name: OperatorName = "rollcall",
) -> None:
    """The web page, at a local address that signs you in with your kubeconfig; all namespaces unless one is named."""
    caller = identify(Target(context, kubeconfig, namespace, operator_namespace, operator_name))
    run_dashboard(caller, namespace=None if all_namespaces else namespace, port=port, browser=browser)


app.command(name="inject")(inject_command)


def _part_command(name: str) -> None:
    def part(
        service: Annotated[
            str | None, typer.Argument(help="A MonitoredService; may be left out where the namespace has only one.")
        ] = None,
        namespace: Namespace = None,
        watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it as it changes, until ctrl-c.")] = False,
        output: Annotated[str, typer.Option("--output", "-o", help=formats.HELP)] = "table",
        seconds: Annotated[float | None, typer.Option(help="With --watch: end after so many seconds.", min=0)] = None,
        context: Context = None,
        kubeconfig: Kubeconfig = None,
        operator_namespace: OperatorNamespace = "rollcall-system",
        operator_name: OperatorName = "rollcall",
    ) -> None:
        formats.check(output)
        caller = identify(Target(context, kubeconfig, namespace, operator_namespace, operator_name))
        run_part(name, caller, service, output=output, watch=watch, seconds=seconds)

    app.command(name=name, help=HELP[name])(part)


for _name in HELP:
    _part_command(_name)


@app.command()
def version() -> None:
    """The version of this command line."""
    print(__version__)


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
