"""Certificates and configuration files of one node's containerd, CNI, kubelet and kube-proxy."""

import json
from pathlib import Path

import yaml

from .certificates import Authority
from .plan import NodePlan, Plan

PAUSE_IMAGE = "docker.io/rollcall/pause:dev"


def write(plan: Plan, node: NodePlan, authority: Authority) -> None:
    """Write everything that the node's servers read into the node's folder."""
    folder = node.folder
    kubelet = authority.issue(f"system:node:{node.name}", groups=["system:nodes"], hosts=[node.name, node.address])
    authority.kubeconfig(folder / "kubelet.kubeconfig", plan.server, kubelet, plan.name)
    proxy = authority.issue("system:kube-proxy", file=f"{node.name}-kube-proxy")
    authority.kubeconfig(folder / "kube-proxy.kubeconfig", plan.server, proxy, plan.name)
    (folder / "resolv.conf").write_text("# a node asks nobody outside the cluster\n")
    (folder / "cni").mkdir(exist_ok=True)
    (folder / "cni" / "10-rollcall.conflist").write_text(json.dumps(_cni(node), indent=1))
    (folder / "containerd.toml").write_text(_containerd(folder))
    kubelet_config = _kubelet(plan, node, authority.pair.certificate, kubelet.certificate, kubelet.key)
    (folder / "kubelet.yaml").write_text(yaml.safe_dump(kubelet_config))
    (folder / "kube-proxy.yaml").write_text(yaml.safe_dump(_proxy(plan, node)))


def _cni(node: NodePlan) -> dict[str, object]:
    # Point-to-point links: all of a pod's traffic is routed, so a service whose pod is on the same node works without
    # netfilter seeing bridged packets.
    return {
        "cniVersion": "1.0.0",
        "name": "rollcall",
        "plugins": [
            {
                "type": "ptp",
                "mtu": 1500,
                "ipam": {
                    "type": "host-local",
                    "dataDir": "/run/containerd/addresses",
                    "ranges": [[{"subnet": node.pod_range}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _containerd(folder: Path) -> str:
    return f"""\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"

[grpc]
  address = "/run/containerd/containerd.sock"

[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = {"false" if _may_lower_oom_score() else "true"}

[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "{folder}/cni"
"""


def _may_lower_oom_score() -> bool:
    # CAP_SYS_RESOURCE is bit 24. Without it runc fails on a score below the current one.
    status = Path("/proc/self/status").read_text()
    effective = next(line for line in status.splitlines() if line.startswith("CapEff:"))
    return bool(int(effective.split()[1], 16) >> 24 & 1)


def _kubelet(plan: Plan, node: NodePlan, authority: Path, certificate: Path, key: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(certificate),
        "tlsPrivateKeyFile": str(key),
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "clusterDNS": [plan.dns_service],
        "clusterDomain": "cluster.local",
        "resolvConf": str(node.folder / "resolv.conf"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": ["pods"],
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "podLogsDir": "/var/log/pods",
        "maxPods": 250,
        "serializeImagePulls": False,
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
        "nodeLeaseDurationSeconds": 20,
        "nodeStatusUpdateFrequency": "4s",
        "shutdownGracePeriod": "0s",
    }


def _proxy(plan: Plan, node: NodePlan) -> dict[str, object]:
    unset: dict[str, object] = {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "hostnameOverride": node.name,
        "clusterCIDR": plan.pods_range,
        "clientConnection": {"kubeconfig": str(node.folder / "kube-proxy.kubeconfig")},
        # Connection tracking limits belong to the whole machine.
        "conntrack": unset,
    }
