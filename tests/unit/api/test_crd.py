"""The CRD: its files equal the types, and it has the form that Kubernetes asks for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from rollcall.api.crd import crd, structural
from rollcall.api.generate import CHART, PLAIN, chart_file, plain_file

ROOT = Path(__file__).resolve().parents[3]
VERSION = crd()["spec"]["versions"][0]
SCHEMA = VERSION["schema"]["openAPIV3Schema"]


@pytest.mark.parametrize(("path", "text"), [(PLAIN, plain_file()), (CHART, chart_file())], ids=["crds", "chart"])
def test_the_files_are_made_from_the_types(path: Path, text: str) -> None:
    assert (ROOT / path).read_text() == text, "run `python -m rollcall.api.generate`"


def test_the_chart_keeps_the_crd_at_uninstall() -> None:
    without_templating = "".join(line for line in chart_file().splitlines(keepends=True) if "{{" not in line)
    from_chart = yaml.safe_load(without_templating)
    assert from_chart["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    assert from_chart["metadata"].pop("labels") is None
    assert from_chart == yaml.safe_load(plain_file())


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key], f"{path}[]")


@pytest.mark.parametrize(("path", "node"), list(nodes(SCHEMA)), ids=[path for path, _ in nodes(SCHEMA)])
def test_every_node_is_structural_and_described(path: str, node: dict[str, Any]) -> None:
    assert "type" in node or node.get("x-kubernetes-int-or-string")
    assert not {"$ref", "$defs", "title", "oneOf", "allOf", "prefixItems", "nullable"} & node.keys()
    assert node.get("x-kubernetes-int-or-string") or "anyOf" not in node
    if not path.endswith("[]") and path not in ("", ".metadata"):
        assert node["description"].endswith("."), path
    for rule in node.get("x-kubernetes-validations", []):
        assert "must" in rule["message"]


def test_columns_are_those_of_the_product() -> None:
    shown = [column["name"].upper() for column in VERSION["additionalPrinterColumns"] if column["priority"] == 0]
    assert shown == ["PODS", "HEALTH", "RPS", "P95", "ERRORS", "INFLIGHT", "AGE"]


def test_columns_point_at_fields() -> None:
    for column in VERSION["additionalPrinterColumns"]:
        node = SCHEMA
        for step in column["jsonPath"].split(".")[1:]:
            if node["properties"].get(step) == {"type": "object"}:
                break  # metadata is Kubernetes' own
            node = node["properties"][step]
        else:
            assert node["type"] == column["type"]


def test_the_status_has_no_defaults() -> None:
    assert not [path for path, node in nodes(SCHEMA["properties"]["status"]) if "default" in node]


def test_a_union_has_no_structural_schema() -> None:
    class Odd(BaseModel):
        value: int | str

    with pytest.raises(ValueError, match="union"):
        structural(Odd.model_json_schema())
