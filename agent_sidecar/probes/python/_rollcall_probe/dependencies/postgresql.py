"""PostgreSQL by psycopg 3, its pool, and psycopg2: statements and commits.

What psycopg sends to begin and end a `transaction()` block, `copy()` and `stream()` are not seen.
"""

from __future__ import annotations

import functools
import os

from .hook import Hook, waited
from .subclass import Subclasses

psycopg_hook = Hook("psycopg")
psycopg2_hook = Hook("psycopg2")
_pool = Hook("psycopg_pool")


def _name(database):
    return "postgresql " + database if database else None


def _connection_name(connection, *_):
    """Of a connection of either library; None where it tells no database (it is closed)."""
    try:
        return connection._rollcall_name
    except AttributeError:
        try:
            connection._rollcall_name = name = _name(connection.info.dbname)
        except Exception:
            return None
        return name


def _cursor_name(cursor, *_):
    return _connection_name(cursor.connection)


_connection_name.path = ("_rollcall_name",)
_cursor_name.path = ("connection", "_rollcall_name")


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
        (module.Connection, psycopg_hook.patch, psycopg_hook.around),
        (module.AsyncConnection, psycopg_hook.patch_async, psycopg_hook.around_async),
    ):
        patch(owner, _connection_name, "commit")
        owner.connect = classmethod(around(vars(owner)["connect"].__func__, asked, waited))
    module.connect = module.Connection.connect
    for owner in (module.Cursor, module.ServerCursor):
        psycopg_hook.patch(owner, _cursor_name, "execute", "executemany")
    for owner in (module.AsyncCursor, module.AsyncServerCursor):
        psycopg_hook.patch_async(owner, _cursor_name, "execute", "executemany")
    psycopg_hook.is_in = True


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

    counted = psycopg2_hook.around(counted, asked, waited)

    @functools.wraps(original)
    def connect(dsn=None, connection_factory=None, cursor_factory=None, **kwargs):
        if psycopg2_hook.on:
            connection_factory = connections.of(connection_factory or extensions.connection)
        return counted(None, dsn, connection_factory, cursor_factory, **kwargs)

    module.connect = connect
    psycopg2_hook.is_in = True


def _connection_members(base, root, cursors):
    original, own = base.cursor, cursors.of(cursors.root)

    @functools.wraps(original)
    def cursor(self, *args, **kwargs):
        if base is root and not args and not kwargs and self.cursor_factory is None:
            return original(self, None, own)
        try:
            if len(args) > 1 and args[1] is not None:
                args = (args[0], cursors.of(args[1]), *args[2:])
            else:
                chosen = kwargs.get("cursor_factory") or (base is root and (self.cursor_factory or cursors.root))
                if chosen and len(args) < 2:
                    kwargs = dict(kwargs, cursor_factory=cursors.of(chosen))
        except Exception as error:
            psycopg2_hook.fail(error)
        return original(self, *args, **kwargs)

    return {"cursor": cursor, "commit": psycopg2_hook.around(base.commit, _blocking_name)}


def _cursor_members(base):
    methods = ("execute", "executemany", "callproc", "copy_expert", "copy_from", "copy_to")
    return {method: psycopg2_hook.around(getattr(base, method), _blocking_cursor_name) for method in methods}


def _blocking_name(connection, *_):
    """None for asynchronous connections, which return before anything has been done."""
    if connection.async_:
        connection._rollcall_name = None
    return _connection_name(connection)


def _blocking_cursor_name(cursor, *_):
    return _blocking_name(cursor.connection)


_blocking_name.path, _blocking_cursor_name.path = _connection_name.path, _cursor_name.path
