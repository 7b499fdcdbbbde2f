"""Loads the native recorder (probes/native/recorder.c), where this interpreter can: CPython with a GIL, the machine's kind and
C library that it was built for. Nothing is said where it cannot: `pure` does the same, only slower.
"""

from __future__ import annotations

import os
import sys

from .wire import grid, layout

NAME = "_rollcall_native"
_loaded = []


def path() -> str:
    """Where the library for this kind of machine would be."""
    here = os.path.dirname(os.path.abspath(__file__))
    return os.path.join(here, "native", "%s-%s" % (os.uname().machine, _c_library()), NAME + ".abi3.so")


def _c_library() -> str:
    """`gnu` or `musl`: which one this process runs on is in the name that its interpreter gives extension modules."""
    from importlib.machinery import EXTENSION_SUFFIXES

    return "musl" if any("musl" in suffix for suffix in EXTENSION_SUFFIXES) or _musl_loader() else "gnu"


def _musl_loader() -> bool:
    return os.path.exists("/lib/ld-musl-%s.so.1" % os.uname().machine)


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


def recorder(file, names, failed, disable):
    """A native recorder of the worker file `file`, or None."""
    found = module()
    if found is None:
        return None
    fd = os.open(file, os.O_RDWR | os.O_CLOEXEC)
    try:
        made = found.recorder(fd, _LAYOUT, names.methods, names.unknown, names.intern, failed, disable)
        made.watch_crashes()
        return made
    finally:
        os.close(fd)


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
    "slot_count": layout.SLOTS,
    "buckets": grid.BUCKETS,
    "journal_size": layout.JOURNAL,
    "endpoint_count": layout.ENDPOINTS,
    "per_octave": float(grid.PER_OCTAVE),
    "offset": grid.NS_OFFSET,
}
