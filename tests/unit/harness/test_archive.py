"""Image archives: what is written can be read, and a trimmed one lacks exactly what is present."""

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from tests.harness import archive


@pytest.fixture
def saved(tmp_path: Path) -> tuple[Path, str]:
    """A `docker save` archive of one layer, and that layer's digest."""
    root, layer, file = tmp_path / "root", tmp_path / "layer.tar", tmp_path / "image.tar"
    root.mkdir()
    (root / "hello").write_text("hello")
    archive.pack(root, layer, lambda entry: entry)
    archive.write(file, "docker.io/rollcall/x:dev", layer, entrypoint=["/hello"], user="65532")
    return file, f"sha256:{hashlib.sha256(layer.read_bytes()).hexdigest()}"


def _blobs(file: Path) -> dict[str, bytes]:
    with tarfile.open(file) as tar:
        contents = {member.name: tar.extractfile(member) for member in tar.getmembers()}
        return {name: content.read() for name, content in contents.items() if content is not None}


def test_the_saved_archive_names_image_layer_and_user(saved: tuple[Path, str]) -> None:
    file, digest = saved
    blobs = _blobs(file)
    (entry,) = json.loads(blobs["manifest.json"])
    config = json.loads(blobs[entry["Config"]])
    assert entry["RepoTags"] == ["docker.io/rollcall/x:dev"]
    assert config["rootfs"]["diff_ids"] == [digest]
    assert config["config"]["User"] == "65532"


@pytest.mark.parametrize("known", [False, True])
def test_a_trimmed_archive_leaves_out_what_is_present(saved: tuple[Path, str], tmp_path: Path, known: bool) -> None:
    file, digest = saved
    target = tmp_path / "trimmed.tar"
    archive.trim(file, "docker.io/rollcall/x:dev", {digest} if known else set(), target)
    blobs = _blobs(target)
    (described,) = json.loads(blobs["index.json"])["manifests"]
    manifest = json.loads(blobs[f"blobs/{described['digest'].replace(':', '/')}"])
    assert described["annotations"] == {"io.containerd.image.name": "docker.io/rollcall/x:dev"}
    assert [layer["digest"] for layer in manifest["layers"]] == [digest]
    assert (f"blobs/{digest.replace(':', '/')}" in blobs) is not known
    for name, content in blobs.items():
        if name.startswith("blobs/"):
            assert hashlib.sha256(content).hexdigest() == name.rpartition("/")[2]
