"""The cgroup below which a node's pods live, on version 1 hierarchies and on version 2.

A kubelet is given its own root; it does not make that root itself.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

_MOUNT = Path("/sys/fs/cgroup")


def create(path: str) -> None:
    """Make `path` (no leading slash) under every hierarchy, usable by a kubelet as cgroupRoot."""
    for top in _hierarchies():
        folder = top
        for part in path.split("/"):
            parent, folder = folder, folder / part
            folder.mkdir(exist_ok=True)
            if top == _MOUNT:
                _delegate(parent)
            elif top.name == "cpuset":
                # It begins empty and then accepts no process.
                for name in ("cpuset.cpus", "cpuset.mems"):
                    (folder / name).write_text((parent / name).read_text().strip())


def remove(path: str) -> None:
    """Remove `path` and what lies below it; processes in there must have ended."""
    for top in _hierarchies():
        for folder, _, _ in os.walk(top / path, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
        with contextlib.suppress(OSError):
            (top / path).parent.rmdir()  # shared by clusters: goes with the last one


def remains(path: str) -> list[Path]:
    """The folders of `path` that still exist."""
    return [top / path for top in _hierarchies() if (top / path).exists()]


def processes(path: str) -> set[int]:
    """Pids in `path` and below: containers that outlived their runtime."""
    found: set[int] = set()
    for top in _hierarchies():
        for folder, _, files in os.walk(top / path):
            if "cgroup.procs" in files:
                with contextlib.suppress(OSError):
                    found.update(int(pid) for pid in Path(folder, "cgroup.procs").read_text().split())
    return found


def _hierarchies() -> Iterator[Path]:
    if (_MOUNT / "cgroup.controllers").exists():
        yield _MOUNT
        return
    for folder in sorted(_MOUNT.iterdir()):
        if (folder / "cgroup.procs").exists() and not folder.is_symlink():
            yield folder


def _delegate(parent: Path) -> None:
    for controller in (parent / "cgroup.controllers").read_text().split():
        with contextlib.suppress(OSError):  # one that cannot be delegated is one that a kubelet does not need
            (parent / "cgroup.subtree_control").write_text(f"+{controller}")
