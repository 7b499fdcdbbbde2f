"""Options that commands share: where the cluster and the operator are, and in which form to print."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container
from enum import StrEnum
from typing import Annotated, Any

import typer

from rollcall.cli import names
from rollcall.cli.connection import CliError, Target


class Output(StrEnum):
    """Tables for people, JSON and YAML for programs, names for shells."""

    TABLE = "table"
    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    NAME = "name"


class Data(StrEnum):
    """For what has no names, and no more columns."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class Skin(StrEnum):
    """Colours of `rollcall top`."""

    DARK = "dark"
    LIGHT = "light"
    CONTRAST = "contrast"


Service = Annotated[
    str | None,
    typer.Argument(help="A MonitoredService; all of the namespace when left out.", autocompletion=names.services),
]
AllNamespaces = Annotated[bool, typer.Option("--all-namespaces", "-A", help="All namespaces.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Show it as it changes, until ctrl-c.")]
Selector = Annotated[
    str | None,
    typer.Option(
        "--selector", "-l", help="Those with these labels, as in kubectl: app=feed,track!=canary,env in (prod,stage),!legacy."
    ),
]
LabelColumns = Annotated[
    list[str] | None,
    typer.Option("--label-columns", "-L", help="These labels as columns, as in kubectl: app,track; -L once or several times."),
]
ShowLabels = Annotated[bool, typer.Option("--show-labels", help="Labels as the last column.")]
Seconds = Annotated[float | None, typer.Option(help="End after so many seconds.", min=0)]
AsOutput = Annotated[Output, typer.Option("--output", "-o", help="Form of what is printed.")]
AsData = Annotated[Data, typer.Option("--output", "-o", help="Form of what is printed.")]


def one_or_all(service: str | None, *, all_namespaces: bool) -> str | None:
    """The service, without the kind that `-o name` puts before it; raises CliError for one of all namespaces."""
    if service is not None and all_namespaces:
        raise CliError(f"{service} of all namespaces cannot be meant: name a namespace by -n, or leave the service out", code=2)
    return None if service is None else service.rpartition("/")[2]


def _target(
    namespace: Annotated[
        str | None,
        typer.Option("--namespace", "-n", help="Namespace; default: that of the context.", autocompletion=names.namespaces),
    ] = None,
    context: Annotated[
        str | None, typer.Option("--context", help="Context of the kubeconfig.", autocompletion=names.contexts)
    ] = None,
    kubeconfig: Annotated[str | None, typer.Option("--kubeconfig", envvar="KUBECONFIG", help="Path of the kubeconfig.")] = None,
    operator_namespace: Annotated[
        str, typer.Option(envvar="ROLLCALL_NAMESPACE", help="Namespace that the operator runs in.")
    ] = "rollcall-system",
    operator_name: Annotated[
        str, typer.Option(envvar="ROLLCALL_NAME", help="Name of the Helm release's services.")
    ] = "rollcall",
) -> Target:
    return Target(context, kubeconfig, namespace, operator_namespace, operator_name)


def with_target(command: Callable[..., None], without: Container[str] = ()) -> Callable[..., None]:
    """A command whose first parameter is a `Target` becomes one with the options that make it, and without some of its own."""
    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    options = inspect.signature(_target, eval_str=True).parameters

    def called(**given: Any) -> None:
        command(_target(**{name: given.pop(name) for name in options}), **given)

    kept = [each for each in own if each.name not in without]
    parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*kept, *options.values())]
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in parameters}
    called.__name__, called.__doc__ = command.__name__, command.__doc__
    return called
