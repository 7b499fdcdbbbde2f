"""Frames as tables for the terminal. A value that is not known is a dash, never 0; what is old says so."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rollcall.api.durations import format_duration_ms
from rollcall.api.percentages import format_ratio
from rollcall.cli.columns import Columns

OLD_S = 2.0
UNEVEN = 2.0
"""A pod that gets so many times the mean is shown as a sign of trouble."""
_HEALTH = {"Healthy": "green", "Degraded": "yellow", "Down": "bold red", "Unknown": "magenta"}
_STATE = {
    "serving": "green",
    "unready": "yellow",
    "pending": "cyan",
    "silent": "red",
    "bare": "magenta",
    "leaving": "bright_black",
}
_SIGN = {"serving": "●", "unready": "◐", "pending": "○", "silent": "✕", "bare": "◌", "leaving": "◁"}
_BLOCKS = ("green", "yellow", "dark_orange", "red")
NONE = Text("–", style="bright_black")
Picture = dict[str, Any]


@dataclass(frozen=True)
class Labels:
    """Which labels are the last columns of a table: one of each of these `keys`, and, `every`, one of all."""

    keys: tuple[str, ...] = ()
    every: bool = False

    def __bool__(self) -> bool:
        return bool(self.keys) or self.every

    @property
    def columns(self) -> str:
        """For `Columns`: named as kubectl names them, without a prefix; that of all may be cut."""
        names = "".join(f" {key.rpartition('/')[2].upper()}" for key in self.keys)
        return f"{names} LABELS~" if self.every else names

    def cells(self, labels: Mapping[str, str] | None) -> list[Text]:
        """Those of a row; None: nothing is known of it any more."""
        labels = labels or {}
        cells = [plain(labels[key]) if key in labels else NONE for key in self.keys]
        if self.every:
            cells.append(plain(",".join(f"{name}={value}" for name, value in labels.items())) if labels else NONE)
        return cells


NO_LABELS = Labels()


def rate(value: float | None) -> Text:
    """Requests per second."""
    if value is None:
        return NONE
    return Text(f"{value:.1f}" if value < 10 else f"{value:,.0f}".replace(",", "\u2009"))


def duration(seconds: float | None) -> Text:
    """A response time."""
    return NONE if seconds is None else Text(format_duration_ms(seconds * 1000))


def ratio(value: float | None) -> Text:
    """A share."""
    return NONE if value is None else Text(format_ratio(value), style="red" if value >= 0.01 else "")


def age(seconds: float | None) -> str:
    """A span as kubectl writes it: 45s, 12m, 3h, 5d."""
    if seconds is None:
        return "–"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(max(0, seconds))}s"


def equalizer(in_flight: Picture | None) -> Text:
    """In-flight requests, youngest band first: a number, and one block per request up to twelve."""
    if in_flight is None:
        return NONE
    text = Text(f"{in_flight['total']:>3} ")
    room = 12
    for count, colour in zip(in_flight["bands"], _BLOCKS, strict=False):
        shown = min(count, room)
        text.append("▮" * shown, style=colour)
        room -= shown
    return text


def health(judgement: Picture) -> Text:
    """The one word."""
    return Text(judgement["state"], style=_HEALTH.get(judgement["state"], ""))


def plain(text: str, style: str = "") -> Text:
    """A word that came from a pod: no markup, and a sign in place of whatever does not print."""
    return Text("".join(each if each.isprintable() else "\ufffd" for each in text), style=style)


def nothing(sentence: str) -> Text:
    """Where there is nothing to show, a sentence says so."""
    return Text(sentence, style="bright_black")


def state_of(pod: Picture) -> Text:
    """A pod's bucket, and why it is bare, leaves, or does not report as it should."""
    state = Text(f"{_SIGN[pod['state']]} {pod['state']}", style=_STATE[pod["state"]])
    return state.append(f" {pod['reason']}", style="bright_black") if pod["reason"] else state


def services_table(pictures: list[Picture], *, labels: Labels = NO_LABELS) -> RenderableType:
    """All services, a row each, with the columns of `kubectl get msvc`, and with their labels."""
    if not pictures:
        return Text(
            "No MonitoredService here yet. A first one: kubectl apply -f examples/newsfeed/monitoredservice.yaml",
            style="yellow",
        )
    columns = "NAMESPACE NAME PODS HEALTH >RPS >P95 >ERRORS INFLIGHT >COVERAGE >USERS >IMBALANCE"
    table = Columns(columns + labels.columns)
    for picture in pictures:
        traffic, pods = picture["traffic"], picture["pods"]
        table.add_row(
            picture["namespace"],
            Text(picture["name"], style="bold"),
            f"{pods['serving']}/{pods['total'] if pods['desired'] is None else pods['desired']}",
            health(picture["health"]),
            rate(traffic["requestsPerSecond"]),
            duration(traffic["responseTime"]["p95"]),
            ratio(traffic["errorRatio"]),
            equalizer(traffic["inFlight"]),
            ratio_plain(picture["coverage"]),
            users(picture["visitors"]),
            times(picture["imbalance"] and picture["imbalance"]["requests"]),
            *labels.cells(picture.get("labels")),
        )
    return table


