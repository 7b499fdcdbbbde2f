"""What a request in flight is at: the dependency that it calls, else what its stack ends in; and from where that is called.

Only for requests that take long: their stack is looked at from another thread, twice a second. A request whose code holds the
interpreter's lock cannot be looked at; it keeps the step that was seen last.
"""

from __future__ import annotations

import os
import sys

from .failures import function_of, is_own, shown_path
from .names import step_of_call

_HERE = os.path.dirname(os.path.abspath(__file__))
_HOOKS = os.path.join(_HERE, "dependencies")
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
    """(step of a request, the call that it is or None); "" when it cannot be told. `frames` is `sys._current_frames()`."""
    call = request.call
    if call is not None:
        return step_of_call(call.name) + _caller(request, call, frames), call
    if request.task is not None:
        stack = _stack_of_task(request.task)
    elif _threads_are_shared():
        return "", None
    else:
        stack = _stack_of_thread(frames.get(request.thread))
    return describe(stack) if stack else "", None


def _threads_are_shared() -> bool:
    """Whether many requests share a thread, whose stack is then that of whichever runs."""
    return "gevent" in sys.modules or "eventlet" in sys.modules


def _caller(request, call, frames) -> str:
    """` from feed (newsfeed.py:12)`, the application's own place that makes a call; "" when it cannot be told."""
    if request.task is not None and call.thread == request.thread:
        stack = _stack_of_task(request.task)
    elif _threads_are_shared():
        return ""
    else:
        stack = _stack_of_thread(frames.get(call.thread), alone=True)
    for code, _, line in stack:
        if is_own(code.co_filename):
            return " from " + _place(code, line)
    return ""


def _place(code, line) -> str:
    return "%s (%s:%d)" % (function_of(code), shown_path(code.co_filename), line)


def describe(stack) -> str:
    """A stack, innermost frame first, in words: kind, library's function, and the application's own place that called it."""
    kind = called = ""
    for code, module, line in stack:
        if is_own(code.co_filename):
            place = _place(code, line)
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


def _stack_of_thread(frame, alone=False):
    """From the innermost frame out to the probe's own, which called the application; none of another request's.

    `alone`: the thread works for this request, and ends somewhere else (a pool of threads beside an event loop).
    """
    stack = []
    while frame is not None and len(stack) < _MOST_FRAMES:
        file = frame.f_code.co_filename
        if not file.startswith(_HERE):
            stack.append(_entry(frame, frame.f_lineno))
        elif not file.startswith(_HOOKS):
            return stack
        frame = frame.f_back
    return stack if alone else []


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
