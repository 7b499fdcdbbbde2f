"""Which endpoint each request goes to: drawn by weight from a seeded source, hence the same sequence for the same seed."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

_VARIABLE = re.compile(r"\{[^}]*\}")
_VARIABLE_RANGE = 200


@dataclass(frozen=True)
class Endpoint:
    """A path, in which each `{name}` is filled with a number from 0 to 199, and its weight within the mix."""

    template: str
    weight: float


def parse_mix(text: str) -> list[Endpoint]:
    """Endpoints from `PATH=WEIGHT,PATH=WEIGHT`; the weight follows the last `=` and is 1 when there is none.

    Raises ValueError that names the part which is wrong.
    """
    endpoints = []
    for part in text.split(","):
        path, equals, weight = part.rpartition("=")
        if not equals:
            path, weight = part, "1"
        try:
            endpoint = Endpoint(path, float(weight))
        except ValueError:
            raise ValueError(f"not PATH=WEIGHT: {part!r}") from None
        if not path.startswith("/") or endpoint.weight <= 0:
            raise ValueError(f"a path starts with /, a weight is more than 0: {part!r}")
        endpoints.append(endpoint)
    return endpoints


def draw(endpoints: list[Endpoint], seed: int) -> Iterator[tuple[str, str]]:
    """Endless `(template, path)`, each drawn by weight. The same seed gives the same sequence."""
    source = random.Random(seed)
    weights = [endpoint.weight for endpoint in endpoints]
    while True:
        template = source.choices(endpoints, weights)[0].template
        yield template, _VARIABLE.sub(lambda _: str(source.randrange(_VARIABLE_RANGE)), template)
