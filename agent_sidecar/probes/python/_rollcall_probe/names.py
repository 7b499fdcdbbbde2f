"""Names of this process in the worker file's tables: endpoints by method and route, dependencies with their steps."""

from __future__ import annotations

from .early import allocate_lock
from .wire import layout

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "TASK"))
_MAX_ROUTES = 4 * layout.ENDPOINTS
"""Routes per method that are remembered; those that found no place in the file's table must not grow this one for ever."""
_MAX_CALLS = 4 * layout.DEPENDENCIES

_WAIT_S = 0.01

KINDS = {
    "http": "http",
    "grpc": "http",
    "s3": "http",
    "redis": "cache",
    "memcached": "cache",
    "sqs": "queue",
    "sns": "queue",
    "kinesis": "queue",
    "postgresql": "db",
    "mysql": "db",
    "sqlite": "db",
    "oracle": "db",
    "mssql": "db",
    "mongodb": "db",
    "dynamodb": "db",
}
"""First word of a dependency's name: what kind of step a call of it is; `http` where it is not listed."""


def step_of_call(name: str) -> str:
    """What a request is at while it calls a dependency: `db postgresql orders`, `cache redis sessions`, `http example.com`."""
    kind = KINDS.get(name.partition(" ")[0], "http")
    return name if name.startswith(kind + " ") else kind + " " + name


class Names:
    """`methods`: method → route → index. `calls`: dependency → its index, and in the low bits that of its step."""

    def __init__(self, ledger, rare) -> None:
        self.methods = {method: {} for method in METHODS}
        self.unknown = {}
        self.calls = {}
        self._ledger = ledger
        self._rare = rare
        self._lock = allocate_lock()

    def intern(self, method, route) -> int:
        """The index of an endpoint that `methods` does not have yet; 0 (`other`) when it finds no place.

        This waits for another thread that is at it, because a request whose name is not known would be counted in `other` for
        ever; not for long, because that thread could be this one, when a finalizer or signal handler comes in between.
        """
        if not self._lock.acquire(True, _WAIT_S):
            return 0
        try:
            self._add(method, route)
        finally:
            self._lock.release()
        return self.methods.get(method, self.unknown).get(route, 0)

    def _add(self, method, route) -> None:
        routes = self.methods.get(method, self.unknown)
        if route not in routes:
            index = self._ledger.endpoint(method + " " + route if routes is not self.unknown else "other")
            if len(routes) < _MAX_ROUTES:
                routes[route] = index

    def intern_call(self, name) -> int:
        """What `calls` is to have for a dependency; 0 (`other`) when it finds no place. Waits as `intern` does."""
        if len(self.calls) >= _MAX_CALLS or not self._lock.acquire(True, _WAIT_S):
            return 0
        try:
            is_new = name not in self.calls
            if is_new:
                self.calls[name] = self._ledger.dependency(name) << layout.STEP_BITS
        finally:
            self._lock.release()
        if is_new:
            self._rare.put(self._keep_step, name)
        return self.calls[name]

    def _keep_step(self, name) -> None:
        if self.calls[name]:  # `other` has no step
            self.calls[name] |= self._ledger.kept_step(step_of_call(name))
