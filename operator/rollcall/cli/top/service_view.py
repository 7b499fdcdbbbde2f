"""One service: figures, charts, the equalizer, what happened, and a table below."""

from __future__ import annotations

import time

from rollcall.cli.causes import trouble_lines
from rollcall.cli.departures import ABNORMAL

from . import cells
from .blocks import TALL, chart, table, tabs
from .cells import NONE, Cell, clean
from .charts import Equalizer, bars
from .lines import BLANK, Line, apart, beside, cut, labelled, rule
from .parts import TABLES
from .past import Mark, mean
from .picture import Pod, Service
from .session import Session
from .table import Listing

NEWS_S = 300.0
"""A departure is news for so long."""


def service_lines(session: Session, service: Service, width: int, room: int) -> list[Line]:
    """A service, in so many rows."""
    tall = room >= TALL
    lines = [_title(service, width), _figures(service, width)]
    lines += _service_charts(session, service, width, 3 if tall else 2)
    lines.append(_states(service, width))
    lines += _equalizer(session, service, width, 6 if tall else 2)
    news = _moment(session, service) if session.moment is not None else _news(service)
    lines += [Line(cut(each, width)) for each in news[: 4 if tall else 1]]
    crowded = session.bars is not None and session.bars[2].group > 1
    lines.append(tabs(session, width, _scale(session.bars[2]) if crowded and session.bars else ""))
    below = _below(session, service, width) if tall and session.part == "pods" else []
    return [*lines, *table(session, width, room - len(lines) - len(below)), *below]


def _title(service: Service, width: int) -> Line:
    state, message = service.health["state"], service.health["message"]
    left = [Cell(f" {service.name} ", "title"), Cell(" "), cells.health(state), Cell(f"  {clean(message)}", "dim")]
    if service.coverage is None:
        return apart(left, [], width)
    return apart(left, [Cell("coverage ", "dim"), cells.coverage(service.coverage), Cell(" ")], width)


def _figures(service: Service, width: int) -> Line:
    traffic, visitors = service.traffic, service.visitors or {}
    figures = [
        ("requests/s", cells.rate(traffic["requestsPerSecond"])),
        *((rank, cells.duration(traffic["responseTime"][rank])) for rank in ("p50", "p95", "p99")),
        ("errors", cells.failing(traffic["errorRatio"])),
    ]
    if visitors:
        figures.append(("users", cells.whole(visitors["concurrentUsers"])))
    if service.resources:
        figures.append(("cpu", cells.cpu(service.resources["cpuMillicores"], None, None)))
        figures.append(("memory", cells.memory(service.resources["memoryBytes"], None)))
    if service.imbalance and service.imbalance["requests"] is not None:
        figures.append(("busiest pod", cells.times(service.imbalance["requests"])))
    return Line(cut([Cell(" "), *labelled(figures)], width))


# --- charts


