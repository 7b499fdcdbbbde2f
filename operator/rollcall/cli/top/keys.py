"""What each key does, in one table: from it keys are looked up, and the help is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import commands
from .copying import command_of
from .session import SPANS_S, Copy, End, Prompt, Session
from .skins import SKINS

EVERYWHERE = ("services", "service", "pod")
OF_A_SERVICE = ("service", "pod")


@dataclass(frozen=True)
class Key:
    """Keys that do the same. `shown` is how people call them, `does` what it says in the help."""

    names: tuple[str, ...]
    shown: str
    does: str
    act: Callable[[Session], object]
    where: tuple[str, ...] = EVERYWHERE
    group: str = "look"


def _move(rows: int) -> Callable[[Session], None]:
    return lambda session: session.listing.go(session.listing.cursor + rows)


def _page(part: float) -> Callable[[Session], None]:
    return lambda session: session.listing.go(session.listing.cursor + int(part * max(1, session.page)))


def _prompt(sign: str) -> Callable[[Session], None]:
    def act(session: Session) -> None:
        found = session.listing.filter
        before = found.text if found and sign == "/" else ""
        session.prompt = Prompt(sign, before, before)

    return act


def _escape(session: Session) -> None:
    """The nearest thing first: a filter, the past, then the place."""
    if session.listing.filter is not None:
        session.listing.look_for("", session.now())
    elif session.moment is not None:
        session.live()
    else:
        session.back()


def _next_part(step: int) -> Callable[[Session], None]:
    def act(session: Session) -> None:
        if parts := session.parts:
            session.turn(parts[(parts.index(session.part) + step) % len(parts)])

    return act


def _sort(step: int) -> Callable[[Session], None]:
    return lambda session: session.listing.next_sort(step, session.now())


def _reverse(session: Session) -> None:
    listing = session.listing
    if listing.sort is not None:
        listing.sort_by(listing.sort, session.now(), reverse=not listing.reverse)


def _next_skin(session: Session) -> None:
    names = list(SKINS)
    session.skin = names[(names.index(session.skin) + 1) % len(names)]
    session.tell(f"skin {session.skin}; :skin {session.skin} or ROLLCALL_SKIN={session.skin} next time")


def _next_span(session: Session) -> None:
    session.span_s = SPANS_S[(SPANS_S.index(session.span_s) + 1) % len(SPANS_S)]


def _copy(session: Session) -> None:
    command = command_of(session)
    session.wants.append(Copy(command))
    session.tell(f"copied: {command}", "good")


def _toggle_help(session: Session) -> None:
    session.helping = (session.helping + 1) % 3


KEYS = (
    Key(("enter",), "enter", "open", lambda session: session.open(), group="go"),
    Key(("escape",), "esc", "back, out of filter or past", _escape, group="go"),
    Key(("slash",), "/", "filter; !x: not, -l track=x", _prompt("/"), group="go"),
    Key(("colon",), ":", "command; tab completes", _prompt(":"), group="go"),
    Key(("question_mark", "h", "f1"), "?", "this help", _toggle_help, group="go"),
    Key(("q", "ctrl+c"), "q", "end", lambda session: session.wants.append(End()), group="go"),
    Key(("down", "j"), "↓ j", "next row", _move(1), group="move"),
    Key(("up", "k"), "↑ k", "row before", _move(-1), group="move"),
    Key(("pagedown", "ctrl+f"), "pgdn", "a page on", _page(1), group="move"),
    Key(("pageup", "ctrl+b"), "pgup", "a page back", _page(-1), group="move"),
    Key(("g", "home"), "g", "first row", _move(-(1 << 30)), group="move"),
    Key(("G", "upper_g", "end"), "G", "last row", _move(1 << 30), group="move"),
    Key(("s",), "s", "sort by the next column", _sort(1), group="move"),
    Key(("S", "upper_s"), "S", "the other way round", _reverse, group="move"),
    Key(("p",), "p", "pods", lambda session: session.turn("pods"), group="show"),
    Key(("r",), "r", "longest requests", lambda session: session.turn("requests"), group="show"),
    Key(("d",), "d", "dependencies", lambda session: session.turn("dependencies"), group="show"),
    Key(("e",), "e", "endpoints", lambda session: session.turn("endpoints"), group="show"),
    Key(("x",), "x", "errors", lambda session: session.turn("errors"), group="show"),
    Key(("l",), "l", "what left: departures", lambda session: session.turn("departures"), group="show"),
    Key(("tab",), "tab", "next table", _next_part(1), OF_A_SERVICE, "show"),
    Key(("shift+tab",), "⇧tab", "table before", _next_part(-1), OF_A_SERVICE, "show"),
    Key(("space",), "space", "stand still, go on", lambda session: session.hold(), group="time"),
    Key(("left",), "←", "a second back", lambda session: session.travel(-1), group="time"),
    Key(("right",), "→", "a second on", lambda session: session.travel(1), group="time"),
    Key(("shift+left", "comma"), ",", "half a minute back", lambda session: session.travel(-30), group="time"),
    Key(("shift+right", "full_stop"), ".", "half a minute on", lambda session: session.travel(30), group="time"),
    Key(("n",), "n", "now", lambda session: session.live(), group="time"),
    Key(("z",), "z", "charts of 1, 5, 15 minutes", _next_span, OF_A_SERVICE, "time"),
    Key(("c",), "c", "copy as kubectl command", _copy, group="more"),
    Key(("t",), "t", "next skin", _next_skin, group="more"),
)
GROUPS = {"go": "Go", "move": "Rows", "show": "Show", "time": "Time", "more": "More"}
_BY_NAME = {name: key for key in KEYS for name in key.names}


def here(session: Session) -> list[Key]:
    """The keys that do something at this place."""
    return [key for key in KEYS if session.place.kind in key.where]


def press(session: Session, name: str, character: str | None = None) -> bool:
    """A key was pressed; whether it meant anything."""
    if session.prompt is not None:
        return _write(session, session.prompt, name, character)
    key = _BY_NAME.get(name)
    if session.helping and name not in ("question_mark", "h", "f1", "q", "ctrl+c"):
        session.helping = 0
        return True
    if key is None or session.place.kind not in key.where:
        return False
    key.act(session)
    return True


def _write(session: Session, prompt: Prompt, name: str, character: str | None) -> bool:
    if name in ("enter", "escape", "ctrl+c"):
        session.prompt = None
        if name != "enter":
            if prompt.sign == "/":
                _look_for(session, prompt.before)
        elif prompt.sign == ":":
            commands.run(session, prompt.text)
        return True
    before = prompt.text
    _edit(session, prompt, name, character)
    if prompt.sign == "/" and prompt.text != before:
        _look_for(session, prompt.text)
    return True


def _edit(session: Session, prompt: Prompt, name: str, character: str | None) -> None:
    if name == "backspace":
        if not prompt.text:
            session.prompt = None
        prompt.text = prompt.text[:-1]
    elif name == "ctrl+u":
        prompt.text = ""
    elif name == "ctrl+w":
        prompt.text = prompt.text.rstrip().rpartition(" ")[0]
    elif name == "tab" and prompt.sign == ":":
        prompt.text = commands.complete(session, prompt.text)
    elif name in ("up", "down") and prompt.sign == ":" and session.said:
        place = session.said.index(prompt.text) if prompt.text in session.said else len(session.said)
        place += -1 if name == "up" else 1
        prompt.text = session.said[max(0, place)] if place < len(session.said) else ""
    elif character is not None and character.isprintable() and len(prompt.text) < 200:
        prompt.text += character


def _look_for(session: Session, text: str) -> None:
    session.tell(session.listing.look_for(text, session.now()), "warn")
