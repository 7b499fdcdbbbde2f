"""Builds the PHP probe's extension: python agent_sidecar/probes/native/php_crash/build.py [--if-missing]

Needs a C compiler (CC, also one for another machine) and no headers of PHP's: one file is good for every PHP of its machine.
The configuration that has PHP load it is written with it, because PHP warns of an extension that is not there.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCES = sorted(HERE.glob("*.c"))
PARTS = [*SOURCES, *HERE.glob("*.h"), *HERE.parent.glob("*.h"), Path(__file__)]
PROBE = HERE.parents[1] / "php"
FLAGS = [
    *("-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-Wall", "-Wextra", "-Werror"),
    # No C library: that of the application's container is not known, and in a handler of fatal signals it is of no use.
    *("-nostdlib", "-ffreestanding", "-fno-builtin", "-fno-stack-protector", "-fno-tree-loop-distribute-patterns"),
    *("-Wl,--hash-style=both", "-Wl,-z,now", "-Wl,-z,noexecstack", "-Wl,-z,max-page-size=65536", "-Wl,--build-id=none"),
]
FLAGS_OF = {"aarch64": ("-mno-outline-atomics",)}
"""GCC's own library is not there either."""
INI = """; Rollcall: tells by what signal and in which library a PHP process has died. Written where the extension was built.
extension=/rollcall/probes/php/native/{machine}/rollcall_crash.so
"""


def main() -> int:
    """Build what is missing or old; returns the exit code."""
    compiler = os.environ.get("CC", "cc")
    try:
        target = subprocess.run([compiler, "-dumpmachine"], check=True, capture_output=True, text=True).stdout
        machine = target.partition("-")[0]
        library = PROBE / "native" / machine / "rollcall_crash.so"
        settings = PROBE / "conf.d" / "rollcall-crash.ini"
        if _is_fresh(library, "--if-missing" in sys.argv[1:]):
            settings.write_text(INI.format(machine=machine))  # which may be of a build for another machine
            return 0
        library.parent.mkdir(parents=True, exist_ok=True)
        fresh = library.with_suffix(f".{os.getpid()}.new")
        subprocess.run([compiler, *FLAGS, *FLAGS_OF.get(machine, ()), *map(str, SOURCES), "-o", str(fresh)], check=True)
    except FileNotFoundError:
        sys.stderr.write(f"PHP extension: there is no compiler {compiler!r}; install one (Debian: gcc) or set CC\n")
        return 1
    except subprocess.CalledProcessError as error:
        return error.returncode
    fresh.replace(library)
    settings.write_text(INI.format(machine=machine))
    print(f"PHP extension: {library.relative_to(PROBE)}")
    return 0


def _is_fresh(library: Path, any_will_do: bool) -> bool:
    if not library.exists():
        return False
    return any_will_do or library.stat().st_mtime > max(part.stat().st_mtime for part in PARTS)


if __name__ == "__main__":
    raise SystemExit(main())
