"""gRPC's client: unary calls that are waited for. Streams, futures and `grpc.aio` are not seen."""

from __future__ import annotations

from .hook import Hook, remembered


def _read_name(callable_) -> str:
    target = callable_._channel.target()
    if isinstance(target, bytes):
        target = target.decode("utf-8", "replace")
    if target.startswith(("ipv4:", "ipv6:")):
        target = target[5:]
    address = target.rpartition("/")[2].partition(",")[0]
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit():
        address = host
    return "grpc " + address.strip("[]")


def grpc(module) -> None:
    """`grpc._channel`; interceptors end up here as well."""
    Hook("grpc").patch(module._UnaryUnaryMultiCallable, remembered(_read_name), "__call__", "with_call")
