"""What supervisor and worker say to each other over a pair of sequenced-packet sockets, one message per packet.

supervisor → worker: a PHP connection (number, descriptor), or the order to drain until a deadline
worker → supervisor: a PHP connection (number) that has ended
"""

from __future__ import annotations

import array
import socket
import struct

CONNECTION = struct.Struct("<cI")
DRAIN = struct.Struct("<cd")


def pair() -> tuple[socket.socket, socket.socket]:
    """(supervisor's end, worker's end), both non-blocking."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


def send_connection(channel: socket.socket, number: int, connection: socket.socket) -> None:
    """Hand over a connection; raises OSError when the worker does not take it."""
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [connection.fileno()]))]
    channel.sendmsg([CONNECTION.pack(b"C", number)], rights)


def send_drain(channel: socket.socket, deadline: float) -> None:
    """Order the worker to end by `deadline` (CLOCK_MONOTONIC, seconds)."""
    channel.send(DRAIN.pack(b"T", deadline))


def send_closed(channel: socket.socket, number: int) -> None:
    """Tell the supervisor that a connection has ended."""
    channel.send(CONNECTION.pack(b"X", number))


def receive_order(channel: socket.socket) -> tuple[str, float, int] | None:
    """The next order: ("connection", number, descriptor), ("drain", deadline, -1), ("end", 0, -1); None when there is none."""
    try:
        data, ancillary, _, _ = channel.recvmsg(64, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
    except BlockingIOError:
        return None
    if not data:
        return ("end", 0, -1)
    if data[:1] == b"T":
        return ("drain", DRAIN.unpack(data)[1], -1)
    descriptors = array.array("i")
    for _, _, content in ancillary:
        descriptors.frombytes(content)
    return ("connection", CONNECTION.unpack(data)[1], descriptors[0] if descriptors else -1)


def receive_closed(channel: socket.socket) -> int | None:
    """The number of the next connection that has ended; None when there is none, or the worker has."""
    try:
        data = channel.recv(64)
    except BlockingIOError:
        return None
    return int(CONNECTION.unpack(data)[1]) if data else None
