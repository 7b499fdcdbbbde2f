"""The native parts of the probes, built for this machine: `python -m tests.harness.native`."""

import sys
import sysconfig
from pathlib import Path

from . import packages, paths
from .commands import run
from .errors import HarnessError


def ensure() -> None:
    """Build it where it is missing or older than its source; raises HarnessError."""
    headers = Path(sysconfig.get_paths()["include"]) / "Python.h"
    packages.ensure_compiler(headers)
    native = paths.REPOSITORY / "agent_sidecar/probes/native"
    for script in (native / "build.py", native / "php_crash/build.py"):
        run([sys.executable, script])


def main() -> int:
    """For the Makefile."""
    try:
        ensure()
    except HarnessError as error:
        print(f"harness: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
