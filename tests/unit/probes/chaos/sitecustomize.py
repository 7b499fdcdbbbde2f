"""Arms the real probe, then breaks the part of it that ROLLCALL_CHAOS names. For `test_chaos`.

missing:NAME[,NAME]   the module that hook NAME patches lacks what it looks for, as in another version; `all` is all hooks
raises:NAME[,NAME]    hook NAME raises while it patches
inside:PLACE          something that runs within requests raises; see `PLACES`
calls:PLACE           something that runs within calls of dependencies raises; see `CALL_PLACES`
"""

import os
import sys

PROBE = os.environ["ROLLCALL_CHAOS_PROBE"]
sys.path.insert(0, PROBE)

from _rollcall_probe import hooks  # noqa: E402

mode, _, names = os.environ["ROLLCALL_CHAOS"].partition(":")
chosen = set(names.split(","))


class Bare:
    """A module of another version."""

    def __init__(self, module):
        self.__name__ = module.__name__

    def __getattr__(self, name):
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


def broken(*_, **__):
    """Stands in for whatever is to fail."""
    raise RuntimeError("chaos")


real_apply = hooks.apply


def apply(patch, module):
    """As the real one, but the chosen hooks fail."""
    if patch[1] in chosen or "all" in chosen:
        if mode == "missing":
            module = Bare(module)
        elif mode == "raises":
            from importlib import import_module

            setattr(import_module("_rollcall_probe." + patch[0]), patch[1], broken)
    real_apply(patch, module)


hooks.apply = apply


def break_inside(place):
    """Break one of PLACES."""
    from importlib import import_module

    module, _, path = place.partition(".")
    owner = import_module("_rollcall_probe." + module)
    *inner, last = path.split(".")
    for name in inner:
        owner = getattr(owner, name)
    setattr(owner, last, broken)


PLACES = (
    "ledger.Ledger.__init__",
    "ledger.Ledger.endpoint",
    "ledger.Ledger.endpoint_name",
    "ledger.Ledger.error",
    "ledger.Ledger.sample",
    "ledger.Ledger.visit",
    "ledger.Ledger.finished",
    "ledger.Ledger.close_slot",
    "ledger.Ledger.resources",
    "ledger.Ledger.step",
    "native.recorder",
    "recorder.Names.intern",
    "recorder.Process.__init__",
    "rare.Rare.put",
    "failures.name_of",
    "failures.place_of",
    "failures.counter",
    "redact.redact",
    "visitors.refresh",
    "visitors._install",
    "watch.start",
    "watch.Watch._tick",
    "watch.step_of",
    "cgroup.find",
    "cgroup.lock",
    "pure.status_of",
)
CALL_PLACES = ("name", "reason", "begin")
if mode == "calls":
    from _rollcall_probe import pure
    from _rollcall_probe.dependencies import hook

    assert names in CALL_PLACES, names
    if names == "name":
        begin = hook.Hook.begin
        hook.Hook.begin = lambda self, name_of, *what: begin(self, broken, *what)
        native = hook.Hook._native
        hook.Hook._native = lambda self, original, call, name_of, settle: native(self, original, call, broken, settle)
    elif names == "reason":
        hook.reason_of = broken
        settle = hook.Hook.settle
        hook.Hook.settle = lambda self, record, function, result: settle(self, record, broken, result)
    else:
        pure.Recorder.begin_call = broken
if mode == "inside":
    assert names in PLACES, names
    break_inside(names)
hooks.arm()
