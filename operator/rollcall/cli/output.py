"""What `-o` knows: tables for people, JSON and YAML for programs, names for shells."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import yaml

from rollcall.cli.screen import Picture


def is_for_people(output: str) -> bool:
    """Whether it is a table."""
    return output in ("table", "wide")


def encode(value: Any, output: str) -> str:
    """JSON or YAML."""
    if output == "yaml":
        return str(yaml.safe_dump(value, sort_keys=False, allow_unicode=True)).rstrip()
    return json.dumps(value, indent=2)


_NAMES: dict[str, Callable[[Picture], list[str]]] = {
    "endpoints": lambda picture: [row["endpoint"] for row in (picture["endpoints"] or {"rows": []})["rows"]],
    "errors": lambda picture: [f"{each['kind']}/{each['type']}" for each in picture["errors"]["byType"] or []],
    "requests": lambda picture: [f"pod/{each['pod']}" for each in picture["longest"] or []],
    "pods": lambda picture: [f"pod/{pod['name']}" for pod in picture["roll"] or []],
    "deps": lambda picture: [row["dependency"] for row in (picture["dependencies"] or {"rows": []})["rows"]],
    "crashes": lambda picture: [f"pod/{each['pod']}" for each in (picture["crashes"] or {}).get("samples") or []],
    "departures": lambda picture: [f"pod/{each['name']}" for each in (picture["departures"] or {}).get("recent") or []],
}


def names_of(picture: Picture, part: str) -> str:
    """What a part is about, a line each, every name once, in the order of its table."""
    return "\n".join(dict.fromkeys(_NAMES[part](picture)))


def service_names(pictures: list[Picture]) -> str:
    """Services as kubectl names them."""
    return "\n".join(f"monitoredservice.rollcall.dev/{picture['name']}" for picture in pictures)
