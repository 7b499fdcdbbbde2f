"""What OTLP's attributes say in our words: endpoints, dependencies, errors and why a call failed. Pure.

Old and new semantic conventions are read, the new one first. A path of a request never becomes a name: it would be another one
for each user. Nor do users, passwords and queries.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..wire import facts
from .otlp_spans import CONSUMER, Attributes, Span, Value
from .paths import METHODS, shape

_ERROR, _TIMEOUT, _REFUSED, _THROTTLED, _EXHAUSTED = range(len(facts.REASONS))
_REASONS = (
    (_THROTTLED, ("throttl", "provisionedthroughputexceeded", "toomanyrequests", "requestlimitexceeded", "slowdown")),
    (_EXHAUSTED, ("pooltimeout", "connectionpool", "pool exhausted", "poolexhausted")),
    (_REFUSED, ("connectionrefused", "connection refused", "econnrefused", "connectexception")),
    (_TIMEOUT, ("timeout", "timedout", "timed out", "deadline")),
)
"""Parts of the names of exceptions, and of their messages, in lower case; the first that is found tells."""
_GRPC_REASONS: dict[Value, int] = {4: _TIMEOUT, 8: _THROTTLED, "DEADLINE_EXCEEDED": _TIMEOUT, "RESOURCE_EXHAUSTED": _THROTTLED}
_GRPC = "rpc.grpc.status_code"
_GRPC_FINE = (0, "OK")
_SYSTEMS = {"microsoft.sql_server": "mssql", "oracle.db": "oracle", "mariadb": "mysql", "aws.dynamodb": "dynamodb"}
_PORTS = {"http": (80, 443), "redis": (6379,)}
_MOST_NAME = 100


def endpoint(span: Span) -> str:
    """Method and route of a request, `TASK` and what it consumes, or the span's own name."""
    kind, _, _, _, name, _, _, _, found, _ = span
    if kind == CONSUMER:
        where = found.get("messaging.destination.name") or found.get("messaging.destination")
        return f"TASK {where or name}"
    method = found.get("http.request.method") or found.get("http.method")
    if method is not None:
        route = found.get("http.route")
        if route is None:
            # Some put the path into the name where there is no route; who looks for holes asks for a thousand of those.
            first, _, rest = name.partition(" ")
            named = rest.startswith("/") and first in METHODS and not 400 <= status(found) < 500
            route = shape(rest) if named else "*"
        return f"{method if method in METHODS else 'OTHER'} {route}"
    service = found.get("rpc.service")
    if service is not None:
        return f"RPC {service}/{found.get('rpc.method', '*')}"
    first, _, rest = name.partition(" ")
    if rest.startswith("/") and first in METHODS:
        return f"{first} {shape(rest)}"
    return name or facts.OTHER_ENDPOINT


def status(found: Attributes) -> int:
    """The status of an HTTP answer, 0 where there is none."""
    code = found.get("http.response.status_code") or found.get("http.status_code")
    if isinstance(code, str) and code.isdecimal():
        code = int(code)
    return code if isinstance(code, int) and 100 <= code < 600 else 0


def error(span: Span, code: int) -> str:
    """The name of the error that a failed request ended with."""
    found, exceptions = span[8], span[9]
    kind = exceptions[-1].get("exception.type") if exceptions else None
    if kind is None:
        kind = found.get("error.type")
        if kind is None or (isinstance(kind, str) and kind.isdecimal()) or kind == "_OTHER":
            if code >= 500:
                return f"timeout http {code}" if code == 504 else f"http {code}"
            return facts.OTHER_ERROR
    kind = str(kind)[:_MOST_NAME]
    return f"{'timeout' if 'Timeout' in kind or 'TimedOut' in kind else 'exception'} {kind}"


def dependency(found: Attributes) -> str:
    """System and target of a call: `postgresql orders`, `dynamodb newsfeed`, `http api.example.com`."""
    table = found.get("aws.dynamodb.table_names")
    if table is not None:
        return f"dynamodb {table}"
    system = found.get("db.system.name") or found.get("db.system")
    if system is not None:
        return _database(str(system), found)
    system = found.get("messaging.system")
    if system is not None:
        return _named(str(system), found.get("messaging.destination.name") or found.get("messaging.destination"), found)
    system = found.get("rpc.system.name") or found.get("rpc.system")
    if system is not None:
        return _remote(str(system), found)
    if "http.request.method" in found or "http.method" in found:
        return f"http {_address('http', found) or facts.OTHER_DEPENDENCY}"
    peer = found.get("peer.service")
    return f"service {peer}" if peer is not None else facts.OTHER_DEPENDENCY


def _database(system: str, found: Attributes) -> str:
    system = _SYSTEMS.get(system, system)
    if system == "redis":
        return _named(system, None, found)
    if system == "dynamodb":
        return _named(system, found.get("db.collection.name"), found)
    space = found.get("db.namespace") or found.get("db.name")
    if system == "sqlite" and space is not None:
        space = str(space).rpartition("/")[2]
    return _named(system, space, found)


def _remote(system: str, found: Attributes) -> str:
    service = found.get("rpc.service")
    if system in ("aws-api", "aws.api") and service is not None:
        bucket = found.get("aws.s3.bucket")
        return f"s3 {bucket}" if bucket is not None else str(service).lower()
    return _named(system, None, found)


def _named(system: str, target: object, found: Attributes) -> str:
    target = target if target is not None else _address(system, found)
    return f"{system} {target}" if target else system


def _address(system: str, found: Attributes) -> str:
    """Host, and port where it is not the usual one."""
    host = found.get("server.address") or found.get("net.peer.name")
    port = found.get("server.port") or found.get("net.peer.port")
    if host is None:
        host = found.get("http.host")
    if host is None:
        url = str(found.get("url.full") or found.get("http.url") or "")
        host = url.partition("://")[2].partition("/")[0].partition("?")[0].rpartition("@")[2]
    host = str(host)
    plain, colon, tail = host.rpartition(":")
    if colon and tail.isdecimal() and plain:
        host, port = plain, int(tail)
    return host if port is None or port in _PORTS.get(system, ()) or system not in _PORTS else f"{host}:{port}"


def is_plain(found: Attributes) -> bool:
    """Whether a call with these attributes went well unless its status is an error: most do, of databases for example."""
    return "http.response.status_code" not in found and "http.status_code" not in found and _GRPC not in found


def reason(failed: bool, found: Attributes, exceptions: Sequence[Attributes]) -> int | None:
    """Why a call failed, an index of `facts.REASONS`; None for one that went well. An answer of 4xx is no failure of the
    dependency, whatever the span's status says, but 429 is."""
    if not failed and is_plain(found):
        return None
    code = status(found)
    if code == 429 or (code == 503 and "http.response.header.retry-after" in found):
        return _THROTTLED
    if 100 <= code < 500:
        return None
    if not failed and code < 500:
        grpc = found.get(_GRPC, 0)
        return None if grpc in _GRPC_FINE else _GRPC_REASONS.get(grpc, _ERROR)
    known = _GRPC_REASONS.get(found.get(_GRPC) or found.get("rpc.response.status_code") or 0)
    if known is not None:
        return known
    words = [str(found.get("error.type", ""))]
    for each in exceptions:
        words += [str(each.get("exception.type", "")), str(each.get("exception.message", ""))]
    text = " ".join(words).lower()
    return next((index for index, marks in _REASONS if any(mark in text for mark in marks)), _ERROR)
