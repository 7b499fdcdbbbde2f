"""`rollcall inject`: shows offline what the webhook would do to the pods of a manifest.

It calls the very function behind the webhook, on pods and on the pod templates of workloads; everything else in the file passes
through. No cluster is asked, so whether the namespace is opted in is not checked.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from rollcall.api import GROUP, KIND, InvalidMonitoredServiceError, MonitoredService
from rollcall.api.manifests import ManifestError, from_yaml, to_yaml
from rollcall.cli.connection import CliError
from rollcall.inject.apply import apply
from rollcall.inject.patch import Injection, Operation, inject
from rollcall.inject.render import InjectSettings
from rollcall_agent import __version__

DEFAULT_AGENT_IMAGE = f"docker.io/rollcall/agent:{__version__}"
_TEMPLATES = {
    "Pod": (),
    "PodTemplate": ("template",),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    **dict.fromkeys(
        ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"), ("spec", "template")
    ),
}


class InjectFileError(CliError):
    """What is wrong with the input, in one sentence."""

    def __init__(self, message: str) -> None:
        super().__init__(f"inject: {message}", code=2)


class Output(StrEnum):
    YAML = "yaml"
    PATCH = "patch"


class Sidecar(StrEnum):
    NATIVE = "native"
    CLASSIC = "classic"


@dataclass(frozen=True)
class InjectedFile:
    """The text for stdout and, for stderr, a line for every object that was looked at."""

    text: str
    report: tuple[str, ...]


def inject_file(
    source: str,
    services: Sequence[MonitoredService],
    settings: InjectSettings,
    output: Output = Output.YAML,
) -> InjectedFile:
    """Injects into every pod and pod template of a file, "-" for stdin.

    MonitoredServices in the file count together with `services`. As Output.PATCH the text holds one JSON Patch for each object
    that has pods, one per line in the file's order; as Output.YAML it is the whole file, patched. Raises InjectFileError.
    """
    documents = list(_flattened(_read(source)))
    known = [*services, *(_service(document) for document in documents if _is_service(document))]
    if not known:
        raise InjectFileError(f"no {KIND} in {_shown(source)}; add one or name its file with -s")
    patched: list[Any] = []
    patches: list[str] = []
    report: list[str] = []
    for document in documents:
        steps = _TEMPLATES.get(document.get("kind", "")) if isinstance(document, dict) else None
        if steps is None:
            patched.append(document)
            continue
        injection = inject(_at(document, steps), _in_namespace(known, document), settings)
        patch = _moved(injection.patch, steps)
        patched.append(apply(document, patch))
        patches.append(json.dumps(patch))
        report += _report(document, injection)
    return InjectedFile(
        to_yaml(patched) if output is Output.YAML else "".join(f"{patch}\n" for patch in patches), tuple(report)
    )


def services_in(source: str) -> list[MonitoredService]:
    """The MonitoredServices of a file. Raises InjectFileError when there is none."""
    found = [_service(document) for document in _flattened(_read(source)) if _is_service(document)]
    if not found:
        raise InjectFileError(f"no {KIND} in {_shown(source)}")
    return found


def inject_command(
    file: Annotated[str, typer.Option("-f", "--file", help="Manifest with pods or workloads; - reads stdin.")],
    service: Annotated[list[str] | None, typer.Option("-s", "--service", help="File with MonitoredServices.")] = None,
    agent_image: Annotated[str, typer.Option(help="Image of the agent.")] = DEFAULT_AGENT_IMAGE,
    operator_address: Annotated[str, typer.Option(help="host:port that agents report to.")] = InjectSettings.operator_address,
    sidecar: Annotated[Sidecar, typer.Option(help="Kind of sidecar where the service says Auto.")] = Sidecar.NATIVE,
    output: Annotated[Output, typer.Option("-o", "--output", help="Patched manifest or JSON Patch.")] = Output.YAML,
) -> None:
    """Show what injection does to the pods of a manifest, without a cluster."""
    settings = InjectSettings(agent_image, operator_address=operator_address, native=sidecar is Sidecar.NATIVE)
    services = [found for path in service or () for found in services_in(path)]
    injected = inject_file(file, services, settings, output)
    for line in injected.report:
        typer.echo(line, err=True)
    typer.echo(injected.text, nl=False)


def _read(source: str) -> list[Any]:
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
        return from_yaml(text)
    except OSError as error:
        raise InjectFileError(f"cannot read {source}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InjectFileError(f"{_shown(source)} is not UTF-8 text") from None
    except ManifestError as error:
        raise InjectFileError(f"{_shown(source)} is {error}") from None


def _flattened(documents: Iterable[Any]) -> Iterator[Any]:
    """The objects of a file, with those of a List in its place."""
    for document in documents:
        if isinstance(document, dict) and document.get("kind") == "List" and isinstance(document.get("items"), list):
            yield from _flattened(document["items"])
        else:
            yield document


def _is_service(document: Any) -> bool:
    return (
        isinstance(document, dict)
        and document.get("kind") == KIND
        and str(document.get("apiVersion", "")).startswith(f"{GROUP}/")
    )


def _service(document: dict[str, Any]) -> MonitoredService:
    try:
        return MonitoredService.from_object(document)
    except InvalidMonitoredServiceError as error:
        raise InjectFileError(f"{KIND} {_name(document)} is not valid: {error}") from None


def _in_namespace(services: Sequence[MonitoredService], document: dict[str, Any]) -> list[MonitoredService]:
    """The services that may select the object's pods; a manifest that names no namespace is taken to be in the other's."""
    namespace = _metadata(document).get("namespace") or ""
    return [service for service in services if "" in (namespace, service.namespace) or service.namespace == namespace]


def _at(document: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        document = document.get(step) if isinstance(document, dict) else None
    return document


def _moved(patch: Iterable[Operation], steps: Sequence[str]) -> list[Operation]:
    """The patch of a pod template as the patch of the object around it."""
    prefix = "".join(f"/{step}" for step in steps)
    return [{**operation, "path": prefix + operation["path"]} for operation in patch]


def _report(document: dict[str, Any], injection: Injection) -> list[str]:
    decision = injection.decision
    owner = f" for {KIND} {decision.service.name}" if decision.service else ""
    first = f"{document['kind']} {_name(document)}: {decision.reason}{owner}: {decision.explanation}"
    return [first, *(f"  {warning}" for warning in injection.warnings if decision.inject)]


def _metadata(document: dict[str, Any]) -> dict[str, Any]:
    metadata = document.get("metadata")
    return metadata if isinstance(metadata, dict) else {}


def _name(document: dict[str, Any]) -> str:
    metadata = _metadata(document)
    return str(metadata.get("name") or metadata.get("generateName") or "without a name")


def _shown(source: str) -> str:
    return "stdin" if source == "-" else source
