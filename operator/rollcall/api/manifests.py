"""Kubernetes manifests as YAML text, the way people write them: lists indented below their key, no anchors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml


class _ManifestDumper(yaml.SafeDumper):
    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def to_yaml(documents: Iterable[Any]) -> str:
    """The documents as one YAML stream, "---" between them."""
    return yaml.dump_all(documents, Dumper=_ManifestDumper, sort_keys=False, width=120, allow_unicode=True)
