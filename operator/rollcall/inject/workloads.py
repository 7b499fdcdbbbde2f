"""Which workload a pod belongs to, as a name that outlives its pods and revisions: "Deployment/newsfeed".

The same from a raw pod at admission and from a decoded one of the informer, so that both speak of the same workload. A
ReplicaSet's name ends with the hash of its template; without it the name is that of the Deployment which made it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

REVISION_LABEL = "pod-template-hash"
REVISION_LABELS = (REVISION_LABEL, "controller-revision-hash")
_ROLLOUT_LABEL = "rollouts-pod-template-hash"


def workload_name(kind: str, name: str, labels: Mapping[str, str]) -> str:
    """The workload of a pod whose controller is a `kind` of this name.

    >>> workload_name("ReplicaSet", "newsfeed-7d9c", {"pod-template-hash": "7d9c"})
    'Deployment/newsfeed'
    """
    if kind == "ReplicaSet":
        for label, owner in ((REVISION_LABEL, "Deployment"), (_ROLLOUT_LABEL, "Rollout")):
            ending = f"-{labels.get(label)}"
            if label in labels and name.endswith(ending):
                return f"{owner}/{name.removesuffix(ending)}"
    return f"{kind}/{name}"


def workload_of(pod: Mapping[str, Any]) -> str:
    """The workload of a well-formed pod, raw as JSON gave it; a pod that nothing controls is its own."""
    metadata = pod["metadata"]
    owners = metadata.get("ownerReferences")
    for owner in owners if isinstance(owners, list) else ():
        if isinstance(owner, dict) and owner.get("controller"):
            return workload_name(str(owner.get("kind")), str(owner.get("name")), metadata.get("labels") or {})
    return f"Pod/{metadata.get('name') or metadata.get('generateName') or ''}"
