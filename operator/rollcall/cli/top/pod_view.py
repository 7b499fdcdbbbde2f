"""One pod: what Kubernetes and its agent say of it, why it is in its state, and its requests, errors and predecessors."""

from __future__ import annotations

import textwrap

from rollcall.cli import screen

from . import cells
from .blocks import TALL, chart, table, tabs
from .cells import MIB, NONE, Cell, clean, word
from .charts import bars
from .lines import Line, apart, beside, cut, labelled, line
from .picture import Pod, Service
from .session import Session

KEPT_EVERY_S = 5
"""The operator keeps pods so often, or less."""


def pod_lines(session: Session, service: Service, width: int, room: int) -> list[Line]:
    """One pod, in so many rows; of one that left, what is known of that."""
    pod = session.pod
    lines = [_gone(session, service, width)] if pod is None else _head(service, pod, width)
    lines += _reason(session, width)
    if pod is not None:
        lines += _labels(pod, width, 3 if room >= TALL else 1)
        lines += _charts(session, width, 4 if room >= TALL else 2)
    lines.append(tabs(session, width))
    return [*lines, *table(session, width, room - len(lines))]


def _gone(session: Session, service: Service, width: int) -> Line:
    found = ((service.departures or {}).get("recent")) or []
    gone = next((each for each in found if each["uid"] == session.place.pod), None)
    if gone is None:
        return line(Cell(f" {clean(session.place.label)} ", "title"), Cell("is not on the roll now", "warn"))
    said = f"left {cells.clock(gone['at'], service.at)}: {gone['cause']}"
    return Line(
        cut(
            [Cell(f" {clean(session.place.label)} ", "title"), Cell(said, "warn"), Cell(f"  {clean(gone['evidence'])}", "dim")],
            width,
        )
    )


def _head(service: Service, pod: Pod, width: int) -> list[Line]:
    left = [
        Cell(f" {clean(pod.label)} ", "title"),
        Cell(" "),
        cells.state(pod.state, pod.reason),
        Cell(f"   {clean(pod.name)}", "dim"),
    ]
    known = [
        ("age", cells.age(service.at - pod.created_at)),
        ("node", word(pod.node)),
        ("revision", word(pod.revision)),
        ("restarts", cells.count(pod.restarts, "warn")),
        ("told by", word(", ".join(pod.sources))),
    ]
    flight = pod.in_flight
    busy = NONE if pod.busy_workers is None else Cell(f"{pod.busy_workers}/{pod.workers}")
    figures = [
        ("requests/s", cells.rate(pod.requests_per_second)),
        ("p95", cells.duration(pod.p95)),
        ("errors", cells.failing(pod.error_ratio)),
        ("workers", busy),
        ("queue", cells.count(pod.listen_queue, "bad")),
    ]
    flying = [Cell("  in flight ", "dim"), NONE]
    if flight is not None:
        flying = [Cell("  in flight ", "dim"), Cell(f"{flight.total} "), *bars(flight.bands, 20)]
    return [
        apart(left, [], width),
        Line(cut([Cell(" "), *labelled(known)], width)),
        Line(cut([Cell(" "), *labelled(figures), *flying], width)),
        Line(cut(_used(pod), width)),
    ]


def _labels(pod: Pod, width: int, most: int) -> list[Line]:
    """The labels of Kubernetes, on so many lines at most."""
    head = " labels "
    told = clean(", ".join(f"{name}={value}" for name, value in pod.labels.items()))
    rows = textwrap.wrap(told, max(20, width - len(head) - 2), break_long_words=False, break_on_hyphens=False)
    if len(rows) > most:
        rows[most - 1 :] = [f"{rows[most - 1]} …"]
    return [
        Line(cut([Cell(head if place == 0 else " " * len(head), "dim"), Cell(row)], width)) for place, row in enumerate(rows)
    ]


def _used(pod: Pod) -> list[Cell]:
    """CPU and memory against their limits."""
    used = pod.resources
    if used is None:
        return [Cell(" cpu ", "dim"), NONE, Cell("  memory ", "dim"), NONE]
    spans = [Cell(" cpu ", "dim"), *_gauge(used.cpu_millicores, used.cpu_limit_millicores)]
    spans += [Cell(" "), cells.cpu(used.cpu_millicores, used.cpu_limit_millicores, used.throttled_ratio)]
    spans.append(Cell(f" of {used.cpu_limit_millicores}m" if used.cpu_limit_millicores else " no limit", "dim"))
    if used.throttled_ratio:
        spans += [Cell("  throttled ", "dim"), cells.failing(used.throttled_ratio)]
    limit = used.memory_limit_bytes
    spans += [Cell("   memory ", "dim"), *_gauge(used.memory_bytes, limit), Cell(" "), cells.memory(used.memory_bytes, limit)]
    spans.append(Cell(f" of {limit / MIB:.0f}Mi" if limit else " no limit", "dim"))
    if used.oom_kills:
        spans += [Cell("  OOM kills ", "dim"), cells.count(used.oom_kills, "bad")]
    if used.age > cells.OLD_READING_S:
        spans.append(Cell(f"  read {screen.age(used.age)} ago", "warn"))
    return spans


def _gauge(value: float | None, limit: float | None, width: int = 10) -> list[Cell]:
    if value is None or not limit:
        return []
    full = max(0, min(width, round(width * value / limit)))
    role = "bad" if value >= 0.9 * limit else "warn" if value >= 0.7 * limit else "good"
    return [Cell("━" * full, role), Cell("─" * (width - full), "rule")]


def _reason(session: Session, width: int) -> list[Line]:
    """Why it is in its state, and what to do."""
    why, pod = session.why, session.pod
    if not why or (pod is not None and pod.state == "serving" and not why.get("remedy")):
        return []
    told = [(clean(str(why.get("sentence") or "")), ""), (clean(str(why.get("remedy") or "")), "warn")]
    wrapped = [(each, role) for text, role in told if text for each in textwrap.wrap(text, max(20, width - 2))[:2]]
    return [line(Cell(f" {text}", role)) for text, role in wrapped]


def _charts(session: Session, width: int, height: int) -> list[Line]:
    wide = (width - 5) // 2
    uid, step_s = session.place.pod, max(KEPT_EVERY_S, -(-session.span_s // wide))
    rates, p95 = (session.trends.of(uid, figure, wide, step_s, session.moment) for figure in (0, 1))
    left = chart("requests/s", rates, height, cells.rate, wide * step_s)
    right = chart("p95", p95, height, cells.duration, wide * step_s)
    return beside(left, right, wide + 1)
