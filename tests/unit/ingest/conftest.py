"""A real listener on loopback, an identity that tests decide over, and agents that speak the wire by hand."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import pytest

from rollcall.control.certificates import Certificates, load_into, renewed
from rollcall.ingest.agent import Door
from rollcall.ingest.server import IngestServer
from rollcall.model.fleet import Fleet
from rollcall.model.roll import Roll
from rollcall.model.states import PodFacts
from rollcall_agent.wire import frames, report

SERVER_NAME = "rollcall-ingest.rollcall-system.svc"
PATIENCE_S = 10.0
"""A test that waits longer than this has failed."""


class Identity(NamedTuple):
    """The pod that a token is bound to."""

    namespace: str
    name: str
    uid: str


def identity_of(number: int) -> Identity:
    """The pod of `token-<number>`."""
    return Identity("shop", f"newsfeed-{number}", f"uid-{number}")


@dataclass
class Ingest:
    """The server under test and what it sees. `now_s` is its clock; `open_gate` lets token reviews be answered."""

    certificates: Certificates
    tls: bool
    now_s: float = 1000.0
    tokens: dict[str, Identity] = field(default_factory=lambda: {f"token-{n}": identity_of(n) for n in range(3)})
    asked: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    unreachable: bool = False
    agents: list[Agent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.gate.set()
        self.roll = Roll()
        self.fleet = Fleet("shop", "newsfeed")
        self.roll.add(self.fleet)
        for number in range(3):
            pod = identity_of(number)
            self.fleet.upsert(PodFacts(pod.uid, pod.name, pod.namespace, running=True, ready=True, injected=True))
        self.door = Door(self.roll, self.identify, lambda: self.now_s, "0.1.0", hello_within_s=PATIENCE_S)
        self.server = IngestServer(self.door, 0, self._server_tls())

    def _server_tls(self) -> ssl.SSLContext | None:
        if not self.tls:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        load_into(context, self.certificates)
        return context

    async def identify(self, token: str) -> Identity | None:
        self.asked.append(token)
        await self.gate.wait()
        if self.unreachable:
            raise TimeoutError("nobody answers")
        return self.tokens.get(token)

    async def connect(self) -> Agent:
        """A connection, nothing said yet."""
        tls = ssl.create_default_context(cadata=self.certificates.bundle.decode()) if self.tls else None
        name = SERVER_NAME if tls else None
        reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port, ssl=tls, server_hostname=name)
        self.agents.append(Agent(self, reader, writer))
        return self.agents[-1]

    async def welcomed(self, number: int = 0) -> Agent:
        """An agent that was let in."""
        agent = await self.connect()
        agent.hello(number)
        assert (await agent.expect(frames.WELCOME))["interval_ms"] == 500
        return agent

    def row(self, number: int = 0) -> dict[str, Any]:
        """What the model holds of a pod."""
        pod = self.fleet.pods[f"uid-{number}"]
        assert pod.row is not None
        return report.unpack(self.fleet.rows.body(pod.row))


class Agent:
    """One connection, as an agent has it."""

    def __init__(self, ingest: Ingest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ingest = ingest
        self._reader = reader
        self._writer = writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    def hello(self, number: int = 0, **changes: Any) -> None:
        """HELLO of the pod with this number."""
        body = {
            "wire": 1, "agent": "0.1.0", "epoch": "e1", "token": f"token-{number}", "pod_uid": f"uid-{number}",
            "runtimes": ["python"], "uptime_ms": 100,
        }  # fmt: skip
        self.send(frames.encode_json(frames.HELLO, {k: v for k, v in (body | changes).items() if v is not ...}))

    def report(self, **values: Any) -> None:
        """REPORT."""
        self.send(frames.encode(frames.REPORT, report.pack(values)))

    async def frame(self) -> tuple[int, bytes] | None:
        """The next frame, None at the end of the stream."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                length, kind = frames.PREFIX.unpack(await self._reader.readexactly(frames.PREFIX.size))
                return kind, await self._reader.readexactly(length - 1)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def expect(self, kind: int) -> dict[str, Any]:
        """The body of the next frame, which must be of this kind."""
        frame = await self.frame()
        assert frame is not None, "the connection ended"
        assert frame[0] == kind
        if kind != frames.ACK:
            return frames.decode_json(frame[1])
        return dict(zip(("seq", "facts"), frames.ACK_BODY.unpack(frame[1]), strict=True))

    async def acked(self) -> int:
        """The sequence number of the acknowledgement that comes next."""
        return int((await self.expect(frames.ACK))["seq"])

    async def goodbye(self) -> str:
        """The code of the GOODBYE that comes next, after which the connection ends."""
        body = await self.expect(frames.GOODBYE)
        assert body["message"]
        assert await self.frame() is None
        return str(body["code"])

    async def synced(self, seq: int) -> None:
        """Everything sent so far was taken in: a report is acknowledged."""
        self.report(seq=seq, window_end_us=2**40, started=2**40, finished=2**40, flags=report.FLAG_FINAL)
        while (await self.expect(frames.ACK))["seq"] != seq:
            pass

    async def close(self) -> None:
        self._writer.close()


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    return renewed(None, [SERVER_NAME], datetime.now(UTC))


@pytest.fixture(params=["plain", "tls"])
async def ingest(request: pytest.FixtureRequest, certificates: Certificates) -> AsyncIterator[Ingest]:
    async for running in _running(certificates, tls=request.param == "tls"):
        yield running


@pytest.fixture
async def plain(certificates: Certificates) -> AsyncIterator[Ingest]:
    async for running in _running(certificates, tls=False):
        yield running


async def _running(certificates: Certificates, *, tls: bool) -> AsyncIterator[Ingest]:
    ingest = Ingest(certificates, tls)
    await ingest.server.start()
    yield ingest
    await ingest.server.stop()
    for agent in ingest.agents:
        await agent.close()
