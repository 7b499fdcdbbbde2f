"""The CustomResourceDefinition of MonitoredService, derived from the types.

Turns pydantic's JSON schema into what Kubernetes calls a structural schema: references inlined, no null, no titles.
A type's docstring is the description where the field has none. The status gets no defaults: what the operator has not written
must not read as 0.
"""

from __future__ import annotations

import inspect
from typing import Any

from rollcall.api.monitoredservice import GROUP, KIND, PLURAL, VERSION, MonitoredService
from rollcall.api.spec import MonitoredServiceSpec
from rollcall.api.status import MonitoredServiceStatus

NAME = f"{PLURAL}.{GROUP}"
Schema = dict[str, Any]

_COLUMNS = [
    ("Pods", "string", ".status.summary.pods", "Serving pods of desired pods", 0),
    ("Health", "string", ".status.summary.health", "Whether the service works", 0),
    ("RPS", "string", ".status.summary.rps", "Requests per second", 0),
    ("P95", "string", ".status.summary.p95", "Response time below which 95 of 100 requests stayed", 0),
    ("Errors", "string", ".status.summary.errors", "Share of requests that failed", 0),
    ("InFlight", "integer", ".status.summary.inFlight", "Requests started and not finished", 0),
    ("Coverage", "string", ".status.coverage", "Reporting pods of the pods that should report", 1),
    ("Bare", "integer", ".status.pods.bare", "Running pods without an agent", 1),
    ("Silent", "integer", ".status.pods.silent", "Pods with an agent that does not report", 1),
    ("Age", "date", ".metadata.creationTimestamp", "Time since the object was created", 0),
]


def crd() -> Schema:
    """The whole CustomResourceDefinition as a JSON object; the same on every call."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": NAME},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["msvc"],
                "categories": ["all", "rollcall"],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(*column) for column in _COLUMNS],
                    "schema": {"openAPIV3Schema": object_schema()},
                }
            ],
        },
    }


def object_schema() -> Schema:
    """The structural schema of the whole object."""
    texts = {
        "apiVersion": "Version of this object's schema.",
        "kind": "Kind of this object.",
    }
    return {
        "type": "object",
        "description": inspect.cleandoc(MonitoredService.__doc__ or "").replace("\n", " "),
        "required": ["spec"],
        "properties": {
            **{name: {"type": "string", "description": text} for name, text in texts.items()},
            "metadata": {"type": "object"},
            "spec": structural(MonitoredServiceSpec.model_json_schema(by_alias=True)),
            "status": structural(MonitoredServiceStatus.model_json_schema(by_alias=True), defaults=False),
        },
    }


def structural(schema: Schema, defaults: bool = True) -> Schema:
    """A JSON schema of pydantic as a structural schema, with or without its defaults.

    Raises ValueError for a construct that Kubernetes has no equivalent for, such as a union of two types.
    """
    return _structural(schema, schema.get("$defs", {}), defaults)


def _structural(schema: Schema, definitions: dict[str, Schema], defaults: bool) -> Schema:
    node = _without_union(schema, definitions)
    made: Schema = {}
    for key in sorted(node, key=_position):
        value = node[key]
        if key in ("title", "$defs", "prefixItems") or (key == "default" and (not defaults or value in (None, []))):
            continue
        if key == "properties":
            made[key] = {name: _structural(child, definitions, defaults) for name, child in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            made[key] = _structural(value, definitions, defaults)
        elif key == "description":
            made[key] = " ".join(value.split())
        else:
            made[key] = value
    if "prefixItems" in node:
        made["items"] = _structural(node["prefixItems"][0], definitions, defaults)
    return made


def _position(key: str) -> tuple[int, str]:
    """Where a key stands in the file: what people read first comes first, the longest part last."""
    first = ("description", "type", "format", "enum", "default", "required")
    last = ("x-kubernetes-validations", "items", "additionalProperties", "properties")
    if key in first:
        return first.index(key), key
    if key in last:
        return 100 + last.index(key), key
    return 50, key


def _without_union(schema: Schema, definitions: dict[str, Schema]) -> Schema:
    """The schema with references resolved and `X | None` reduced to X; what the field says beats what its type says."""
    node = dict(schema)
    while "$ref" in node or ("anyOf" in node and "x-kubernetes-int-or-string" not in node):
        if "$ref" in node:
            inner = definitions[node.pop("$ref").rpartition("/")[2]]
        else:
            choices = [choice for choice in node.pop("anyOf") if choice.get("type") != "null"]
            if len(choices) != 1:
                raise ValueError(f"a union of types has no structural schema: {schema}")
            inner = choices[0]
        validations = [*inner.get("x-kubernetes-validations", []), *node.get("x-kubernetes-validations", [])]
        node = {**inner, **node}
        if validations:
            node["x-kubernetes-validations"] = validations
    return node


def _column(name: str, kind: str, path: str, description: str, priority: int) -> Schema:
    return {"name": name, "type": kind, "description": description, "jsonPath": path, "priority": priority}
