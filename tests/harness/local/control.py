"""etcd, kube-apiserver, kube-controller-manager, kube-scheduler and CoreDNS: what they are started with.

Only the API server and DNS listen where pods can reach them; the rest is on a loopback address. The rates suit load tests
with thousands of pods.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .. import binaries
from . import processes
from .certificates import Authority, Pair, signing_key
from .plan import Plan

_RATE = {"kube-api-qps": "1000", "kube-api-burst": "2000"}
DNS_PORT = 10053


@dataclass(frozen=True)
class Keys:
    """All the cluster's credentials, made before anything starts."""

    authority: Authority
    front_proxy: Authority
    apiserver: Pair
    kubelet_client: Pair
    proxy_client: Pair
    service_accounts: Pair


def make_keys(plan: Plan) -> Keys:
    """Make authorities, serving and client certificates, and the kubeconfigs of the control plane and of the admin."""
    folder = plan.folder / "pki"
    authority, front_proxy = Authority(folder, "ca"), Authority(folder, "front-proxy-ca")
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost"]
    keys = Keys(
        authority=authority,
        front_proxy=front_proxy,
        apiserver=authority.issue("kube-apiserver", hosts=[*names, plan.control_address, plan.first_service]),
        kubelet_client=authority.issue("kube-apiserver-kubelet-client", groups=["system:masters"]),
        proxy_client=front_proxy.issue("front-proxy-client"),
        service_accounts=signing_key(folder),
    )
    for user in ("system:kube-controller-manager", "system:kube-scheduler", "system:coredns"):
        client = authority.issue(user)
        authority.kubeconfig(_kubeconfig(plan, user), plan.server, client, plan.name)
    admin = authority.issue("kubernetes-admin", groups=["system:masters"])
    authority.kubeconfig(plan.kubeconfig, plan.server, admin, f"rollcall-local-{plan.name}")
    return keys


def start_etcd(plan: Plan) -> None:
    """Start etcd on the loopback address, without fsync: this cluster's data need not survive the machine."""
    clients, peers = f"http://{plan.private_address}:2379", f"http://{plan.private_address}:2380"
    options = {
        "name": plan.name,
        "data-dir": str(plan.folder / "etcd"),
        "listen-client-urls": clients,
        "advertise-client-urls": clients,
        "listen-peer-urls": peers,
        "initial-advertise-peer-urls": peers,
        "initial-cluster": f"{plan.name}={peers}",
        "unsafe-no-fsync": "true",
        "quota-backend-bytes": str(4 << 30),
        "auto-compaction-retention": "5m",
        "log-level": "warn",
    }
    processes.start("etcd", [binaries.ETCD_SERVER.path, *_flags(options)], plan.folder)


def start_apiserver(plan: Plan, keys: Keys) -> None:
    """Start kube-apiserver on the bridge's address, port 6443."""
    authority, front_proxy = keys.authority.pair.certificate, keys.front_proxy.pair.certificate
    options = {
        "advertise-address": plan.control_address,
        "bind-address": plan.control_address,
        "secure-port": "6443",
        "etcd-servers": f"http://{plan.private_address}:2379",
        "service-cluster-ip-range": plan.services_range,
        "allow-privileged": "true",
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "client-ca-file": str(authority),
        "tls-cert-file": str(keys.apiserver.certificate),
        "tls-private-key-file": str(keys.apiserver.key),
        "kubelet-certificate-authority": str(authority),
        "kubelet-client-certificate": str(keys.kubelet_client.certificate),
        "kubelet-client-key": str(keys.kubelet_client.key),
        "kubelet-preferred-address-types": "InternalIP",
        "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
        "service-account-key-file": str(keys.service_accounts.certificate),
        "service-account-signing-key-file": str(keys.service_accounts.key),
        # It reaches webhooks and aggregated APIs by endpoint: the root namespace has no kube-proxy.
        "enable-aggregator-routing": "true",
        "requestheader-client-ca-file": str(front_proxy),
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-username-headers": "X-Remote-User",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "proxy-client-cert-file": str(keys.proxy_client.certificate),
        "proxy-client-key-file": str(keys.proxy_client.key),
        "max-requests-inflight": "2000",
        "max-mutating-requests-inflight": "1000",
    }
    processes.start("kube-apiserver", [binaries.APISERVER.path, *_flags(options)], plan.folder)


