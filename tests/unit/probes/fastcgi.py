"""A FastCGI client that is just large enough to call php-fpm without a web server in front."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

_RECORD = struct.Struct(">BBHHBB")
_BEGIN, _PARAMS, _STDIN, _STDOUT = 1, 4, 5, 6


def _record(kind: int, content: bytes) -> bytes:
    return _RECORD.pack(1, kind, 1, len(content), 0, 0) + content


def request(script: Path, query: str = "", method: str = "GET", **more: str) -> bytes:
    """The records of a request for a script; `more`: other FastCGI parameters."""
    params = {
        "REQUEST_METHOD": method,
        "SCRIPT_FILENAME": str(script),
        "DOCUMENT_ROOT": str(script.parent),
        "QUERY_STRING": query,
        "REQUEST_URI": f"/asked/for?{query}",
        "SERVER_PROTOCOL": "HTTP/1.1",
        **more,
    }
    encoded = b"".join(
        bytes([len(k)]) + struct.pack(">I", len(v) | 1 << 31) + k.encode() + v.encode() for k, v in params.items()
    )
    return (
        _record(_BEGIN, struct.pack(">HB5x", 1, 0)) + _record(_PARAMS, encoded) + _record(_PARAMS, b"") + _record(_STDIN, b"")
    )


def call(fpm: Path, script: Path, query: str = "", method: str = "GET", timeout_s: float = 10.0, **more: str) -> bytes:
    """The raw answer (headers and body) of a script; empty when the worker ended without one."""
    received = b""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(timeout_s)
        client.connect(str(fpm))
        client.sendall(request(script, query, method, **more))
        try:
            while data := client.recv(65536):
                received += data
        except ConnectionResetError:
            return b""
    answer, at = b"", 0
    while at + _RECORD.size <= len(received):
        _, kind, _, length, padding, _ = _RECORD.unpack_from(received, at)
        if kind == _STDOUT:
            answer += received[at + 8 : at + 8 + length]
        at += 8 + length + padding
    return answer
