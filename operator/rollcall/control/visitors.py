"""The keys that probes hash visitors with: one per service, all from one secret of the installation.

With a key of its own a service's hashes cannot be matched with another's, and who has them cannot try out identifiers. The
secret is made once, by whichever replica comes first, and kept; if it were lost, visitors would be counted anew.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Protocol

KEY = "secret"
SECRET_BYTES = 32
_WRITE_ATTEMPTS = 5


class VisitorSecretError(RuntimeError):
    """The Secret kept changing under us; try again later."""


class Store(Protocol):
    """A Secret with optimistic locking."""

    async def read(self) -> dict[str, bytes] | None: ...
    async def write(self, data: dict[str, bytes]) -> bool: ...


class VisitorKeys:
    """`load` once, then `key`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._secret: bytes | None = None

    async def load(self) -> None:
        """Take the secret that is stored, or store a new one; raises VisitorSecretError and what the store raises."""
        for _ in range(_WRITE_ATTEMPTS):
            stored = await self._store.read() or {}
            secret = stored.get(KEY, b"")
            if len(secret) >= SECRET_BYTES:
                self._secret = secret
                return
            await self._store.write(stored | {KEY: secrets.token_bytes(SECRET_BYTES)})
        raise VisitorSecretError("the Secret with the visitors' key kept changing; trying again later")

    def key(self, uid: str) -> str | None:
        """The key of the MonitoredService with this UID in hex, 32 bytes; None before `load`."""
        return hmac.digest(self._secret, uid.encode(), "sha256").hex() if self._secret is not None and uid else None
