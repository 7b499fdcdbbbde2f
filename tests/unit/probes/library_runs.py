"""Runs the scenarios of `libraries/` in a process of their own, with and without the probe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.unit.agent.pod import PROBE
from tests.unit.probes.worker import Dependency, Worker

LIBRARIES = Path(__file__).parent / "libraries"
CHAOS = Path(__file__).parent / "chaos"


def run(library: str, addresses: dict[str, int], python: str = sys.executable, **env: str) -> tuple[dict[str, Any], str]:
    """(what the scenario printed, its stderr)."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "ROLLCALL", "PG"))}
    command = [python, "-W", "ignore", str(LIBRARIES / "runner.py"), library, json.dumps(addresses)]
    done = subprocess.run(command, env={**environment, **env}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer, done.stderr


def run_with_probe(
    library: str, addresses: dict[str, int], folder: Path, runtime: str, python: str = sys.executable, chaos: str = ""
) -> tuple[dict[str, Any], str, dict[str, Dependency]]:
    """The same with the probe, broken by `chaos`; and what it counted."""
    env = {"ROLLCALL_RUN": str(folder), "ROLLCALL_NATIVE": "on" if runtime == "native" else "off", "PYTHONPATH": str(PROBE)}
    if chaos:
        env |= {"PYTHONPATH": f"{CHAOS}:{PROBE}", "ROLLCALL_CHAOS": chaos, "ROLLCALL_CHAOS_PROBE": str(PROBE)}
    answer, errors = run(library, addresses, python, **env)
    [path] = folder.glob("python-*.worker")
    return answer, errors, Worker(path).dependencies()


def expected_calls(answer: dict[str, Any]) -> dict[str, tuple[int, dict[str, int]]]:
    """(calls, failures by reason) by dependency, of what a scenario printed."""
    return {
        name: (sum(by_reason.values()), {reason: count for reason, count in by_reason.items() if reason and count})
        for name, by_reason in answer["calls"].items()
    }


def counted_calls(found: dict[str, Dependency]) -> dict[str, tuple[int, dict[str, int]]]:
    """The same of what a probe counted."""
    return {name: (row.calls, row.failed) for name, row in found.items() if row.calls}
