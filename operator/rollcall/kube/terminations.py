"""The ends of containers' lives, each noticed once.

A pod's status shows a container's last end until the next one, in `lastState` or `state`, and is told many times with it. What
was seen is remembered by the ends that can still be shown, so the memory does not grow with restarts.
"""

from __future__ import annotations

from rollcall.kube.pods import Pod, Terminated

OOM_KILLED = "OOMKilled"
_Key = tuple[str, str, str | None]


class Terminations:
    """Give it every version of a pod by `note`."""

    def __init__(self) -> None:
        self._seen: dict[str, set[_Key]] = {}
        self._oom_kills: dict[str, int] = {}

    def note(self, pod: Pod) -> list[tuple[str, Terminated]]:
        """The ends that this version of the pod shows and none before did, as (container, how it ended), oldest first."""
        uid = pod.metadata.uid
        shown = {
            (status.name, ended.container_id, ended.finished_at): ended
            for status in pod.status.container_statuses
            for ended in status.terminations()
        }
        before = self._seen.get(uid, set())
        new = [(key[0], ended) for key, ended in shown.items() if key not in before]
        if shown:
            self._seen[uid] = set(shown)
        killed = sum(ended.reason == OOM_KILLED for _, ended in new)
        if killed:
            self._oom_kills[uid] = self.oom_kills(uid) + killed
        return new

    def oom_kills(self, uid: str) -> int:
        """How many lives of this pod's containers ended because memory ran out, as far as they were seen."""
        return self._oom_kills.get(uid, 0)

    def forget(self, uid: str) -> None:
        """The pod is gone."""
        self._seen.pop(uid, None)
        self._oom_kills.pop(uid, None)
