"""MySQL and MariaDB by PyMySQL: statements and commits."""

from __future__ import annotations

from .hook import Hook, waited

_hook = Hook("PyMySQL")


def _name(connection, *_):
    """By the schema that it was made for; without one, by the host."""
    database = connection.db
    if isinstance(database, bytes):
        database = database.decode("utf-8", "replace")
    return "mysql " + (database or connection.host or "localhost")


def pymysql(module) -> None:
    """`pymysql.connections`."""
    _hook.patch(module.Connection, _name, "commit")
    _hook.patch(module.Connection, _name, "connect", settle=waited)


def pymysql_cursors(module) -> None:
    """`pymysql.cursors`: what a closed cursor is asked for never reaches a server."""

    def name_of(cursor, *_):
        return None if cursor.connection is None else _name(cursor.connection)

    _hook.patch(module.Cursor, name_of, "execute", "executemany")
