"""Puts the probe in when a web server, a framework or a client library is imported, and stays out of every other import.

A finder at the head of `sys.meta_path` knows a few module names. For those it lets the other finders find, and replaces the
loader's `exec_module` once, on that loader only, so that the module itself, its spec and its loader are the real ones.
"""

from __future__ import annotations

import sys

from . import early  # noqa: F401 (takes what it takes now)

PATCHES = {
    "gunicorn.workers.base": ("servers", "gunicorn"),
    "gunicorn.workers.gasgi": ("servers", "gunicorn_asgi"),
    "uvicorn.config": ("servers", "uvicorn"),
    "werkzeug.serving": ("servers", "werkzeug"),
    "werkzeug.wsgi": ("frameworks", "werkzeug_bodies"),
    "waitress.server": ("servers", "waitress"),
    "wsgiref.handlers": ("servers", "wsgiref"),
    "aiohttp.web_protocol": ("aiohttp_server", "protocol"),
    "aiohttp.web_urldispatcher": ("aiohttp_server", "routes"),
    "celery.signals": ("celery_tasks", "signals"),
    "flask.app": ("frameworks", "flask"),
    "flask.ctx": ("frameworks", "flask_routes"),
    "django.core.handlers.exception": ("frameworks", "django_errors"),
    "django.core.handlers.base": ("frameworks", "django_routes"),
    "django.core.handlers.wsgi": ("frameworks", "django_wsgi"),
    "django.core.handlers.asgi": ("frameworks", "django_asgi"),
    "starlette.applications": ("frameworks", "starlette"),
    "starlette.routing": ("frameworks", "starlette_routes"),
    "fastapi.routing": ("frameworks", "fastapi_routes"),
    "sqlite3.dbapi2": ("dependencies.sqlite", "sqlite3"),
    "urllib3.connectionpool": ("dependencies.http", "urllib3"),
    "httpx._transports.default": ("dependencies.http", "httpx"),
    "aiohttp.client": ("dependencies.http", "aiohttp"),
    "grpc._channel": ("dependencies.grpc", "grpc"),
    "botocore.client": ("dependencies.aws", "botocore"),
    "pymongo.monitoring": ("dependencies.mongodb", "pymongo"),
    "pymongo.topology": ("dependencies.mongodb", "pymongo_topology"),
    "pymongo.synchronous.topology": ("dependencies.mongodb", "pymongo_topology"),
    "pymongo.asynchronous.topology": ("dependencies.mongodb", "pymongo_topology_async"),
    "redis.client": ("dependencies.redis", "redis"),
    "redis.asyncio.client": ("dependencies.redis", "redis_async"),
    "pymysql.connections": ("dependencies.mysql", "pymysql"),
    "pymysql.cursors": ("dependencies.mysql", "pymysql_cursors"),
    "sqlalchemy.engine.base": ("dependencies.sqlalchemy", "sqlalchemy"),
    "psycopg": ("dependencies.postgresql", "psycopg"),
    "psycopg_pool": ("dependencies.postgresql", "psycopg_pool"),
    "psycopg2": ("dependencies.postgresql", "psycopg2"),
}
"""Module that is imported: module and function of ours that patch it."""


class Finder:
    """Finds nothing itself; marks the modules of PATCHES on their way in."""

    def __init__(self) -> None:
        self._asking = set()  # names that are being asked of the other finders, which may ask us back

    def find_spec(self, name, path=None, target=None):
        patch = PATCHES.get(name)
        if patch is None and "uwsgi" in sys.modules and _is_uwsgis(name):
            patch = ("servers", "uwsgi")
        if patch is None or name in self._asking:
            return None
        self._asking.add(name)
        try:
            for finder in list(sys.meta_path):
                find = getattr(finder, "find_spec", None)
                if finder is self or find is None:
                    continue
                spec = find(name, path, target)
                if spec is not None:
                    _mark(spec, patch)
                    return spec
            return None
        finally:
            self._asking.discard(name)


def _is_uwsgis(name) -> bool:
    """Whether uWSGI, which runs this process, takes its application from the module."""
    try:
        from . import servers

        return servers.uwsgi_target()[0] == name
    except Exception as error:
        _complain(("servers", "uwsgi"), error)
        return False


def _mark(spec, patch) -> None:
    """Have `patch` applied after the module of `spec` has been executed."""
    loader = spec.loader
    try:
        execute = loader.exec_module

        def exec_module(module):
            if module.__name__ == spec.name:
                del loader.exec_module
                execute(module)
                apply(patch, module)
            else:
                execute(module)

        loader.exec_module = exec_module
    except Exception as error:
        _complain(patch, error)


def apply(patch, module) -> None:
    """Apply one of PATCHES to `module`; a failure leaves the module as it is and costs one line on stderr."""
    try:
        from importlib import import_module

        place, function = patch
        getattr(import_module("." + place, __package__), function)(module)
    except Exception as error:
        _complain(patch, error)


def _complain(patch, error) -> None:
    try:
        sys.stderr.write("rollcall: no probe in %s: %r\n" % (patch[1], error))
    except Exception:
        return


def arm() -> None:
    """Start to look at imports; modules that are there already are patched now."""
    for name, patch in PATCHES.items():
        module = sys.modules.get(name)
        if module is not None:
            apply(patch, module)
    sys.meta_path.insert(0, Finder())
