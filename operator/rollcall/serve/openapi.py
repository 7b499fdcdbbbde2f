"""The live API for programs: OpenAPI 3.1, its schemas made from the values that are encoded."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from rollcall import __version__
from rollcall.model.dots import Dots
from rollcall.model.history import SECONDS, History
from rollcall.model.picture import Picture
from rollcall.serve.past import PodHistory
from rollcall.serve.publisher import RATES
from rollcall.serve.stream import PARTS


class Services(msgspec.Struct, frozen=True):
    """Summaries, by namespace and name."""

    services: list[Picture]


class Refusal(msgspec.Struct, frozen=True):
    """A sentence for people."""

    error: str


class Why(msgspec.Struct, frozen=True):
    """Why a pod is in its state, and what to do about it. `state` is None for a pod that no service lists, `reason` None where
    nothing is wrong. `services` lists it, the one it belongs to first. The sentence has no full stop; `remedy` is empty where
    there is nothing to do."""

    namespace: str
    pod: str
    services: list[str]
    state: str | None
    reason: str | None
    sentence: str
    remedy: str


class OperatorFacts(msgspec.Struct, frozen=True, rename="camel"):
    """What the operator is and uses."""

    version: str
    millicores: float
    memory_bytes: int


_NAME = {"type": "string", "pattern": "^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"}
_NAMES = [
    {"name": name, "in": "path", "required": True, "schema": _NAME, "description": what}
    for name, what in (("namespace", "of the MonitoredService"), ("name", "of the MonitoredService"))
]
_POD = {**_NAMES[1], "name": "pod", "description": "a pod"}
_SINCE = {"type": "number", "minimum": 0, "maximum": 99_999_999_999}


def _query(name: str, schema: dict[str, Any], description: str, place: str = "query") -> dict[str, Any]:
    return {"name": name, "in": place, "required": False, "schema": schema, "description": description}


_NAMESPACE = _query("namespace", {"type": "string"}, "only services of this one")
_AT = _query("at", _SINCE, "as it was at that Unix time: the last picture kept until then, of which `at` says when it is of")
_RATE = _query("rate", {"type": "integer", "enum": list(RATES)}, "pictures a second; without it one per fold, four to ten")
_RESUME = _query("Last-Event-ID", {"type": "string"}, "the id of the last event that arrived", "header")
_WITH = {
    **_query("with", {"type": "array", "items": {"enum": list(PARTS)}}, "events beside the pictures"),
    "style": "form",
    "explode": False,
}
_STREAM = (
    "Each event without a name has a whole picture as its data. With `seconds` and `points` there are events of these names "
    "with what came since the last one: History and Dots. `end`: the service was deleted, you may not read it any more, or "
    "this replica does not lead any more."
)


def _event(picture: str) -> dict[str, Any]:
    """Each server-sent event, by its name; those without one are a `message` and have the picture."""
    named = {"message": picture, "seconds": "History", "points": "Dots"}
    kinds: dict[str, dict[str, Any]] = {name: {"$ref": f"#/components/schemas/{what}"} for name, what in named.items()}
    kinds["end"] = {"type": "object", "maxProperties": 0}
    return {
        "type": "object",
        "properties": {"event": {"enum": list(kinds)}, "id": {"type": "string"}, "data": {"type": "string"}},
        "required": ["data"],
        "oneOf": [
            {
                "properties": {
                    "event": {"const": name},
                    "data": {"contentMediaType": "application/json", "contentSchema": schema},
                },
                **({} if name == "message" else {"required": ["event"]}),
            }
            for name, schema in kinds.items()
        ],
    }


def _operation(
    summary: str,
    answer: str,
    parameters: list[dict[str, Any]],
    failures: dict[int, str],
    *,
    description: str = "",
    content: str = "application/json",
) -> dict[str, Any]:
    schema: dict[str, Any] = {"$ref": f"#/components/schemas/{answer}"}
    if content != "application/json":
        schema = _event(answer)
    refusal = {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}}
    refused = {401: "who are you", 403: "you may not; the missing right", 503: "not the leader, or the API server is away"}
    return {
        "get": {
            "summary": summary,
            **({"description": description} if description else {}),
            "parameters": parameters,
            "responses": {
                "200": {"description": answer, "content": {content: {"schema": schema}}},
                **{
                    str(status): {"description": words, "content": refusal}
                    for status, words in sorted((refused | failures).items())
                },
            },
        }
    }


_NONE = {404: "there is no such service"}
_WRONG = {400: "a parameter is not what it should be"}
_PAST = {404: "there is no such service, or nothing is kept of that second"}
_PATHS = {
    "/v1/services": _operation("Summaries of services", "Services", [_NAMESPACE, _AT], _WRONG | _PAST),
    "/v1/services/stream": _operation(
        "The same as server-sent events", "Services", [_NAMESPACE, _RATE, _RESUME], _WRONG,
        description=_STREAM, content="text/event-stream",
    ),
    "/v1/services/{namespace}/{name}": _operation("One service with its pods", "Picture", [*_NAMES, _AT], _WRONG | _PAST),
    "/v1/services/{namespace}/{name}/stream": _operation(
        "The same as server-sent events", "Picture",
        [*_NAMES, _RATE, _WITH, _query("since", _SINCE, "seconds and points later than that Unix time"), _RESUME],
        _NONE | _WRONG, description=_STREAM, content="text/event-stream",
    ),
    "/v1/services/{namespace}/{name}/history": _operation(
        "The last 15 minutes by the second", "History",
        [*_NAMES, _query("seconds", _SINCE, f"so many of the last {SECONDS}"), _query("at", _SINCE, "one second, Unix time")],
        _WRONG | _PAST,
    ),
    "/v1/services/{namespace}/{name}/points": _operation(
        "Finished requests of the last minute one by one: slow and failed ones, and a fair sample of the others", "Dots",
        [*_NAMES, _query("since", _SINCE, "only what was told later than that Unix time")], _NONE | _WRONG,
    ),
    "/v1/services/{namespace}/{name}/pods/{pod}/history": _operation(
        "One pod in the last 15 minutes, as often as pictures are kept", "PodHistory", [*_NAMES, _POD],
        {404: "there is no such service, or nothing is kept of such a pod"},
    ),
    "/v1/why/{namespace}/{pod}": _operation(
        "Why a pod is in its state", "Why", [_NAMES[0], _POD],
        _WRONG | {404: "there is no such pod"},
    ),
    "/v1/operator": _operation("Version and cost of the operator", "OperatorFacts", [], {}),
}  # fmt: skip


@cache
def document() -> dict[str, Any]:
    """The whole document, ready for JSON."""
    _, schemas = msgspec.json.schema_components(
        [Picture, Services, History, PodHistory, Dots, Why, OperatorFacts, Refusal], ref_template="#/components/schemas/{name}"
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Rollcall live API",
            "version": __version__,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "description": "Times and ages are seconds, ratios 0 to 1, rates per second; null is no data, which is not 0.",
        },
        "security": [{"token": []}, {"certificate": []}],
        "paths": _PATHS,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "a bearer token of the cluster"},
                "certificate": {"type": "mutualTLS", "description": "a client certificate of the cluster"},
            },
        },
    }
