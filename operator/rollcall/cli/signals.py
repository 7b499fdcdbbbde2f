"""One part of a service as a table: endpoints, errors, requests in flight, pods. Where there is none, a sentence says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from rollcall.api.percentages import format_ratio
from rollcall.cli.causes import crashes_table, dependencies_table
from rollcall.cli.columns import Columns
from rollcall.cli.departures import departures_table
from rollcall.cli.labels import labels_by_pod, labels_of
from rollcall.cli.screen import NO_LABELS, NONE, Labels, Picture, age, duration, nothing, plain, rate, ratio, state_of

OLD_S = 5.0
"""A reading older than this is shown with its age."""
MIB = 1024 * 1024


def endpoints_table(picture: Picture, most: int | None = None) -> RenderableType:
    """Where the time goes: endpoints by share of all response time."""
    endpoints = picture["endpoints"]
    if endpoints is None or not endpoints["rows"]:
        return nothing("no endpoint is known: no pod with a probe has answered a request yet")
    table = Columns("ENDPOINT~ >SHARE >RPS >ERRORS >MEAN >P50 >P95 >P99 >REQUESTS >UNANSWERED")
    rows: list[Picture] = endpoints["rows"]
    for row in rows[:most]:
        table.add_row(
            plain(row["endpoint"]),
            NONE if row["share"] is None else Text(format_ratio(row["share"])),
            rate(row["requestsPerSecond"]),
            ratio(row["errorRatio"]),
            *(duration(row[rank]) for rank in ("mean", "p50", "p95", "p99")),
            Text(str(row["requests"])),
            Text(str(row["unanswered"]), style="red" if row["unanswered"] else ""),
        )
    folded = endpoints["folded"]
    if folded["endpoints"] and most is None:
        count = folded["endpoints"]
        said = (
            f"other: {folded['requests']} requests of {count} endpoint{'' if count == 1 else 's'} that have no row of their own"
        )
        return Group(table, Text(said, style="bright_black"))
    return table


def errors_table(picture: Picture) -> RenderableType:
    """Types of errors by rate, then the newest samples with their place in the code."""
    errors = picture["errors"]
    if not errors["byType"]:
        return nothing("no error has been counted")
    table = Columns("KIND TYPE >PER_SECOND >TOTAL")
    for each in errors["byType"]:
        table.add_row(plain(each["kind"]), plain(each["type"]), rate(each["perSecond"]), Text(str(each["total"])))
    if not errors["samples"]:
        return Group(table, Text(), nothing("no sample of an error has come yet"))
    alike: dict[tuple[str, ...], list[Picture]] = {}
    for each in errors["samples"]:
        place = tuple(str(each[name]) for name in ("kind", "type", "message", "function", "file", "line", "endpoint"))
        alike.setdefault(place, []).append(each)
    return Group(table, Text(), *(_sample(newest, older, picture["at"]) for newest, *older in alike.values()))


def _sample(sample: Picture, older: list[Picture], at: float) -> RenderableType:
    """The newest of those that say the same, and where the others are from."""
    line = Text.assemble(
        (f"{age(at - sample['at'])} ago ", "bright_black"), plain(f"{sample['kind']} {sample['type']}", "bold red")
    )
    if sample["message"]:
        line.append(": ").append_text(plain(sample["message"]))
    where = sample["function"] or "?"
    if sample["file"]:
        where += f" ({sample['file']}" + (f":{sample['line']})" if sample["line"] else ")")
    line.append("\n    ").append_text(plain(where, "cyan")).append("  ").append_text(plain(sample["endpoint"]))
    pod = sample["pod"] + (f"  revision {sample['revision']}" if sample["revision"] else "")
    line.append("  ").append_text(plain(pod, "bright_black"))
    if older:
        others = len({each["pod"] for each in older} - {sample["pod"]})
        also = f", also of {others} other pod{'' if others == 1 else 's'}" if others else ""
        line.append(f"  and {len(older)} more like it{also}", style="bright_black")
    return line


def requests_table(picture: Picture, most: int | None = None, *, labels: Labels = NO_LABELS) -> RenderableType:
    """Requests in flight, longest first, with what each is at, and with the labels of their pods."""
    if picture["traffic"]["inFlight"] is None:
        return nothing("nothing is known of requests in flight: no pod reports that can see them")
    longest: list[Picture] = picture["longest"] or []
    if not longest:
        bound_s = min(500, picture["bandsMs"][0]) / 1000
        return nothing(f"no request has been in flight for longer than {bound_s:g} s")
    table = Columns(_REQUEST + labels.columns)
    of = labels_by_pod(picture) if labels else {}
    for request in longest[:most]:
        table.add_row(*_request(request, picture["bandsMs"]), *labels.cells(of.get(request["pod"])))
    return table


_REQUEST = ">ELAPSED ENDPOINT~ STEP~ >FOR POD SLOT? >WORKER? REVISION?"


def _request(request: Picture, bounds_ms: list[int]) -> list[Text]:
    return [
        Text(_elapsed(request["elapsed"]), style=_colour(request["elapsed"], bounds_ms)),
        plain(request["endpoint"]),
        plain(request["step"]) if request["step"] else NONE,
        NONE if request["stepElapsed"] is None else Text(_elapsed(request["stepElapsed"])),
        plain(request["pod"]),
        plain(request["slot"]) if request["slot"] else NONE,
        Text(str(request["worker"])),
        plain(request["revision"]) if request["revision"] else NONE,
    ]


def requests_of_each(pictures: list[Picture], *, labels: Labels = NO_LABELS) -> RenderableType:
    """Requests in flight of several services, longest first, then what is to be said of services that have none to show."""
    of_each = [labels_by_pod(picture) if labels else {} for picture in pictures]
    known = [
        (request, picture, of) for picture, of in zip(pictures, of_each, strict=True) for request in picture["longest"] or ()
    ]
    table = Columns(f"SERVICE {_REQUEST}{labels.columns}")
    for request, picture, of in sorted(known, key=lambda each: -each[0]["elapsed"]):
        name = f"{picture['namespace']}/{picture['name']}"
        table.add_row(plain(name), *_request(request, picture["bandsMs"]), *labels.cells(of.get(request["pod"])))
    rest = [
        Text(f"{picture['namespace']}/{picture['name']}: ", style="bright_black").append_text(said)
        for picture in pictures
        if not picture["longest"] and isinstance(said := requests_table(picture), Text)
    ]
    return Group(*([table] if known else []), *rest)


def _elapsed(seconds: float) -> str:
    return f"{seconds:.1f}s" if seconds < 10 else age(seconds)


def _colour(elapsed_s: float, bounds_ms: list[int]) -> str:
    return ("green", "yellow", "dark_orange", "red")[sum(elapsed_s * 1000 >= bound for bound in bounds_ms)]


def resources_table(picture: Picture, *, wide: bool = False, labels: Labels = NO_LABELS) -> RenderableType:
    """The pods with what their containers use and how busy their workers are; `wide`: where they run, what tells of them, and
    what their agents use; with their labels."""
    roll: list[Picture] = picture["roll"] or []
    if not roll:
        return nothing("no pod matches the selector")
    more = " NODE SOURCES >AGENT_CPU >AGENT_MEMORY UID" if wide else ""
    columns = "POD SLOT STATE >CPU >REQUEST? >LIMIT? >THROTTLED? >MEMORY >LIMIT? >RESTARTS >OOM? BUSY >QUEUE? REVISION? READ?"
    table = Columns(columns + more + labels.columns)
    for pod in roll:
        used = pod["resources"]
        table.add_row(
            plain(pod["name"]),
            plain(pod["slot"]) if pod["slot"] else NONE,
            state_of(pod),
            *(_used(used) if used else [NONE] * 6),
            Text(str(pod["restarts"]), style="yellow" if pod["restarts"] else ""),
            Text(str(used["oomKills"]), style="red" if used["oomKills"] else "") if used else NONE,
            NONE if pod["busyWorkers"] is None else Text(f"{pod['busyWorkers']}/{pod['workers']}"),
            NONE if pod["listenQueue"] is None else Text(str(pod["listenQueue"]), style="red" if pod["listenQueue"] else ""),
            plain(pod["revision"]) if pod["revision"] else NONE,
            _read(used) if used else NONE,
            *(_more(pod) if wide else ()),
            *(labels.cells(labels_of(picture, pod)) if labels else ()),
        )
    return table


def _more(pod: Picture) -> list[Text]:
    agent = pod["agent"]
    return [
        plain(pod["node"]) if pod["node"] else NONE,
        Text(",".join(pod["sources"])) if pod["sources"] else NONE,
        millicores(agent["millicores"]) if agent else NONE,
        Text(f"{agent['memoryBytes'] / MIB:.1f}Mi") if agent else NONE,
        plain(pod["uid"]),
    ]


def _used(used: Picture) -> list[Text]:
    memory, limit = used["memoryBytes"], used["memoryLimitBytes"]
    return [
        millicores(used["cpuMillicores"]),
        millicores(used["cpuRequestMillicores"]),
        millicores(used["cpuLimitMillicores"]),
        ratio(used["throttledRatio"]),
        Text(f"{memory / MIB:.0f}Mi", style="red" if limit and memory >= 0.9 * limit else ""),
        NONE if limit is None else Text(f"{limit / MIB:.0f}Mi"),
    ]


def millicores(value: float | None) -> Text:
    """CPU as Kubernetes writes it."""
    return NONE if value is None else Text(f"{value:.0f}m")


def _read(used: Picture) -> Text:
    text = Text(used["source"], style="bright_black")
    return text.append(f" {age(used['age'])} ago", style="yellow") if used["age"] > OLD_S else text


PARTS: dict[str, Any] = {
    "endpoints": endpoints_table,
    "errors": errors_table,
    "requests": requests_table,
    "pods": resources_table,
    "deps": dependencies_table,
    "crashes": crashes_table,
    "departures": departures_table,
}
"""How each part is shown, by its command."""
_FIELDS = {
    "endpoints": ("endpoints",),
    "errors": ("errors",),
    "requests": ("longest",),
    "pods": ("labelSets", "roll"),
    "deps": ("bottleneck", "throttled", "dependencies"),
    "crashes": ("crashes",),
    "departures": ("departures",),
}


def table_for(command: str, output: str, *, labels: Labels = NO_LABELS) -> Callable[[Picture], RenderableType]:
    """How a part is shown; `wide` has more columns of pods, and `labels` more of pods and their requests."""
    if command == "pods":
        return lambda picture: resources_table(picture, wide=output == "wide", labels=labels)
    if command == "requests":
        return lambda picture: requests_table(picture, labels=labels)
    shown: Callable[[Picture], RenderableType] = PARTS[command]
    return shown


def part_of(picture: Picture, command: str) -> Picture:
    """The part of a picture that a command is about, for programs."""
    return {key: picture.get(key) for key in ("namespace", "name", "at", *_FIELDS[command])}
