"""FerretDB, which speaks MongoDB's protocol and keeps its data in SQLite: no package of MongoDB itself can be had here.

Built from its Go module once, in the cache. The module lacks a file that its own build writes, so it cannot be installed as it
is.
"""

import fcntl
import json
import os
import shutil
import tempfile
from pathlib import Path

from . import paths
from .commands import run
from .errors import HarnessError
from .progress import step

VERSION = "v1.24.0"
_MODULE = f"github.com/FerretDB/FerretDB@{VERSION}"


def ensure() -> Path:
    """The executable; raises HarnessError when Go is missing or the build fails."""
    found = paths.binaries() / f"ferretdb-{VERSION}" / "ferretdb"
    if found.is_file():
        return found
    if shutil.which("go") is None:
        raise HarnessError(f"cannot build FerretDB {VERSION}: Go is not on PATH")
    found.parent.mkdir(parents=True, exist_ok=True)
    with (found.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not found.is_file():
            with step(f"build FerretDB {VERSION} (once)"):
                _build(found)
    return found


def _build(found: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        module = json.loads(run(["go", "mod", "download", "-json", _MODULE], cwd=Path(folder)))
        shutil.copytree(module["Dir"], source, copy_function=shutil.copyfile)  # the module's files cannot be written to
        for inner in source.rglob("*"):
            if inner.is_dir():
                inner.chmod(0o755)
        (source / "build/version/version.txt").write_text(VERSION)
        fresh = found.with_suffix(".tmp")
        environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=mod"}
        run(["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", fresh, "./cmd/ferretdb"], cwd=source, env=environment)
        fresh.rename(found)
