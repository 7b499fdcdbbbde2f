"""Parts of objects that are equal are one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from rollcall.kube import sharing
from rollcall.kube.pods import Pod


def pod(name: str, **changes: Any) -> Pod:
    container = {"name": "web", "image": "web:1", "resources": {"requests": {"cpu": "100m"}, "limits": {"memory": "1Gi"}}}
    status = {"name": "web", "ready": True, "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
    made: dict[str, Any] = {
        "metadata": {"name": name, "uid": name, "labels": {"app": "web"}, "annotations": {"a": "b"}},
        "spec": {"containers": [container]},
        "status": {"conditions": [{"type": "Ready", "status": "True"}], "containerStatuses": [status]},
    }
    for path, value in changes.items():
        part = made
        *folders, last = path.split("__")
        for folder in folders:
            part = part[folder]
        part[last] = value
    return msgspec.json.decode(msgspec.json.encode(made), type=Pod)


def parts(of: Pod) -> dict[str, object]:
    status = of.status.container_statuses[0]
    return {
        "labels": of.metadata.labels,
        "annotations": of.metadata.annotations,
        "containers": of.spec.containers,
        "conditions": of.status.conditions,
        "state": status.state,
        "last state": status.last_state,
    }


def test_pods_of_a_workload_share_what_is_the_same() -> None:
    one, other = pod("one"), pod("other")
    assert (one.metadata.name, other.metadata.name) == ("one", "other")
    assert [name for name, part in parts(one).items() if part is not parts(other)[name]] == []
    assert parts(one) == parts(other)


@pytest.mark.parametrize(
    ("change", "value", "differs"),
    [
        ("metadata__labels", {"app": "web", "rev": "2"}, "labels"),
        ("metadata__annotations", {"a": "c"}, "annotations"),
        ("spec__containers", [{"name": "web", "image": "web:2"}], "containers"),
        ("spec__containers", [{"name": "web", "image": "web:1", "resources": {"requests": {"cpu": "1"}}}], "containers"),
        ("status__conditions", [{"type": "Ready", "status": "False"}], "conditions"),
        ("status__containerStatuses", [{"name": "web", "lastState": {"terminated": {"exitCode": 3}}}], "last state"),
    ],
)
def test_what_differs_is_its_own(change: str, value: Any, differs: str) -> None:
    one, other = parts(pod("one")), parts(pod("other", **{change: value}))
    assert one[differs] != other[differs]
    assert one["labels" if differs != "labels" else "annotations"] is other["labels" if differs != "labels" else "annotations"]


def test_however_many_differ_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharing, "MOST", 10)
    monkeypatch.setattr(sharing, "_kept", {})
    made = [pod(f"pod-{number}", metadata__labels={"app": str(number)}) for number in range(50)]
    assert [each.metadata.labels["app"] for each in made] == [str(number) for number in range(50)]
    assert len(sharing._kept) <= 10
