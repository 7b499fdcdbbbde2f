"""The whole screen: a bar that says where one is and how old that is, the place, and a line for prompt, notice or keys."""

from __future__ import annotations

import textwrap
import time

from rollcall.cli import screen

from . import cells, commands, keys
from .cells import Cell, clean
from .lines import BLANK, Line, apart, cut, labelled, line, padded
from .picture import Fleet, Service
from .pod_view import pod_lines
from .service_view import service_lines
from .session import OLD_S, Session, time_of

FOOT = {
    "services": ("enter open", "/ filter", ": command", "s sort", "space pause", "c copy", "? help", "q end"),
    "service": ("enter open", "tab next", "/ filter", "s sort", "← → time", "c copy", "? help", "esc back"),
    "pod": ("tab next", "← → time", "c copy", ": command", "? help", "esc back", "q end"),
}
MANIFEST = """\
kubectl label namespace shop rollcall.dev/inject=enabled
kubectl apply -f - <<EOF
apiVersion: rollcall.dev/v1alpha1
kind: MonitoredService
metadata: {name: newsfeed, namespace: shop}
spec:
  selector: {matchLabels: {app: newsfeed}}
EOF
kubectl -n shop rollout restart deployment/newsfeed"""


def paint(session: Session, width: int, height: int) -> list[Line]:
    """As many lines as the screen has."""
    lines = [_bar(session, width), *_stale(session, width)]
    room = max(1, height - len(lines) - 1)
    lines += (_help(session, width) if session.helping else _place(session, width, room))[:room]
    lines += [BLANK] * (height - 1 - len(lines))
    return [*lines[: height - 1], _foot(session, width)]


def _place(session: Session, width: int, room: int) -> list[Line]:
    shown = session.shown
    if shown is None:
        return _waiting(session, width)
    if isinstance(shown, Service):
        return (pod_lines if session.place.pod else service_lines)(session, shown, width, room)
    if not shown.services:
        return _nothing(session)
    return [_sum(shown, width), *_table(session, width, room - 1)]


def _table(session: Session, width: int, room: int) -> list[Line]:
    session.page = room - 1
    return session.listing.lines(width, room, session.scene())


def _sum(fleet: Fleet, width: int) -> Line:
    """The fleet in one line."""
    services = fleet.services
    states = {
        each: sum(service.health["state"] == each for service in services)
        for each in ("Healthy", "Degraded", "Down", "Unknown")
    }
    paces = [service.traffic["requestsPerSecond"] for service in services]
    known = [pace for pace in paces if pace is not None]
    left = [Cell(f" {len(services)} service{'' if len(services) == 1 else 's'}  ", "title")]
    for state, count in states.items():
        if count:
            sign, role = cells.HEALTH[state]
            left.append(Cell(f"{sign} {count} {state.lower()}  ", role))
    figures = (
        ("pods", Cell(str(sum(service.pods["total"] for service in services)))),
        ("requests/s", cells.rate(sum(known) if known else None)),
        ("in flight", Cell(str(sum(sum(service.bands or ()) for service in services)))),
    )
    return apart(left, [*labelled(figures), Cell(" ")], width)


# --- the bar


def _bar(session: Session, width: int) -> Line:
    place = session.place
    crumbs = [Cell(" rollcall ", "bar")]
    names = [place.namespace or "all namespaces", place.service, place.label]
    if session.place.kind != "services":
        names.append(session.part)
    for name in filter(None, names):
        crumbs += [Cell("› ", "bardim"), Cell(f"{clean(name)} ", "bar")]
    found = session.listing.filter
    if found is not None:
        listing = session.listing
        crumbs.append(Cell(f"/{clean(found.text.strip())} ", "barwarn"))
        crumbs.append(Cell(f"{len(listing.shown)} of {len(listing.items)} ", "bardim"))
    return Line(apart(crumbs, [_status(session)], width).spans, "bar")


def _status(session: Session) -> Cell:
    """Whether this is now, and how far it is from it."""
    age_s, shown = session.age_s, session.shown
    if session.moment is not None and shown is not None and session.newest is not None:
        at = session.moment if isinstance(shown, Service) or session.as_of is None else session.as_of
        ago = screen.age(time_of(session.newest) - session.moment)
        return Cell(f" ❚❚ {time.strftime('%H:%M:%S', time.localtime(at))}, {ago} ago ", "mark")
    if age_s is None:
        return Cell(" ✕ nothing yet " if session.trouble else " … connecting ", "barbad" if session.trouble else "bardim")
    if age_s > OLD_S or session.trouble:
        return Cell(f" ✕ {screen.age(age_s)} old ", "barbad")
    return Cell(" ● live ", "bargood")


