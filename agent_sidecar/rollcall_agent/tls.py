"""TLS to the operator: its CA comes from a mounted file that may appear late and may change.

The context is made again only when the file has changed. Imported by the worker process alone: `ssl` costs 8 MiB.
"""

from __future__ import annotations

import socket
import ssl

WantRead = ssl.SSLWantReadError
WantWrite = ssl.SSLWantWriteError


class Tls:
    """Wraps connected sockets; verifies the operator against the CA file and by its host name."""

    def __init__(self, ca_file: str) -> None:
        self._ca_file = ca_file
        self._ca = ""
        self._context: ssl.SSLContext | None = None

    def wrap(self, plain: socket.socket, host: str) -> ssl.SSLSocket:
        """A socket whose handshake has yet to be done, without blocking; raises OSError when the CA cannot be used."""
        with open(self._ca_file, encoding="ascii") as file:
            ca = file.read(65536)
        if self._context is None or ca != self._ca:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_verify_locations(cadata=ca)
            self._context, self._ca = context, ca
        return self._context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
