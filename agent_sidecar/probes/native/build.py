"""Builds the native recorder for this machine: python agent_sidecar/probes/native/build.py [--if-missing]

Needs a C compiler and Python's headers (any version from 3.8 on: the stable ABI is used). The library is put beside the probe,
where `_rollcall_probe.native` looks for it; it is built anew when its source is newer. Without it the probe counts in Python.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = sorted(HERE.glob("*.c"))
PARTS = [*SOURCES, *HERE.glob("*.h"), Path(__file__)]
PROBE = HERE.parent / "python"
FLAGS = ["-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror"]


def target() -> Path:
    """Where the library for this machine belongs."""
    sys.path.insert(0, str(PROBE))
    from _rollcall_probe import native

    return Path(native.path())


def main() -> int:
    """Build what is missing or old; returns the exit code."""
    library = target()
    if library.exists() and "--if-missing" in sys.argv[1:]:
        return 0
    if library.exists() and library.stat().st_mtime > max(part.stat().st_mtime for part in PARTS):
        return 0
    headers = Path(sysconfig.get_paths()["include"])
    if not (headers / "Python.h").exists():
        sys.stderr.write(f"native recorder: no Python.h in {headers}; install Python's headers (Debian: python3-dev)\n")
        return 1
    library.parent.mkdir(parents=True, exist_ok=True)
    fresh = library.with_suffix(f".{os.getpid()}.new")
    command = [os.environ.get("CC", "cc"), *FLAGS, f"-I{headers}", *map(str, SOURCES), "-o", str(fresh), "-lm"]
    try:
        subprocess.run(command, check=True)
    except FileNotFoundError:
        sys.stderr.write(f"native recorder: there is no compiler {command[0]!r}; install one (Debian: gcc) or set CC\n")
        return 1
    except subprocess.CalledProcessError as error:
        return error.returncode
    fresh.replace(library)
    print(f"native recorder: {library.relative_to(PROBE)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
