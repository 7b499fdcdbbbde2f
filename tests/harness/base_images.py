"""The images that ours are built on where no registry is at hand: Debian bookworm by debootstrap, made once and cached.

`python` has python3.11 with venv and pip, `php` has nginx and php-fpm 8.2, `node` has Node 18, `java` has Java 17,
`servers` has PostgreSQL and Python. Where Docker is, the Dockerfiles' own default base is pulled instead and none of this runs.
"""

import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import archive, packages, paths
from .commands import run
from .progress import step

_SUITE = "bookworm"
_NOT_NEEDED = (
    "./usr/share/doc/",
    "./usr/share/man/",
    "./usr/share/info/",
    "./usr/share/locale/",
    "./usr/share/lintian/",
    "./usr/share/i18n/",
    "./var/cache/",
    "./var/lib/apt/lists/",
    "./var/log/",
    "./dev/",  # a runtime mounts its own
    # pip may install into an image's system Python: nothing else manages it there.
    "./usr/lib/python3.11/EXTERNALLY-MANAGED",
)


@dataclass(frozen=True)
class Base:
    """A base image: what it holds and its revision, to be counted up when the recipe changes."""

    name: str
    revision: int
    include: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def reference(self) -> str:
        return f"localhost/rollcall/base-{self.name}:{_SUITE}-{self.revision}"

    @property
    def archive(self) -> Path:
        return paths.images() / f"base-{self.name}-{_SUITE}-{self.revision}.tar"


_PATH = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}

BASES = {
    "java": Base("java", 1, ("openjdk-17-jre-headless", "ca-certificates"), _PATH),
    "node": Base("node", 1, ("nodejs", "ca-certificates"), _PATH),
    "python": Base("python", 1, ("python3", "python3-venv", "python3-pip", "ca-certificates"), _PATH),
    "php": Base(
        "php",
        2,
        (
            "php8.2-fpm",
            "php8.2-cli",
            "php8.2-opcache",
            "php8.2-sqlite3",
            "php8.2-uopz",
            "php-excimer",
            "nginx-light",
            "ca-certificates",
        ),
        _PATH,
    ),
    "servers": Base("servers", 1, ("postgresql", "python3", "python3-venv", "python3-pip", "ca-certificates"), _PATH),
}


def ensure(base: Base) -> Path:
    """Return the base image's archive; make it when the cache lacks it (about a minute, once)."""
    if base.archive.exists():
        return base.archive
    packages.ensure_build_tools()
    base.archive.parent.mkdir(parents=True, exist_ok=True)
    with (
        step(f"base image {base.name}: debootstrap {_SUITE} (once)"),
        tempfile.TemporaryDirectory(dir=paths.images(), prefix=f".{base.name}-") as folder,
    ):
        root, layer = Path(folder, "root"), Path(folder, "layer.tar")
        run(["debootstrap", "--variant=minbase", f"--include={','.join(base.include)}", _SUITE, root])
        archive.pack(root, layer, _keep)
        shutil.rmtree(root)
        archive.write(base.archive, base.reference, layer, environment=base.environment)
    return base.archive


def _keep(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    if entry.isdir():  # an empty one costs nothing, and servers miss their log folders
        return entry
    return None if entry.name.startswith(_NOT_NEEDED) else entry
