"""The listener for agents. It is open only while this replica leads: the ingest Service points at the lease holder, and an
agent that still has a connection to a former leader is told to go (GOODBYE) and reconnects."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

from rollcall.ingest.agent import AgentConnection, Door
from rollcall.ingest.tls import TlsConnection, Turns

BACKLOG = 4096


def protocols(door: Door, tls: ssl.SSLContext | None) -> Callable[[], asyncio.Protocol]:
    """What makes the protocol of each connection: plain where `tls` is None."""
    if tls is None:
        return lambda: AgentConnection(door)
    tls.num_tickets = 0  # agents do not resume sessions, and each of two tickets would be made, sent and kept
    turns = Turns()
    return lambda: TlsConnection(tls, lambda: AgentConnection(door), turns)


class IngestServer:
    """Start and stop; `door` holds what all connections share."""

    def __init__(self, door: Door, port: int, tls: ssl.SSLContext | None) -> None:
        self.door = door
        self._port = port
        self._tls = tls
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """The IPv4 port in use, also when 0 was asked for; 0 while stopped."""
        listening = self._server.sockets if self._server else ()
        return next((int(one.getsockname()[1]) for one in listening if one.family == socket.AF_INET), 0)

    async def start(self) -> None:
        """Listen on all addresses."""
        self.door.closed = None
        if self._server is None:
            self._server = await asyncio.get_running_loop().create_server(
                protocols(self.door, self._tls), None, port=self._port, backlog=BACKLOG
            )

    async def stop(self, code: str = "Shutdown", message: str = "this replica does not lead any more") -> None:
        """Close the listener and send every agent away; they come back to the next leader."""
        self.door.closed = code, message
        server, self._server = self._server, None
        if server is not None:
            server.close()
        for connection in list(self.door.connections):
            connection.reject(code, message)
        await asyncio.sleep(0)
