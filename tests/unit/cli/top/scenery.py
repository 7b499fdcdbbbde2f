"""Scenes of a fleet, the same in every run: what golden files and the pictures of the documentation are painted from.

The pods are simulated, everything else is the operator's own: it folds what they tell, and its pictures are read as from a
stream.
"""

from __future__ import annotations

import math
import os
import time as real_time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace

from rollcall.cli.top import keys
from rollcall.cli.top.past import pack
from rollcall.cli.top.picture import Service, decode
from rollcall.cli.top.session import Place, Session
from rollcall.model.departures import Cause, Verdict
from rollcall.model.states import PodFacts
from tests.web import world as simulated
from tests.web.world import STEP_S, Pod, World

NOW_S = 1_790_000_000.0
SEEN_S = 40
"""For so long somebody has been looking."""
HUNG = ("id", "endpoint", "elapsed_ms", "step", "step_ms", "worker")


@dataclass
class Take:
    """What the operator told in one half-second."""

    at: float
    fleets: bytes
    service: bytes


@contextmanager
def standing_time(unix_s: Callable[[], float]) -> Iterator[None]:
    """The world's clocks show what is said."""
    before = simulated.time
    simulated.time = SimpleNamespace(time=unix_s, monotonic=lambda: unix_s() - NOW_S + 5000)  # type: ignore[assignment]
    try:
        yield
    finally:
        simulated.time = before


def build(world: World) -> Pod:
    """Six services; newsfeed is the one with a problem, and the pod that hangs."""
    feed = world.service("shop", "newsfeed", 26)
    hung = [
        dict(zip(HUNG, values, strict=True))
        for values in (
            ("r1", "GET /photos/{id}", 41_000, "recv photos.py:88", 40_500, 17),
            ("r2", "GET /photos/{id}", 23_400, "recv photos.py:88", 23_000, 18),
            ("r3", "GET /feed", 6_200, "dynamodb newsfeed", 6_100, 19),
            ("r4", "POST /comments", 1_700, "dynamodb newsfeed", 1_640, 21),
        )
    ]
    for number in range(24):
        calm = world.chance.choice([(1, 0, 0, 0), (2, 0, 0, 0), (2, 0, 0, 0), (3, 1, 0, 0), (4, 0, 0, 0)])
        world.pod(feed, f"x{number:02d}", rate=8.0, in_flight=calm)
    ill = world.pod(feed, "k4q", median_s=0.5, failing=0.06, in_flight=(3, 2, 2, 2), hung=hung)
    world.pod(feed, "m7d", silent=True)
    world.pod(feed, "p2w", injected=False)
    for namespace, name, count, rate in (
        ("bank", "ledger", 3, 5.0), ("bank", "payments", 5, 9.0), ("shop", "photos", 8, 12.0), ("shop", "search", 4, 16.0),
    ):  # fmt: skip
        fleet = world.service(namespace, name, count)
        for number in range(count):
            world.pod(fleet, f"{number}a", rate=rate, failing=0.0, median_s=0.03, in_flight=(1, 0, 0, 0))
    mail = world.service("shop", "mail", 2)
    for suffix in ("a1", "b2"):
        world.pod(mail, suffix, silent=True)
    return ill


def leave(world: World, unix_s: float, suffix: str, cause: Cause, evidence: str) -> None:
    """A pod of newsfeed left."""
    feed = world.roll.fleets[("shop", "newsfeed")]
    gone = PodFacts(
        uid=f"gone-{suffix}", name=f"newsfeed-5d8f7c-{suffix}", namespace="shop", created_at=unix_s - 5400, node="node-1"
    )
    feed.ledger.left(gone, Verdict(cause, evidence, sure=True), unix_s)


