"""Whose fault it is, as tables and lines: dependencies, crashes, where the time goes, what there is too little of."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.text import Text

from rollcall.api.percentages import format_ratio
from rollcall.cli.columns import Columns
from rollcall.cli.screen import NONE, Picture, age, duration, nothing, plain, rate, ratio

SHOWN_PARTS = 0.005
"""A class of time that takes less is not worth its place on a line."""
MOST_TROUBLES = 3


def bottleneck_line(bottleneck: Picture | None) -> Text:
    """Where the time goes, on one line."""
    text = _line("bottleneck ", "bright_black")
    if bottleneck is None:
        return text.append_text(NONE)
    text.append_text(plain(_cause(bottleneck), "bold"))
    slow = bottleneck["slow"]
    if slow is not None and (slow["class"], slow["dependency"]) == (bottleneck["class"], bottleneck["dependency"]):
        text.append(f" of requests over {_seconds(slow['over'])}", style="bright_black")
    shares: dict[str, float] = bottleneck["shares"]
    parts = sorted(shares.items(), key=lambda item: -item[1])
    told = "  ".join(f"{kind} {format_ratio(part)}" for kind, part in parts if part >= SHOWN_PARTS)
    text.append(f"   all time: {told}", style="bright_black")
    if bottleneck["coverage"] < 1:
        text.append(f"   CPU known of {format_ratio(bottleneck['coverage'])}", style="yellow")
    return text


def _cause(named: Picture) -> str:
    what = named["class"] if named["dependency"] is None else f"{named['class']} {named['dependency']}"
    return f"{what} {format_ratio(named['share'])}"


def _seconds(seconds: float) -> str:
    return f"{seconds:g} s" if seconds >= 1 else f"{seconds * 1000:.0f} ms"


def trouble_lines(picture: Picture) -> list[Text]:
    """What there is too little of, and crashes of the last five minutes; mostly empty."""
    lines = []
    for each in picture["throttled"][:MOST_TROUBLES]:
        line = _line("too little ").append_text(plain(each["dependency"]))
        line.append(": ").append_text(rate(each["perSecond"])).append(f"/s {each['reason']}")
        if each["ratio"] is not None:
            line.append(f" ({format_ratio(each['ratio'])} of its calls)")
        lines.append(line.append(f" for {age(picture['at'] - each['since'])}"))
    crashes = picture["crashes"]
    if crashes is not None and crashes["recent"]:
        many = f"{crashes['recent']} worker{'' if crashes['recent'] == 1 else 's'} in 5 minutes"
        line = _line("crashed ").append(many)
        if crashes["groups"]:
            line.append(": ").append_text(_place(crashes["groups"][0]))
        lines.append(line.append(f"  {age(picture['at'] - crashes['last'])} ago", style="bright_black"))
    return lines


def _line(word: str, style: str = "bold red") -> Text:
    """The beginning of a line that never takes two."""
    return Text(no_wrap=True, overflow="ellipsis").append(word, style=style)


def dependencies_table(picture: Picture, most: int | None = None) -> RenderableType:
    """What the application waits for: dependencies by share of all response time."""
    dependencies = picture["dependencies"]
    if dependencies is None or not dependencies["rows"]:
        return nothing("no dependency is known: no pod has called one yet that its probe can see")
    table = Columns("DEPENDENCY~ >SHARE >CALLS/S >FAILED >MEAN >P50? >P95 >P99? >AT_ONCE? >CALLS? WHY~")
    rows: list[Picture] = dependencies["rows"]
    for row in rows[:most]:
        at_once = row["concurrency"]
        table.add_row(
            plain(row["dependency"]),
            NONE if row["share"] is None else Text(format_ratio(row["share"])),
            rate(row["callsPerSecond"]),
            ratio(row["failureRatio"]),
            *(duration(row[rank]) for rank in ("mean", "p50", "p95", "p99")),
            NONE if at_once is None else Text(f"{at_once:.1f}" if at_once < 10 else f"{at_once:.0f}"),
            Text(str(row["calls"])),
            plain(", ".join(f"{rate(count)}/s {why}" for why, count in row["failures"].items())),
        )
    if most is not None:
        return table
    parts: list[RenderableType] = [bottleneck_line(picture["bottleneck"]), *trouble_lines(picture), Text(), table]
    folded = dependencies["folded"]
    if folded["dependencies"]:
        many = f"{folded['dependencies']} dependenc{'y' if folded['dependencies'] == 1 else 'ies'}"
        parts.append(Text(f"other: {folded['calls']} calls of {many} that have no row of their own", style="bright_black"))
    return Group(*parts)


def crashes_table(picture: Picture) -> RenderableType:
    """Workers that ended before their time: by kind, against the revision before, and one by one."""
    crashes = picture["crashes"]
    if crashes is None:
        return nothing("no worker has crashed")
    signals = "  ".join(f"{each['signal']} {each['total']}" for each in crashes["bySignal"])
    head = Text.assemble(("total ", "bright_black"), f"{crashes['total']}  {signals}", ("   in 5 minutes ", "bright_black"))
    parts: list[RenderableType] = [head.append(str(crashes["recent"]), style="red" if crashes["recent"] else "")]
    change = crashes["revisions"]
    if change is not None:
        colour = {"higher": "bold red", "lower": "green"}.get(change["differs"] or "", "")
        parts.append(plain(f"{change['workload']}: {change['message']}", colour))
    if crashes["groups"]:
        table = Columns(">COUNT SIGNAL MODULE ENDPOINT~ REVISION? >LAST IMAGE~")
        for group in crashes["groups"]:
            table.add_row(
                Text(str(group["count"])),
                *(plain(group[name]) if group[name] else NONE for name in ("signal", "module", "endpoint", "revision")),
                Text(f"{age(picture['at'] - group['last'])} ago"),
                plain(group["image"]) if group["image"] else NONE,
            )
        parts += [Text(), table]
    samples = [_sample(each, picture["at"]) for each in crashes["samples"] or ()]
    return Group(*parts, *([Text(), *samples] if samples else []))


def _place(group: Picture) -> Text:
    said = group["signal"] or "nobody knows why"
    if group["module"]:
        said += f" in {group['module'].rpartition('/')[2] or group['module']}"
    if group["endpoint"]:
        said += f" at {group['endpoint']}"
    return plain(said + f", revision {group['revision']}" if group["revision"] else said)


def _sample(crash: Picture, at: float) -> RenderableType:
    line = Text(f"{age(at - crash['at'])} ago ", style="bright_black")
    line.append_text(plain(crash["signal"] or "ended, nobody knows why", "bold red"))
    if crash["module"]:
        offset = f"+{crash['offset']}" if crash["offset"] else ""
        line.append(" in ").append_text(plain(crash["module"] + offset))
    if crash["caller"]:
        line.append(" called by ").append_text(plain(crash["caller"]))
    if crash["address"]:
        line.append_text(plain(f" at address {crash['address']}"))
    many = crash["unanswered"]
    line.append(f"  {many} request{'' if many == 1 else 's'} unanswered")
    line.append("\n    ").append_text(plain(crash["endpoint"] or "no request in flight", "cyan"))
    if crash["elapsed"] is not None:
        line.append_text(plain(f" after {duration(crash['elapsed'])}"))
    if crash["step"]:
        line.append("  ").append_text(plain(crash["step"]))
    where = f"  {crash['pod']}  {crash['runtime']} worker {crash['worker']}"
    where += "".join(f"  {name} {crash[name]}" for name in ("revision", "image") if crash[name])
    return line.append_text(plain(where, "bright_black"))
