"""Injection pauses while our own image cannot be pulled: several new pods wait for it, and none has had it since.

It follows from the pods as they are, so that every replica's webhook comes to the same answer, also after a restart, and it
ends by itself: when the image can be pulled, or when the pods that wait for it are gone and the next ones try again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rollcall.kube.objects import Pod, unix
from rollcall.model.coverage import IMAGE_REASONS

SEVERAL = 3


def image_fails(pods: Iterable[Pod], image: str) -> int:
    """How many pods wait for an image of the agent that no pod which is as new has had; 0 while they are fewer than three."""
    waiting, had_since = [], 0.0
    for pod in pods:
        if pod.agent_image != image or pod.metadata.deletion_timestamp is not None:
            continue
        created_s = unix(pod.metadata.creation_timestamp) or 0.0
        if pod.agent.waiting in IMAGE_REASONS:
            waiting.append(created_s)
        elif pod.agent.running:
            had_since = max(had_since, created_s)
    stuck = sum(created_s >= had_since for created_s in waiting)
    return stuck if stuck >= SEVERAL else 0


class Breaker:
    """Whether new pods get the agent; look at all pods by `round`."""

    def __init__(self, image: str) -> None:
        self.image = image
        self.waiting = 0
        """Pods that wait for the image while injection pauses; 0 while it does not."""

    @property
    def open(self) -> bool:
        """Whether injection pauses."""
        return self.waiting > 0

    def round(self, pods: Iterable[Mapping[str, Pod]]) -> None:
        """One look at everything; a pod that two services list is one."""
        every = {uid: pod for of_service in pods for uid, pod in of_service.items()}
        self.waiting = image_fails(every.values(), self.image)
