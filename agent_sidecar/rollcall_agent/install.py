"""Copies the probes into the volume that the application mounts: `rollcall-agent install DIR`, run by an init container."""

from __future__ import annotations

import os
import shutil

IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", "README*")


def probes_dir(env_value: str | None) -> str:
    """Where this installation keeps the probes; `env_value` is ROLLCALL_PROBES. Raises FileNotFoundError."""
    here = os.path.dirname(os.path.abspath(__file__))
    path = env_value or os.path.join(os.path.dirname(here), "probes")
    if not os.path.isfile(os.path.join(path, "python", "sitecustomize.py")):
        raise FileNotFoundError(f"no probes in {path}; set ROLLCALL_PROBES to the folder that holds python/ and php/")
    return path


def install(source: str, target: str) -> int:
    """Copy `source` into `target`, links as the files they lead to, readable by any user; returns the number of files."""
    os.makedirs(target, exist_ok=True)
    shutil.copytree(source, target, symlinks=False, ignore=IGNORED, copy_function=_copy, dirs_exist_ok=True)
    count = 0
    for folder, _, files in os.walk(target):
        if folder != target:
            os.chmod(folder, 0o755)
        count += len(files)
    return count


def _copy(source: str, target: str) -> str:
    """Put a file in place whole, so that an application that starts meanwhile never reads half of it."""
    temporary = target + ".new"
    shutil.copyfile(source, temporary)
    os.chmod(temporary, 0o644)
    os.replace(temporary, target)
    return target
