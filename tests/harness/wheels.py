"""Wheels for an image, made outside of its build into build/wheels: inside a build there is no package index.

Downloaded and own wheels are kept apart: the first change with a requirement list, the second with every edit.
"""

import hashlib
import importlib.util
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path

from . import paths
from .commands import run
from .context import tree_digest
from .errors import HarnessError
from .progress import step

OWN = ["."]
"""The requirement list that stands for this repository's own distribution, without what it depends on."""
_OWN_SOURCES = ("pyproject.toml", "operator/rollcall", "agent_sidecar/rollcall_agent")


def prepare(folder_name: str, requirements: Sequence[str], python: str) -> None:
    """Fill build/wheels/`folder_name` with what `requirements` need for Python `python`, e.g. 3.11; OWN is our distribution.

    Raises HarnessError when there is no such Python here, or a wheel cannot be had.
    """
    source = _own() if list(requirements) == OWN else _downloaded(folder_name, requirements, python)
    folder = paths.REPOSITORY / "build" / "wheels" / folder_name
    wanted = {wheel.name: wheel.read_bytes() for wheel in source.glob("*.whl")}
    if {wheel.name: wheel.read_bytes() for wheel in folder.glob("*.whl")} != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, content in wanted.items():
            (folder / name).write_bytes(content)


def extra(name: str) -> list[str]:
    """The requirement list of one of our distribution's extras."""
    project = tomllib.loads((paths.REPOSITORY / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *project["optional-dependencies"][name]]


def listed(file: str) -> list[str]:
    """The lines of a requirements file of this repository that name a requirement."""
    lines = (line.partition("#")[0].strip() for line in (paths.REPOSITORY / file).read_text().splitlines())
    return [line for line in lines if line]


def _downloaded(what: str, requirements: Sequence[str], python: str) -> Path:
    key = hashlib.sha256("\n".join([python, *sorted(requirements)]).encode()).hexdigest()[:16]
    folder = paths.cache() / "wheels" / key
    if not folder.exists():
        with step(f"wheels for {what} (once per requirement list)"):
            _pip_wheel(folder, list(requirements), python)
    return folder


def _own() -> Path:
    state = hashlib.sha256("".join(tree_digest(paths.REPOSITORY / source) for source in _OWN_SOURCES).encode())
    folder = paths.cache() / "wheels" / f"own-{state.hexdigest()[:16]}"
    if not folder.exists():
        for outdated in folder.parent.glob("own-*"):
            shutil.rmtree(outdated)
        # Without isolation there is no new environment to fill for each edit.
        quick = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
        with step("wheel of this distribution"):
            _pip_wheel(
                folder, ["--no-deps", *quick, str(paths.REPOSITORY)], f"{sys.version_info.major}.{sys.version_info.minor}"
            )
    return folder


def _pip_wheel(folder: Path, arguments: list[str], python: str) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as fresh:
        target = Path(fresh, "wheels")
        run([_interpreter(python), "-m", "pip", "wheel", "--quiet", "--wheel-dir", target, *arguments])
        target.rename(folder)


def _interpreter(python: str) -> str:
    if python == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    found = shutil.which(f"python{python}")
    if found is None:
        raise HarnessError(f"cannot make wheels for the images' Python {python}: no python{python} is on PATH")
    return found
