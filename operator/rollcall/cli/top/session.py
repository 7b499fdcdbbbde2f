"""What is shown, and where one is: pure, so that a test can press keys and read lines.

What the terminal has to do about it (follow another place, copy a text, end) is left in `wants`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote

from .charts import Equalizer
from .parts import PARTS, TABLES, rows_of
from .past import KEPT_S, Kept, Past, Trends, as_of, unknown, with_pods
from .picture import Fleet, Json, Pod, Service, Shown
from .table import Listing, Scene

POD_PARTS = ("requests", "errors", "departures")
SPANS_S = (60, 300, 900)
NOTICE_S = 6.0
OLD_S = 2.0


@dataclass(frozen=True)
class Place:
    """Where one is: all services (of a namespace), a service, or one of its pods."""

    namespace: str | None = None
    service: str = ""
    pod: str = ""
    """The uid."""
    label: str = ""

    @property
    def kind(self) -> str:
        """services, service or pod."""
        return "pod" if self.pod else "service" if self.service else "services"

    @property
    def path(self) -> str:
        """The stream of the live API that tells of it, with a picture four times a second."""
        if not self.service:
            only = f"&namespace={quote(self.namespace)}" if self.namespace else ""
            return f"/v1/services/stream?rate=4{only}"
        return f"/v1/services/{quote(self.namespace or '')}/{quote(self.service)}/stream?rate=4&with=seconds"

    def path_at(self, second: int) -> str:
        """The picture of that second, or the last one before it."""
        if not self.service:
            only = f"&namespace={quote(self.namespace)}" if self.namespace else ""
            return f"/v1/services?at={second + 1}{only}"
        return f"/v1/services/{quote(self.namespace or '')}/{quote(self.service)}?at={second + 1}"


@dataclass(frozen=True)
class Follow:
    """Another stream is wanted."""

    path: str


@dataclass(frozen=True)
class Copy:
    """A text for the clipboard."""

    text: str


@dataclass(frozen=True)
class Ask:
    """Why a pod is in its state, and what it did until now."""

    namespace: str
    pod: str
    service: str


@dataclass(frozen=True)
class Recall:
    """A picture of a moment that is past."""

    path: str
    moment: int


@dataclass(frozen=True)
class End:
    """Enough."""


@dataclass
class Prompt:
    """What is being written after `/` or `:`."""

    sign: str
    text: str = ""
    before: str = ""
    """The filter to return to by esc."""


@dataclass
class Session:
    """One viewer. `now` is a monotonic clock."""

    place: Place = field(default_factory=Place)
    now: Callable[[], float] = time.monotonic
    skin: str = "dark"
    shaded: bool = False
    """There are no colours: bands are told by shades."""
    options: str = ""
    """What a copied kubectl command needs beside its words, like --context."""
    part: str = "pods"
    span_s: int = SPANS_S[0]
    trail: list[tuple[Place, str]] = field(default_factory=list)
    newest: Shown | None = None
    held: Shown | None = None
    """What stands still; None: what is newest is shown."""
    moment: int | None = None
    """The second that is looked at, Unix time."""
    as_of: int | None = None
    """The second that the pods on the screen are of, where that is another one."""
    heard_s: float | None = None
    trouble: str | None = None
    final: bool = False
    prompt: Prompt | None = None
    helping: int = 0
    """The page of the help; 0: none."""
    why: Json | None = None
    past: Past = field(default_factory=Past)
    kept: Kept = field(default_factory=Kept)
    trends: Trends = field(default_factory=Trends)
    """Of the pods of the service."""
    wall: Trends = field(default_factory=Trends)
    """Of all services."""
    wants: list[Follow | Copy | Ask | Recall | End] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    """Commands that were given, for ↑."""
    bars: tuple[Service, tuple[int, int], Equalizer] | None = None
    """The equalizer of a picture and a size."""
    page: int = 10
    """Rows that are seen, as they were painted last."""
    _notice: tuple[str, str, float] = ("", "", 0.0)
    _listings: dict[tuple[str, str], Listing] = field(default_factory=dict)

    # --- what comes from the operator

    def take(self, shown: Shown) -> None:
        """A newer picture of the place."""
        here = (self.place.namespace, self.place.service)
        if here != shown.key if isinstance(shown, Service) else self.place.service:
            return  # one that was on its way while the place was left
        self.newest, self.heard_s, self.trouble, self.final = shown, self.now(), None, False
        (self.trends if self.place.service else self.wall).take(shown)
        if self.held is None:
            self._refresh()

    def fail(self, sentence: str, *, final: bool = False) -> None:
        """Nothing comes now."""
        self.trouble, self.final = sentence, final

    # --- what is shown

    @property
    def shown(self) -> Shown | None:
        """The picture on the screen."""
        return self.newest if self.held is None else self.held

    @property
    def service(self) -> Service | None:
        """The service on the screen, if it is one."""
        return self.shown if isinstance(self.shown, Service) else None

    @property
    def pod(self) -> Pod | None:
        """The pod on the screen; None also when it has left."""
        roll = self.service.roll if self.service and self.place.pod else None
        return next((pod for pod in roll or () if pod.uid == self.place.pod), None)

    @property
    def listing(self) -> Listing:
        """The table in use."""
        part = self.part if self.place.service else "services"
        key = (self.place.kind, part)
        if key not in self._listings:
            self._listings[key] = Listing(TABLES[part])
        return self._listings[key]

    @property
    def parts(self) -> tuple[str, ...]:
        """The tables that this place has."""
        return {"services": (), "service": PARTS, "pod": POD_PARTS}[self.place.kind]

    def rows(self, part: str) -> Sequence[Any] | None:
        """The rows of a part at this place; None where nothing is known of them."""
        shown = self.shown
        if isinstance(shown, Fleet):
            return shown.services
        found = None if shown is None else rows_of(shown, part)
        if found is None or not self.place.pod:
            return found
        if part == "departures":
            slot = self.pod.slot if self.pod else self.place.label
            return [row for row in found if row["slot"] == slot]
        name = self.pod.name if self.pod else ""
        return [row for row in found if row["pod"] == name]

    def scene(self, columns: int = 12) -> Scene:
        """What cells need."""
        shown = self.shown
        if isinstance(shown, Service):
            return Scene(shown.at, shown.bands_ms, lambda key: self.trends.of(key, 0, columns))
        at = time_of(shown) if shown else 0.0
        return Scene(at, [], lambda key: self.wall.of(key, 0, columns))

    @property
    def age_s(self) -> float | None:
        """How old what is newest is; None before the first."""
        return None if self.heard_s is None else self.now() - self.heard_s

    @property
    def notice(self) -> tuple[str, str]:
        """A sentence for some seconds, and its role."""
        text, role, until_s = self._notice
        return (text, role) if self.now() < until_s else ("", "")

    def tell(self, text: str, role: str = "") -> None:
        """Say something at the foot of the screen."""
        self._notice = (text, role, self.now() + NOTICE_S)

    def _refresh(self) -> None:
        self.listing.take(self.rows(self.part) or (), self.now())

    # --- where one is

    def go(self, place: Place, part: str | None = None, *, back: bool = True) -> None:
        """To another place, with a way back."""
        before = self.place
        if back and before != place:
            self.trail.append((before, self.part))
        self.place, self.prompt, self.helping = place, None, 0
        parts = self.parts
        self.part = part or (self.part if self.part in parts else parts[0] if parts else "pods")
        if before.path != place.path:
            self._leave(place)
        if place.pod and before.pod != place.pod:
            self.why = None
            self.trends.watch(place.pod)
            pod = self.pod
            if pod is not None and place.namespace:
                self.wants.append(Ask(place.namespace, pod.name, place.service))
        self._refresh()

    def _leave(self, place: Place) -> None:
        """What belonged to the stream of before is no longer of use; what a summary knows is shown until there is more."""
        fleet = self.newest.services if isinstance(self.newest, Fleet) else []
        self.newest = next((each for each in fleet if each.key == (place.namespace, place.service)), None)
        self.held = self.moment = self.as_of = self.trouble = None
        self.final = False
        if self.newest is None:
            self.heard_s = None
        self.past, self.kept, self.trends = Past(), Kept(), Trends()
        self.wants.append(Follow(place.path))

    def back(self) -> None:
        """To where one came from; from a place that one began at, to what it is part of."""
        if self.trail:
            place, part = self.trail.pop()
            self.go(place, part, back=False)
        elif self.place.pod:
            self.go(replace(self.place, pod="", label=""), "pods", back=False)
        elif self.place.service:
            self.go(Place(self.place.namespace), back=False)

    def open(self) -> None:
        """What the cursor is on."""
        here, place = self.listing.here, self.place
        if isinstance(here, Service):
            self.go(Place(here.namespace, here.name), "pods")
        elif isinstance(here, Pod):
            self.go(replace(place, pod=here.uid, label=here.label), "requests")
        elif here is not None and place.kind == "service" and self.part in ("requests", "errors"):
            self._open_pod(here["pod"])

    def _open_pod(self, name: str | None) -> None:
        roll = (self.service.roll if self.service else None) or ()
        found = next((pod for pod in roll if pod.name == name), None)
        if found is None:
            self.tell("this pod is not on the roll any more", "warn")
        else:
            self.go(replace(self.place, pod=found.uid, label=found.label), self.part)

    def turn(self, part: str) -> None:
        """To another table of the same place."""
        if part in self.parts:
            self.part = part
            self._refresh()
        elif part in PARTS and self.place.kind == "pod":
            self.back()
            self.turn(part)
        elif part in PARTS and self.place.kind == "services" and isinstance(self.listing.here, Service):
            here = self.listing.here
            self.go(Place(here.namespace, here.name), part)

    # --- time

    def hold(self) -> None:
        """Stand still, or go on."""
        if self.moment is not None:
            self.live()
        elif self.newest is not None:
            self.held, self.moment = self.newest, int(time_of(self.newest))

    def live(self) -> None:
        """To what is now."""
        self.held = self.moment = self.as_of = None
        self._refresh()

    def travel(self, seconds: int) -> None:
        """To another second of the last 15 minutes. What is known of it is shown at once, and the rest is asked for."""
        newest = self.newest
        if newest is None:
            return
        last = int(time_of(newest))
        oldest = last - KEPT_S if isinstance(newest, Fleet) else self.past.oldest
        wanted = (last if self.moment is None else self.moment) + seconds
        if wanted >= last:
            self.live()
            return
        if oldest is None or wanted < oldest:
            self.tell("nothing is kept of what was before that", "warn")
            wanted = last if oldest is None else oldest
        self.moment, self.as_of = wanted, None
        kept = self.kept.at(wanted) if isinstance(newest, Service) else None
        if kept is None:
            self.wants.append(Recall(self.place.path_at(wanted), wanted))
        if isinstance(newest, Service):
            second = self.past.at(wanted)
            self.held = kept or (as_of(newest, second) if second else None) or unknown(newest, wanted)
        else:
            self.held = self.held or newest
        self._refresh()

    def recall(self, told: Shown, moment: int) -> None:
        """The picture that was asked for came; figures of the second stay those of that second."""
        if self.moment != moment or isinstance(told, Service) is not bool(self.place.service):
            return
        if isinstance(told, Service):
            second = self.past.at(moment)
            self.held = told if second is None else with_pods(as_of(told, second), told)
        else:
            self.held = told
        self.as_of = int(time_of(told))
        self._refresh()


def time_of(shown: Shown) -> float:
    """When a picture is of."""
    return shown.at if isinstance(shown, Service) else max((each.at for each in shown.services), default=0.0)
