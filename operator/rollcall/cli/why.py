"""`rollcall why POD`: the state of a pod in a sentence, the reason, and what to do."""

from __future__ import annotations

import asyncio
from typing import Any

from rollcall.cli.connection import Caller
from rollcall.cli.output import encode
from rollcall.cli.top import once


def run_why(caller: Caller, pod: str, *, output: str) -> None:
    """Print the operator's answer; raises CliError when there is no such pod, or it may not be read."""
    answer = asyncio.run(once(caller, f"/v1/why/{caller.target.namespace}/{pod.removeprefix('pod/')}"))
    print(text_of(answer) if output == "table" else encode(answer, output))


def text_of(answer: dict[str, Any]) -> str:
    """The answer as a person reads it."""
    reason = f" [{answer['reason']}]" if answer["reason"] else ""
    lines = [f"{answer['sentence']}.{reason}"]
    if answer["remedy"]:
        lines.append(f"What to do: {answer['remedy']}.")
    return "\n".join(lines)
