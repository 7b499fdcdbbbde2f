"""The roll: every service, and every agent that is connected.

An agent may report before the API server has told us of its pod, and a pod may match several services. A session keeps
the agent's newest report until its pod is known; each service that lists the pod gets a copy in a row of its own, so
every service is a complete picture by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import NamedTuple

from rollcall_agent.wire import bands, facts, frames, points

from .fleet import Fleet
from .names import Defined
from .rows import LATE_S
from .sources import packed

Key = tuple[str, str]
"""(namespace, name) of a service."""
MOST_FACTS_BYTES = 2 * 2**20
"""Of one connection within a second. An agent that tells everything it ever counted needs a quarter of it."""
MOST_EVENTS = 20
MOST_POINTS_BYTES = 4 * points.MAX_POINTS * points.RECORD.size
"""Of one connection within a second."""


MOST_REPORTS = 200
"""Of one connection within a second; an agent that is told to hurry sends ten."""
MOST_OTHERS_BYTES = 2 * 2**20
"""Of names, points, events and requests of one connection within a second, each frame counted as `FRAME_BYTES` more."""
FRAME_BYTES = 512


class Budget:
    """So much within a second."""

    __slots__ = ("_most", "_since_s", "_spent")

    def __init__(self, most: int) -> None:
        self._most, self._spent, self._since_s = most, 0, -inf

    def spend(self, amount: int, now_s: float) -> bool:
        """Whether that much more is within the budget."""
        if now_s - self._since_s >= 1:
            self._since_s, self._spent = now_s, 0
        self._spent += amount
        return self._spent <= self._most


class Refusal(NamedTuple):
    """Why a connection cannot go on, for its GOODBYE."""

    code: str
    message: str


@dataclass(slots=True, eq=False)
class Session:
    """One connected agent. `newest` is its report while no service has a row for it, `live` says whether its next report is
    traffic of now, `agent_age_ms` is that of `opened_s`."""

    uid: str
    namespace: str
    pod: str
    epoch: str
    agent_age_ms: int
    opened_s: float
    fleets: list[Fleet]
    newest: bytes | None = None
    newest_s: float = 0.0
    heard: bool = False
    live: bool = True
    changed: bool = False
    """What WELCOME says may be another thing now: services came or went."""
    sources: int = 0
    """What it tells from, as `sources.packed`."""
    facts_from: int | None = None
    """The first of its FACTS that the agent still has; None: it did not say."""
    known: int = 0
    """The highest number of FACTS that the agent told, or was told, over this connection."""
    defined: Defined = field(default_factory=Defined)
    reports: Budget = field(default_factory=lambda: Budget(MOST_REPORTS))
    _others_bytes: Budget = field(default_factory=lambda: Budget(MOST_OTHERS_BYTES))
    _facts_bytes: Budget = field(default_factory=lambda: Budget(MOST_FACTS_BYTES))
    _events: Budget = field(default_factory=lambda: Budget(MOST_EVENTS))
    _points_bytes: Budget = field(default_factory=lambda: Budget(MOST_POINTS_BYTES))

    def accept(self, body: bytes, now_s: float) -> None:
        """Take a report in: a copy into each row, nothing else."""
        if not self.heard:
            self.heard = True
            if now_s - self.opened_s > LATE_S:
                self.live = False  # it counted for longer than an interval before it said so
        if not self.fleets:
            self.newest, self.newest_s = body, now_s
            return
        for fleet in self.fleets:
            fleet.accept(self.uid, body, now_s, live=self.live)
        self.live = True

    def affords(self, body: bytes, now_s: float) -> bool:
        """Whether one more frame that is neither report nor FACTS may be looked at."""
        return self._others_bytes.spend(len(body) + FRAME_BYTES, now_s)

    def define(self, body: bytes) -> None:
        """Take in names of ids; raises FrameError when the body of the DEFINE is cut short."""
        try:
            names = facts.unpack_names(body)
        except ValueError as error:
            raise frames.FrameError(str(error)) from None
        for table, index, name in names:
            known = self.defined.define(table, index, name)
            if known is not None:
                for fleet in self.fleets:
                    fleet.define(self.uid, table, index, known)

    def accept_facts(self, body: bytes, now_s: float) -> Refusal | None:
        """Take FACTS in; without a service they are left, and come again. They belong to no window where the agent says so, or
        when the pod was silent before. Returns why this connection cannot go on; raises FrameError when the body is not
        whole."""
        if len(body) < facts.HEAD.size or (len(body) - facts.HEAD.size) % facts.RECORD.size:
            raise frames.FrameError(f"FACTS of {len(body)} bytes")
        if not self._facts_bytes.spend(len(body), now_s):
            return Refusal("TooMuch", f"more than {MOST_FACTS_BYTES} bytes of FACTS within a second")
        number, flags, _ = facts.HEAD.unpack_from(body)
        records = body[facts.HEAD.size :]
        for fleet in self.fleets:
            taken = fleet.accept_facts(self.uid, number, records, now_s, live=not flags & facts.FLAG_PAST)
            if taken is None:
                continue
            if taken < number:
                return Refusal("FactsUnknown", f"FACTS {number} came without {taken + 1}; connect again and tell them")
            self.known = max(self.known, number)
        return None

    def accept_requests(self, body: bytes, now_s: float) -> None:
        """Keep the list of the longest requests in flight."""
        for fleet in self.fleets:
            fleet.accept_requests(self.uid, body, now_s)

    def accept_points(self, body: bytes, now_s: float) -> None:
        """Take in finished requests, one by one; more than a second's bound are dropped, and counted."""
        few = self._points_bytes.spend(len(body), now_s)
        for fleet in self.fleets:
            if few:
                fleet.accept_points(self.uid, body, now_s)
            else:
                fleet.dropped["points"] += 1

    def tell_sources(self, names: object) -> None:
        """What the agent tells from is this now."""
        self.sources = packed(names)
        for fleet in self.fleets:
            fleet.accept_sources(self.uid, self.sources)

    def accept_event(self, event: Mapping[str, object] | None, now_s: float) -> None:
        """Take in something rare; None is what could not be read. More than a few a second are dropped, and counted."""
        few = self._events.spend(1, now_s)
        if event is not None and few and event.get("type") == "sources":
            self.tell_sources(event.get("sources"))
        for fleet in self.fleets:
            if event is None or not few:
                fleet.dropped["event"] += 1
            else:
                fleet.accept_event(self.uid, event, now_s)

    def tell(self) -> int | None:
        """What WELCOME says of the facts: up to which number the agent need not have them any more, which is less than are in
        the model while they are not kept; 0 for none in the model; None: no service wants any."""
        taken = self.taken
        self.known = self.known if taken is None else taken
        if taken is None or self.facts_from is None:
            return taken
        return max(self.kept, min(taken, max(1, self.facts_from - 1)))

    def forgotten(self) -> Refusal | None:
        """Why the connection cannot go on, when what its agent told went with a service that was deleted and made again."""
        return _BEGIN_AGAIN if self.taken == 0 < self.known else None

    @property
    def taken(self) -> int | None:
        """The highest number of FACTS that is in the model, 0 for none; None while no service lists the pod."""
        most: int | None = None
        for fleet in self.fleets:
            taken = fleet.taken_of(self.uid)
            if taken is not None and (most is None or taken > most):
                most = taken
        return most

    @property
    def kept(self) -> int:
        """The highest number of FACTS that the agent need not keep: every service has kept them itself, where it does."""
        numbers = (fleet.kept_of(self.uid) for fleet in self.fleets)
        return min((number for number in numbers if number is not None), default=0)

    def standing(self) -> list[tuple[object, int, bool]]:
        """What all that WELCOME says follows from, in a form that costs little to make and to compare."""
        return [(fleet.settings, len(fleet.pods), self.uid in fleet.probe_off) for fleet in self.fleets]

    @property
    def bands_ms(self) -> tuple[int, ...]:
        """The bounds of the bands that the agent shall use."""
        return next((fleet.settings.bands_ms for fleet in self.fleets), bands.DEFAULT_BOUNDS_MS)

    @property
    def visitors(self) -> tuple[str, str] | None:
        """Where its probes find visitors, and the key for them: those of the first service that counts visitors."""
        return next((fleet.settings.visitors for fleet in self.fleets if fleet.settings.visitors), None)

    @property
    def points(self) -> int:
        """How many points it may tell in a frame: what the service with the least room takes."""
        return min((fleet.points_per_frame(self.uid) for fleet in self.fleets), default=0)

    @property
    def probe_off(self) -> bool:
        """Whether its probes shall be disarmed: one service that wants this is enough."""
        return any(self.uid in fleet.probe_off for fleet in self.fleets)

    def remember(self, fleet: Fleet) -> None:
        """Take the newest report back out of a service's row."""
        found = fleet.newest(self.uid)
        if found is not None:
            self.newest, self.newest_s = found


