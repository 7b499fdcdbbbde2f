"""One node: namespaces of its own with containerd, kubelet and kube-proxy at their usual paths.

Network, mounts and pids are the node's, held by one process. When that process dies the kernel ends and unmounts everything
in there: a power cut for a test, and no leftovers after a killed run.
"""

import time
from pathlib import Path

from .. import archive, binaries
from ..commands import run
from ..errors import HarnessError
from ..images import Image
from . import cgroups, network, processes, settings
from .certificates import Authority
from .plan import NodePlan, Plan
from .processes import Namespaces, Process

_DISK = {"kubelet": "/var/lib/kubelet", "containerd": "/var/lib/containerd", "pods": "/var/log/pods"}
"""Folders of a node that are on disk, below the node's folder, and where the node sees them."""
_MEMORY = ("/run/netns", "/run/containerd", "/var/lib/cni", "/var/log/containers")
_KERNEL = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What a kubelet sets for the whole machine: it gets files to write to instead, the machine is not ours."""

_INPUTS_LABEL = "rollcall.dev/inputs"


class Node:
    """A node of a local cluster; tests stop, start, disconnect and connect it."""

    def __init__(self, plan: Plan, node: NodePlan) -> None:
        self._plan = plan
        self._node = node

    @property
    def name(self) -> str:
        return self._node.name

    @property
    def alive(self) -> bool:
        """Whether the holder and all three servers run."""
        return all(processes.find(f"{self.name}.{part}", self._plan.folder) for part in ("holder", *_COMMANDS))

    def prepare(self, authority: Authority) -> None:
        """Write certificates and configuration; once per start of the cluster."""
        for name in _DISK:
            (self._node.folder / name).mkdir(parents=True, exist_ok=True)
        settings.write(self._plan, self._node, authority)

    def start_runtime(self) -> None:
        """Make the namespaces and start containerd in them."""
        cgroups.create(self._node.cgroup)
        processes.start_holder(f"{self.name}.holder", binaries.PAUSE.path, self._plan.folder)
        self._mount()
        network.attach(self._plan, self._node, self._namespaces())
        self.start_part("containerd")

    def start_kubelet(self) -> None:
        """Start kubelet and kube-proxy; the API server should answer already."""
        self.start_part("kubelet")
        self.start_part("kube-proxy")

    def stop(self) -> None:
        """Cut the power: everything in the node ends at once and nobody is told."""
        processes.stop([p for p in processes.recorded(self._plan.folder) if p.name == f"{self.name}.holder"], grace_s=0)
        cgroups.remove(self._node.cgroup)

    def start(self) -> None:
        """Switch the node on again after `stop`; its images and volumes are still there."""
        self.start_runtime()
        self.wait_runtime()
        self.start_kubelet()

    def stop_part(self, part: str) -> None:
        """End one of `containerd`, `kubelet`, `kube-proxy`; containers go on."""
        processes.stop([p for p in [self._find(part)] if p is not None])

    def start_part(self, part: str) -> None:
        """Start one part (again), unless it runs."""
        if self._find(part) is None:
            argv = _COMMANDS[part](self._node)
            processes.start(f"{self.name}.{part}", argv, self._plan.folder, inside=self._namespaces())

    def disconnect(self) -> None:
        """Pull the network cable: pods go on, nobody hears of them."""
        network.set_link(self._node, up=False)

    def connect(self) -> None:
        """Plug the network cable in again."""
        network.set_link(self._node, up=True)

    def run(self, *argv: str | Path, input: str | None = None) -> str:  # noqa: A002 - the name that subprocess uses
        """Run a command inside the node (its network, mounts and pids) and return its output."""
        return run([*self._namespaces().enter(), *argv], input=input)

    def wait_runtime(self, timeout_s: float = 30.0) -> None:
        """Return when containerd answers. On a busy machine it may be refused for a moment after its socket is there, which its
        own waiting takes for an end."""
        until_s = time.monotonic() + timeout_s
        while True:
            try:
                self.run("ctr", "--connect-timeout", f"{timeout_s:.0f}s", "version")
            except HarnessError as error:
                if "connection refused" not in str(error) or time.monotonic() > until_s:
                    raise
                time.sleep(0.1)
            else:
                return

    def has(self, image: Image) -> bool:
        """Whether the node holds this very build of the image."""
        query = f'name=="{image.reference}",labels."{_INPUTS_LABEL}"=="{image.inputs}"'
        return image.reference in self._ctr("images", "list", "-q", query)

    def load(self, image: Image) -> None:
        """Import the image, without the layers that the node already has."""
        present = set(self._ctr("content", "list", "-q").split())
        trimmed = self._node.folder / f"{image.archive.stem}.trimmed.tar"
        try:
            archive.trim(image.archive, image.reference, present, trimmed)
            self._ctr("images", "import", trimmed)
        finally:
            trimmed.unlink(missing_ok=True)
        self._ctr("images", "label", image.reference, f"{_INPUTS_LABEL}={image.inputs}")

    def _ctr(self, *arguments: str | Path) -> str:
        return self.run("ctr", "--namespace", "k8s.io", *arguments)

    def _find(self, part: str) -> Process | None:
        return processes.find(f"{self.name}.{part}", self._plan.folder)

    def _namespaces(self) -> Namespaces:
        holder = self._find("holder")
        if holder is None:
            raise HarnessError(f"node {self.name} is switched off")
        return Namespaces(holder.pid)

    def _mount(self) -> None:
        kernel = self._node.folder / "kernel"
        lines = ["set -e", "mount --make-rshared /"]
        for path in (*_DISK.values(), *_MEMORY):
            Path(path).mkdir(parents=True, exist_ok=True)
        lines += [f"mount --bind '{self._node.folder / name}' {path}" for name, path in _DISK.items()]
        lines += [f"mount -t tmpfs tmpfs {path}" for path in _MEMORY]
        for name, value in _KERNEL.items():
            file = kernel / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(value)
            lines.append(f"test ! -e /proc/sys/{name} || mount --bind '{file}' /proc/sys/{name}")
        self.run("sh", "-c", "\n".join(lines))


def _containerd(node: NodePlan) -> list[str | Path]:
    return ["containerd", "--config", node.folder / "containerd.toml"]


def _kubelet(node: NodePlan) -> list[str | Path]:
    files = [f"--config={node.folder}/kubelet.yaml", f"--kubeconfig={node.folder}/kubelet.kubeconfig"]
    return [binaries.KUBELET.path, *files, f"--hostname-override={node.name}", f"--node-ip={node.address}"]


def _proxy(node: NodePlan) -> list[str | Path]:
    return [binaries.PROXY.path, f"--config={node.folder}/kube-proxy.yaml"]


_COMMANDS = {"containerd": _containerd, "kubelet": _kubelet, "kube-proxy": _proxy}
