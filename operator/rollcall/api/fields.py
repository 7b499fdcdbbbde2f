"""The scalar types of our objects: each carries its OpenAPI schema, its CEL rules and the same check in Python.

The API server refuses bad objects by the rules; the Python checks serve where no API server is asked (`rollcall inject`).
A rule's message says what to write, and the API server puts the path of the field before it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic.alias_generators import to_camel

from rollcall.api import durations, percentages, quantities

DNS_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
LABEL_KEY = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
LABEL_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"


def rule(expression: str, message: str, path: str | None = None) -> dict[str, str]:
    """One entry of x-kubernetes-validations; `path` moves the error to a field below, such as ".limits.memory"."""
    entry = {"rule": expression, "message": message}
    return entry if path is None else {**entry, "fieldPath": path}


def rules(*entries: dict[str, str]) -> dict[str, Any]:
    """The json_schema_extra of a type or field that has these rules."""
    return {"x-kubernetes-validations": list(entries)}


class Part(BaseModel):
    """A part of an object: camelCase in YAML, snake_case in Python, immutable, tolerant of fields it does not know."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore")


def part(kind: type[Part], description: str) -> Any:
    """An optional part that is filled with its defaults when it is not written."""
    return Field(default_factory=kind, description=description, json_schema_extra={"default": {}})


def _checked(parse: Callable[[str], object]) -> AfterValidator:
    def check(text: str) -> str:
        parse(text)
        return text

    return AfterValidator(check)


def _quantity_text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Duration = Annotated[
    str,
    _checked(durations.parse_duration_ms),
    Field(
        max_length=16,
        json_schema_extra=rules(
            rule(
                f"self.matches('{durations.PATTERN}') && duration(self) >= duration('1ms') && duration(self) <= duration('1h')",
                'must be a duration from 1ms to 1h, written like "300ms", "1s" or "1m30s"',
            )
        ),
    ),
]

Percentage = Annotated[
    str,
    _checked(percentages.parse_ratio),
    Field(
        max_length=16,
        json_schema_extra=rules(
            rule(
                f"self.matches('{percentages.PATTERN}')",
                'must be a percentage from 0% to 100%, written like "1%", "0.1%" or "80%"',
            )
        ),
    ),
]

Quantity = Annotated[
    str,
    BeforeValidator(_quantity_text),
    _checked(quantities.parse_quantity),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "x-kubernetes-int-or-string": True,
            **rules(
                rule(
                    "isQuantity(string(self)) && quantity(string(self)).isGreaterThan(quantity('0'))",
                    'must be a resource quantity above 0, written like "5m" or "24Mi"',
                )
            ),
        }
    ),
]

Int32 = Annotated[int, Field(json_schema_extra={"format": "int32"})]
Int64 = Annotated[int, Field(json_schema_extra={"format": "int64"})]
