"""PostgreSQL by psycopg 3, its pool, and psycopg2: statements and commits.

What psycopg sends to begin and end a `transaction()` block, `copy()` and `stream()` are not seen.
"""

from __future__ import annotations

import functools
import os

from .hook import Hook, waited
from .subclass import Subclasses

_psycopg = Hook("psycopg")
_psycopg2 = Hook("psycopg2")
_pool = Hook("psycopg_pool")


def _name(database):
    return "postgresql " + database if database else None


def _remembered_name(connection):
    """Of a connection of either library; None where it tells no database (it is closed)."""
    try:
        return connection._rollcall_name
    except AttributeError:
        try:
            connection._rollcall_name = name = _name(connection.info.dbname)
        except Exception:
            return None
        return name


def _connection_name(connection, *_):
    return _remembered_name(connection)


def _cursor_name(cursor, *_):
    return _remembered_name(cursor.connection)


def _asked_name(parse, conninfo, options):
    """The database that a connection is asked for: PostgreSQL's own default is the name of the user."""
    parts = parse(conninfo or "")
    found = options.get("dbname") or options.get("database") or parts.get("dbname") or os.environ.get("PGDATABASE")
    return _name(found or options.get("user") or parts.get("user") or os.environ.get("PGUSER") or "")


def psycopg(module) -> None:
    """psycopg 3, called and awaited."""
    parse = module.conninfo.conninfo_to_dict

    def asked(_, args, kwargs):
        return _asked_name(parse, args[0] if args else kwargs.get("conninfo"), kwargs)

    for owner, patch, around in (
        (module.Connection, _psycopg.patch, _psycopg.around),
        (module.AsyncConnection, _psycopg.patch_async, _psycopg.around_async),
    ):
        patch(owner, _connection_name, "commit")
        owner.connect = classmethod(around(vars(owner)["connect"].__func__, asked, waited))
    module.connect = module.Connection.connect
    for owner in (module.Cursor, module.ServerCursor):
        _psycopg.patch(owner, _cursor_name, "execute", "executemany")
    for owner in (module.AsyncCursor, module.AsyncServerCursor):
        _psycopg.patch_async(owner, _cursor_name, "execute", "executemany")


def psycopg_pool(module) -> None:
    """A pool that has no connection in time; waiting for one is waiting for the database."""
    from psycopg.conninfo import conninfo_to_dict

    def asked(self, *_):
        conninfo, options = self.conninfo, self.kwargs
        if callable(conninfo) or callable(options):
            return None
        return _asked_name(conninfo_to_dict, conninfo, options or {})

    _pool.patch(module.ConnectionPool, asked, "getconn", settle=waited)
    _pool.patch_async(module.AsyncConnectionPool, asked, "getconn", settle=waited)


def psycopg2(module) -> None:
    """psycopg2, whose types are C's: `connect` is told to make connections, and these cursors, of a subclass."""
    extensions = module.extensions
    cursors = Subclasses(extensions.cursor, _cursor_members)
    connections = Subclasses(extensions.connection, lambda base: _connection_members(base, extensions.connection, cursors))
    original = module.connect

    def asked(_, args, kwargs):
        return _asked_name(extensions.parse_dsn, args[0] if args else kwargs.get("dsn"), kwargs)

    def counted(_, *args, **kwargs):
        return original(*args, **kwargs)

    counted = _psycopg2.around(counted, asked, waited)

    @functools.wraps(original)
    def connect(dsn=None, connection_factory=None, cursor_factory=None, **kwargs):
        if _psycopg2.on:
            connection_factory = connections.of(connection_factory or extensions.connection)
        return counted(None, dsn, connection_factory, cursor_factory, **kwargs)

    module.connect = connect


def _connection_members(base, root, cursors):
    original = base.cursor

    @functools.wraps(original)
    def cursor(self, *args, **kwargs):
        try:
            if len(args) > 1 and args[1] is not None:
                args = (args[0], cursors.of(args[1]), *args[2:])
            else:
                chosen = kwargs.get("cursor_factory") or (base is root and (self.cursor_factory or cursors.root))
                if chosen and len(args) < 2:
                    kwargs = dict(kwargs, cursor_factory=cursors.of(chosen))
        except Exception as error:
            _psycopg2.fail(error)
        return original(self, *args, **kwargs)

    return {"cursor": cursor, "commit": _psycopg2.around(base.commit, _blocking_name)}


def _cursor_members(base):
    methods = ("execute", "executemany", "callproc", "copy_expert", "copy_from", "copy_to")
    return {method: _psycopg2.around(getattr(base, method), _blocking_cursor_name) for method in methods}


def _blocking_name(connection, *_):
    """Asynchronous connections return before anything has been done."""
    return None if connection.async_ else _remembered_name(connection)


def _blocking_cursor_name(cursor, *_):
    return _blocking_name(cursor.connection)