def users(visitors: Picture | None) -> Text:
    """Users at the same time."""
    value = visitors and visitors["concurrentUsers"]
    return NONE if value is None else Text(f"{value:.0f}")


def times(value: float | None) -> Text:
    """The busiest pod's part of the mean."""
    return NONE if value is None else Text(f"{value:.1f}x", style="yellow" if value >= UNEVEN else "")


def ratio_plain(value: float | None) -> Text:
    """A share where a high one is good."""
    return NONE if value is None else Text(format_ratio(value), style="" if value >= 1 else "yellow")


def head(picture: Picture) -> RenderableType:
    traffic, pods, times = picture["traffic"], picture["pods"], picture["traffic"]["responseTime"]
    title = Text.assemble((f"{picture['namespace']}/{picture['name']}", "bold"), "  ", health(picture["health"]))
    title.append(f"  {picture['health']['message']}", style="bright_black")
    figures = Table.grid(padding=(0, 3))
    figures.add_row(
        Text.assemble(("requests/s ", "bright_black"), rate(traffic["requestsPerSecond"])),
        Text.assemble(("p50 ", "bright_black"), duration(times["p50"])),
        Text.assemble(("p95 ", "bright_black"), duration(times["p95"])),
        Text.assemble(("p99 ", "bright_black"), duration(times["p99"])),
        Text.assemble(("errors ", "bright_black"), ratio(traffic["errorRatio"])),
        Text.assemble(("coverage ", "bright_black"), ratio_plain(picture["coverage"])),
    )
    buckets = Text("pods ", style="bright_black")
    wanted = "" if pods["desired"] is None else f" of {pods['desired']} desired"
    buckets.append(f"{pods['total']}{wanted}: ", style="default")
    for state, colour in _STATE.items():
        if pods[state]:
            buckets.append(f"{_SIGN[state]} {pods[state]} {state}  ", style=colour)
    in_flight = Text.assemble(("in flight ", "bright_black"), equalizer(traffic["inFlight"]))
    if 0 < traffic["inFlightPods"] < traffic["pods"]:
        in_flight.append(f"  of {traffic['inFlightPods']} of {traffic['pods']} pods", style="yellow")
    if traffic["inFlight"] and traffic["inFlight"]["total"]:
        in_flight.append(f"  oldest {age(traffic['inFlight']['oldest'])}", style="bright_black")
    totals = picture["totals"]
    counted = Text(
        f"total {totals['requests']} requests, {totals['errors']} errors, {totals['lost']} unanswered", style="bright_black"
    )
    if picture["sources"]:
        told = ", ".join(f"{source} {pods}" for source, pods in picture["sources"].items())
        counted.append(f"   pods by source: {told}")
    return Group(title, figures, in_flight, _people(picture), buckets, counted)


def _people(picture: Picture) -> RenderableType:
    """Visitors, and whether one pod gets more than its share."""
    visitors, imbalance = picture["visitors"], picture["imbalance"]
    text = Text.assemble(("users ", "bright_black"), users(visitors))
    text.append("   visitors 5 min ", style="bright_black").append_text(_count(visitors, "lastFiveMinutes"))
    text.append("  hour ", style="bright_black").append_text(_count(visitors, "hour"))
    text.append("  day ", style="bright_black").append_text(_count(visitors, "day"))
    text.append("   busiest pod ", style="bright_black").append_text(times(imbalance and imbalance["requests"]))
    text.append(" of the mean in requests, ", style="bright_black").append_text(times(imbalance and imbalance["inFlight"]))
    text.append(" in flight", style="bright_black")
    return text.append_text(plain(f"  {imbalance['busiest']}", "bright_black")) if imbalance else text


def _count(visitors: Picture | None, window: str) -> Text:
    return NONE if visitors is None else Text(str(visitors[window]))


def pods_table(picture: Picture, room: int) -> RenderableType:
    """The pods by name; when they do not fit, those that are not serving come first."""
    table = Columns("POD SLOT STATE >RPS >P95 >ERRORS INFLIGHT >AGE NODE")
    roll: list[Picture] = picture["roll"] or []
    shown = roll if len(roll) <= room else sorted(roll, key=lambda pod: pod["state"] == "serving")[:room]
    for pod in shown:
        table.add_row(
            plain(pod["name"]),
            plain(pod["slot"]) if pod["slot"] else NONE,
            state_of(pod),
            rate(pod["requestsPerSecond"]),
            duration(pod["p95"]),
            ratio(pod["errorRatio"]),
            equalizer(pod["inFlight"]),
            age(picture["at"] - pod["createdAt"]),
            plain(pod["node"]) if pod["node"] else NONE,
        )
    if not roll:
        return Text("no pod matches the selector", style="yellow")
    rest = Text(f"… and {len(roll) - len(shown)} more", style="bright_black") if len(shown) < len(roll) else Text()
    return Group(table, rest)


def footer(at_s: float, trouble: str | None) -> Text:
    """How old the picture is, when that matters, and why."""
    old_s = time.monotonic() - at_s
    text = Text("ctrl-c ends", style="bright_black")
    if trouble or old_s > OLD_S:
        text = Text(f"STALE for {age(old_s)}", style="bold red")
        if trouble:
            text.append(f"  {trouble}", style="red")
    return text
