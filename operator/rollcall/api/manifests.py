"""Kubernetes manifests as YAML text: read as the API server reads them, written as people do, without anchors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml


class _ManifestDumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


class _ManifestLoader(yaml.SafeLoader):
    """SafeLoader without its notion of time: Kubernetes' times are texts."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as in the base class
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


class ManifestError(ValueError):
    """A text that is no YAML."""


def to_yaml(documents: Iterable[Any]) -> str:
    """The documents as one YAML stream, "---" between them."""
    return yaml.dump_all(documents, Dumper=_ManifestDumper, sort_keys=False, width=120, allow_unicode=True)


def from_yaml(text: str) -> list[Any]:
    """The documents of a YAML stream, empty ones left out.

    Times stay texts, as JSON has them. Raises ManifestError with one sentence when the text is no YAML.
    """
    try:
        return [document for document in yaml.load_all(text, Loader=_ManifestLoader) if document is not None]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise ManifestError(f"not valid YAML{where}: {getattr(error, 'problem', None) or 'unreadable'}") from None
