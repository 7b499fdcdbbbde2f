"""`kubectl_complete-rollcall`: what kubectl asks for when someone completes `kubectl rollcall …`.

kubectl gives the words, the last of which may be empty, and wants a suggestion per line, with its description behind a tab, and
then a directive of its completion library: 4 says that files are not meant (kubectl, "Shell completion for plugins"). The fish
shell wants the same lines, so they are made as for it.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import sys

from rollcall.cli.main import app

NO_FILES = 4
_NAME = "rollcall"


def suggestions(words: list[str]) -> list[str]:
    """A line for each way to end the last word."""
    *before, last = words or [""]
    os.environ["_ROLLCALL_COMPLETE"] = "complete_fish"
    os.environ["_TYPER_COMPLETE_FISH_ACTION"] = "get-args"
    os.environ["_TYPER_COMPLETE_ARGS"] = f"{shlex.join([_NAME, *before])} {shlex.quote(last) if last else ''}"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        app(prog_name=_NAME)
    return [line for line in printed.getvalue().splitlines() if line]


def main() -> None:
    """Entry point."""
    print("\n".join([*suggestions(sys.argv[1:]), f":{NO_FILES}"]))
