"""Connections that wait to be accepted: the accept queues of all listening TCP sockets of the pod, asked of the kernel.

Containers of a pod share its network, so the agent sees the application's sockets. The kernel is asked for listening ones only
(sock_diag over netlink): /proc/net/tcp would list every connection of a busy pod. Unix sockets are not seen.

Source: linux/sock_diag.h, linux/inet_diag.h; for a listening socket `idiag_rqueue` is the length of its accept queue.
"""

from __future__ import annotations

import socket
import struct

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_DUMP_REQUEST = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_LISTEN = 1 << 10
_HEAD = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBBI48s")
_QUEUE = struct.Struct("=I")
_RQUEUE_AT = 56
"""Of `idiag_rqueue` in struct inet_diag_msg: 4 bytes of state, 48 of the socket's id, 4 of `idiag_expires`."""
_MOST_BYTES = 1 << 20


class ListenQueue:
    """`read` returns the length of all accept queues; None where the kernel does not tell."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._refused = False

    def read(self) -> int | None:
        """Connections that are established and not accepted yet."""
        if self._refused:
            return None
        try:
            if self._socket is None:
                self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG)
                self._socket.settimeout(0.05)
            return sum(self._ask(family) for family in (socket.AF_INET, socket.AF_INET6))
        except (OSError, struct.error):
            self._refused = True  # a sandboxed kernel, or none that has sock_diag
            if self._socket is not None:
                self._socket.close()
            return None

    def _ask(self, family: int) -> int:
        assert self._socket is not None
        request = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, _LISTEN, b"")
        self._socket.send(_HEAD.pack(_HEAD.size + len(request), _SOCK_DIAG_BY_FAMILY, _DUMP_REQUEST, 0, 0) + request)
        waiting = seen = 0
        while seen < _MOST_BYTES:
            data = self._socket.recv(65536)
            seen += len(data)
            at = 0
            while at + _HEAD.size <= len(data):
                length, kind, _, _, _ = _HEAD.unpack_from(data, at)
                if kind == _NLMSG_DONE:
                    return waiting
                if kind == _NLMSG_ERROR or length < _HEAD.size:
                    raise OSError("the kernel refuses sock_diag")
                waiting += _QUEUE.unpack_from(data, at + _HEAD.size + _RQUEUE_AT)[0]
                at += (length + 3) & ~3
        return waiting
