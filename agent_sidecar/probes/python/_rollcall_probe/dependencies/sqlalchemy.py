"""SQLAlchemy, with whatever driver: statements and commits of its engines, and waiting for a connection of their pools.

The methods of an engine's own dialect are replaced, those that its documentation lists for authors of dialects; a driver whose
calls would be counted by themselves is then within a call.
"""

from __future__ import annotations

import functools
import os
from types import MethodType

from .hook import Hook, waited

_hook = Hook("sqlalchemy")
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
            _count(self.dialect, _name(self.url))
        except Exception as error:
            _hook.fail(error)

    owner.__init__ = init
    _hook.patch(owner, lambda engine, *_: engine.dialect._rollcall_name, "raw_connection", settle=waited)


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


def _count(dialect, name) -> None:
    dialect._rollcall_name = name
    for method in _METHODS:
        wrapped = _hook.around(getattr(type(dialect), method), _dialect_name)
        setattr(dialect, method, MethodType(wrapped, dialect))


def _dialect_name(dialect, *_):
    return dialect._rollcall_name
