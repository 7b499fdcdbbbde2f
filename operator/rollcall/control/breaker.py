"""Injection pauses while our own image cannot be pulled: several new pods wait for it, and none has had it since.

It follows from the pods as they are, so that every replica's webhook comes to the same answer, also after a restart, and it
ends by itself: when the image can be pulled, or when the pods that wait for it are gone and the next ones try again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from rollcall.kube.objects import unix
from rollcall.kube.pods import Pod
from rollcall.model.coverage import IMAGE_REASONS

SEVERAL = 3


class Look(NamedTuple):
    """What one pod tells of the image: made at that time (Unix seconds), and it waits for the image or has had it."""

    created_s: float
    waits: bool


def look(pod: Pod, image: str) -> Look | None:
    """None of a pod that tells nothing: it leaves, or has another image, or none, or has not come so far."""
    if pod.agent_image != image or pod.metadata.deletion_timestamp is not None:
        return None
    agent = pod.agent
    waits = agent.waiting in IMAGE_REASONS
    return Look(unix(pod.metadata.creation_timestamp) or 0.0, waits) if waits or agent.running else None


def image_fails(looks: Iterable[Look]) -> int:
    """How many pods wait for an image of the agent that no pod which is as new has had; 0 while they are fewer than three."""
    waiting, had_since = [], 0.0
    for created_s, waits in looks:
        if waits:
            waiting.append(created_s)
        elif created_s > had_since:
            had_since = created_s
    stuck = sum(created_s >= had_since for created_s in waiting)
    return stuck if stuck >= SEVERAL else 0


class Breaker:
    """Whether new pods get the agent; look at all pods by `round`."""

    def __init__(self, image: str) -> None:
        self.image = image
        self.waiting = 0
        """Pods that wait for the image while injection pauses; 0 while it does not."""
        self._looks: dict[str, tuple[Pod, Look | None]] = {}
        """By UID: thousands of pods are as they were at the last round."""

    @property
    def open(self) -> bool:
        """Whether injection pauses."""
        return self.waiting > 0

    def round(self, pods: Iterable[Mapping[str, Pod]]) -> None:
        """One look at everything; a pod that two services list is one."""
        before, self._looks = self._looks, {}
        for of_service in pods:
            for uid, pod in of_service.items():
                known = before.get(uid)
                self._looks[uid] = known if known is not None and known[0] is pod else (pod, look(pod, self.image))
        self.waiting = image_fails(found for _, found in self._looks.values() if found is not None)
