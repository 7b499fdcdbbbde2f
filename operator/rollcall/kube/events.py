"""Events on our objects: what `kubectl describe` and `kubectl get events` tell people."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from rollcall.kube.client import Client

COMPONENT = "rollcall-operator"
LONGEST_MESSAGE = 1024


async def tell(client: Client, about: dict[str, Any], kind: str, reason: str, message: str) -> None:
    """One event; `about` is an object reference with at least namespace and name, `kind` is Normal or Warning.

    Raises KubeError, or aiohttp.ClientError and TimeoutError when the API server cannot be reached.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    namespace = about["namespace"]
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{about['name'][:200]}.{secrets.token_hex(8)}", "namespace": namespace},
        "involvedObject": about,
        "type": kind,
        "reason": reason,
        "message": message[:LONGEST_MESSAGE],
        "source": {"component": COMPONENT},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
    await client.request("POST", f"/api/v1/namespaces/{namespace}/events", event)
