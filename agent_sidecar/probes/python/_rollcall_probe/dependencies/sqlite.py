"""SQLite by Python's own `sqlite3`: statements and commits of connections that `sqlite3.connect` made.

Its types are C's and cannot be changed, so `connect` is told to make connections, and these cursors, of a subclass. Rows that
are fetched after a statement has begun to deliver are not part of its call.
"""

from __future__ import annotations

import functools
import os

from .hook import Hook
from .subclass import Subclasses

hook = Hook("sqlite3")
_CURSOR_METHODS = ("execute", "executemany", "executescript")
_FACTORY = 5
"""Place of the factory among the arguments of `connect`."""


def sqlite3(module) -> None:
    """`sqlite3.dbapi2`, from which `sqlite3` takes its `connect`."""
    original = module.connect
    cursors = Subclasses(module.Cursor, _cursor_members)
    connections = Subclasses(module.Connection, lambda base: _connection_members(base, module.Connection, cursors))

    def prepared(args, kwargs):
        """(name, arguments): whatever is wrong with them, the library says."""
        if not hook.on:
            return None, args, kwargs
        try:
            name = _name(args[0] if args else kwargs["database"])
            if len(args) > _FACTORY:
                return name, (*args[:_FACTORY], connections.of(args[_FACTORY]), *args[_FACTORY + 1 :]), kwargs
            return name, args, dict(kwargs, factory=connections.of(kwargs.get("factory", module.Connection)))
        except Exception:
            return None, args, kwargs

    @functools.wraps(original)
    def connect(*args, **kwargs):
        name, args, kwargs = prepared(args, kwargs)
        connection = original(*args, **kwargs)
        try:
            if name is not None:
                connection._rollcall_name = name
        except Exception as error:
            hook.fail(error)
        return connection

    module.connect = connect
    hook.is_in = True


def _name(database) -> str:
    path = os.fsdecode(database)
    if path.startswith("file:"):
        path = path[5:].partition("?")[0]
    return "sqlite " + (os.path.basename(path) or ":memory:")


def _connection_members(base, root, cursors):
    original, own = base.cursor, cursors.of(cursors.root)

    @functools.wraps(original)
    def cursor(self, *args, **kwargs):
        if base is root and not args and not kwargs:
            return original(self, own)
        try:
            if args or "factory" in kwargs:
                args, kwargs = (cursors.of(args[0] if args else kwargs["factory"]), *args[1:]), {}
            elif base is root:
                args = (cursors.of(cursors.root),)
        except Exception as error:
            hook.fail(error)
        return original(self, *args, **kwargs)

    members = {method: hook.around(getattr(base, method), _connection_name) for method in (*_CURSOR_METHODS, "commit")}
    members["__exit__"] = hook.around(base.__exit__, _name_of_leaving)
    members["cursor"] = cursor
    return members


def _cursor_members(base):
    return {method: hook.around(getattr(base, method), _cursor_name) for method in _CURSOR_METHODS}


def _connection_name(connection, *_):
    """Kept by `connect`."""
    return getattr(connection, "_rollcall_name", None)


_connection_name.path = ("_rollcall_name",)


def _name_of_leaving(connection, *_):
    """A `with` block that has changed something ends with a commit or a rollback."""
    return connection._rollcall_name if connection.in_transaction else None


def _cursor_name(cursor, *_):
    return getattr(cursor.connection, "_rollcall_name", None)


_cursor_name.path = ("connection", "_rollcall_name")