def _service_charts(session: Session, service: Service, width: int, height: int) -> list[Line]:
    wide = (width - 5) // 2
    step_s = max(1, -(-session.span_s // wide))
    past = session.past
    end = past.newest if past.newest is not None else int(service.at)
    place = None
    if session.moment is not None:
        if session.moment <= end - wide * step_s:
            end = session.moment + (wide * step_s) // 4
        place = wide - 1 - (end - session.moment) // step_s
    rates = past.window(lambda second: second.requests_per_second, end, wide, step_s, mean)
    p95 = past.window(lambda second: second.p95, end, wide, step_s, max)
    left = chart("requests/s", rates, height, cells.rate, wide * step_s, place)
    right = chart("p95", p95, height, cells.duration, wide * step_s, place)
    marks = _marks(past.marks, end, wide, step_s)
    return [*beside(left, right, wide + 1), *([Line((Cell(" "), *marks))] if marks and height > 2 else [])]


def _marks(marks: list[Mark], end: int, wide: int, step_s: int) -> tuple[Cell, ...]:
    """Deployments and departures under the chart."""
    signs: dict[int, Cell] = {}
    for mark in marks:
        place = wide - 1 - (end - int(mark.at)) // step_s
        if 0 <= place < wide:
            deployed = mark.kind == "deployment"
            if deployed or place not in signs:
                signs[place] = Cell("▲" if deployed else "▽", "odd" if deployed else "bad" if mark.what in ABNORMAL else "dim")
    if not signs:
        return ()
    spans, last = [], 0
    for place, sign in sorted(signs.items()):
        spans += [Cell(" " * (place - last)), sign]
        last = place + 1
    legend = "▲ deployed ▽ left"
    room = wide - last - len(legend)
    return (*spans, Cell(" " * room + legend, "dim")) if room > 1 else tuple(spans)


# --- pods


def _states(service: Service, width: int) -> Line:
    pods = service.pods
    of = "" if pods["desired"] is None else f" of {pods['desired']}"
    left = [Cell(" pods ", "dim"), Cell(f"{pods['total']}{of}  ")]
    there = [each for each in cells.STATES if pods[each]]
    flight = service.traffic["inFlight"]
    named = sum(len(f"● {pods[each]} {each}  ") for each in there) + 50 <= width
    left += [Cell(f"{cells.SIGNS[each]} {pods[each]}{f' {each}' if named else ''}  ", each) for each in there]
    if flight is None:
        return apart(left, [Cell("in flight ", "dim"), NONE, Cell(" ")], width)
    right = [Cell("in flight ", "dim"), Cell(f"{flight['total']} "), *bars(flight["bands"], 16 if width >= 100 else 8)]
    if flight["total"] and flight["oldest"] is not None:
        right += [Cell("  oldest ", "dim"), cells.elapsed(flight["oldest"], service.bands_ms)]
    return apart(left, [*right, Cell(" ")], width)


def _equalizer(session: Session, service: Service, width: int, height: int) -> list[Line]:
    roll = service.roll
    if not roll:
        return [BLANK] * (height + 1)
    here = session.listing.here if session.part == "pods" else None
    wide = width - 2
    if session.bars is None or session.bars[0] is not service or session.bars[1] != (wide, height):
        session.bars = (service, (wide, height), Equalizer(roll, wide, height, shaded=session.shaded))
    found = session.bars[2]
    lines = [Line((Cell(" "), *each.spans)) for each in found.lines(here.uid if isinstance(here, Pod) else "")]
    note = f"{_scale(found)} "
    if len(lines[-1].text) + len(note) <= width:
        lines[-1] = apart(lines[-1].spans, [Cell(note, "dim")], width)
    return lines


def _scale(found: Equalizer) -> str:
    """What a block and a column stand for, where that is not one."""
    notes = [f"▇ {found.unit} requests"] * (found.unit > 1) + [f"▏ {found.group} pods"] * (found.group > 1)
    return ", ".join(notes)


# --- what happened


def _news(service: Service) -> list[list[Cell]]:
    """What there is too little of, what crashed, what left just now."""
    told = [[Cell(f" {each.plain}", "bad")] for each in trouble_lines(_as_json(service))]
    for gone in ((service.departures or {}).get("recent") or [])[:3]:
        if service.at - gone["at"] <= NEWS_S:
            role = "bad" if gone["cause"] in ABNORMAL else "dim"
            label = clean(gone["slot"] or gone["name"])
            told.append(
                [Cell(f" ▽ {cells.clock(gone['at'], service.at)} ", "dim"), Cell(f"{label} left: {gone['cause']}", role),
                 Cell(f"  {clean(gone['evidence'])}", "dim")]
            )  # fmt: skip
    return told


def _as_json(service: Service) -> dict[str, object]:
    return {"throttled": service.throttled, "crashes": service.crashes, "at": service.at}


def _moment(session: Session, service: Service) -> list[list[Cell]]:
    """The second that is looked at, and what happened about then."""
    assert session.moment is not None
    near = [mark for mark in session.past.marks if abs(mark.at - session.moment) <= 5]
    told = "; ".join(f"{mark.kind}: {clean(mark.what)}" + (f" × {mark.count}" if mark.count > 1 else "") for mark in near)
    at = time.strftime("%H:%M:%S", time.localtime(session.moment))
    spans = [Cell(f" {at} ", "mark"), Cell("  ← → a second, , . half a minute, n now   ", "dim")]
    if session.as_of is not None and session.as_of != session.moment:
        spans.append(Cell(f"pods are of {time.strftime('%H:%M:%S', time.localtime(session.as_of))}   ", "warn"))
    return [[*spans, Cell(told, "warn")]]


def _below(session: Session, service: Service, width: int) -> list[Line]:
    """On a tall screen: the longest requests, and what left."""
    wide = (width - 5) // 2
    blocks = []
    for part in ("requests", "departures"):
        listing = Listing(TABLES[part])
        listing.take(session.rows(part) or (), session.now())
        listing.cursor = -1
        found = listing.lines(wide + 1, 6, session.scene())[:6]
        blocks.append([Line((Cell(" "), *rule(listing.table.title, wide).spans)), *found])
    return [BLANK, *beside(blocks[0], blocks[1], wide + 1)][:8]
