"""The news feed's data and its slow work, shared by the Flask and the FastAPI application.

SQLite stands in for the database of a real service: a file made once at start, one connection per thread of each worker.
"""

from __future__ import annotations

import math
import os
import random
import sqlite3
import threading
from pathlib import Path

USERS = 200
POSTS_PER_USER = 25
FEED_LENGTH = 10
HANG_LIMIT_S = 60.0

_SLOW_MEDIAN_S = 0.11
_SLOW_SPREAD = 0.25

_SCHEMA = """
CREATE TABLE post (id INTEGER PRIMARY KEY, author INTEGER NOT NULL, at INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX post_by_author ON post (author, at DESC);
"""
_FEED = "SELECT id, author, at, body FROM post WHERE author IN (?, ?, ?) ORDER BY at DESC LIMIT ?"

_per_thread = threading.local()


def database_path() -> Path:
    """Where the database lives: `NEWSFEED_DB`, by default in the only folder that a read-only container can write to."""
    return Path(os.environ.get("NEWSFEED_DB", "/tmp/newsfeed.db"))


def create_database(path: Path) -> None:
    """Make the database at `path` with the same posts every time. A half-written file is never seen under that name."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    connection = sqlite3.connect(draft)
    # Made anew at each start: to wait for the disk would only keep the pod from serving.
    connection.executescript("PRAGMA synchronous = OFF; PRAGMA journal_mode = OFF;")
    with connection:
        connection.executescript(_SCHEMA)
        connection.executemany(
            "INSERT INTO post (author, at, body) VALUES (?, ?, ?)",
            ((author, at, f"Post {at} of user {author}") for author in range(USERS) for at in range(POSTS_PER_USER)),
        )
    connection.close()
    draft.rename(path)


def posts_for(user: int) -> list[dict[str, int | str]]:
    """The newest posts of a user and of the two whom that user follows; newest first, at most `FEED_LENGTH`."""
    authors = (user % USERS, (user + 1) % USERS, (user + 7) % USERS)
    return [dict(row) for row in _connection().execute(_FEED, (*authors, FEED_LENGTH))]


def slow_seconds() -> float:
    """How long one slow request takes: log-normal around 110 ms, nearly always between 60 and 200 ms."""
    return min(0.4, random.lognormvariate(math.log(_SLOW_MEDIAN_S), _SLOW_SPREAD))


def hang_seconds(asked: float) -> float:
    """The asked time, held within 0 to `HANG_LIMIT_S`."""
    return max(0.0, min(asked, HANG_LIMIT_S))


def _connection() -> sqlite3.Connection:
    connection: sqlite3.Connection | None = getattr(_per_thread, "connection", None)
    if connection is None:
        # Opened on first use, hence after the fork: SQLite connections must not cross one.
        connection = sqlite3.connect(f"file:{database_path()}?mode=ro", uri=True)
        connection.row_factory = sqlite3.Row
        _per_thread.connection = connection
    return connection
