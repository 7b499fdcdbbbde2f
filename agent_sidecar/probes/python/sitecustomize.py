"""Loaded by every Python process of the container because this folder is on PYTHONPATH: arms Rollcall's probe.

It only arms import hooks; a process that never imports a web server pays next to nothing. It never raises, and it hands over
to the application's own `sitecustomize`, if there is one further down the path.
"""

import os
import sys


def _arm():
    if os.environ.get("ROLLCALL_PROBE", "").lower() in ("off", "0", "false"):
        return
    try:
        from _rollcall_probe import hooks

        hooks.arm()
    except Exception as error:
        try:
            sys.stderr.write("rollcall: probe is off: %r\n" % (error,))
        except Exception:
            return


def _hand_over():
    """Run the next `sitecustomize` on the path in our place; its errors are its own, as without us."""
    from _frozen_importlib import module_from_spec
    from _frozen_importlib_external import PathFinder

    here = os.path.dirname(os.path.abspath(__file__))
    rest = [entry for entry in sys.path if os.path.abspath(entry or ".") != here]
    spec = PathFinder.find_spec("sitecustomize", rest)
    if spec is None or spec.loader is None:
        return
    module = module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


_arm()
_hand_over()
