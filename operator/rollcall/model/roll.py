"""The roll: every service, and every agent that is connected.

An agent may report before the API server has told us of its pod, and a pod may match several services. A session keeps
the agent's newest report until its pod is known; each service that lists the pod gets a copy in a row of its own, so
every service is a complete picture by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .fleet import Fleet
from .rows import LATE_S

Key = tuple[str, str]
"""(namespace, name) of a service."""


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

    def remember(self, fleet: Fleet) -> None:
        """Take the newest report back out of a service's row."""
        found = fleet.newest(self.uid)
        if found is not None:
            self.newest, self.newest_s = found


class Roll:
    """All fleets and sessions."""

    def __init__(self) -> None:
        self.fleets: dict[Key, Fleet] = {}
        self.sessions: dict[str, Session] = {}

    def __iter__(self) -> Iterator[Fleet]:
        return iter(self.fleets.values())

    def add(self, fleet: Fleet) -> None:
        """A MonitoredService appeared."""
        self.fleets[(fleet.namespace, fleet.name)] = fleet

    def drop(self, key: Key) -> None:
        """A MonitoredService was deleted; its agents idle."""
        fleet = self.fleets.pop(key, None)
        for session in self.sessions.values():
            if fleet is not None and fleet in session.fleets:
                session.remember(fleet)
                session.fleets.remove(fleet)

    def open(self, uid: str, namespace: str, pod: str, epoch: str, agent_age_ms: int, now_s: float) -> Session:
        """An agent was identified; a second connection of a pod replaces the first, which is not listened to any more."""
        before = self.sessions.get(uid)
        if before is not None:
            before.fleets.clear()
        session = Session(uid, namespace, pod, epoch, agent_age_ms, now_s, [])
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
        if session is not None and not (fleet in session.fleets and fleet.attached(uid)):
            self._attach(session, fleet, now_s)

    def _attach(self, session: Session, fleet: Fleet, now_s: float) -> None:
        if not fleet.knows(session.uid):
            return
        age_ms = session.agent_age_ms + round((now_s - session.opened_s) * 1000)
        live = fleet.attach(session.uid, session.epoch, age_ms)
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