def _stale(session: Session, width: int) -> list[Line]:
    """Why what is seen is old, on at most two lines."""
    age_s = session.age_s
    if age_s is None or session.held is not None or (age_s <= OLD_S and session.trouble is None):
        return []
    why = clean(session.trouble or "nothing comes from the operator")
    again = "" if session.final else "; it is tried again by itself"
    told = _wrapped(f"What you see is {screen.age(age_s)} old: {why}{again}", width - 2)
    return [line(Cell(f" {text}", "bad")) for text in told[:2]]


def _waiting(session: Session, width: int) -> list[Line]:
    """Before there is anything."""
    if session.trouble is None:
        return [BLANK, line(Cell("  Waiting for the first picture …", "dim"))]
    advice = (
        "Ask for the right to get monitoredservices/live (the ClusterRole view has it), or look at another namespace: :ns NAME"
        if session.final and "may not" in session.trouble
        else "Another place: :services   what is wrong: rollcall doctor"
        if session.final
        else "It is tried again by itself. If it stays so: rollcall doctor"
    )
    texts = [*_wrapped(clean(session.trouble), width - 4), "", *_wrapped(advice, width - 4)]
    return [BLANK, *(line(Cell(f"  {text}", "bad" if i == 0 else "dim")) for i, text in enumerate(texts))]


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(20, width)) or [""]


def _nothing(session: Session) -> list[Line]:
    """No service yet: what to apply."""
    where = f" in namespace {session.place.namespace}" if session.place.namespace else ""
    head = [BLANK, line(Cell(f"  No MonitoredService{where} yet. A first one, with the labels of your pods:", "warn")), BLANK]
    return [*head, *(line(Cell(f"    {each}", "name")) for each in MANIFEST.splitlines())]


# --- the foot


def _foot(session: Session, width: int) -> Line:
    prompt = session.prompt
    if prompt is not None:
        hint = ""
        if prompt.sign == ":":
            hint = "   " + " ".join(each.names[0] for each in commands.COMMANDS if each.names[0].startswith(prompt.text))
        return Line(
            cut([Cell(f" {prompt.sign}", "key"), Cell(prompt.text, "name"), Cell("▏", "key"), Cell(hint, "dim")], width)
        )
    text, role = session.notice
    if text:
        return Line(cut([Cell(f" {clean(text)}", role)], width))
    listing = session.listing
    position = f"{listing.cursor + 1}/{len(listing.shown)} " if listing.shown else ""
    spans, room = [Cell(" ")], width - len(position) - 1
    for each in FOOT[session.place.kind]:
        room -= len(each) + 2
        if room < 0:
            break
        name, _, does = each.rpartition(" ")
        spans += [Cell(name, "key"), Cell(f" {does}  ", "dim")]
    return apart(spans, [Cell(position, "dim")], width)


# --- help


def _help(session: Session, width: int) -> list[Line]:
    """The keys that do something here, beside each other by group; on the next page commands."""
    if session.helping > 1:
        rows = [
            line(
                Cell(f" :{', :'.join(each.names[:2]):<24} ", "key"), Cell(f"{each.given:<28} ", "name"), Cell(each.does, "dim")
            )
            for each in commands.COMMANDS
        ]
        return [_heading(" Commands"), *(Line(cut(row.spans, width)) for row in rows), BLANK, line(Cell(" ? to close", "dim"))]
    able = keys.here(session)
    blocks = []
    for group, title in keys.GROUPS.items():
        found = [key for key in able if key.group == group]
        blocks.append([_heading(title), *(line(Cell(f"{key.shown:<6} ", "key"), Cell(key.does)) for key in found)])
    return [*_columns(blocks, 3 if width >= 120 else 2, width), BLANK, line(Cell(" ? for commands", "dim"))]


def _heading(title: str) -> Line:
    return line(Cell(title, "title"))


def _columns(blocks: list[list[Line]], columns: int, width: int) -> list[Line]:
    """Blocks under each other, in columns of about one length."""
    stacks: list[list[Line]] = [[] for _ in range(columns)]
    for block in blocks:
        shortest = min(stacks, key=len)
        shortest += ([BLANK] if shortest else []) + block
    wide = (width - 1) // columns - 2
    rows = [[stack[i] if i < len(stack) else BLANK for stack in stacks] for i in range(max(map(len, stacks)))]
    return [Line((Cell(" "), *(span for each in row for span in (*padded(each.spans, wide), Cell("  "))))) for row in rows]
