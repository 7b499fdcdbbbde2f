"""Who gets in: agents by the token of their own pod and nothing else, people by their own rights and no more."""

from __future__ import annotations

import base64
import json
import ssl
import subprocess
import textwrap
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.observe import until
from tests.harness.cluster import Cluster
from tests.harness.errors import HarnessError
from tests.harness.install import NAMESPACE, Rollcall
from tests.harness.terminal import Terminal

pytestmark = [pytest.mark.cluster, pytest.mark.patient]

_CALLER = textwrap.dedent("""
    import json, socket, ssl, struct, sys
    ask = json.load(sys.stdin)
    tls = ssl.create_default_context(cadata=ask["ca"])
    raw = socket.create_connection((ask["address"], 10251), timeout=10)
    with tls.wrap_socket(raw, server_hostname="rollcall-ingest.rollcall-system.svc") as sock:
        body = json.dumps(ask["hello"]).encode()
        sock.sendall(struct.pack("<IB", len(body) + 1, 1) + body)
        data = b""
        while len(data) < 5 or len(data) < 4 + struct.unpack_from("<I", data)[0]:
            part = sock.recv(65536)
            if not part:
                break
            data += part
    print(json.dumps({"kind": data[4], "body": json.loads(data[5:4 + struct.unpack_from("<I", data)[0]])}))
""")
WELCOME, GOODBYE = 2, 7


def call(cluster: Cluster, hello: dict[str, object]) -> tuple[int, dict[str, object]]:
    """What the operator answers to a HELLO from a node: (frame type, body)."""
    leader = ("-n", NAMESPACE, "get", "pod", "-l", "rollcall.dev/leader=true", "-o", "jsonpath={.items[0].status.podIP}")
    ca = cluster.kubectl("-n", NAMESPACE, "get", "configmap", "rollcall-ca", "-o", "jsonpath={.data.ca\\.crt}")
    ask = json.dumps(
        {"address": cluster.kubectl(*leader), "ca": ca, "hello": {"wire": 1, "agent": "test", "epoch": "e"} | hello}
    )
    answer = json.loads(cluster.nodes[0].run("python3", "-c", _CALLER, input=ask))
    return answer["kind"], answer["body"]


def rejected(rollcall: Rollcall) -> dict[str, float]:
    """How many agents were refused, by code."""
    families = text_string_to_metric_families(rollcall.metrics())
    return {
        sample.labels["code"]: sample.value
        for family in families
        if family.name == "rollcall_agents_rejected"
        for sample in family.samples
        if sample.name.endswith("_total")
    }


