"""The build context of an image: exactly the files that its Dockerfile copies, not the whole checkout.

A small context makes builds quick, and the same list gives the hash that tells whether an image is out of date.
"""

import hashlib
import json
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

from . import paths
from .errors import HarnessError

_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".mypy_cache", ".ruff_cache", ".pytest_cache")


def copied(dockerfile: Path) -> list[str]:
    """The sources of every COPY in the Dockerfile that come from the context, as written: paths or patterns."""
    found: list[str] = []
    for line in dockerfile.read_text().replace("\\\n", " ").splitlines():
        instruction, _, rest = line.strip().partition(" ")
        if instruction.upper() != "COPY":
            continue
        words = json.loads(rest) if rest.lstrip().startswith("[") else shlex.split(rest)
        if not any(word.startswith("--from") for word in words):
            found += [word for word in words if not word.startswith("--")][:-1]
    return found


def digest(dockerfile: Path, *more: str) -> str:
    """Hash of the Dockerfile, of all it copies and of `more`; equal digests mean equal images."""
    state = hashlib.sha256(dockerfile.read_bytes())
    for extra in more:
        state.update(extra.encode() + b"\0")
    for source in _sources(dockerfile):
        state.update(f"{source.relative_to(paths.REPOSITORY)}\0".encode())
        state.update(tree_digest(source).encode())
    return state.hexdigest()[:16]


def tree_digest(path: Path) -> str:
    """Hash of a file or of a folder's files: names, contents and whether they can be executed."""
    state = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(_files(path)):
        state.update(f"{file.relative_to(path)}\0{file.stat().st_mode & 0o111}\0".encode())
        state.update(hashlib.sha256(file.read_bytes()).digest())
    return state.hexdigest()


def stage(dockerfile: Path, folder: Path) -> None:
    """Copy what the Dockerfile copies into `folder`, at the same relative paths."""
    for source in _sources(dockerfile):
        target = folder / source.relative_to(paths.REPOSITORY)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=_IGNORED, symlinks=True, dirs_exist_ok=True)
        else:
            shutil.copy2(source, target)


def _sources(dockerfile: Path) -> Iterator[Path]:
    for pattern in copied(dockerfile):
        matches = sorted(paths.REPOSITORY.glob(pattern.strip("/").removeprefix("./")))
        if not matches:
            raise HarnessError(
                f"cannot build {dockerfile.relative_to(paths.REPOSITORY)}: it copies {pattern}, which does not exist"
            )
        yield from matches


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name in _IGNORED(str(folder), [path.name]):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _files(path)
        elif path.is_file():
            yield path
