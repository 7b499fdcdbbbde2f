"""Pods that left: counts by cause, and one by one with the evidence and what they did in their last seconds."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from rollcall.cli.columns import Columns
from rollcall.cli.screen import NONE, Picture, age, duration, nothing, plain, rate, ratio

ABNORMAL = ("NodeLost", "OOMKilled", "Crashed")
"""Causes that nobody asked for."""


def departures_line(picture: Picture) -> Text | None:
    """What left in the last hour, on one line; None when nothing did."""
    departures = picture["departures"]
    if departures is None or not departures["lastHour"]:
        return None
    return _counts("left in 1h ", departures["lastHour"])


def departures_table(picture: Picture) -> RenderableType:
    """The counts, then the last hundred, the newest first."""
    departures = picture["departures"]
    if departures is None or not departures["total"]:
        return nothing("no pod has left since counting began")
    parts: list[RenderableType] = [
        _counts(word, counts)
        for word, counts in (
            ("last hour ", departures["lastHour"]),
            ("last 24 h ", departures["last24h"]),
            ("total     ", departures["total"]),
        )
    ]
    if departures["recent"]:
        table = Columns(">AGO SLOT POD CAUSE EVIDENCE~ >LIVED >RPS >ERRORS >P95 >IN_FLIGHT LAST_WORD REVISION NODE")
        for gone in departures["recent"]:
            table.add_row(
                Text(age(picture["at"] - gone["at"])),
                _known(gone["slot"]),
                plain(gone["name"]),
                Text(gone["cause"], style=_style(gone["cause"])),
                plain(gone["evidence"]),
                Text(age(gone["age"])),
                rate(gone["requestsPerSecond"]),
                ratio(gone["errorRatio"]),
                duration(gone["p95"]),
                NONE if gone["inFlight"] is None else Text(str(gone["inFlight"]), style="red" if gone["inFlight"] else ""),
                NONE if gone["final"] is None else Text("yes" if gone["final"] else "no"),
                _known(gone["revision"]),
                _known(gone["node"]),
            )
        parts += [Text(), table]
    return Group(*parts)


def _counts(word: str, counts: dict[str, int]) -> Text:
    text = Text(word, style="bright_black")
    for cause, count in sorted(counts.items(), key=lambda item: (item[0] not in ABNORMAL, -item[1])):
        text.append(f"{cause} {count}  ", style=_style(cause) or "default")
    return text if counts else text.append_text(NONE)


def _style(cause: str) -> str:
    return "red" if cause in ABNORMAL else ""


def _known(text: str | None) -> Text:
    return plain(text) if text else NONE
