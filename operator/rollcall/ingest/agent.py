"""One agent's connection: HELLO, identity, then reports into rows; nothing that it sends can harm another connection.

The hot path is `data_received` with FACTS and a REPORT in it: length checks and copies. Everything else (HELLO, limits, errors)
is rare and may cost more. Frames are cut here and not by `frames.Decoder`, which makes a list of them first.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, cast

from rollcall.ingest.strangers import LEFT, Strangers
from rollcall.model.roll import MOST_REPORTS, Roll, Session
from rollcall_agent.wire import WIRE_VERSION, frames, report

HELLO_WITHIN_S = 5.0
ACK_EVERY_S = 2.0
MOST_REVIEWS = 64
"""So many tokens are reviewed at a time: also when thousands of agents come over, the API server has other callers."""
SMALLEST_REPORT = 64
"""A body shorter than its first fields is no report."""
_SEQ = struct.Struct("<Q")
_ACK = struct.Struct("<IBQQ")
"""An acknowledgement as a whole frame: prefix and body."""
_ACK_LENGTH = _ACK.size - frames.LENGTH.size
_FLAGS = report.offset("flags")
_prefix, _HEAD, _LENGTH = frames.PREFIX.unpack_from, frames.PREFIX.size, frames.LENGTH.size
_log = logging.getLogger(__name__)


class Identified(Protocol):
    """The pod that a token is bound to."""

    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def uid(self) -> str: ...


@dataclass(slots=True)
class IngestCounters:
    """What happened at the door, for our own metrics."""

    reports: int = 0
    bytes: int = 0
    facts: int = 0
    fact_bytes: int = 0
    rejected: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Door:
    """What all connections share. `identify` returns the pod of a token, or None when the token is not good for us; it raises
    when nobody could be asked."""

    roll: Roll
    identify: Callable[[str], Awaitable[Identified | None]]
    now_s: Callable[[], float]
    version: str
    interval_ms: int = 500
    hello_within_s: float = HELLO_WITHIN_S
    reviews: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_REVIEWS))
    counters: IngestCounters = field(default_factory=IngestCounters)
    connections: set[AgentConnection] = field(default_factory=set)
    agents: dict[str, AgentConnection] = field(default_factory=dict)
    """The connection of each pod, by UID."""
    closed: tuple[str, str] | None = None
    """While closed, the code and message for connections whose handshake had begun before."""
    strangers: Strangers = field(init=False)

    def __post_init__(self) -> None:
        self.strangers = Strangers(self.now_s)


class Terms(NamedTuple):
    """What WELCOME says that may change while a connection lasts; `facts`: whether a service lists the pod."""

    bands_ms: tuple[int, ...]
    visitors: tuple[str, str] | None
    probe_off: bool
    facts: bool
    points: int


class _TooMuchError(Exception):
    """An agent sends what no agent has to send; what else is in the same piece is not looked at."""


class AgentConnection(asyncio.Protocol):
    """See the module's docstring."""

    __slots__ = (
        "_acked_s",
        "_deadline",
        "_door",
        "_greeted",
        "_greeting",
        "_rest",
        "_session",
        "_told",
        "_told_for",
        "_transport",
    )

    def __init__(self, door: Door) -> None:
        self._door = door
        self._rest = b""
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._greeting: asyncio.Task[None] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._acked_s = float("-inf")
        self._greeted = False
        self._told: Terms | None = None
        self._told_for: object = None
        """What these terms follow from, as `Session.standing`."""

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's TLS transport is none by inheritance
        self._door.connections.add(self)
        if self._door.closed is not None:
            self.reject(*self._door.closed)
            return
        self._deadline = asyncio.get_running_loop().call_later(self._door.hello_within_s, self._too_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.connections.discard(self)
        if self._deadline is not None:
            self._deadline.cancel()
        if self._greeting is not None:
            self._greeting.cancel()
        if self._session is not None:
            self._door.roll.close(self._session)
            if not self._session.heard and self._transport is not None:
                self._door.strangers.note(_address(self._transport), LEFT)
            if self._door.agents.get(self._session.uid) is self:
                del self._door.agents[self._session.uid]
        self._transport = None

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        now_s, at, size = self._door.now_s(), 0, len(data)
        try:
            while size - at >= _HEAD:
                length, kind = _prefix(data, at)
                end = at + _LENGTH + length
                if end > size or not 1 <= length <= frames.MAX_FRAME_BYTES:
                    break
                body = data[at + _HEAD : end]
                at = end
                if kind == frames.REPORT:
                    self._report(body, now_s)
                elif kind == frames.FACTS:
                    self._facts(body, now_s)
                else:
                    self._rare(kind, body)
            self._keep(data, at)
        except frames.FrameError as error:
            self.reject("BadFrame", str(error))
        except _TooMuchError as error:
            self.reject("TooMuch", str(error))

    def _keep(self, data: bytes, at: int) -> None:
        """Keep the beginning of a frame for what comes next, unless its length is impossible; nearly never: whole frames come
        in one piece."""
        if at == len(data):
            self._rest = b""
            return
        self._rest = data[at:]
        if len(self._rest) >= _LENGTH:
            frames.check_length(frames.LENGTH.unpack_from(data, at)[0])

    # --- frames

    def _report(self, body: bytes, now_s: float) -> None:
        session, size = self._session, len(body)
        if session is None or size < SMALLEST_REPORT:
            raise frames.FrameError("REPORT before WELCOME" if session is None else f"REPORT of {size} bytes")
        if not session.reports.spend(1, now_s):
            raise _TooMuchError(f"more than {MOST_REPORTS} reports within a second")
        session.accept(body, now_s)
        counters = self._door.counters
        counters.reports += 1
        counters.bytes += size
        if now_s - self._acked_s >= ACK_EVERY_S or session.changed or (size > _FLAGS and body[_FLAGS] & report.FLAG_FINAL):
            self._acked_s = now_s
            self._acknowledge(session, *_SEQ.unpack_from(body))

    def _acknowledge(self, session: Session, seq: int) -> None:
        """Say what is in the model, and look again: services may have come, gone or changed."""
        session.changed = False
        taken, told = session.taken, self._told
        self._send(_ACK.pack(_ACK_LENGTH, frames.ACK, seq, session.kept))
        forgotten = session.forgotten() if taken == 0 and told is not None and told.facts else None
        if forgotten is not None:
            self.reject(*forgotten)
            return
        standing = session.standing()
        if told is None or standing != self._told_for or told.facts is (taken is None):
            self._told_for = standing
            if told != self._terms(session, taken):
                self._welcome(session)

    def _facts(self, body: bytes, now_s: float) -> None:
        session = self._identified("FACTS")
        counters = self._door.counters
        counters.facts += 1
        counters.fact_bytes += len(body)
        refused = session.accept_facts(body, now_s)
        if refused is not None:
            self.reject(*refused)

    def _rare(self, kind: int, body: bytes) -> None:
        if self._session is not None and not self._session.affords(body, self._door.now_s()):
            raise _TooMuchError("more names, points, events and requests within a second than one agent has")
        if kind == frames.HELLO:
            self._hello(body)
        elif kind == frames.DEFINE:
            self._identified("DEFINE").define(body)
        elif kind == frames.REQUESTS:
            self._identified("REQUESTS").accept_requests(body, self._door.now_s())
        elif kind == frames.EVENT:
            self._identified("EVENT").accept_event(_object(body), self._door.now_s())
        elif kind == frames.POINTS:
            self._identified("POINTS").accept_points(body, self._door.now_s())
        elif kind == frames.GOODBYE:
            self._close()
        # other types are of later versions: skipped

    def _identified(self, what: str) -> Session:
        if self._session is None:
            raise frames.FrameError(f"{what} before WELCOME")
        return self._session

    def _hello(self, body: bytes) -> None:
        if self._greeted:
            raise frames.FrameError("a second HELLO")
        self._greeted = True
        if self._deadline is not None:
            self._deadline.cancel()
        hello = frames.decode_json(body)
        self._greeting = asyncio.get_running_loop().create_task(self._greet(hello))

    async def _greet(self, hello: dict[str, object]) -> None:
        try:
            async with self._door.reviews:
                identity = await self._door.identify(str(hello.get("token", "")))
        except Exception as error:  # nobody could be asked: the agent may try again soon
            _log.warning("an agent could not be identified: %s", error)
            self.reject("Unavailable", "the token could not be reviewed; try again")
            return
        problem = _problem(hello, identity)
        if problem is not None:
            self.reject(*problem)
            return
        assert identity is not None
        age_ms, facts_from = hello.get("uptime_ms"), hello.get("facts_from")
        self._session = self._door.roll.open(
            identity.uid,
            identity.namespace,
            identity.name,
            str(hello.get("epoch", ""))[:64],
            age_ms if isinstance(age_ms, int) else 0,
            self._door.now_s(),
            facts_from if isinstance(facts_from, int) and facts_from > 0 else None,
        )
        self._replace_former(identity.uid)
        self._session.tell_sources(hello.get("runtimes"))
        self._session.changed = False
        self._welcome(self._session)
        self._greeting = self._deadline = None

    def _replace_former(self, uid: str) -> None:
        """Send an older connection of the same pod away: should it be the living one, it comes back and takes over again."""
        former = self._door.agents.get(uid)
        self._door.agents[uid] = self
        if former is not None:
            former.reject("Replaced", "another connection of the same pod took over")

    @staticmethod
    def _terms(session: Session, taken: int | None) -> Terms:
        return Terms(session.bands_ms, session.visitors, session.probe_off, taken is not None, session.points)

    def _welcome(self, session: Session) -> None:
        """Tell the agent what it goes by; again, with an acknowledgement, when that has changed."""
        self._told = terms = self._terms(session, session.taken)
        body: dict[str, object] = {
            "wire": WIRE_VERSION,
            "operator": self._door.version,
            "interval_ms": self._door.interval_ms,
            "bands_ms": list(terms.bands_ms),
            "max_frame": frames.MAX_FRAME_BYTES,
            "visitors": None if terms.visitors is None else dict(zip(("from", "key"), terms.visitors, strict=True)),
            "points": terms.points,
            "probe": "off" if terms.probe_off else "on",
        }
        facts = session.tell()
        if facts is not None:
            body["facts"] = facts
        self._send(frames.encode_json(frames.WELCOME, body))

    # --- endings

    def reject(self, code: str, message: str) -> None:
        """Say why and close."""
        self._door.counters.rejected[code] = self._door.counters.rejected.get(code, 0) + 1
        if self._session is None and self._transport is not None:
            self._door.strangers.note(_address(self._transport), code)
        self._send(frames.encode_json(frames.GOODBYE, {"code": code, "message": message}))
        self._close()

    def _too_late(self) -> None:
        self.reject("NoHello", f"no HELLO within {self._door.hello_within_s:g} s")

    def _send(self, frame: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frame)

    def _close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _address(transport: asyncio.Transport) -> str:
    """The peer's IP address, as Kubernetes writes it; empty when the connection has none any more."""
    peer = transport.get_extra_info("peername")
    return str(peer[0]).removeprefix("::ffff:") if peer else ""


def _object(body: bytes) -> dict[str, object] | None:
    """The JSON object of an EVENT; None when it is not one, which is no reason to lose what else this agent tells."""
    try:
        return frames.decode_json(body)
    except frames.FrameError:
        return None


def _problem(hello: dict[str, object], identity: Identified | None) -> tuple[str, str] | None:
    """Why an agent is not let in, as (code, message); None when it may come in."""
    if identity is None:
        return "TokenRejected", "the token is missing, expired, or not made for the audience rollcall.dev"
    if hello.get("pod_uid") not in (None, "", identity.uid):
        return (
            "PodMismatch",
            f"the token belongs to pod {identity.namespace}/{identity.name}, not to the pod that the agent names",
        )
    wire = hello.get("wire")
    if not isinstance(wire, int) or not 1 <= wire <= WIRE_VERSION:
        return "WireVersion", f"this operator speaks wire versions 1 to {WIRE_VERSION}, the agent speaks {wire!r}"
    return None
