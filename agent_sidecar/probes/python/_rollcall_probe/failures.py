"""What a request failed with: its type for the counts, and now and then a sample with its place in the application's own code.

Everything here is for requests that fail; a request that does not never comes here.
"""

from __future__ import annotations

import os
import sys
from time import monotonic_ns

from .redact import redact

_MOST_PER_SECOND = 5
_MAX_MESSAGE = 200
_MAX_NAME = 100
_MAX_PLACE = 160
_PAUSE_NS = 1_000_000_000
_HERE = os.path.dirname(os.path.abspath(__file__))
_STANDARD = os.path.dirname(os.path.abspath(os.__file__))
_LIBRARIES = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)
_last = {}
_window = [0, 0]
_silent = []


def counter(ledger, rare):
    """The function that a recorder calls when a request has failed, or its client has left: counts the type of error.

    It gives the index in the table of errors, 0 when that is not known (yet).
    """
    known = {}

    def count(name) -> None:
        index = ledger.error(name)
        if index:
            known[name] = index

    def failed(request, status, crashed) -> int:
        name = request.error
        if name is None:
            if crashed:
                name = "exception other"
            elif status == 0:
                name = "abort client"
            else:
                name = ("timeout http %d" if status == 504 else "http %d") % status
        rare.put(count, name)
        return known.get(name, 0)

    return failed


def note(request, error) -> None:
    """An exception was the end of `request`, whoever answers it: give the request its name, and keep a sample."""
    from . import recorder

    try:
        if _silent or request is None or error is None or request.error is not None or not request.in_flight:
            return
        name = name_of(error)
        request.error = name
        process = recorder.process()
        if process is not None and _due(name):
            process.rare.put(process.ledger.sample, _sample(process.ledger, request, name, error))
    except Exception as problem:
        _silent.append(True)
        recorder.say("errors are counted without their types from now on", problem)


def abandoned(request) -> None:
    """The client of `request` left before its answer was complete."""
    if request.error is None:
        request.error = "abort client"


def name_of(error) -> str:
    """Kind and type: `exception RuntimeError`, `timeout asyncio.TimeoutError`, `exception psycopg.OperationalError`."""
    kind = type(error)
    name = kind.__name__ if kind.__module__ == "builtins" else kind.__module__ + "." + kind.__name__
    slow = isinstance(error, TimeoutError) or "Timeout" in kind.__name__ or "TimeLimit" in kind.__name__
    return ("timeout " if slow else "exception ") + name[:_MAX_NAME]


def _due(name) -> bool:
    """One sample of each type a second, and not more than a few of all types."""
    now = monotonic_ns()
    if now - _window[0] > _PAUSE_NS:
        _window[:] = [now, 0]
    if _window[1] >= _MOST_PER_SECOND or now - _last.get(name, -_PAUSE_NS) < _PAUSE_NS:
        return False
    if len(_last) > 256:
        _last.clear()
    _window[1] += 1
    _last[name] = now
    return True


def _sample(ledger, request, name, error) -> dict:
    function, file, line = place_of(error)
    try:
        message = str(error)
    except Exception:
        message = ""
    return {
        "error": name,
        "message": redact(message[: 4 * _MAX_MESSAGE])[:_MAX_MESSAGE],
        "function": function,
        "file": file,
        "line": line,
        "endpoint": ledger.endpoint_name(request.endpoint),
        "at_us": monotonic_ns() // 1000,
    }


def place_of(error):
    """(function, file, line) of the innermost frame of the application's own code; without such, of the innermost frame."""
    found = "", "", 0
    trace = error.__traceback__
    last = None
    while trace is not None:
        code = trace.tb_frame.f_code
        last = code, trace.tb_lineno
        if is_own(code.co_filename):
            found = function_of(code), shown_path(code.co_filename), trace.tb_lineno
        trace = trace.tb_next
    if not found[1] and last is not None:
        return function_of(last[0]), shown_path(last[0].co_filename), last[1]
    return found


def function_of(code) -> str:
    """The name of a function with its class, where the interpreter keeps that (3.11 and later), without functions around it."""
    return getattr(code, "co_qualname", code.co_name).rpartition("<locals>.")[2][:_MAX_NAME]


def is_own(filename) -> bool:
    """Whether a file is the application's: not ours, not Python's, not an installed library's."""
    return not (
        filename.startswith(("<", _HERE))
        or any(part in filename for part in _LIBRARIES)
        or (filename.startswith(_STANDARD + os.sep))
    )


def shown_path(filename) -> str:
    """A file as a person wants to read it: without the folder that it was imported from, the longest of sys.path."""
    best = ""
    for entry in sys.path:
        folder = (entry or os.curdir).rstrip(os.sep) + os.sep
        if len(folder) > len(best) and filename.startswith(folder):
            best = folder
    return filename[len(best) :][-_MAX_PLACE:]
