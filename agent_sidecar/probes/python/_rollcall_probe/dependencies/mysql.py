"""MySQL and MariaDB by PyMySQL: statements and commits."""

from __future__ import annotations

from .hook import Hook, remembered, waited

hook = Hook("PyMySQL")


def _read_name(connection):
    """By the schema that it was made for; without one, by the host."""
    database = connection.db
    if isinstance(database, bytes):
        database = database.decode("utf-8", "replace")
    return "mysql " + (database or connection.host or "localhost")


_name = remembered(_read_name)


def pymysql(module) -> None:
    """`pymysql.connections`."""
    hook.patch(module.Connection, _name, "commit")
    hook.patch(module.Connection, _name, "connect", settle=waited)


def pymysql_cursors(module) -> None:
    """`pymysql.cursors`: what a closed cursor is asked for never reaches a server."""

    def name_of(cursor, *_):
        return None if cursor.connection is None else _name(cursor.connection)

    name_of.path = ("connection", *_name.path)

    hook.patch(module.Cursor, name_of, "execute", "executemany")
    hook.is_in = True
