"""What `test_surfaces` puts on the stage beside the samples, and a person who may look at it."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import yaml

from tests.harness.cluster import Cluster
from tests.harness.truth import LoadPod, load_options

SHOP = "shop"
RATES = {"newsfeed": 40, "legacy": 15}
MIXES = {"newsfeed": "/=6,/feed/{user}=3,/slow=0.7", "legacy": "/index.php=6,/feed.php?user={user}=3,/fail.php=1"}
HOSTILE = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>"
HOSTILE_APP = textwrap.dedent("""
    import os
    from newsfeed import create_app
    app = create_app()
    @app.get("/hostile")
    def hostile():
        raise type(os.environ["HOSTILE"], (RuntimeError,), {})(os.environ["HOSTILE"])
""")
HOSTILE_COMMAND = (
    'printf %s "$APP" >/tmp/hostile.py; exec /opt/newsfeed/bin/gunicorn -c /srv/gunicorn.conf.py --pythonpath /tmp hostile:app'
)
"""The sample with one endpoint more, whose error is markup."""


def pod(name: str, app: str, script: str, **labels: str) -> dict[str, Any]:
    """A pod of the sample's image that runs a script, within `restricted`."""
    safe = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    container = {
        "name": "web", "image": "docker.io/rollcall/newsfeed:dev", "imagePullPolicy": "IfNotPresent", "securityContext": safe,
        "command": ["sh", "-c", script], "env": [{"name": "HOSTILE", "value": HOSTILE}, {"name": "APP", "value": HOSTILE_APP}],
    }  # fmt: skip
    spec = {
        "terminationGracePeriodSeconds": 1, "containers": [container], "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    }  # fmt: skip
    metadata = {"name": name, "namespace": SHOP, "labels": {"app": app, **labels}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def pods_of(cluster: Cluster, service: str) -> dict[str, str]:
    """Pods that do not leave, by name: where they listen."""
    found = json.loads(cluster.kubectl("-n", SHOP, "get", "pods", "-l", f"app={service}", "-o", "json"))["items"]
    return {
        each["metadata"]["name"]: each["status"].get("podIP", "")
        for each in found
        if "deletionTimestamp" not in each["metadata"]
    }


def kubeconfig_of_viewer(cluster: Cluster, folder: Path) -> Path:
    """Of somebody who may read in the shop alone."""
    cluster.kubectl("-n", SHOP, "create", "serviceaccount", "looker")
    cluster.kubectl("-n", SHOP, "create", "rolebinding", "looker", "--clusterrole=view", f"--serviceaccount={SHOP}:looker")
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    secret = cluster.kubectl("-n", SHOP, "create", "token", "looker").strip()
    config["users"] = [{"name": config["contexts"][0]["context"]["user"], "user": {"token": secret}}]
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def start_loads(cluster: Cluster) -> dict[str, LoadPod]:
    """Load on both samples; one in ten requests to legacy fails."""
    made = {}
    for service, rate in RATES.items():
        made[service] = LoadPod(cluster, SHOP, f"load-{service}")
        options = load_options(SHOP, service=service, rate=rate, seconds=300, mix=MIXES[service], visitors=300)
        made[service].start(*options)
    return made