_BEGIN_AGAIN = Refusal("FactsUnknown", "a service that is new does not have the facts told before; connect and begin again")


class Roll:
    """All fleets and sessions."""

    def __init__(self) -> None:
        self.fleets: dict[Key, Fleet] = {}
        self._keeping = False
        self.sessions: dict[str, Session] = {}

    def __iter__(self) -> Iterator[Fleet]:
        return iter(self.fleets.values())

    def add(self, fleet: Fleet) -> None:
        """A MonitoredService appeared."""
        fleet.keeping = self._keeping
        self.fleets[(fleet.namespace, fleet.name)] = fleet

    def keep(self, keeping: bool) -> None:
        """Whether what is counted from now on is kept elsewhere."""
        self._keeping = keeping
        for fleet in self.fleets.values():
            fleet.keeping = keeping

    def drop(self, key: Key) -> None:
        """A MonitoredService was deleted; its agents idle."""
        fleet = self.fleets.pop(key, None)
        for session in self.sessions.values():
            if fleet is not None and fleet in session.fleets:
                session.remember(fleet)
                session.fleets.remove(fleet)
                session.changed = True

    def open(
        self,
        uid: str,
        namespace: str,
        pod: str,
        epoch: str,
        agent_age_ms: int,
        now_s: float,
        facts_from: int | None = None,
    ) -> Session:
        """An agent was identified; a second connection of a pod replaces the first, which is not listened to any more."""
        before = self.sessions.get(uid)
        if before is not None:
            before.fleets.clear()
        session = Session(uid, namespace, pod, epoch, agent_age_ms, now_s, [], facts_from=facts_from)
        self.sessions[uid] = session
        for fleet in self.fleets.values():
            self._attach(session, fleet, now_s)
        return session

    def close(self, session: Session) -> None:
        """The connection ended; rows stay and become silent by themselves."""
        if self.sessions.get(session.uid) is session:
            del self.sessions[session.uid]

    def pod_known(self, fleet: Fleet, uid: str, now_s: float) -> None:
        """A pod was listed for a service: an agent that waits for it gets its row."""
        session = self.sessions.get(uid)
        if session is not None and not (fleet in session.fleets and fleet.bound(uid)):
            self._attach(session, fleet, now_s)

    def _attach(self, session: Session, fleet: Fleet, now_s: float) -> None:
        if not fleet.knows(session.uid):
            return
        age_ms = session.agent_age_ms + round((now_s - session.opened_s) * 1000)
        live = fleet.attach(session.uid, session.epoch, age_ms, session.facts_from)
        # Another service has them up to its number, or this one had some and the agent has let go of those it told since.
        taken = max(session.taken or 0, session.known if fleet.taken(session.uid) else 0)
        fleet.bind(session.uid, session.defined, taken, now_s)
        fleet.accept_sources(session.uid, session.sources)
        session.changed = True
        if session.fleets:
            session.remember(session.fleets[0])
        if fleet not in session.fleets:
            session.fleets.append(fleet)
        if session.newest is not None:
            fleet.accept(session.uid, session.newest, session.newest_s, live=live)
            session.newest = None
        else:
            session.live = session.live and live

    def fold(self, now_s: float, unix_s: float) -> None:
        """Fold every service."""
        for fleet in self.fleets.values():
            fleet.fold(now_s, unix_s)

    def waiting(self) -> int:
        """Agents whose pod no service lists."""
        return sum(not session.fleets for session in self.sessions.values())
