"""Each end of a container's life is noticed once, however often its pod is told of."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from rollcall.kube.pods import Pod
from rollcall.kube.terminations import Terminations


def pod(*containers: dict[str, Any], uid: str = "u") -> Pod:
    return msgspec.convert({"metadata": {"uid": uid}, "status": {"containerStatuses": list(containers)}}, Pod)


def ended(number: int, reason: str = "Error") -> dict[str, Any]:
    return {
        "terminated": {
            "containerID": f"id-{number}",
            "reason": reason,
            "finishedAt": f"2026-01-01T00:{number // 60:02}:{number % 60:02}Z",
        }
    }


def test_an_end_moves_from_state_to_last_state_and_is_told_once() -> None:
    seen = Terminations()
    assert [name for name, _ in seen.note(pod({"name": "web", "state": ended(1)}))] == ["web"]
    assert seen.note(pod({"name": "web", "lastState": ended(1)})) == []
    both = seen.note(pod({"name": "web", "lastState": ended(2), "state": ended(3)}))
    assert [each.container_id for _, each in both] == ["id-2", "id-3"], "the older first"
    assert len(seen.note(pod({"name": "web", "state": ended(1)}, uid="v"))) == 1, "another pod's"


def test_a_pod_without_ends_forgets_nothing() -> None:
    """A kubelet that restarts tells of containers that wait, without their past."""
    seen = Terminations()
    seen.note(pod({"name": "web", "state": ended(1)}))
    assert seen.note(pod()) == []
    assert seen.note(pod({"name": "web", "lastState": ended(1)})) == []


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["OOMKilled", "Error"])), max_size=40))
def test_oom_kills_are_counted_once_however_often_they_are_told(lives: list[tuple[bool, str]]) -> None:
    seen, killed = Terminations(), 0
    for number, (again, reason) in enumerate(lives):
        killed += reason == "OOMKilled"
        for _ in range(3 if again else 1):
            seen.note(pod({"name": "web", "state": ended(number, reason)}))
            seen.note(pod({"name": "web", "lastState": ended(number, reason)}))
    assert seen.oom_kills("u") == killed
    seen.forget("u")
    assert seen.oom_kills("u") == 0
    assert not seen._seen
