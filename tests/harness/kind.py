"""The provider for machines with a Docker engine: kind does the work, this only calls it.

Written against kind's documentation; not yet tried on a machine with Docker.
"""

import tempfile
from pathlib import Path

import yaml

from . import binaries, paths
from .commands import run
from .images import Image
from .progress import step


def kubeconfig(name: str) -> Path:
    """Where this cluster's kubeconfig is written; the user's own is never touched."""
    return paths.clusters() / name / "kind-kubeconfig"


def up(name: str, nodes: int) -> Path:
    """Create the cluster unless it exists; one control-plane node and `nodes` workers. Returns its kubeconfig."""
    if name not in _kind("get", "clusters").split():
        roles = [{"role": "control-plane"}, *({"role": "worker"} for _ in range(nodes))]
        config = {"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": roles}
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file, step(f"kind create cluster {name}"):
            yaml.safe_dump(config, file)
            file.flush()
            target = kubeconfig(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            _kind("create", "cluster", "--name", name, "--config", file.name, "--kubeconfig", str(target), "--wait", "120s")
    else:
        _kind("export", "kubeconfig", "--name", name, "--kubeconfig", str(kubeconfig(name)))
    return kubeconfig(name)


def load(name: str, image: Image) -> None:
    """Import the image's archive into every node."""
    _kind("load", "image-archive", str(image.archive), "--name", name)


def logs(name: str, folder: Path) -> None:
    """Write the logs of all components below `folder`."""
    _kind("export", "logs", str(folder), "--name", name)


def down(name: str) -> None:
    """Delete the cluster."""
    _kind("delete", "cluster", "--name", name, "--kubeconfig", str(kubeconfig(name)))
    kubeconfig(name).unlink(missing_ok=True)


def _kind(*arguments: str) -> str:
    return run([binaries.kind(), *arguments])
