"""A thousand scale-ups: is each new pod on the roll within a second of its creation, and is it told as what it is?

A viewer has the stream of each service open. A scale-up makes one to three pods of a service; they are removed seconds later.
The time counts from the API server's answer to the creation until a frame with the pod has arrived. Told as what it is: in its
own service and in no other, with its name, node and revision, and with a slot that no other pod of the service has then.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict

import numpy as np

from .live import PodRow
from .pods import Made
from .scene import Scene, note, row
from .stage import HASH, NODES, SERVICES, service_of

PER_SECOND = 8.0
STAY_S = 3.0
PATIENCE_S = 10.0


class Rolls:
    """What the viewers have seen."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.first_s: dict[str, float] = {}
        self.seen: dict[str, set[tuple[str, str, str | None, str | None]]] = defaultdict(set)
        """By UID: service, name, node and revision in each frame with it."""
        self.slots_twice = 0
        self.slots_odd: set[str] = set()
        self.frames = 0

    async def watch(self, namespace: str, name: str) -> None:
        """One service, for ever."""
        slot_of = re.compile(rf"{re.escape(name)}-\d+")
        async for roll in self._scene.live.rolls(namespace, name):
            now_s = time.monotonic()
            self.frames += 1
            for pod in roll:
                self.first_s.setdefault(pod.uid, now_s)
                self.seen[pod.uid].add((name, pod.name, pod.node, pod.revision))
            self._look_at_slots(roll, slot_of)

    def _look_at_slots(self, roll: list[PodRow], slot_of: re.Pattern[str]) -> None:
        slots = [pod.slot for pod in roll if pod.slot is not None]
        self.slots_twice += len(slots) - len(set(slots))
        self.slots_odd.update(slot for slot in slots if not slot_of.fullmatch(slot))


async def scale_ups(scene: Scene) -> None:
    """`--scale-ups` of them."""
    count: int = scene.given.scale_ups
    rolls = Rolls(scene)
    viewers = [asyncio.create_task(rolls.watch(*service_of(number))) for number in range(SERVICES)]
    await asyncio.sleep(2)
    note(f"{count} scale-ups, {PER_SECOND:g} a second")
    created: dict[str, Made] = {}
    began_s = time.monotonic()
    ups = []
    for number in range(count):
        await asyncio.sleep(began_s + number / PER_SECOND - time.monotonic())
        ups.append(asyncio.ensure_future(_scale_up(scene, 1 + number % 3, created)))
    await asyncio.gather(*ups)
    await asyncio.sleep(PATIENCE_S / 5)
    for viewer in viewers:
        viewer.cancel()
    missing = [uid for uid in created if uid not in rolls.first_s]
    took_ms = np.array([(rolls.first_s[uid] - one.created_s) * 1000 for uid, one in created.items() if uid in rolls.first_s])
    late = int((took_ms > 1000).sum())
    wrong = [uid for uid, one in created.items() if uid in rolls.seen and not _right(one, rolls.seen[uid])]
    p50, p99 = np.quantile(took_ms, (0.5, 0.99))
    pods = len(created)
    row(f"{count} scale-ups of 1 to 3 pods: missing on the roll", "0", f"{len(missing)} of {pods}", not missing)
    row(
        "created → in a viewer's frame, p50 / p99 / max",
        "≤ 1 s",
        f"{p50:.0f} / {p99:.0f} / {took_ms.max():.0f} ms, {late} later",
        late == 0,
    )
    row(f"mislabelled, in {rolls.frames} frames", "0", f"{len(wrong)} of {pods}", not wrong)
    seen = f"{rolls.slots_twice} twice, {len(rolls.slots_odd)} that are none"
    row("slots", "0", seen, not rolls.slots_twice and not rolls.slots_odd)


async def _scale_up(scene: Scene, pods: int, created: dict[str, Made]) -> None:
    made = []
    for _ in range(pods):
        one = await scene.pods.make(token=False)
        created[one.uid] = one
        made.append(one)
    await asyncio.sleep(STAY_S)
    for one in made:
        await scene.pods.remove(one)


def _right(made: Made, seen: set[tuple[str, str, str | None, str | None]]) -> bool:
    return seen == {(service_of(made.number)[1], made.name, f"fake-{made.number % NODES}", HASH)}
