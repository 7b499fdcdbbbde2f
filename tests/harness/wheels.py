"""Wheels for an image, made outside of its build into build/wheels/IMAGE: inside a build there is no package index.

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

OWN_SOURCES = ("pyproject.toml", "operator/rollcall", "agent_sidecar/rollcall_agent")


def prepare(image: str, requirements: Sequence[str], own: bool, python: str) -> None:
    """Fill build/wheels/`image` with wheels for `requirements` (and our distribution if `own`) for Python `python`, e.g. 3.11.

    Raises HarnessError when there is no such Python here, or a wheel cannot be had.
    """
    folder = paths.REPOSITORY / "build" / "wheels" / image
    wanted = [wheel for part in _sources(image, requirements, own, python) for wheel in sorted(part.glob("*.whl"))]
    present = {file.name: file.stat().st_size for file in folder.glob("*.whl")}
    if present == {wheel.name: wheel.stat().st_size for wheel in wanted} and not own:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for wheel in wanted:
        shutil.copy2(wheel, folder)


def extra(name: str) -> list[str]:
    """The requirement list of one of our distribution's extras."""
    project = tomllib.loads((paths.REPOSITORY / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *project["optional-dependencies"][name]]


def listed(file: str) -> list[str]:
    """The lines of a requirements file of this repository that name a requirement."""
    lines = (line.partition("#")[0].strip() for line in (paths.REPOSITORY / file).read_text().splitlines())
    return [line for line in lines if line]


def _sources(image: str, requirements: Sequence[str], own: bool, python: str) -> list[Path]:
    found = []
    if requirements:
        found.append(_downloaded(image, requirements, python))
    if own:
        found.append(_own(python))
    return found


def _downloaded(image: str, requirements: Sequence[str], python: str) -> Path:
    key = hashlib.sha256("\n".join([python, *sorted(requirements)]).encode()).hexdigest()[:16]
    folder = paths.cache() / "wheels" / key
    if not folder.exists():
        with step(f"wheels for {image} (once per requirement list)"):
            _pip_wheel(folder, list(requirements), python)
    return folder


def _own(python: str) -> Path:
    state = hashlib.sha256("".join(tree_digest(paths.REPOSITORY / source) for source in OWN_SOURCES).encode())
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
