"""What a request in flight is at, told from the stack of the thread or the task that serves it.

Only for requests that take long: their stack is looked at from another thread, twice a second. A request whose code holds the
interpreter's lock cannot be looked at; it keeps the step that was seen last.
"""

from __future__ import annotations

import os
import sys

from .failures import function_of, is_own, shown_path

_HERE = os.path.dirname(os.path.abspath(__file__))
_MOST_FRAMES = 200

KINDS = {
    "aiohttp": "http",
    "botocore": "http",
    "grpc": "http",
    "http": "http",
    "httpcore": "http",
    "httpx": "http",
    "requests": "http",
    "urllib": "http",
    "urllib3": "http",
    "aiomysql": "db",
    "aiosqlite": "db",
    "asyncpg": "db",
    "django.db": "db",
    "MySQLdb": "db",
    "mysql": "db",
    "oracledb": "db",
    "psycopg": "db",
    "psycopg2": "db",
    "pymongo": "db",
    "pymysql": "db",
    "sqlalchemy": "db",
    "sqlite3": "db",
    "memcache": "cache",
    "pymemcache": "cache",
    "redis": "cache",
    "valkey": "cache",
    "aio_pika": "queue",
    "celery": "queue",
    "kafka": "queue",
    "kombu": "queue",
    "pika": "queue",
    "asyncio.locks": "lock",
    "concurrent": "lock",
    "multiprocessing": "lock",
    "queue": "lock",
    "threading": "lock",
    "anyio": "wait",
    "asyncio": "wait",
    "selectors": "wait",
    "uvloop": "wait",
}
"""Module, or top-level package, that a stack ends in: what kind of step that is. The first that fits, from the inside out."""


def step_of(request, frames) -> str:
    """The step of a request, "" when it cannot be told; `frames` is `sys._current_frames()`."""
    if request.task is not None:
        stack = _stack_of_task(request.task)
    elif "gevent" in sys.modules or "eventlet" in sys.modules:
        return ""  # many requests share a thread
    else:
        stack = _stack_of_thread(frames.get(request.thread))
    return describe(stack) if stack else ""


def describe(stack) -> str:
    """A stack, innermost frame first, in words: kind, library's function, and the application's own place that called it."""
    kind = called = ""
    for code, module, line in stack:
        if is_own(code.co_filename):
            place = "%s (%s:%d)" % (function_of(code), shown_path(code.co_filename), line)
            return "%s %s from %s" % (kind, called, place) if kind else "code " + place
        if not kind:
            kind = _kind_of(module)
            if kind:
                called = module.partition(".")[0] + "." + function_of(code)
    if kind:
        return kind + " " + called
    code, module, _ = stack[0]
    return "code %s.%s" % (module, function_of(code))


def _kind_of(module) -> str:
    parts = module.split(".")
    for count in (2, 1):
        kind = KINDS.get(".".join(parts[:count]))
        if kind:
            return kind
    return ""


def _entry(frame, line):
    return frame.f_code, frame.f_globals.get("__name__") or "", line


def _stack_of_thread(frame):
    """From the innermost frame out to the probe's own, which called the application."""
    stack = []
    while frame is not None and len(stack) < _MOST_FRAMES:
        if frame.f_code.co_filename.startswith(_HERE):
            return stack
        stack.append(_entry(frame, frame.f_lineno))
        frame = frame.f_back
    return []  # the thread is not, or not any more, in this request


def _stack_of_task(task):
    """From the innermost coroutine that a task waits for out to its own."""
    stack = []
    awaited = task.get_coro()
    while awaited is not None and len(stack) < _MOST_FRAMES:
        frame = _attribute(awaited, "cr_frame", "gi_frame", "ag_frame")
        if frame is not None and not frame.f_code.co_filename.startswith(_HERE):
            stack.append(_entry(frame, frame.f_lineno))
        awaited = _attribute(awaited, "cr_await", "gi_yieldfrom", "ag_await")
    stack.reverse()
    return stack


def _attribute(value, *names):
    for name in names:
        found = getattr(value, name, None)
        if found is not None:
            return found
    return None
