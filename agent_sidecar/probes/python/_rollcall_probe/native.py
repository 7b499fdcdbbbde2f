"""Loads the native recorder (probes/native/recorder.c), where this interpreter can: CPython with a GIL, the machine's kind and
C library that it was built for. Nothing is said where it cannot: `pure` does the same, only slower.
"""

from __future__ import annotations

import os
import sys

from .pure_calls import here
from .wire import grid, layout

NAME = "_rollcall_native"
_loaded = []


def path() -> str:
    """Where the library for this kind of machine would be."""
    here = os.path.dirname(os.path.abspath(__file__))
    return os.path.join(here, "native", "%s-%s" % (os.uname().machine, _c_library()), NAME + ".abi3.so")


def _c_library() -> str:
    """`gnu` or `musl`: which one this process runs on."""
    from importlib.machinery import EXTENSION_SUFFIXES

    return "musl" if any("musl" in suffix for suffix in EXTENSION_SUFFIXES) or _runs_on_musl() else "gnu"


def _runs_on_musl() -> bool:
    """Whether its loader is mapped: interpreters for musl have called their modules gnu's, and both may be installed."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
            return "/ld-musl-" in maps.read()
    except OSError:
        return False


def module():
    """The extension module, None where there is none."""
    if not _loaded:
        _loaded.append(_load())
    return _loaded[0]


def _load():
    if os.environ.get("ROLLCALL_NATIVE", "").lower() in ("off", "0", "false") or sys.implementation.name != "cpython":
        return None
    try:
        from importlib.machinery import ExtensionFileLoader
        from importlib.util import module_from_spec, spec_from_file_location

        loader = ExtensionFileLoader(NAME, path())
        spec = spec_from_file_location(NAME, path(), loader=loader)
        found = module_from_spec(spec)
        loader.exec_module(found)
        return found
    except Exception:
        return None


def recorder(file, names, failed, disable, threads_shared):
    """A native recorder of the worker file `file`, or None."""
    found = module()
    if found is None:
        return None
    fd = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        requests = names.methods, names.unknown, names.intern
        calls = names.calls, names.intern_call, here.get, here.set
        return found.recorder(fd, _LAYOUT, *requests, *calls, failed, disable, threads_shared)
    finally:
        os.close(fd)


def watch_crashes(recorder) -> None:
    """Have a fatal signal leave its last words in the recorder's file; called again, also after one that was survived."""
    watch = getattr(recorder, "watch_crashes", None)
    if watch is not None:
        watch()


_LAYOUT = {
    "size": layout.FILE_BYTES,
    "started": layout.OFF_STARTED,
    "untracked": layout.OFF_UNTRACKED,
    "settling": layout.OFF_SETTLING,
    "histogram": layout.OFF_HISTOGRAM,
    "endpoints": layout.OFF_ENDPOINTS,
    "endpoint_size": layout.ENDPOINT.size,
    "slots": layout.OFF_SLOTS,
    "slot_size": layout.SLOT.size,
    "slots_used": layout.OFF_SLOTS_USED,
    "journal": layout.OFF_JOURNAL,
    "journal_written": layout.OFF_JOURNAL_WRITTEN,
    "crash": layout.OFF_CRASH,
    "dependencies": layout.OFF_DEPENDENCIES,
    "dependency_size": layout.DEPENDENCY.size,
    "dependency_count": layout.DEPENDENCIES,
    "calls": layout.OFF_CALLS,
    "calls_size": layout.CALLS,
    "calls_written": layout.OFF_CALLS_WRITTEN,
    "points": layout.OFF_POINTS,
    "point_size": layout.POINT.size,
    "points_size": layout.POINTS,
    "points_written": layout.OFF_POINTS_WRITTEN,
    "step_bits": layout.STEP_BITS,
    "slot_count": layout.SLOTS,
    "buckets": grid.BUCKETS,
    "journal_size": layout.JOURNAL,
    "endpoint_count": layout.ENDPOINTS,
    "per_octave": float(grid.PER_OCTAVE),
    "offset": grid.NS_OFFSET,
}
