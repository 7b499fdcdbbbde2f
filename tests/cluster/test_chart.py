"""The chart in a real cluster: install, inject, upgrade, uninstall, install again; and that it may do no more than it needs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.harness.cluster import Cluster
from tests.harness.errors import HarnessError
from tests.harness.install import NAMESPACE, install
from tests.harness.paths import REPOSITORY

pytestmark = [pytest.mark.cluster, pytest.mark.patient]

CHART = REPOSITORY / "charts/rollcall"
SHOP = "chart-test"
OPERATOR = f"system:serviceaccount:{NAMESPACE}:rollcall"
OBJECTS = f"""
apiVersion: v1
kind: Namespace
metadata:
  name: {SHOP}
  labels: {{rollcall.dev/inject: enabled, pod-security.kubernetes.io/enforce: restricted}}
---
apiVersion: rollcall.dev/v1alpha1
kind: MonitoredService
metadata: {{name: web, namespace: {SHOP}}}
spec: {{selector: {{matchLabels: {{app: web}}}}}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: viewer, namespace: {SHOP}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: viewer, namespace: {SHOP}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}}
subjects: [{{kind: ServiceAccount, name: viewer, namespace: {SHOP}}}]
"""


@pytest.fixture(scope="module")
def release(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster with the chart installed and a namespace with a service."""
    install(cluster)
    cluster.kubectl("apply", "-f", "-", input=OBJECTS)
    yield cluster
    cluster.kubectl("delete", "namespace", SHOP, "--wait=false")


def pod(name: str, namespace: str = SHOP, labels: dict[str, str] | None = None) -> str:
    """A pod that passes `restricted`; with a dry run it needs no image."""
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": namespace, "labels": {"app": "web"} if labels is None else labels},
            "spec": {
                "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [{"name": "web", "image": "docker.io/rollcall/newsfeed:dev", "securityContext": security}],
            },
        }
    )


