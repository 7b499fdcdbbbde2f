"""Builds the agent's native part for this machine: python agent_sidecar/native/build.py [--if-missing]

Needs a C compiler and Python's headers, 3.11 or later. The library is put beside the agent's modules, where
`sources.otlp_protobuf` looks for it; it is built anew when its source is newer. Without it the agent reads OTLP in Python.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).resolve().parent
AGENT = HERE.parent
SOURCE = HERE / "otlp.c"
FLAGS = ["-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-fstack-protector-strong", "-Wall", "-Wextra", "-Werror"]


def target() -> Path:
    """Where the library for this machine belongs."""
    sys.path.insert(0, str(AGENT))
    from rollcall_agent.sources import otlp_protobuf

    return Path(otlp_protobuf.native_path())


def main() -> int:
    """Build what is missing or old; returns the exit code."""
    library = target()
    newest = max(SOURCE.stat().st_mtime, Path(__file__).stat().st_mtime)
    if library.exists() and ("--if-missing" in sys.argv[1:] or library.stat().st_mtime > newest):
        return 0
    headers = Path(sysconfig.get_paths()["include"])
    if not (headers / "Python.h").exists():
        sys.stderr.write(f"agent's native part: no Python.h in {headers}; install Python's headers (Debian: python3-dev)\n")
        return 1
    library.parent.mkdir(parents=True, exist_ok=True)
    fresh = library.with_suffix(f".{os.getpid()}.new")
    command = [os.environ.get("CC", "cc"), *FLAGS, f"-I{headers}", str(SOURCE), "-o", str(fresh)]
    try:
        subprocess.run(command, check=True)  # noqa: S603
    except FileNotFoundError:
        sys.stderr.write(f"agent's native part: there is no compiler {command[0]!r}; install one (Debian: gcc) or set CC\n")
        return 1
    except subprocess.CalledProcessError as error:
        return error.returncode
    fresh.replace(library)
    print(f"agent's native part: {library.relative_to(AGENT)}")  # noqa: T201
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
