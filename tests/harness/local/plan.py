"""What one cluster's name, addresses and folders are: pure values, derived from its name and a small index."""

from dataclasses import dataclass
from pathlib import Path

from .. import paths

CLUSTERS = 8
"""How many clusters fit beside each other; the ranges below are cut for it."""
_BRIDGES, _PODS, _SERVICES = 232, 240, 248
"""Second octets of 10.0.0.0/8: bridges share one /16, pods and services have one /16 per cluster."""


@dataclass(frozen=True)
class NodePlan:
    """Addresses, names and folders of one node."""

    name: str
    number: int
    address: str
    pod_range: str
    veth: str
    folder: Path
    cgroup: str
    """Below each cgroup controller, without a leading slash."""


@dataclass(frozen=True)
class Plan:
    """Everything about a cluster that follows from its name, its index and its number of nodes."""

    name: str
    index: int
    node_count: int

    @property
    def folder(self) -> Path:
        return paths.clusters() / self.name

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def bridge(self) -> str:
        return f"rollcall{self.index}"

    @property
    def control_address(self) -> str:
        return f"10.{_BRIDGES}.{self.index}.1"

    @property
    def private_address(self) -> str:
        """A loopback address for what pods must not reach: etcd, controller manager, scheduler."""
        return f"127.{_BRIDGES}.{self.index}.1"

    @property
    def server(self) -> str:
        return f"https://{self.control_address}:6443"

    @property
    def pods_range(self) -> str:
        return f"10.{_PODS + self.index}.0.0/16"

    @property
    def services_range(self) -> str:
        return f"10.{_SERVICES + self.index}.0.0/16"

    @property
    def first_service(self) -> str:
        return f"10.{_SERVICES + self.index}.0.1"

    @property
    def dns_service(self) -> str:
        return f"10.{_SERVICES + self.index}.0.10"

    @property
    def cgroup(self) -> str:
        return f"rollcall/{self.name}"

    @property
    def nodes(self) -> tuple[NodePlan, ...]:
        return tuple(self._node(number) for number in range(1, self.node_count + 1))

    def _node(self, number: int) -> NodePlan:
        name = f"{self.name}-node{number}"
        return NodePlan(
            name=name,
            number=number,
            address=f"10.{_BRIDGES}.{self.index}.{10 + number}",
            pod_range=f"10.{_PODS + self.index}.{number}.0/24",
            veth=f"rc{self.index}n{number}",
            folder=self.folder / "nodes" / name,
            cgroup=f"{self.cgroup}/{name}",
        )
