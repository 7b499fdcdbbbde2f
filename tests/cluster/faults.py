"""Twenty applications that crash by their own fault, each a Deployment: what a cluster sees in a bad week.

The names say what is wrong. Process 1 of a container is shielded from signals that it sends itself, so a shell is process 1
where a signal matters.
"""

from __future__ import annotations

from typing import Any

IMAGE = "docker.io/rollcall/newsfeed:dev"
DEPENDENCY = "dependency"
"""A Service without pods at first; who needs it exits as long as it is not there."""


def _shell(script: str) -> dict[str, Any]:
    return {"command": ["sh", "-c", script]}


def _python(code: str) -> dict[str, Any]:
    return {"command": ["python3", "-c", code]}


def _child(code: str) -> dict[str, Any]:
    """Python as a child of a shell, whose exit code tells of its end."""
    return {"command": ["sh", "-c", 'python3 -c "$CODE"; exit $?'], "env": [{"name": "CODE", "value": code}]}


_NEEDS = (
    "import socket, time\n"
    "try:\n"
    f"    socket.create_connection(('{DEPENDENCY}', 80), timeout=2).close()\n"
    "except OSError as error:\n"
    "    raise SystemExit(f'no dependency: {error}')\n"
    "time.sleep(3600)"
)
_EATS = "hoard = []\nimport time\nwhile True:\n    hoard.append(bytearray(4 << 20)); time.sleep(PAUSE)"
_SERVES = (
    "import http.server, os\n"
    "class Handler(http.server.BaseHTTPRequestHandler):\n"
    "    def do_GET(self):\n"
    "        os._exit(7)\n"
    "http.server.HTTPServer(('', 8000), Handler).serve_forever()"
)
_VISITS = (
    "import time, urllib.request\n"
    "while True:\n"
    "    time.sleep(4)\n"
    "    try:\n"
    "        urllib.request.urlopen('http://127.0.0.1:8000/').read()\n"
    "    except OSError:\n"
    "        pass"
)
_TRIES = "n=$(cat /data/n 2>/dev/null || echo 0); echo $((n + 1)) >/data/n; test $n -ge {starts} && exec sleep 3600; exit 1"

FAULTS: dict[str, dict[str, Any]] = {
    "exits-at-once": _shell("exit 1"),
    "exits-with-success": _shell("exit 0"),
    "exits-after-three-seconds": _shell("sleep 3; exit 3"),
    "exits-after-nine-seconds": _shell("sleep 9; exit 1"),
    "misses-a-module": _python("import a_module_that_nobody_installed"),
    "raises-after-two-seconds": _python("import time; time.sleep(2); raise RuntimeError('no')"),
    "misses-a-setting": _python("import os; os.environ['DATABASE_URL']"),
    "cannot-read-its-settings": _python("import json; json.loads('{broken')"),
    "cannot-write": _shell("echo x >/etc/x || exit 1"),
    "does-not-boot": {"command": ["/opt/newsfeed/bin/gunicorn", "nothing_here:app"]},
    "aborts": _child("import os; os.abort()"),
    "segfaults": _python("import ctypes; ctypes.string_at(0)"),
    "kills-itself": _child("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"),
    "eats-its-memory": _python(_EATS.replace("PAUSE", "0")),
    "leaks": _python(_EATS.replace("PAUSE", "0.5")),
    "is-not-alive": _shell("sleep 3600")
    | {"livenessProbe": {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 3}},
    "crashes-on-a-request": _python(_SERVES),
    "needs-a-dependency": _python(_NEEDS),
    "needs-a-dependency-in-two-pods": _python(_NEEDS),
    "starts-at-the-third-attempt": _shell(_TRIES.format(starts=2)),
}
TWO_PODS = ("needs-a-dependency-in-two-pods", "exits-at-once", "crashes-on-a-request")
ENDS_WELL = ("needs-a-dependency", "needs-a-dependency-in-two-pods", "starts-at-the-third-attempt")
"""In the end these run."""


def deployment(name: str) -> dict[str, Any]:
    """The manifest of one of FAULTS, with the labels `suite: faults` and `fault: NAME`."""
    container = _container("web", FAULTS[name])
    containers = [container]
    if name == "crashes-on-a-request":
        containers.append(_container("visitor", _python(_VISITS)))
    labels = {"suite": "faults", "fault": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": 2 if name in TWO_PODS else 1,
            "selector": {"matchLabels": {"fault": name}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "automountServiceAccountToken": False,
                    "terminationGracePeriodSeconds": 1,
                    "containers": containers,
                    "volumes": [{"name": "data", "emptyDir": {}}],
                },
            },
        },
    }


def dependency() -> list[dict[str, Any]]:
    """The Service that some need, and a Deployment without pods behind it."""
    labels = {"app": DEPENDENCY}
    server = _container("server", _python("import http.server; http.server.test(port=8000)"))
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": DEPENDENCY},
            "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8000}]},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": DEPENDENCY},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels | {"rollcall.dev/inject": "disabled"}},
                    "spec": {"automountServiceAccountToken": False, "containers": [server]},
                },
            },
        },
    ]


def _container(name: str, what: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}, "limits": {"memory": "64Mi"}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}] if name == "web" else [],
        **what,
    }
