"""Keeps what the leader counts: once a second a moment of all services, written by a thread, so that nothing waits for a disk.

Only when a moment is written, and every replica that copies it has it too, are agents told that their FACTS are there. A
replica that does not get on for `COPY_S` is not waited for, and neither is a volume that fails: then agents are told as soon as
the model has their FACTS, as it is without a store.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from rollcall.model.kept import Keepsake, Parts, keep
from rollcall.model.roll import Key, Roll
from rollcall.store.database import Changes, Database, TakenOverError

EVERY_S = 1.0
COPY_S = 5.0
"""Longer than a leader goes on that cannot renew its lease: what was copied until another began to lead, it has."""
MOST_UNTOLD = 8
T = TypeVar("T")
_log = logging.getLogger(__name__)


class Keeper:
    """`open` it once; `load` and `run` in each term of leadership; `changes` is for who copies, `copy` takes a copy over."""

    def __init__(
        self, path: Path | None, roll: Roll, uids: Callable[[], Mapping[Key, str]], sure: Callable[[], bool] = lambda: True
    ) -> None:
        self._path = path
        self._roll = roll
        self._uids = uids
        self._sure = sure
        """Whether this replica leads for certain; a process that was stopped for a while thinks so at first."""
        self._database: Database | None = None
        self._thread = ThreadPoolExecutor(1, "store")
        self._copies: dict[str, tuple[int, float]] = {}
        """By replica: up to which version it has a copy, and since when it has not got on."""
        self._untold: deque[tuple[int, list[Keepsake]]] = deque(maxlen=MOST_UNTOLD)
        self.writes: Counter[str] = Counter()
        self.copies: Counter[str] = Counter()
        """Of what another replica keeps, while that leads."""
        self.set_aside = 0
        self.bytes = 0
        self.written_s: float | None = None
        """When a moment was last written, monotonic."""

    @property
    def keeping(self) -> bool:
        """Whether there is a store at all."""
        return self._database is not None

    async def open(self) -> None:
        """Open the file; without one, or on a volume that cannot be used, nothing is kept."""
        if self._path is None:
            return
        path = self._path
        try:
            self._database = await self._in_thread(lambda: Database(path))
        except (sqlite3.Error, OSError) as error:
            _log.error("nothing is kept: %s: %s", path, error)
            self.writes["failed"] += 1
            return
        self.set_aside += self._database.set_aside is not None

    async def load(self) -> dict[str, Parts]:
        """What was kept, by UID of the service; this replica leads from now on."""
        database = self._database
        self._copies.clear()
        self._untold.clear()
        if database is None:
            return {}
        for take in (database.begin, database.read):  # a volume that is full can still be read
            try:
                found = await self._in_thread(take)
            except (sqlite3.Error, OSError) as error:
                _log.error("going on from what was kept: %s", error)
                self.writes["failed"] += 1
            else:
                self._roll.keep(True)
                return dict(found)
        return {}

    async def run(self) -> None:
        """While this replica leads: a moment each second until cancelled, and one last."""
        try:
            while True:
                started_s = time.monotonic()
                await self._try_to_write()
                await asyncio.sleep(max(EVERY_S / 2, started_s + EVERY_S - time.monotonic()))
        finally:
            await self._try_to_write()

    async def _try_to_write(self) -> None:
        """A job that ends ends the term: whatever is wrong with what is kept, this replica goes on leading."""
        try:
            await self.write()
        except Exception:
            _log.exception("this moment is not kept")
            self.writes["failed"] += 1
            self._roll.keep(False)

    async def write(self) -> None:
        """Write this moment, and tell agents of what is kept."""
        database = self._database
        if database is None:
            return
        now_s, unix_s, uids = time.monotonic(), time.time(), self._uids()
        moments: dict[str, Keepsake] = {}
        for key, fleet in self._roll.fleets.items():
            if key in uids:
                moments[uids[key]] = keep(fleet, now_s, unix_s)
        parts = {uid: moment.parts for uid, moment in moments.items()}
        try:
            version = await self._in_thread(lambda: database.write(parts, unix_s))
            self.bytes = await self._in_thread(database.bytes)
        except TakenOverError as error:
            # Agents keep their FACTS for who keeps them now, and this replica will hear that it does not lead any more.
            if self.writes["refused"] % 60 == 0:
                _log.error("nothing is kept by this replica: %s", error)
            self.writes["refused"] += 1
            return
        except (sqlite3.Error, OSError) as error:
            if self.writes["failed"] % 60 == 0:
                _log.error("nothing is kept until the volume can be written to: %s", error)
            self.writes["failed"] += 1
            self._roll.keep(False)
            return
        self.writes["written"] += 1
        self.written_s = now_s
        self._roll.keep(True)
        self._untold.append((version, [moment._replace(parts={}) for moment in moments.values()]))
        self._tell()

    def _tell(self) -> None:
        """Pods whose FACTS are in every copy may forget them."""
        if not self._sure():
            return
        since_s = time.monotonic() - COPY_S
        copied = min((version for version, at_s in self._copies.values() if at_s >= since_s), default=None)
        while self._untold and (copied is None or self._untold[0][0] <= copied):
            for moment in self._untold.popleft()[1]:
                moment.is_kept()

    async def changes(self, who: str, log: str, version: int) -> Changes | None:
        """What a replica lacks that has copied up to this version of this history; None when there is nothing to copy."""
        database = self._database
        if database is None:
            return None
        has, now_s = version if log == database.log else 0, time.monotonic()
        before, moved_s = self._copies.get(who, (-1, now_s))
        self._copies[who] = (has, now_s if has != before or has >= database.version else moved_s)
        self._tell()
        return await self._in_thread(lambda: database.since(log, version))

    async def copy(self, changes: Changes) -> None:
        """Take over what the leader has written."""
        database = self._database
        if database is not None:
            await self._in_thread(lambda: database.take_over(changes, time.time()))

    @property
    def copied(self) -> tuple[str, int]:
        """History and version of what is here."""
        return (self._database.log, self._database.version) if self._database is not None else ("", 0)

    async def close(self) -> None:
        """Let go of the file."""
        database, self._database = self._database, None
        if database is not None:
            await self._in_thread(database.close)
        self._thread.shutdown(wait=False)

    async def _in_thread(self, call: Callable[[], T]) -> T:
        # What is being written is written to its end, also when the term ends meanwhile: its order is that of the thread.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, call))
