"""What can be written after `:`, with completion. Nothing of it changes anything in the cluster."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from .parts import PARTS
from .picture import Fleet, Service
from .session import SPANS_S, End, Place, Session
from .skins import SKINS


@dataclass(frozen=True)
class Command:
    """One command under its names; `given` says what may follow."""

    names: tuple[str, ...]
    does: str
    act: Callable[[Session, str], None]
    given: str = ""


def _services(session: Session, given: str) -> None:
    if given and not given.startswith(("/", "-l")):
        namespace, _, name = given.rpartition("/")
        session.go(Place(namespace or session.place.namespace or _namespace_of(session, name), name), "pods")
        return
    session.go(Place(session.place.namespace if not session.place.service else None))
    _filter(session, given)


def _namespace_of(session: Session, name: str) -> str:
    """That of the service of this name which is shown, or of the one that the cursor is on."""
    shown = session.shown
    if isinstance(shown, Fleet):
        found = next((each.namespace for each in shown.services if each.name == name), None)
        if found:
            return found
    here = session.listing.here
    return here.namespace if isinstance(here, Service) else "default"


def _part(part: str) -> Callable[[Session, str], None]:
    def act(session: Session, given: str) -> None:
        name, slash, rest = given.partition("/")
        words = f"/{rest}" if slash and not name.strip() else given if given.startswith("-l") else ""
        if given and not words:
            _services(session, given)
        if not session.place.service and session.listing.here is None:
            session.tell("no service is on the screen; write its name after the command", "warn")
            return
        session.turn(part)
        _filter(session, words)

    return act


def _filter(session: Session, given: str) -> None:
    if given and (problem := session.listing.look_for(given.removeprefix("/"), session.now())):
        session.tell(problem, "warn")


def _namespace(session: Session, given: str) -> None:
    everything = given in ("", "all", "-A", "*")
    session.go(Place(None if everything else given))


def _sort(session: Session, given: str) -> None:
    columns = session.listing.table.columns
    able = {column.title.lower(): place for place, column in enumerate(columns) if column.key is not None and column.title}
    if not given:
        session.listing.sort_by(None, session.now())
    elif (found := next((place for title, place in able.items() if title.startswith(given.lower())), None)) is not None:
        session.listing.sort_by(found, session.now())
    else:
        session.tell(f"no column {given}; there are {', '.join(able)}", "warn")


def _skin(session: Session, given: str) -> None:
    if given in SKINS:
        session.skin = given
    else:
        session.tell(f"skins are {', '.join(SKINS)}", "warn")


def _span(session: Session, given: str) -> None:
    minutes = {str(span // 60): span for span in SPANS_S}
    if given in minutes:
        session.span_s = minutes[given]
    else:
        session.tell(f"charts show {', '.join(minutes)} minutes", "warn")


def _help(session: Session, _: str) -> None:
    session.helping = 1


_ALIASES = {
    "pods": ("pods", "po"), "requests": ("requests", "req"), "dependencies": ("dependencies", "deps"),
    "endpoints": ("endpoints", "ep"), "errors": ("errors", "err"), "departures": ("departures", "left"),
}  # fmt: skip
COMMANDS = (
    Command(("services", "svc"), "all services, or one by its name", _services, "[NAMESPACE/]NAME or /FILTER"),
    *(Command(_ALIASES[part], f"{part} of a service", _part(part), "NAME or /FILTER") for part in PARTS),
    Command(("namespace", "ns"), "services of one namespace, or of all", _namespace, "NAME or all"),
    Command(("sort",), "by a column; without one, as they come", _sort, "COLUMN"),
    Command(("now",), "back from the past", lambda session, _: session.live()),
    Command(("pause",), "stand still, or go on", lambda session, _: session.hold()),
    Command(("span",), "minutes that charts show", _span, "1, 5 or 15"),
    Command(("skin",), "colours", _skin, ", ".join(SKINS)),
    Command(("help",), "keys and commands", _help),
    Command(("quit", "q", "q!"), "end", lambda session, _: session.wants.append(End())),
)
_BY_NAME = {name: command for command in COMMANDS for name in command.names}


def run(session: Session, text: str) -> None:
    """Do what was written; what is no command is answered by the nearest that is."""
    name, _, given = text.strip().partition(" ")
    if not name:
        return
    session.said.append(text.strip())
    command = _BY_NAME.get(name.lower())
    if command is None:
        near = difflib.get_close_matches(name.lower(), _BY_NAME, 1)
        session.tell(f"no command :{name}" + (f"; did you mean :{near[0]}?" if near else "; ? lists them"), "warn")
        return
    command.act(session, given.strip())


def complete(session: Session, text: str) -> str:
    """The text as far as there is only one way to go on: commands, then services and other words that may follow."""
    name, space, given = text.partition(" ")
    if not space:
        able = [known for known in _BY_NAME if known.startswith(name.lower())]
        return _longest(able, text) + (" " if len(able) == 1 and _BY_NAME[able[0]].given else "")
    return f"{name} {_longest([word for word in _words(session, name) if word.startswith(given)], given)}"


def _words(session: Session, name: str) -> list[str]:
    if name == "skin":
        return list(SKINS)
    if name == "sort":
        return [column.title.lower() for column in session.listing.table.columns if column.key is not None]
    services = session.shown.services if isinstance(session.shown, Fleet) else []
    if name in ("ns", "namespace"):
        return sorted({"all", *(each.namespace for each in services)})
    return [each.name for each in services] + ["/".join(each.key) for each in services]


def _longest(words: list[str], text: str) -> str:
    if not words:
        return text
    first, last = min(words), max(words)
    size = 0
    while size < min(len(first), len(last)) and first[size] == last[size]:
        size += 1
    return first[:size] if size > len(text) else text
