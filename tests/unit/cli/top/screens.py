"""A viewer at a desk: pictures go in, keys are pressed, lines are read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from rollcall.cli.top import keys
from rollcall.cli.top.paint import paint
from rollcall.cli.top.picture import decode
from rollcall.cli.top.session import Place, Session
from tests.unit.cli import pictures

NOW_S = 1000.0
NAMES = {"/": "slash", ":": "colon", "?": "question_mark", ",": "comma", ".": "full_stop", " ": "space"}


class Clock:
    """Time that goes on when a test says so."""

    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


class Desk:
    """A session with its clock."""

    def __init__(self, place: Place | None = None) -> None:
        self.clock = Clock()
        self.session = Session(place or Place("shop", "newsfeed"), now=self.clock)

    def take(self, picture: dict[str, Any]) -> None:
        """A picture of one service or, with `services`, of all."""
        self.session.take(decode(json.dumps(picture).encode()))

    def press(self, *names: str) -> None:
        """Keys as textual calls them; a text of several letters that is no key's name is written letter by letter."""
        for name in names:
            if len(name) == 1:
                keys.press(self.session, NAMES.get(name, name), name)
            else:
                keys.press(self.session, name)

    def write(self, text: str) -> None:
        """Letters, one by one."""
        self.press(*text)

    def command(self, text: str) -> None:
        """`:text` and enter."""
        self.press(":", *text, "enter")

    def screen(self, width: int = 100, height: int = 24) -> str:
        """What is seen."""
        lines = paint(self.session, width, height)
        assert len(lines) == height
        return "\n".join(line.text for line in lines)

    def rows(self, width: int = 100, height: int = 24) -> list[str]:
        """First words of the table's rows, as they are painted."""
        self.screen(width, height)
        return [self.session.listing.table.name(item) for item in self.session.listing.shown]


def roll(count: int = 3, **changes: Callable[[int], Any]) -> list[Any]:
    """So many pods with slots; `changes` are functions of their number."""
    return [
        pictures.pod(**{"name": f"newsfeed-{n}", "slot": f"newsfeed-{n:02d}"} | {key: of(n) for key, of in changes.items()})
        for n in range(1, count + 1)
    ]


def history(seconds: int, until: int = int(NOW_S), rate: float = 10.0) -> dict[str, Any]:
    """Seconds as the live API tells them, the rate growing by one each."""
    at = list(range(until - seconds + 1, until + 1))
    flat: list[float | None] = [0.05] * seconds
    return {
        "namespace": "shop", "name": "newsfeed", "bandsMs": [1000, 3000, 8000], "at": at,
        "requestsPerSecond": [rate + i for i in range(seconds)], "errorsPerSecond": [0.0] * seconds,
        "p50": flat, "p95": flat, "p99": flat, "users": flat, "coverage": [1.0] * seconds,
        "bands": [[2.0] * seconds, *[[0.0] * seconds] * 3],
        "pods": {state: [3 if state == "serving" else 0] * seconds for state in pictures.STATES},
        "health": ["Healthy"] * seconds,
        "marks": [{"at": until - 5, "kind": "departure", "what": "OOMKilled", "count": 1}],
    }  # fmt: skip