def init_containers(cluster: Cluster, manifest: str) -> list[str]:
    """The init containers of the pod that the API server would store."""
    began_s = time.monotonic()
    made = json.loads(cluster.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", input=manifest))
    print(f"{made['metadata']['name']} after {time.monotonic() - began_s:.2f} s: {made['metadata'].get('annotations')}")
    return [container["name"] for container in made["spec"].get("initContainers", [])]


def may(cluster: Cluster, who: str, question: str, namespace: str = SHOP) -> bool:
    answer = cluster.kubectl("auth", "can-i", *question.split(), "--as", who, "-n", namespace, check=False)
    return answer.strip() == "yes"


def ca_bundle(cluster: Cluster) -> str:
    path = "jsonpath={.webhooks[0].clientConfig.caBundle}"
    return cluster.kubectl("get", "mutatingwebhookconfiguration", "rollcall", "-o", path)


def traces(cluster: Cluster) -> set[str]:
    """Everything in the cluster that carries our name, apart from what `kubectl` and the tests put there."""
    kinds = "configmap,secret,serviceaccount,service,endpointslice,lease,role,rolebinding,deployment,replicaset,job,pdb"
    cluster_kinds = "clusterrole,clusterrolebinding,mutatingwebhookconfiguration"
    found = [
        *cluster.kubectl("get", kinds, "-A", "-o", "name").split(),
        *cluster.kubectl("get", cluster_kinds, "-o", "name").split(),
    ]
    nodes = {f"lease.coordination.k8s.io/{node.name}" for node in cluster.nodes}  # named after the cluster, not after us
    return {name for name in found if "rollcall" in name} - nodes


def test_lint_is_clean(cluster: Cluster) -> None:
    said = cluster.helm("lint", "--strict", CHART)
    assert "[WARNING]" not in said
    assert "[ERROR]" not in said


def test_a_misspelt_value_is_refused(cluster: Cluster) -> None:
    with pytest.raises(HarnessError, match="replica"):
        cluster.helm("template", "rollcall", CHART, "--kube-version=1.34.0", "--set=replica=2")


def test_a_matching_pod_is_injected_under_restricted(release: Cluster) -> None:
    assert init_containers(release, pod("web")) == ["rollcall-agent", "rollcall-probes"]


def test_other_pods_are_left_alone(release: Cluster) -> None:
    assert init_containers(release, pod("other", labels={"app": "other"})) == []
    assert init_containers(release, pod("out", labels={"app": "web", "rollcall.dev/inject": "disabled"})) == []
    assert init_containers(release, pod("elsewhere", namespace="default")) == []


def test_an_injected_pod_is_left_as_it_is(release: Cluster) -> None:
    once = release.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", input=pod("twice"))
    made = json.loads(once)
    made["metadata"].pop("uid")
    twice = json.loads(release.kubectl("create", "--dry-run=server", "-o", "json", "-f", "-", input=json.dumps(made)))
    assert twice["spec"] == made["spec"]
    assert twice["metadata"]["annotations"] == made["metadata"]["annotations"]


@pytest.mark.parametrize(
    "question",
    [
        "list secrets",
        "get secrets/other",
        "create configmaps",
        "get configmaps/other",
        "create pods",
        "patch pods",
        "delete pods",
        "create pods/exec",
        "patch deployments.apps",
        "patch nodes",
        "get nodes --subresource=proxy",
        "get pods --subresource=log",
        "delete events",
        "patch mutatingwebhookconfigurations/other",
        "create mutatingwebhookconfigurations",
        "patch monitoredservices.rollcall.dev",
        "delete monitoredservices.rollcall.dev",
        "create clusterrolebindings",
        "impersonate users",
    ],
)
def test_the_operator_may_not(release: Cluster, question: str) -> None:
    assert not may(release, OPERATOR, question)


def test_the_operator_reads_its_own_secrets_only(release: Cluster) -> None:
    for secret in ("rollcall-certs", "rollcall-visitors"):
        assert may(release, OPERATOR, f"get secrets/{secret}", NAMESPACE)
    assert not may(release, OPERATOR, "get secrets/other", NAMESPACE)
    assert not may(release, OPERATOR, "get secrets/rollcall-certs", SHOP)


def test_kubelets_are_asked_unless_somebody_says_no(cluster: Cluster) -> None:
    asked = cluster.helm("template", "rollcall", CHART, "--kube-version=1.34.0")
    assert "nodes/stats" in asked
    assert '{name: ROLLCALL_KUBELET, value: "true"}' in asked
    silent = cluster.helm("template", "rollcall", CHART, "--kube-version=1.34.0", "--set=kubelet.enabled=false")
    assert "nodes/stats" not in silent
    assert '{name: ROLLCALL_KUBELET, value: "false"}' in silent


def test_a_viewer_of_the_namespace_may_see_services_live(release: Cluster) -> None:
    viewer = f"system:serviceaccount:{SHOP}:viewer"
    assert may(release, viewer, "get monitoredservices.rollcall.dev")
    assert may(release, viewer, "get monitoredservices.rollcall.dev --subresource=live")
    assert not may(release, viewer, "patch monitoredservices.rollcall.dev")
    assert not may(release, viewer, "get monitoredservices.rollcall.dev --subresource=live", "default")
    assert may(release, viewer, "get configmaps/rollcall-ca", NAMESPACE)


def test_upgrade_uninstall_and_install_again(release: Cluster) -> None:
    before = ca_bundle(release)
    assert before
    install(release, "replicas=2")
    assert ca_bundle(release) == before
    assert init_containers(release, pod("upgraded")) == ["rollcall-agent", "rollcall-probes"]

    release.helm("uninstall", "rollcall", "--namespace", NAMESPACE, "--wait")
    assert traces(release) == set()
    assert "web" in release.kubectl("get", "monitoredservices", "-n", SHOP, "-o", "name")
    assert init_containers(release, pod("bare")) == []

    install(release)
    assert init_containers(release, pod("again")) == ["rollcall-agent", "rollcall-probes"]
