"""Reads and writes container image archives without any image tool.

Written are the `docker save` format with one layer, for images that are built on nothing (pause, debootstrap), and the OCI
format without the layers that a node already has: most of every image of ours is the same base.
"""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Callable, Container, Mapping, Sequence
from pathlib import Path

from .errors import HarnessError

_OCI = "application/vnd.oci.image"
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


def trim(archive: Path, reference: str, present: Container[str], target: Path) -> None:
    """Write the image of a `docker save` archive to `target` in OCI format, without the blobs in `present`.

    `present` holds digests as containerd prints them, `sha256:...`; what is left out must be in the node's content store.
    """
    with tarfile.open(archive) as source, tarfile.open(target, "w") as result:
        (entry,) = json.loads(_read(source, "manifest.json"))
        config = _read(source, entry["Config"])
        layers: list[dict[str, object]] = []
        for digest, name in zip(json.loads(config)["rootfs"]["diff_ids"], entry["Layers"], strict=True):
            content = source.extractfile(name)  # follows the link that stands for a layer seen before
            if content is None:
                raise HarnessError(f"cannot read {archive}: its layer {name} is no file")
            size = content.seek(0, io.SEEK_END)
            if digest not in present and digest not in {layer["digest"] for layer in layers}:
                content.seek(0)
                blob = tarfile.TarInfo(_blob(digest))
                blob.size = size
                result.addfile(blob, content)
            layers.append({"mediaType": f"{_OCI}.layer.v1.tar", "digest": digest, "size": size})
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{_OCI}.manifest.v1+json",
            "config": _store(result, config) | {"mediaType": f"{_OCI}.config.v1+json"},
            "layers": layers,
        }
        described = _store(result, json.dumps(manifest).encode()) | {
            "mediaType": f"{_OCI}.manifest.v1+json",
            "annotations": {"io.containerd.image.name": reference},
        }
        _add(result, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _add(result, "index.json", json.dumps({"schemaVersion": 2, "manifests": [described]}).encode())


def _store(tar: tarfile.TarFile, content: bytes) -> dict[str, object]:
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    _add(tar, _blob(digest), content)
    return {"digest": digest, "size": len(content)}


def _blob(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    content = tar.extractfile(name)
    if content is None:
        raise HarnessError(f"{name} is no file in an image archive")
    return content.read()


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
