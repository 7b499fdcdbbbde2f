"""SQLAlchemy, with whatever driver: statements and commits of its engines, and waiting for a connection of their pools.

Where the driver's calls are counted by themselves, they are left to it, so that no call pays for two hooks. Else the methods of
an engine's own dialect are replaced, those that its documentation lists for authors of dialects.
"""

from __future__ import annotations

import functools
import os
from types import MethodType

from . import mysql, postgresql, sqlite
from .hook import Hook, waited

_hook = Hook("sqlalchemy")
_COUNTED = {
    "psycopg": postgresql.psycopg_hook,
    "psycopg2": postgresql.psycopg2_hook,
    "pymysql": mysql.hook,
    "pysqlite": sqlite.hook,
}
"""Drivers that have a hook."""
_METHODS = ("do_execute", "do_executemany", "do_execute_no_params", "do_commit")
_SYSTEMS = {"mariadb": "mysql"}


def sqlalchemy(module) -> None:
    """`sqlalchemy.engine.base`."""
    owner = module.Engine
    original = owner.__init__

    @functools.wraps(original)
    def init(self, *args, **kwargs):
        original(self, *args, **kwargs)
        try:
            _count(self.dialect, _name(self.url), _is_counted(self))
        except Exception as error:
            _hook.fail(error)

    owner.__init__ = init
    _hook.patch(owner, _engine_name, "raw_connection", settle=waited)


def _name(url):
    """None where the address tells no database: the driver will know."""
    system = url.get_backend_name()
    system = _SYSTEMS.get(system, system)
    database = url.database
    if system == "sqlite":
        return "sqlite " + (os.path.basename((database or "").partition("?")[0]) or ":memory:")
    if not database and system == "postgresql":
        database = url.username
    return system + " " + database if database else None


def _is_counted(engine) -> bool:
    """Whether its driver's hook counts: of connections that SQLAlchemy asks it for, not those of an application's `creator`."""
    driver = _COUNTED.get(engine.dialect.driver)
    creator = getattr(engine.pool, "_creator", None)
    return driver is not None and driver.is_in and getattr(creator, "__module__", None) == "sqlalchemy.engine.create"


def _count(dialect, name, counted) -> None:
    dialect._rollcall_name = name
    if counted:  # what psycopg2's dialect makes of many rows is several statements
        methods = ("do_executemany",) if dialect.driver == "psycopg2" else ()
    else:
        methods = _METHODS
    for method in methods:
        wrapped = _hook.around(getattr(type(dialect), method), _dialect_name)
        setattr(dialect, method, MethodType(wrapped, dialect))


def _dialect_name(dialect, *_):
    return dialect._rollcall_name


def _engine_name(engine, *_):
    return engine.dialect._rollcall_name


_dialect_name.path, _engine_name.path = ("_rollcall_name",), ("dialect", "_rollcall_name")
