"""What this replica keeps, for the others: they run as the same service account, and nobody else is answered."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rollcall.kube.review import User
from rollcall.serve.access import RefusedError
from rollcall.store.keeper import Keeper
from rollcall.store.mirror import encode

MOST_NAME = 253


class KeptApi:
    """`answer` is what the live API calls; `ourselves` is the name of our service account, empty outside a cluster."""

    def __init__(self, keeper: Keeper, ourselves: Callable[[], str]) -> None:
        self._keeper = keeper
        self._ourselves = ourselves

    async def answer(self, user: User, query: Mapping[str, str]) -> bytes:
        """The parts that the caller lacks; raises RefusedError."""
        ourselves = self._ourselves()
        if not ourselves or user.name != ourselves:
            raise RefusedError(403, "this is for replicas of the operator alone")
        version = query.get("version", "")
        who, log = query.get("who", "")[:MOST_NAME], query.get("log", "")
        if not version.isascii() or not version.isdigit() or len(version) > 18:
            raise RefusedError(400, "version is a number")
        changes = await self._keeper.changes(who, log, int(version))
        if changes is None:
            raise RefusedError(404, "nothing is kept here")
        return encode(changes)
