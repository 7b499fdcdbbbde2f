"""The reference names every field, every reason and every default; a field that is added without a line there fails here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rollcall.api import MonitoredService
from rollcall.api.crd import object_schema
from rollcall.inject import names
from rollcall.inject.decide import Reason

DOCS = Path(__file__).resolve().parents[3] / "docs"
REFERENCE = (DOCS / "monitoredservice.md").read_text()
INJECTION = (DOCS / "injection.md").read_text()
SCHEMA = object_schema()["properties"]


def leaves(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every field that holds a value: its path below spec or status, and its schema."""
    for name, child in schema.get("properties", {}).items():
        below = child["items"] if "properties" in child.get("items", {}) else child
        suffix = "[]" if below is not child else ""
        if below.get("properties"):
            yield from leaves(below, f"{path}{name}{suffix}.")
        else:
            yield f"{path}{name}", child


@pytest.mark.parametrize("path", [path for path, _ in leaves(SCHEMA["spec"])])
def test_every_field_of_the_spec_has_a_row(path: str) -> None:
    assert f"\n| `{path}` |" in REFERENCE


@pytest.mark.parametrize("path", [path for path, _ in leaves(SCHEMA["status"])])
def test_every_field_of_the_status_is_named(path: str) -> None:
    owner, _, name = path.rpartition(".")
    owner = owner.removesuffix("[]")
    assert any(f"`{text}`" in REFERENCE for text in (path, f".{name}")) or f"`{owner}`" in REFERENCE
    assert f"`{name}`" in REFERENCE or f".{name}`" in REFERENCE


@pytest.mark.parametrize(("path", "node"), [(path, node) for path, node in leaves(SCHEMA["spec"]) if "default" in node])
def test_the_defaults_are_the_schemas(path: str, node: dict[str, Any]) -> None:
    default = node["default"]
    shown = (
        f"[{', '.join(default)}]"
        if isinstance(default, list)
        else str(default).lower()
        if isinstance(default, bool)
        else default
    )
    assert f"\n| `{path}` | `{shown}` |" in REFERENCE


def test_the_examples_are_valid() -> None:
    blocks = [block.partition("```")[0] for block in REFERENCE.split("```yaml\n")[1:]]
    assert len(blocks) == 2
    for block in blocks:
        MonitoredService.from_object(yaml.safe_load(block))


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_row(reason: Reason) -> None:
    assert f"\n| `{reason}` |" in INJECTION


@pytest.mark.parametrize(
    "name",
    [
        *names.VOLUMES,
        names.AGENT_CONTAINER,
        names.INJECTED_ANNOTATION,
        names.SERVICE_ANNOTATION,
        names.SKIPPED_ANNOTATION,
        names.LEFT_OUT_ANNOTATION,
    ],
)
def test_every_name_that_is_written_into_pods_is_told(name: str) -> None:
    assert f"`{name}" in INJECTION
