"""The file: parts of bytes by service, in SQLite with a write-ahead log. All calls block; `keeper` makes them in a thread.

A transaction is one moment of all services, so whatever is read after a kill belongs together. A file that cannot be read, is
not ours, or is of a later version is set aside under another name, and a new one begun: what it held is lost, and that is said.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import secrets
import sqlite3
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

APPLICATION = 0x524F4C4C  # "ROLL"
KEEP_DELETED_S = 24 * 3600.0
MOST_BYTES = 256 * 2**20
"""The file grows no larger; a write that would is refused as if the volume were full."""
MOST_LOG_BYTES = 16 * 2**20
_MIGRATIONS = (
    (
        """
        CREATE TABLE parts (
            service TEXT NOT NULL, part TEXT NOT NULL, version INTEGER NOT NULL, value BLOB NOT NULL,
            PRIMARY KEY (service, part)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX parts_by_version ON parts (version)",
        "CREATE TABLE services (service TEXT PRIMARY KEY, seen REAL NOT NULL) WITHOUT ROWID",
        "CREATE TABLE log (id TEXT NOT NULL, version INTEGER NOT NULL)",
        "INSERT INTO log VALUES (hex(randomblob(8)), 0)",
    ),
)
"""What brings a file of version n to version n + 1, by n. What a part holds has its own versions: fields are only appended."""
_log = logging.getLogger(__name__)


class Row(NamedTuple):
    """One part of a service (its UID), as it is stored: compressed."""

    service: str
    part: str
    version: int
    value: bytes


class Changes(NamedTuple):
    """What was written since a version; `log` names the history that versions belong to, `services` are all that exist."""

    log: str
    version: int
    services: list[str]
    rows: list[Row]


class TakenOverError(sqlite3.Error):
    """Another process has begun its history in this file since: it knows nothing of what would be written here."""


