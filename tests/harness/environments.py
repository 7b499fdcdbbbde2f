"""Virtual environments with given requirements, made once, kept in the cache: what cannot live beside our own dependencies."""

import fcntl
import hashlib
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from . import paths
from .commands import run
from .errors import HarnessError
from .progress import step


def ensure(requirements: Sequence[str], python: str = "") -> Path:
    """The interpreter of an environment that has `requirements`; of Python `python`, e.g. 3.8, or of this one.

    Raises HarnessError when there is no such Python here, or a requirement cannot be had.
    """
    interpreter = _interpreter(python)
    version = run([interpreter, "-c", "import sys; print(sys.version)"])
    key = hashlib.sha256("\n".join([version, *sorted(requirements)]).encode()).hexdigest()[:16]
    folder = paths.cache() / "environments" / key
    found = folder / "bin" / "python"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            with step(f"environment with {', '.join(requirements) or python} (once)"):
                run([interpreter, "-m", "venv", folder])
                if requirements:
                    run([found, "-m", "pip", "install", "-q", *requirements])
            (folder / "complete").touch()
    return found


def _interpreter(python: str) -> str:
    if python in ("", f"{sys.version_info.major}.{sys.version_info.minor}"):
        return sys.executable
    found = shutil.which(f"python{python}")
    if found is None:
        raise HarnessError(f"no python{python} is on PATH")
    return found