@cache
def told(seconds: int = 120) -> tuple[list[Take], bytes, dict[str, list[float | None]]]:
    """Pictures of the last moments, the history of newsfeed, and that of the pod that hangs."""
    now = [NOW_S - seconds]
    takes: list[Take] = []
    alone: dict[str, list[float | None]] = {"at": [], "requestsPerSecond": [], "p95": []}
    with standing_time(lambda: now[0]):
        world = World()
        ill = build(world)
        for step in range(2 * seconds):
            now[0] = NOW_S - seconds + STEP_S * (step + 1)
            burst = math.exp(-(((now[0] - NOW_S + 45) / 14) ** 2))
            for pod in world.pods:
                pod.rate = (7 + 2 * math.sin(step / 9)) * (1 + 1.6 * burst) if pod.fleet.name == "newsfeed" else pod.rate
            if step == 2 * seconds - 140:
                for pod in world.pods[:4]:
                    world.deploy(pod, "6b41aa")
            if step == 2 * seconds - 64:
                leave(world, now[0], "y8t", Cause.OOM_KILLED, "the kernel killed it: 512 MiB were not enough")
            if step == 2 * seconds - 24:
                leave(world, now[0], "z9r", Cause.SCALE_IN, "the HorizontalPodAutoscaler wanted 26 instead of 27")
            if step == 2 * seconds - 30:
                world.error("throughput exceeds the current capacity of the table")
            world.step(now[0] - NOW_S + 5000, now[0], tell_points=False)
            if step % 10 == 9:
                whole = decode(world.publisher.frame(("shop", "newsfeed")) or b"")
                assert isinstance(whole, Service)
                found = next(each for each in whole.roll or () if each.uid == ill.facts.uid)
                for name, value in (("at", now[0]), ("requestsPerSecond", found.requests_per_second), ("p95", found.p95)):
                    alone[name].append(value)
            if now[0] > NOW_S - SEEN_S:
                both = world.publisher.frame_of_all(None), world.publisher.frame(("shop", "newsfeed"))
                takes.append(Take(now[0], both[0] or b"", both[1] or b""))
        feed = world.roll.fleets[("shop", "newsfeed")]
        return takes, world.publisher.seconds(feed, 0), alone


def session(place: Place | None = None, *pressed: str, skin: str = "dark") -> Session:
    """Somebody who has looked for a while, and then pressed some keys."""
    os.environ["TZ"] = "UTC"
    real_time.tzset()
    found = Session(place or Place(), now=lambda: 100.0, skin=skin)
    takes, history, _ = told()
    if found.place.service:
        found.past.take(history)
    for take in takes:
        shown = decode(take.service if found.place.service else take.fleets)
        found.take(shown)
        if found.place.service and found.kept.wants(int(take.at)):
            found.kept.keep(int(take.at), pack(take.service))
    for name in pressed:
        character = {"slash": "/", "colon": ":", "space": " "}.get(name, name if len(name) == 1 else None)
        keys.press(found, name, character)
    return found


def _forbidden() -> Session:
    found = Session(Place("bank"), now=lambda: 100.0)
    found.fail('user "alice" may not get monitoredservices/live in API group "rollcall.dev" in namespace "bank"', final=True)
    return found


def _old() -> Session:
    found = session(FEED)
    found.heard_s = 100.0 - 34
    found.fail("the operator cannot be reached: error: unable to forward port because pod is not running")
    return found


def _empty() -> Session:
    found = Session(Place("shop"), now=lambda: 100.0)
    found.take(decode(b'{"services":[]}'))
    return found


def _why() -> Session:
    found = session(FEED, "slash", *"k4q", "enter", "enter")
    found.trends.seed(found.place.pod, told()[2])
    found.why = {"state": "serving", "sentence": "newsfeed-5d8f7c-k4q is serving", "remedy": ""}
    return found


def _bare() -> Session:
    found = session(FEED, "slash", *"p2w", "enter", "enter")
    sentence = "newsfeed-5d8f7c-p2w has no agent: the webhook could not be called when the pod was made"
    remedy = "restart the pod when the webhook answers: kubectl -n shop delete pod newsfeed-5d8f7c-p2w"
    found.why = {"state": "bare", "sentence": sentence, "remedy": remedy}
    return found


FEED = Place("shop", "newsfeed")
SCENES: dict[str, Callable[[], Session]] = {
    "services": lambda: session(None, "j", "j", "j"),
    "service": lambda: session(FEED, "j", "j"),
    "pod": _why,
    "bare": _bare,
    "requests": lambda: session(FEED, "r"),
    "departures": lambda: session(FEED, "l"),
    "past": lambda: session(FEED, "comma", "left", "left"),
    "filter": lambda: session(FEED, "slash", *"!serving"),
    "labels": lambda: session(FEED, "slash", *"-l track=canary,state=serving", "enter"),
    "command": lambda: session(FEED, "colon", *"de"),
    "help": lambda: session(FEED, "question_mark"),
    "forbidden": _forbidden,
    "old": _old,
    "empty": _empty,
}
