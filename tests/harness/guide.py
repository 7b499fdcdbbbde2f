"""Documents whose commands are run: what people are told to type is typed, and what they are told to see is looked for.

A block of ```console holds commands after `$ ` (a line that ends with a backslash goes on), and below each what it prints. A
line that is only `…` stands for any lines, and `…` at the end of one for any words. Numbers, and names that Kubernetes makes
up, are others each time.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import binaries
from .cluster import Cluster
from .errors import HarnessError
from .paths import REPOSITORY

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED = re.compile(r"(?<=[a-z])-[0-9a-f]{6,10}(-[a-z0-9]{5})?\b|\b[0-9a-f]{8,10}\b")
_NODE = re.compile(r"\b[a-z][a-z0-9-]*-node\d+\b")
_NUMBER = re.compile(r"\d[\d,]*(\.\d+)?")
_BAR = re.compile(r"[▁▂▃▄▅▆▇█░▒▓▮─━]+")
AGAIN_S = 0.5


@dataclass
class Step:
    """A command, and the lines that it prints, in order."""

    command: str
    lines: list[str] = field(default_factory=list)

    def is_seen(self, output: str) -> bool:
        """Whether all lines are in the output, in order, with any others between where `…` stands or at the end."""
        said = iter([shape(line) for line in output.splitlines()])
        wanted = [shape(line) for line in self.lines if line.strip() not in ("", "…")]
        return all(any(_is(line, each) for each in said) for line in wanted)


def _is(wanted: str, said: str) -> bool:
    return said.startswith(wanted.removesuffix("…").rstrip()) if wanted.endswith(" …") else said == wanted


def shape(line: str) -> str:
    """A line without what is another each time: numbers and their units' spacing, made-up names, bars."""
    line = _BAR.sub("~", _NUMBER.sub("#", _NAMED.sub("-*", _NODE.sub("NODE", line))))
    return re.sub(r"#(ms|µs|us|s|m|h|d)(#(s|m|h))?", "#t", re.sub(r"\s+", " ", line)).strip()


def steps_of(document: Path) -> list[Step]:
    """The commands of a document, in order. Raises HarnessError for a block that begins with no command."""
    found: list[Step] = []
    for block in _BLOCK.findall(document.read_text()):
        began = False
        goes_on = False
        for line in block.splitlines():
            if goes_on:
                found[-1].command += "\n" + line
            elif line.startswith("$ "):
                began = True
                found.append(Step(line[2:]))
            elif not began:
                raise HarnessError(f"{document.name}: a block of console begins with no command: {line}")
            else:
                found[-1].lines.append(line)
                continue
            goes_on = line.endswith("\\")
    return found


def shell_environment(cluster: Cluster) -> Mapping[str, str]:
    """KUBECONFIG, and the folders of kubectl, helm and rollcall, which go before PATH's."""
    folders = (Path(sys.executable).parent, Path(binaries.kubectl()).parent, Path(binaries.helm()).parent)
    return {"KUBECONFIG": str(cluster.kubeconfig), "PATH": ":".join(str(folder) for folder in dict.fromkeys(folders))}


def environment_of(cluster: Cluster) -> dict[str, str]:
    """In which a line that somebody pastes runs."""
    known, extra = cluster.environment(), shell_environment(cluster)
    return {**known, **extra, "PATH": f"{extra['PATH']}:{known['PATH']}"}


def follow(step: Step, cluster: Cluster, within_s: float = 60) -> str:
    """Run a command until it prints what the document says, and return what it printed. What changes the cluster may be run
    more than once. Raises HarnessError with both when it does not come."""
    environment = environment_of(cluster) | {"COLUMNS": "160"}
    deadline_s = time.monotonic() + within_s
    while True:
        done = subprocess.run(
            ["bash", "-c", step.command], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode == 0 and step.is_seen(done.stdout):
            return done.stdout
        if time.monotonic() > deadline_s or (done.returncode != 0 and not step.lines):
            wanted = "\n".join(step.lines)
            raise HarnessError(f"$ {step.command}\n{done.stdout}{done.stderr}\n--- instead of\n{wanted}")
        time.sleep(AGAIN_S)
