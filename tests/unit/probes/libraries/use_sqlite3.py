"""sqlite3, Python's own."""

import os
import sqlite3
import tempfile

NAME = "sqlite feed.db"


class OwnCursor(sqlite3.Cursor):
    """As Django has one: it calls the type by its name."""

    def execute(self, *args):
        return sqlite3.Cursor.execute(self, *args)


class OwnConnection(sqlite3.Connection):
    """Chooses its cursors itself."""

    def cursor(self, factory=OwnCursor):
        return super().cursor(factory)


def scenario(seen, addresses):
    path = os.path.join(tempfile.mkdtemp(), "feed.db")
    connection = seen(None, lambda: sqlite3.connect(path))
    cursor = seen(None, connection.cursor)
    seen(None, lambda: [isinstance(connection, sqlite3.Connection), isinstance(cursor, sqlite3.Cursor)])
    seen(NAME, lambda: cursor.execute("create table posts (id integer primary key, text text)"))
    seen(NAME, lambda: cursor.executemany("insert into posts (text) values (?)", [("a",), ("b",)]))
    seen(NAME, connection.commit)
    seen(NAME, lambda: cursor.execute("select text from posts order by id"))
    seen(None, cursor.fetchall)
    seen(NAME, lambda: connection.execute("select count(*) from posts"))
    seen(NAME, lambda: connection.executemany("insert into posts (text) values (?)", [("c",)]))
    seen(NAME, lambda: cursor.executescript("insert into posts (text) values ('d');"))
    seen(NAME, lambda: cursor.execute("select wrong"), "error")
    seen(NAME, lambda: cursor.execute("insert into posts (id) values (1)"), "error")
    seen(None, lambda: sqlite3.connect())
    seen(None, lambda: sqlite3.connect(1.5))
    seen(None, lambda: connection.cursor(lambda connection: 1))
    with connection:
        seen(NAME, lambda: connection.execute("delete from posts"))
    seen.expect(NAME)  # the commit
    connection.row_factory = sqlite3.Row
    seen(NAME, lambda: tuple(connection.execute("select 1 as one").fetchone()))
    own = seen(None, lambda: sqlite3.connect(path, factory=OwnConnection))
    seen(NAME, lambda: own.cursor().execute("select 1").fetchone())
    seen(NAME, lambda: own.execute("select 2").fetchone())
    seen(NAME, lambda: connection.cursor(OwnCursor).execute("select 3").fetchone()[0])
    positional = seen(None, lambda: sqlite3.connect(path, 5.0, 0, None, True, OwnConnection))
    seen(NAME, lambda: positional.cursor().execute("select 1").fetchone())
    memory = sqlite3.connect("file::memory:?cache=shared", uri=True)
    seen("sqlite :memory:", lambda: memory.execute("select 1").fetchone())
    target = sqlite3.connect(":memory:")
    seen(None, lambda: connection.backup(target))
    connection.close()
    seen(NAME, lambda: cursor.execute("select 1"), "error")
    seen(None, lambda: connection.cursor())
