"""Server binaries: built once from Go modules into the cache, keyed by version.

Nobody publishes them where a machine without Docker can take them from, and a build makes every platform alike. kubectl and
helm are taken from PATH where they fit.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import paths
from .commands import run
from .errors import HarnessError
from .progress import step

KUBERNETES = "v1.34.4"
ETCD = "v3.6.4"
COREDNS = "v1.12.4"
HELM = "v3.19.2"
KIND = "v0.30.0"


@dataclass(frozen=True)
class Binary:
    """One executable: its place in the cache and the Go package it comes from."""

    name: str
    family: str
    version: str
    package: str
    listed: bool = True
    """Whether gobuild/go.mod lists it; the others are built by `go install package@version`."""

    @property
    def path(self) -> Path:
        return paths.binaries() / f"{self.family}-{self.version}" / self.name


def _kubernetes(name: str) -> Binary:
    return Binary(name, "kubernetes", KUBERNETES, f"k8s.io/kubernetes/cmd/{name}")


APISERVER = _kubernetes("kube-apiserver")
CONTROLLER_MANAGER = _kubernetes("kube-controller-manager")
SCHEDULER = _kubernetes("kube-scheduler")
KUBELET = _kubernetes("kubelet")
PROXY = _kubernetes("kube-proxy")
KUBECTL = _kubernetes("kubectl")
ETCD_SERVER = Binary("etcd", "etcd", ETCD, "go.etcd.io/etcd/server/v3")
DNS = Binary("coredns", "coredns", COREDNS, "github.com/coredns/coredns", listed=False)
HELM_CLIENT = Binary("helm", "helm", HELM, "helm.sh/helm/v3/cmd/helm", listed=False)
KIND_CLIENT = Binary("kind", "kind", KIND, "sigs.k8s.io/kind", listed=False)
PAUSE = Binary("pause", "pause", "v1", str(paths.PAUSE_SOURCE))

SERVERS = (ETCD_SERVER, APISERVER, CONTROLLER_MANAGER, SCHEDULER, KUBELET, PROXY, DNS, PAUSE)


def ensure(binary: Binary) -> Path:
    """Return the executable's path; build it when the cache lacks it (minutes, once).

    Raises HarnessError when Go is missing or the build fails.
    """
    if binary.path.is_file():
        return binary.path
    if shutil.which("go") is None:
        raise HarnessError(f"cannot build {binary.name} {binary.version}: Go (1.24 or newer) is not on PATH")
    binary.path.parent.mkdir(parents=True, exist_ok=True)
    with _one_at_a_time(binary), step(f"build {binary.name} {binary.version} (once)"):
        if binary.path.is_file():  # another run has built it meanwhile
            pass
        elif binary.listed:
            _build(binary)
        else:
            _install(binary)
    return binary.path


@contextmanager
def _one_at_a_time(binary: Binary) -> Iterator[None]:
    """Two runs that need the same binary do not build it at the same place at once."""
    with (binary.path.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def kubectl() -> Path:
    """A kubectl that is at most one minor version away from the servers: PATH's, else one built from their source."""
    wanted = int(KUBERNETES.split(".")[1])
    found = shutil.which("kubectl")
    if found and not KUBECTL.path.is_file():
        try:
            version = json.loads(run([found, "version", "--client", "-o", "json"]))["clientVersion"]
            if version["major"] == "1" and abs(int(version["minor"].rstrip("+")) - wanted) <= 1:
                return Path(found)
        except (HarnessError, ValueError, KeyError):
            pass  # a broken kubectl is as good as none
    return ensure(KUBECTL)


def helm() -> Path:
    """Helm 3: PATH's, else one built from source."""
    found = shutil.which("helm")
    if found and not HELM_CLIENT.path.is_file():
        try:
            if run([found, "version", "--template", "{{.Version}}"]).startswith("v3."):
                return Path(found)
        except HarnessError:
            pass
    return ensure(HELM_CLIENT)


def kind() -> Path:
    """kind from PATH, else built from source."""
    found = shutil.which("kind")
    return Path(found) if found else ensure(KIND_CLIENT)


def _build(binary: Binary) -> None:
    fresh = binary.path.with_suffix(".tmp")
    flags = "-s -w " + _version_flags() if binary.family == "kubernetes" else "-s -w"
    run(
        ["go", "build", "-trimpath", "-ldflags", flags, "-o", fresh, binary.package],
        cwd=paths.GOBUILD,
        env=os.environ | {"CGO_ENABLED": "0"},
    )
    fresh.rename(binary.path)


def _install(binary: Binary) -> None:
    target = binary.path.parent / ".tmp"
    run(
        ["go", "install", "-trimpath", "-ldflags", "-s -w", f"{binary.package}@{binary.version}"],
        cwd=paths.GOBUILD,
        env=os.environ | {"CGO_ENABLED": "0", "GOBIN": str(target)},
    )
    (target / binary.name).rename(binary.path)
    target.rmdir()


def _version_flags() -> str:
    # Without them a server calls itself v0.0.0 and clients misjudge what it can do.
    major, minor, _ = KUBERNETES.removeprefix("v").split(".")
    values = {"gitVersion": KUBERNETES, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    return " ".join(f"-X k8s.io/component-base/version.{key}={value}" for key, value in values.items())
