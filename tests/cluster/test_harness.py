"""The harness gives a real cluster: what the other cluster tests take for granted is tried here."""

import errno
import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from tests.harness.cluster import Cluster
from tests.harness.errors import HarnessError

pytestmark = [pytest.mark.cluster, pytest.mark.patient]

_NAMESPACE = "harness-test"
_SERVER = """
import http.server, socket
class Name(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(socket.gethostname().encode())
http.server.HTTPServer(("", 8000), Name).serve_forever()
"""
_SECURITY = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}


def _container(name: str, *code: str) -> dict[str, Any]:
    command = ["python3", "-c", *code]
    return {"name": name, "image": "docker.io/rollcall/load:dev", "command": command, "securityContext": _SECURITY}


def _manifests() -> list[dict[str, Any]]:
    labels = {"app": "web"}
    token = {"serviceAccountToken": {"audience": "rollcall.dev", "expirationSeconds": 3600, "path": "token"}}
    web = _container("web", _SERVER) | {
        "volumeMounts": [{"name": "token", "mountPath": "/token"}],
        "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1},
    }
    pod = {
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "terminationGracePeriodSeconds": 0,
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": labels},
            }
        ],
        "initContainers": [_container("sidecar", "import signal; signal.pause()") | {"restartPolicy": "Always"}],
        "containers": [web],
        "volumes": [{"name": "token", "projected": {"sources": [token]}}],
    }
    meta = {"name": "web", "namespace": _NAMESPACE}
    enforce = {"pod-security.kubernetes.io/enforce": "restricted"}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE, "labels": enforce}},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8000}]},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": meta,
            "spec": {
                "replicas": 2,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": pod},
            },
        },
    ]


def _items(cluster: Cluster, *query: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(cluster.kubectl("get", *query, "-o", "json"))["items"]
    return items


@pytest.fixture(scope="module")
def pods(cluster: Cluster) -> Iterator[list[dict[str, Any]]]:
    """Two web pods with a native sidecar, one per node, in a namespace that enforces `restricted`."""
    cluster.build("load")
    manifests = {"apiVersion": "v1", "kind": "List", "items": _manifests()}
    cluster.kubectl("apply", "-f", "-", input=json.dumps(manifests))
    cluster.kubectl("-n", _NAMESPACE, "rollout", "status", "deployment/web", "--timeout=60s")
    yield _items(cluster, "pods", "-n", _NAMESPACE, "-l", "app=web")
    cluster.kubectl("delete", "namespace", _NAMESPACE, "--wait=false")


def _inside(cluster: Cluster, pod: dict[str, Any], code: str) -> str:
    """Run Python code in the pod's web container and return what it prints."""
    return cluster.kubectl("-n", _NAMESPACE, "exec", pod["metadata"]["name"], "-c", "web", "--", "python3", "-c", code).strip()


def test_every_node_is_ready(cluster: Cluster) -> None:
    nodes = _items(cluster, "nodes")
    ready = [c["status"] for node in nodes for c in node["status"]["conditions"] if c["type"] == "Ready"]
    assert ready == ["True"] * 2


def test_pods_with_a_native_sidecar_run_on_both_nodes(pods: list[dict[str, Any]]) -> None:
    assert len({pod["spec"]["nodeName"] for pod in pods}) == 2
    for pod in pods:
        (sidecar,) = pod["status"]["initContainerStatuses"]
        assert sidecar["started"]
        assert sidecar["ready"]
        assert "running" in sidecar["state"]


def test_a_service_is_found_by_name_and_leads_to_pods_on_both_nodes(cluster: Cluster, pods: list[dict[str, Any]]) -> None:
    code = f"""
import socket, time, urllib.request
print(socket.gethostbyname("web.{_NAMESPACE}.svc"))
names, deadline = set(), time.monotonic() + 10  # a node learns of a ready pod up to a second later
while len(names) < 2 and time.monotonic() < deadline:
    names.add(urllib.request.urlopen("http://web.{_NAMESPACE}.svc").read().decode())
print(*names)
"""
    address, names = _inside(cluster, pods[0], code).splitlines()
    assert address == cluster.kubectl("-n", _NAMESPACE, "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    assert set(names.split()) == {pod["metadata"]["name"] for pod in pods}


def test_a_pod_reaches_the_api_server_by_its_service(cluster: Cluster, pods: list[dict[str, Any]]) -> None:
    code = """
import ssl, urllib.request
trust = ssl.create_default_context(cafile="/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")
print(urllib.request.urlopen("https://kubernetes.default.svc/readyz", context=trust).read().decode())
"""
    assert _inside(cluster, pods[0], code) == "ok"


def test_no_packet_finds_a_way_out(cluster: Cluster, pods: list[dict[str, Any]]) -> None:
    code = """
import socket
try:
    socket.create_connection(("203.0.113.1", 80), 2)
except OSError as error:
    print(error.errno)
"""
    assert _inside(cluster, pods[0], code) == str(errno.ENETUNREACH)


def test_logs_of_a_container_can_be_read(cluster: Cluster, pods: list[dict[str, Any]]) -> None:
    _inside(cluster, pods[0], "import urllib.request as r; r.urlopen('http://localhost:8000').read()")
    assert '"GET / HTTP/1.1" 200' in cluster.kubectl("-n", _NAMESPACE, "logs", pods[0]["metadata"]["name"], "-c", "web")


def test_a_namespace_that_enforces_restricted_refuses_a_plain_pod(cluster: Cluster, pods: list[dict[str, Any]]) -> None:
    plain = {"name": "plain", "namespace": _NAMESPACE}
    containers = [{"name": "a", "image": "docker.io/rollcall/load:dev"}]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": plain, "spec": {"containers": containers}}
    with pytest.raises(HarnessError, match='violates PodSecurity "restricted'):
        cluster.kubectl("create", "-f", "-", input=json.dumps(pod))


def test_port_forward_reaches_the_pod(cluster: Cluster, pods: list[dict[str, Any]]) -> None:
    name = pods[0]["metadata"]["name"]
    command = cluster.command("-n", _NAMESPACE, "port-forward", f"pod/{name}", ":8000", "--address=127.0.0.1")
    with subprocess.Popen(command, env=cluster.environment(), stdout=subprocess.PIPE, text=True) as forward:
        try:
            assert forward.stdout is not None
            line = forward.stdout.readline()
            port = re.search(r"127\.0\.0\.1:(\d+) ->", line)
            assert port, line
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            assert opener.open(f"http://127.0.0.1:{port[1]}", timeout=10).read().decode() == name
        finally:
            forward.terminate()


@pytest.mark.parametrize(("audience", "accepted"), [("rollcall.dev", True), ("someone.else", False)])
def test_a_projected_token_names_its_pod_and_only_for_its_audience(
    cluster: Cluster, pods: list[dict[str, Any]], audience: str, accepted: bool
) -> None:
    token = _inside(cluster, pods[0], "print(open('/token/token').read())")
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": [audience]},
    }
    status = json.loads(cluster.kubectl("create", "-f", "-", "-o", "json", input=json.dumps(review)))["status"]
    assert status.get("authenticated", False) is accepted
    if accepted:
        extra = status["user"]["extra"]
        assert extra["authentication.kubernetes.io/pod-uid"] == [pods[0]["metadata"]["uid"]]
        assert extra["authentication.kubernetes.io/pod-name"] == [pods[0]["metadata"]["name"]]