@pytest.fixture(scope="module")
def pods(cluster: Cluster, shop: str) -> list[dict[str, str]]:
    found = json.loads(cluster.kubectl("-n", shop, "get", "pods", "-l", "app=newsfeed", "-o", "json"))
    return [{"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]} for pod in found["items"]]


def token(cluster: Cluster, shop: str, *options: str) -> str:
    return cluster.kubectl("-n", shop, "create", "token", "default", *options).strip()


def bound(pod: dict[str, str]) -> tuple[str, ...]:
    return ("--bound-object-kind=Pod", f"--bound-object-name={pod['name']}", f"--bound-object-uid={pod['uid']}")


def token_reviews(cluster: Cluster) -> float:
    """How many tokens the API server was asked about."""
    families = text_string_to_metric_families(cluster.kubectl("get", "--raw", "/metrics"))
    samples = (sample for family in families if family.name == "apiserver_request" for sample in family.samples)
    return sum(sample.value for sample in samples if sample.labels.get("resource") == "tokenreviews")


def test_only_the_token_of_ones_own_pod_gets_in(
    cluster: Cluster, rollcall: Rollcall, shop: str, pods: list[dict[str, str]]
) -> None:
    audience = "--audience=rollcall.dev"
    mine = token(cluster, shop, audience, *bound(pods[0]))
    attempts = {
        "no token": ({"pod_uid": pods[0]["uid"]}, "TokenRejected"),
        "not a token": ({"token": "x.y.z"}, "TokenRejected"),
        "wrong audience": ({"token": token(cluster, shop, "--audience=other", *bound(pods[0]))}, "TokenRejected"),
        "for the API server": ({"token": token(cluster, shop, *bound(pods[0]))}, "TokenRejected"),
        "of no pod": ({"token": token(cluster, shop, audience)}, "TokenRejected"),
        "another pod's UID": ({"token": mine, "pod_uid": pods[1]["uid"]}, "PodMismatch"),
        "a wire of the future": ({"token": mine, "pod_uid": pods[0]["uid"], "wire": 99}, "WireVersion"),
    }
    before = rejected(rollcall)
    for what, (hello, code) in attempts.items():
        kind, body = call(cluster, hello)
        assert (kind, body["code"]) == (GOODBYE, code), what
        assert body["message"]
    after = rejected(rollcall)
    for code in ("TokenRejected", "PodMismatch", "WireVersion"):
        expected = sum(wanted == code for _, wanted in attempts.values())
        assert after[code] - before.get(code, 0) == expected, code
    reviews = token_reviews(cluster)
    kind, body = call(cluster, {"token": mine, "pod_uid": pods[0]["uid"]})
    assert kind == WELCOME
    another = token(cluster, shop, audience, *bound(pods[0]))
    assert call(cluster, {"token": another, "pod_uid": pods[0]["uid"]})[0] == WELCOME
    assert token_reviews(cluster) == reviews, "whose token it is was read with the API server's keys"
    assert body["interval_ms"] == 500
    picture = rollcall.wait_for(shop, "newsfeed", lambda picture: picture["pods"]["serving"] == 2, "the real agent reports on")
    assert picture["pods"]["total"] == 2


@pytest.fixture(scope="module")
def viewer(cluster: Cluster, shop: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The kubeconfig of somebody with the ClusterRole view in the shop, and nothing else."""
    cluster.kubectl("-n", shop, "create", "serviceaccount", "viewer")
    cluster.kubectl("-n", shop, "create", "rolebinding", "viewer", "--clusterrole=view", f"--serviceaccount={shop}:viewer")
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    secret = cluster.kubectl("-n", shop, "create", "token", "viewer").strip()
    config["users"] = [{"name": config["contexts"][0]["context"]["user"], "user": {"token": secret}}]
    path = tmp_path_factory.mktemp("viewer") / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    yield path
    cluster.kubectl("-n", shop, "delete", "serviceaccount/viewer", "rolebinding/viewer")


@pytest.fixture
def proxy(cluster: Cluster, shop: str) -> Iterator[str]:
    """The token of a service account that may speak for alice and dev; alice has the ClusterRole view in the shop."""
    cluster.kubectl("-n", shop, "create", "serviceaccount", "proxy")
    name = "rollcall-test-proxy"
    rules = [
        {"apiGroups": [""], "resources": ["users"], "resourceNames": ["alice"], "verbs": ["impersonate"]},
        {"apiGroups": [""], "resources": ["groups"], "resourceNames": ["dev"], "verbs": ["impersonate"]},
    ]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}
    cluster.kubectl("apply", "-f", "-", input=json.dumps(role))
    cluster.kubectl("create", "clusterrolebinding", name, f"--clusterrole={name}", f"--serviceaccount={shop}:proxy")
    cluster.kubectl("-n", shop, "create", "rolebinding", "alice", "--clusterrole=view", "--user=alice")
    yield cluster.kubectl("-n", shop, "create", "token", "proxy").strip()
    cluster.kubectl("-n", shop, "delete", "serviceaccount/proxy", "rolebinding/alice")
    cluster.kubectl("delete", f"clusterrolebinding/{name}", f"clusterrole/{name}")


def test_a_proxy_may_speak_for_whom_it_may_impersonate_with_their_rights(cluster: Cluster, shop: str, proxy: str) -> None:
    leader = ("-n", NAMESPACE, "get", "pod", "-l", "rollcall.dev/leader=true", "-o", "jsonpath={.items[0].status.podIP}")
    address, unchecked = cluster.kubectl(*leader), ssl._create_unverified_context()

    def status(place: str, *impersonation: tuple[str, str]) -> int:
        request = urllib.request.Request(f"https://{address}:10252/v1/services/{place}")
        for name, value in (("Authorization", f"Bearer {proxy}"), *impersonation):
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request, context=unchecked) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    alice, dev = ("Impersonate-User", "alice"), ("Impersonate-Group", "dev")
    assert status("shop/newsfeed") == 403, "the proxy itself may read nothing"
    assert status("shop/newsfeed", alice) == status("shop/newsfeed", alice, dev) == 200
    assert status("bank/ledger", alice) == 403, "nor may alice elsewhere"
    assert status("shop/newsfeed", ("Impersonate-User", "bob")) == 403
    assert status("shop/newsfeed", alice, ("Impersonate-Group", "system:masters")) == 403


def as_viewer(rollcall: Rollcall, kubeconfig: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [*rollcall.command(*args)[:-1], f"--kubeconfig={kubeconfig}"]
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def test_a_viewer_sees_ones_own_namespace_and_no_other(cluster: Cluster, rollcall: Rollcall, shop: str, viewer: Path) -> None:
    def allowed() -> bool:
        return as_viewer(rollcall, viewer, "top", "newsfeed", "-n", shop, "--once").returncode == 0

    until(allowed, 15, "the aggregated role takes effect")
    shown = as_viewer(rollcall, viewer, "top", "-n", shop, "--once")
    assert "newsfeed" in shown.stdout
    for args in (("top", "-A", "--once"), ("top", "x", "-n", "default", "--once")):
        refused = as_viewer(rollcall, viewer, *args)
        assert refused.returncode == 4
        assert "may not get monitoredservices/live" in refused.stderr
        assert len(refused.stderr.strip().splitlines()) == 1


def test_the_page_is_shown_as_who_looks(rollcall: Rollcall, shop: str, viewer: Path) -> None:
    """`rollcall dashboard`: page, one exchange of its key, and the viewer's own rights behind it."""
    command = [*rollcall.command("dashboard", "--no-browser", "-n", shop)[:-1], f"--kubeconfig={viewer}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL) as dashboard:
        try:
            assert dashboard.stdout is not None
            base, _, rest = dashboard.stdout.readline().strip().partition("/#key=")
            key, _, place = rest.partition("&")
            assert place == f"/?namespace={shop}"
            assert b"/app.js" in ask(f"{base}/", "")[1]
            assert ask(f"{base}/v1/services?namespace={shop}", key)[0] == 401
            status, body = ask(f"{base}/session", key, "POST")
            assert status == 200
            token = json.loads(body)["token"]
            status, body = ask(f"{base}/v1/services?namespace={shop}", token)
            assert (status, [each["name"] for each in json.loads(body)["services"]]) == (200, ["legacy", "newsfeed"])
            assert len(json.loads(ask(f"{base}/v1/services/{shop}/newsfeed/history", token)[1])["at"]) > 3
            assert ask(f"{base}/v1/services", token)[0] == 403
        finally:
            dashboard.terminate()  # not by SIGINT, which is ignored where the tests run in the background of a shell


def ask(url: str, token: str, method: str = "GET") -> tuple[int, bytes]:
    """Status and body."""
    request = urllib.request.Request(url, method=method, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_the_plugin_is_the_same_command(cluster: Cluster, rollcall: Rollcall, shop: str) -> None:
    plugin = Path(rollcall.command()[0]).parent / "kubectl-rollcall"
    done = subprocess.run(
        [plugin, "top", "-n", shop, "--seconds=3", f"--kubeconfig={cluster.kubeconfig}"],
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    lines = [line for line in done.stdout.splitlines() if "shop/newsfeed" in line]
    assert 2 <= len(lines) <= 5  # a line per second
    assert "serving=2" in lines[-1]


def test_the_app_at_a_terminal(rollcall: Rollcall, shop: str) -> None:
    terminal = Terminal(rollcall.command("top", "newsfeed", "-n", shop))
    try:
        for words in ("newsfeed-02", "live", "serving"):
            terminal.wait(words.encode())
        terminal.press(b"\r")
        terminal.wait(b"told by")
    finally:
        code = terminal.end()
    assert code == 0


def test_an_unknown_service_is_one_sentence(rollcall: Rollcall, shop: str) -> None:
    with pytest.raises(HarnessError, match='there is no MonitoredService "nothing" in namespace "shop"'):
        rollcall.run("top", "nothing", "-n", shop, "--once")


def test_the_webhook_trusts_the_published_certificate(cluster: Cluster, shop: str) -> None:
    bundle = cluster.kubectl(
        "get", "mutatingwebhookconfiguration", "rollcall", "-o", "jsonpath={.webhooks[0].clientConfig.caBundle}"
    )
    published = cluster.kubectl("-n", shop, "get", "configmap", "rollcall-ca", "-o", "jsonpath={.data.ca\\.crt}")
    assert base64.b64decode(bundle).decode().strip() == published.strip()
