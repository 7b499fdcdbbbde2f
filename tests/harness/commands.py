"""Runs a command to its end and turns a failure into one readable sentence."""

import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .errors import HarnessError

_TAIL_LINES = 15


def run(
    argv: Sequence[str | Path],
    *,
    input: str | None = None,  # noqa: A002 - the name that subprocess uses
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    timeout_s: float | None = None,
) -> str:
    """Return stdout; raise HarnessError with the end of stderr when `check` and the command fails."""
    command = [str(part) for part in argv]
    try:
        done = subprocess.run(
            command,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            cwd=cwd,
            env=env,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise HarnessError(f"cannot run `{command[0]}`: it is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise HarnessError(f"`{shlex.join(command)}` did not end within {timeout_s} s") from error
    if check and done.returncode != 0:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-_TAIL_LINES:])
        raise HarnessError(f"`{shlex.join(command)}` failed with {done.returncode}: {tail}")
    return done.stdout


def succeeds(argv: Sequence[str | Path]) -> bool:
    """Whether the command exists and exits with 0; nothing is shown."""
    try:
        run(argv)
    except HarnessError:
        return False
    return True
