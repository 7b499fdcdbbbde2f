"""The native parts of probes and agent, built for this machine: `python -m tests.harness.native`."""

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
    for script in ("probes/native/build.py", "probes/native/php_crash/build.py", "native/build.py"):
        run([sys.executable, paths.REPOSITORY / "agent_sidecar" / script])


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
