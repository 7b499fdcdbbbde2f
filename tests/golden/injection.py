"""The golden cases of injection: one input for the pure function, the webhook and `rollcall inject`.

`<case>.in.yaml` is a pod, `<case>.out.yaml` what becomes of it. `python -m tests.golden.injection` writes the second from the
first; read its diff as you would read code.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonpatch
import yaml

from rollcall.api import MonitoredService
from rollcall.api.manifests import to_yaml
from rollcall.inject.patch import Injection, inject
from rollcall.inject.render import InjectSettings

FOLDER = Path(__file__).parent / "inject"
SETTINGS = InjectSettings(agent_image="docker.io/rollcall/agent:0.1.0")
SERVICES = [MonitoredService.from_object(manifest) for manifest in yaml.safe_load_all((FOLDER / "services.yaml").read_text())]


@dataclass(frozen=True)
class Case:
    name: str
    pod: Any
    expected_reason: str
    expected_warnings: list[str]
    expected_pod: Any


def cases() -> list[Case]:
    """All cases, in the order of their names."""
    found = []
    for name, pod in _inputs():
        outcome, expected_pod = yaml.safe_load_all((FOLDER / f"{name}.out.yaml").read_text())
        found.append(Case(name, pod, outcome["reason"], outcome["warnings"], expected_pod))
    return found


def patched(pod: Any, injection: Injection) -> Any:
    """The pod after the patch, by a JSON Patch library that is not ours."""
    return jsonpatch.apply_patch(copy.deepcopy(pod), list(injection.patch))


def _inputs() -> list[tuple[str, Any]]:
    return [(path.name.removesuffix(".in.yaml"), yaml.safe_load(path.read_text())) for path in sorted(FOLDER.glob("*.in.yaml"))]


def _write() -> None:
    for name, pod in _inputs():
        injection = inject(pod, SERVICES, SETTINGS)
        outcome = {"reason": injection.decision.reason.value, "warnings": list(injection.warnings)}
        documents = [outcome, patched(pod, injection)]
        (FOLDER / f"{name}.out.yaml").write_text(to_yaml(documents))


if __name__ == "__main__":
    _write()