def start_controllers(plan: Plan, keys: Keys) -> None:
    """Start controller manager, scheduler and CoreDNS; the API server should answer already."""
    authority = keys.authority.pair
    manager = _client_options(plan, "system:kube-controller-manager") | {
        "cluster-name": plan.name,
        "cluster-signing-cert-file": str(authority.certificate),
        "cluster-signing-key-file": str(authority.key),
        "root-ca-file": str(authority.certificate),
        "service-account-private-key-file": str(keys.service_accounts.key),
        "use-service-account-credentials": "true",
        "concurrent-replicaset-syncs": "20",
        # A node that is lost is noticed in a time that a test can wait for.
        "node-monitor-grace-period": "20s",
        "node-monitor-period": "2s",
    }
    processes.start("kube-controller-manager", [binaries.CONTROLLER_MANAGER.path, *_flags(manager)], plan.folder)
    scheduler = _client_options(plan, "system:kube-scheduler")
    processes.start("kube-scheduler", [binaries.SCHEDULER.path, *_flags(scheduler)], plan.folder)
    corefile = plan.folder / "Corefile"
    corefile.write_text(_corefile(plan))
    processes.start("coredns", [binaries.DNS.path, "-conf", corefile], plan.folder)


def dns_manifest(plan: Plan) -> str:
    """The kube-dns Service with the address of the CoreDNS process behind it, and what CoreDNS may read.

    A process and not pods, so that a test which kills a node does not take the names of the whole cluster with it.
    """
    return _DNS_MANIFEST.format(service=plan.dns_service, address=plan.control_address, port=DNS_PORT)


def _client_options(plan: Plan, user: str) -> dict[str, str]:
    file = str(_kubeconfig(plan, user))
    return _RATE | {
        "kubeconfig": file,
        "authentication-kubeconfig": file,
        "authorization-kubeconfig": file,
        "bind-address": plan.private_address,
        "leader-elect": "false",
    }


def _kubeconfig(plan: Plan, user: str) -> Path:
    return plan.folder / "pki" / f"{user.replace(':', '-')}.kubeconfig"


def _flags(options: Mapping[str, str]) -> list[str]:
    return [f"--{key}={value}" for key, value in options.items()]


def _corefile(plan: Plan) -> str:
    return f"""\
.:{DNS_PORT} {{
    bind {plan.control_address}
    errors
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {_kubeconfig(plan, "system:coredns")} {plan.name}
        pods insecure
        ttl 5
    }}
    cache 5
    loadbalance
}}
"""


_DNS_MANIFEST = """\
apiVersion: v1
kind: Service
metadata: {{name: kube-dns, namespace: kube-system, labels: {{k8s-app: kube-dns}}}}
spec:
  clusterIP: {service}
  ports:
  - {{name: dns, port: 53, targetPort: {port}, protocol: UDP}}
  - {{name: dns-tcp, port: 53, targetPort: {port}, protocol: TCP}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {{name: kube-dns-local, namespace: kube-system, labels: {{kubernetes.io/service-name: kube-dns}}}}
addressType: IPv4
endpoints: [{{addresses: ["{address}"]}}]
ports:
- {{name: dns, port: {port}, protocol: UDP}}
- {{name: dns-tcp, port: {port}, protocol: TCP}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {{name: "system:coredns"}}
rules:
- {{apiGroups: [""], resources: [services, pods, namespaces], verbs: [list, watch]}}
- {{apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {{name: "system:coredns"}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:coredns"}}
subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: "system:coredns"}}]
"""
