"""Writes container image archives (the `docker save` format) without any image tool: one layer, one configuration.

For the two images that nothing can be built on top of: the pause image and the base made by debootstrap.
"""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from .errors import HarnessError

Filter = Callable[[tarfile.TarInfo], tarfile.TarInfo | None]


def write(
    archive: Path,
    reference: str,
    layer: Path,
    *,
    entrypoint: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    user: str = "",
) -> None:
    """Write `archive` with `layer` (an uncompressed tar) as the only layer of `reference`; replaces it as a whole."""
    with layer.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    config = {
        "architecture": _architecture(),
        "os": "linux",
        "config": {
            "Entrypoint": list(entrypoint) or None,
            "Env": [f"{key}={value}" for key, value in (environment or {}).items()],
            "User": user,
            "WorkingDir": "/",
        },
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
        "history": [{"created_by": "tests.harness"}],
    }
    config_text = json.dumps(config).encode()
    config_name = f"{hashlib.sha256(config_text).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [reference], "Layers": ["layer.tar"]}]
    fresh = archive.with_suffix(".tmp")
    with tarfile.open(fresh, "w") as tar:
        _add(tar, config_name, config_text)
        tar.add(layer, "layer.tar")
        _add(tar, "manifest.json", json.dumps(manifest).encode())
    fresh.rename(archive)


def pack(folder: Path, layer: Path, keep: Filter) -> None:
    """Pack `folder` as the root of a layer; `keep` drops entries by returning None and resets what must not vary."""
    with tarfile.open(layer, "w") as tar:
        tar.add(folder, ".", filter=keep)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    tar.addfile(entry, io.BytesIO(content))


def _architecture() -> str:
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    machine = platform.machine()
    if machine not in names:
        raise HarnessError(f"cannot make an image for {machine}: only x86_64 and aarch64 are known here")
    return names[machine]
