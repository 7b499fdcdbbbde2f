"""Copies the probes into the volume that the application mounts: `rollcall-agent install DIR`, run by an init container."""

from __future__ import annotations

import os
import shutil

from .log import say


def probes_dir(env_value: str | None) -> str:
    """Where this installation keeps the probes; `env_value` is ROLLCALL_PROBES. Raises FileNotFoundError."""
    here = os.path.dirname(os.path.abspath(__file__))
    path = env_value or os.path.join(os.path.dirname(here), "probes")
    if not os.path.isfile(os.path.join(path, "python", "sitecustomize.py")):
        raise FileNotFoundError(f"no probes in {path}; set ROLLCALL_PROBES to the folder that holds python/ and php/")
    return path


def install(source: str, target: str) -> int:
    """Copy `source` into `target`, links as the files they lead to, readable by any user; returns the number of files.

    `target` itself is left as it is: a volume's root belongs to somebody else.
    """
    count = 0
    for folder, folders, files in os.walk(source, followlinks=True):
        folders[:] = [name for name in folders if name != "__pycache__"]
        copy = os.path.normpath(os.path.join(target, os.path.relpath(folder, source)))
        if not os.path.isdir(copy):
            os.makedirs(copy)
            os.chmod(copy, 0o755)
        for name in files:
            _copy(os.path.join(folder, name), os.path.join(copy, name))
            count += 1
    return count


def prepare_log(file: str) -> None:
    """Make the file of an access log in a volume of ours before the web server does: ours, so that the agent may empty it, and
    open to any user. The pod starts without it too: then the file is the server's, and nobody empties it."""
    try:
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666))
        os.chmod(file, 0o666)
    except OSError as error:
        say(f"the access log {file} cannot be made: {error}")


def _copy(source: str, target: str) -> None:
    """Put a file in place whole, so that an application that starts meanwhile never reads half of it."""
    temporary = target + ".new"
    shutil.copyfile(source, temporary)
    os.chmod(temporary, 0o644)
    os.replace(temporary, target)