class Database:
    """Open it, `begin` to lead, `write` moments, `read` them back. Raises sqlite3.Error and OSError when the volume fails.

    Two processes may have the file open: one whose pod was deleted without grace lives on for a moment beside its successor.
    Who began last may write; the other is refused.
    """

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        self._path = path
        self.set_aside: Path | None = None
        """Where the file went that was there and could not be used."""
        self._connection = self._open(most_bytes)
        self._hashes: dict[tuple[str, str], int] = {}
        self.log: str
        self.version: int
        self.log, self.version = self._connection.execute("SELECT id, version FROM log").fetchone()

    def _open(self, most_bytes: int) -> sqlite3.Connection:
        try:
            return _connect(self._path, most_bytes)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and not _is_wrong(error):
                raise
            self.set_aside = self._path.with_name(f"{self._path.name}.unreadable-{time.time_ns()}")
            _log.error("%s cannot be used (%s): it is now %s, and a new one is begun", self._path, error, self.set_aside.name)
            os.replace(self._path, self.set_aside)
            for end in ("-wal", "-shm"):
                self._path.with_name(self._path.name + end).unlink(missing_ok=True)
            for older in sorted(self._path.parent.glob(f"{self._path.name}.unreadable-*"))[:-1]:
                older.unlink(missing_ok=True)
            return _connect(self._path, most_bytes)

    def begin(self) -> dict[str, dict[str, bytes]]:
        """Another history begins: this replica leads, and what it writes continues neither what others have copied nor what
        another process would still write here. Returns all that is kept, as `read`.
        """
        log = secrets.token_hex(8)
        with self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            found = self.read()
            connection.execute("UPDATE log SET id = ?", (log,))
            (self.version,) = connection.execute("SELECT version FROM log").fetchone()
        self.log = log
        self._hashes.clear()
        return found

    def write(self, services: Mapping[str, Mapping[str, bytes]], unix_s: float) -> int:
        """The parts of every service that exists, of one moment; only what changed is written. Returns the version."""
        version, changed, hashes = self.version + 1, [], {}
        for service, parts in services.items():
            for part, value in parts.items():
                hashes[service, part] = found = hash(value)
                if self._hashes.get((service, part)) != found:
                    changed.append(Row(service, part, version, zlib.compress(value, 1)))
        if changed:
            self._put(self.log, version, list(services), changed, unix_s)
        self._hashes = hashes
        return self.version

    def take_over(self, changes: Changes, unix_s: float) -> None:
        """Copy what another replica has written; of another history than before, in place of all that is here."""
        self._hashes.clear()
        if changes.rows or changes.log != self.log:
            self._put(changes.log, changes.version, changes.services, changes.rows, unix_s)

    def _put(self, log: str, version: int, services: list[str], rows: list[Row], unix_s: float) -> None:
        with self._connection as connection:
            connection.execute("BEGIN IMMEDIATE")
            (ours,) = connection.execute("SELECT id = ? FROM log", (self.log,)).fetchone()
            if not ours:
                raise TakenOverError(f"another process keeps what it counts in {self._path} since")
            if log != self.log:
                connection.execute("DELETE FROM parts")
            connection.executemany("INSERT OR REPLACE INTO parts VALUES (?, ?, ?, ?)", rows)
            connection.executemany("INSERT OR REPLACE INTO services VALUES (?, ?)", [(each, unix_s) for each in services])
            gone = (unix_s - KEEP_DELETED_S,)
            connection.execute("DELETE FROM parts WHERE service IN (SELECT service FROM services WHERE seen < ?)", gone)
            connection.execute("DELETE FROM services WHERE seen < ?", gone)
            connection.execute("UPDATE log SET id = ?, version = ?", (log, version))
        self.log, self.version = log, version

    def read(self) -> dict[str, dict[str, bytes]]:
        """All that is kept, by service; a part that is damaged is left out, with its service."""
        found: dict[str, dict[str, bytes]] = {}
        damaged = set()
        for service, part, value in self._connection.execute("SELECT service, part, value FROM parts"):
            try:
                found.setdefault(service, {})[part] = zlib.decompress(value)
            except zlib.error:
                damaged.add(service)
        return {service: parts for service, parts in found.items() if service not in damaged}

    def since(self, log: str, version: int) -> Changes:
        """What somebody lacks who has copied this history up to a version; everything, when it is another one."""
        after = version if log == self.log else 0
        rows = self._connection.execute("SELECT service, part, version, value FROM parts WHERE version > ?", (after,))
        services = self._connection.execute("SELECT service FROM services")
        return Changes(self.log, self.version, [service for (service,) in services], [Row(*row) for row in rows])

    def bytes(self) -> int:
        """Size of the file with its log."""
        size = 0
        for end in ("", "-wal"):
            with contextlib.suppress(OSError):
                size += self._path.with_name(self._path.name + end).stat().st_size
        return size

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def _connect(path: Path, most_bytes: int) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    try:
        _prepare(connection, most_bytes)
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, most_bytes: int) -> None:
    """Ours, whole, and of this version; a process that is killed loses nothing that was written, a machine at most the last."""
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if tables and application != APPLICATION:
        raise sqlite3.DatabaseError("it belongs to another program")
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(_MIGRATIONS):
        raise sqlite3.DatabaseError(f"it is of version {version}, this is version {len(_MIGRATIONS)}")
    (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise sqlite3.DatabaseError(said)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA journal_size_limit = {MOST_LOG_BYTES}")
    (page,) = connection.execute("PRAGMA page_size").fetchone()
    connection.execute(f"PRAGMA max_page_count = {most_bytes // page}")
    if version < len(_MIGRATIONS):
        _migrate(connection)


def _migrate(connection: sqlite3.Connection) -> None:
    """All at once, so that another process that opens the file now finds it as it was, or as it will be."""
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        for statement in itertools.chain(*_MIGRATIONS[version:]):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(_MIGRATIONS)}")
        connection.execute(f"PRAGMA application_id = {APPLICATION}")


def _is_wrong(error: sqlite3.OperationalError) -> bool:
    """Whether the file is to blame, not the volume: a table or a column that should be there is not."""
    return "no such" in str(error)
