"""Services with pods that answer requests, simulated, behind the real live API: what the page is tested against.

Everything follows from a seed and from the number of steps, so two runs show the same. Past minutes are folded at once, with
their own times; from then on a step is half a second.
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import dataclass, field, replace

from rollcall.kube.review import User
from rollcall.model.departures import Cause, Verdict
from rollcall.model.fleet import Fleet
from rollcall.model.roll import Roll
from rollcall.model.show import picture
from rollcall.model.states import PodFacts
from rollcall.serve.openapi import Why
from rollcall.serve.publisher import Publisher
from rollcall_agent.wire import facts, grid, points, report

STEP_S = 0.5
ENDPOINTS = ("GET /feed", "GET /feed/{id}", "POST /comments", "GET /photos/{id}")
DEPENDENCY = "dynamodb newsfeed"
ERROR = "exception DynamoDBThrottled"
LABELS = {"app": "", "pod-template-hash": "5d8f7c", "track": "stable"}
FLAGS = report.FLAG_PROBE | report.FLAG_RESOURCES


def visitor(number: int) -> int:
    """The hash of one (SplitMix64). Four hundred are there at a time, two come and two go each second."""
    mixed = (number * 0x9E3779B97F4A7C15) & (2**64 - 1)
    mixed = ((mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
    mixed = ((mixed ^ mixed >> 27) * 0x94D049BB133111EB) & (2**64 - 1)
    return mixed ^ mixed >> 31


@dataclass
class Pod:
    """One simulated pod. `median_s` and `failing` say how it behaves."""

    fleet: Fleet
    facts: PodFacts
    rate: float = 20.0
    median_s: float = 0.06
    failing: float = 0.004
    in_flight: tuple[int, int, int, int] = (2, 0, 0, 0)
    hung: list[dict[str, object]] = field(default_factory=list)
    silent: bool = False
    visited: bool = False
    number: int = 0
    sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(("finished", "errors", "duration_us", "cpu_us"), 0))
    histogram: list[int] = field(default_factory=lambda: [0] * grid.BUCKETS)

    def begin(self, now_s: float) -> None:
        """The API lists it, and its agent connects."""
        uid = self.facts.uid
        self.fleet.upsert(self.facts)
        self.fleet.attach(uid, "e1", 0)
        names = [(facts.ENDPOINT_NAMES, number, name) for number, name in enumerate(ENDPOINTS, 1)]
        names += [(facts.DEPENDENCY_NAMES, 1, DEPENDENCY), (facts.ERROR_NAMES, 1, ERROR)]
        self.fleet.bind(uid, names, 0, now_s)
        self.fleet.accept_sources(uid, 1)

    def step(self, chance: random.Random, now_s: float, *, tell_points: bool) -> None:
        """Half a second of requests, and what the agent tells of them."""
        if self.silent:
            return
        records: list[tuple[int, int, int, int]] = []
        told: list[points.Point] = []
        for _ in range(round(self.rate * STEP_S * chance.uniform(0.8, 1.2))):
            endpoint = chance.choices((1, 2, 3, 4), (6, 4, 1, 3))[0]
            took_s = min(50.0, self.median_s * chance.lognormvariate(0, 0.8))
            failed = chance.random() < self.failing
            us, waited_us = round(took_s * 1e6), round(took_s * 0.7e6)
            self._count(us, failed)
            bucket, bucket_waited = grid.bucket_of_ns(us * 1000), grid.bucket_of_ns(waited_us * 1000)
            records += [(facts.REQUESTS, endpoint, 0, 1), (facts.DURATION, endpoint, 0, us), (facts.CELL, endpoint, bucket, 1)]
            records += [(facts.CALLS, 1, 0, 1), (facts.WAITED, 1, 0, waited_us), (facts.CALL_DURATION, 1, 0, waited_us)]
            records.append((facts.CALL_CELL, 1, bucket_waited, 1))
            if self.visited:
                hashed = visitor(round(now_s * 2) + chance.randrange(400))
                register, rank = facts.register_and_rank(hashed)
                records.append((facts.VISITOR, 0, register << 8 | rank, 1))
                if facts.is_sighted(hashed):
                    records.append((facts.SIGHTING, 0, hashed & facts.MAX_VALUE, chance.randrange(500)))
            if failed:
                records += [(facts.FAILURES, endpoint, 0, 1), (facts.ERRORS, 1, 0, 1)]
            if failed or took_s > 1 or chance.random() < 0.5:
                weight = 1 if failed or took_s > 1 else 2
                outcome = 13 if failed else 2
                told.append(
                    points.Point(chance.randrange(500), weight, us, waited_us, us // 8, endpoint, 1, int(failed), outcome)
                )
        self._tell(records, told if tell_points else [], now_s)

    def _count(self, us: int, failed: bool) -> None:
        for name, more in (("finished", 1), ("errors", int(failed)), ("duration_us", us), ("cpu_us", min(us // 8, 12_000))):
            self.sums[name] += more
        self.histogram[grid.bucket_of_ns(us * 1000)] += 1

    def _tell(self, records: list[tuple[int, int, int, int]], told: list[points.Point], now_s: float) -> None:
        self.number += 1
        uid, fleet = self.facts.uid, self.fleet
        packed = facts.pack_facts(self.number, 0, records)
        fleet.accept_facts(uid, self.number, packed[facts.HEAD.size :], now_s, live=True)
        body = report.pack(
            {
                "seq": self.number,
                "window_end_us": round(now_s * 1e6),
                "resources_at_us": round(now_s * 1e6),
                "started": self.sums["finished"] + sum(self.in_flight),
                **self.sums,
                "responses": (0, self.sums["finished"] - self.sums["errors"], 0, 0, self.sums["errors"]),
                "in_flight": sum(self.in_flight),
                "bands": self.in_flight,
                "oldest_ms": 41_000 if self.in_flight[3] else 400,
                "flags": FLAGS,
                "workers": 4,
                "busy_workers": min(4, sum(self.in_flight)),
                "memory_bytes": (180 + self.number % 9) * 2**20,
                "memory_limit_bytes": 512 * 2**20,
                "cpu_quota_millis": 500,
                "histogram": self.histogram,
            }
        )
        fleet.accept(uid, body, now_s)
        fleet.accept_points(uid, points.pack_points(told), now_s)
        fleet.accept_requests(uid, json.dumps({"requests": self.hung}).encode(), now_s)


class World:
    """Three services: one that struggles, one that is well, one that is down. Also the reviews of the API server: tokens are
    user names, and `may` names the namespaces that alice may read (None: all)."""

    def __init__(self) -> None:
        self.chance = random.Random(7)
        self.roll = Roll()
        self.publisher = Publisher(self.roll)
        self.publisher.leading = True
        self.pods: list[Pod] = []
        self.may: set[str] | None = None
        self.known = True
        self.paused = False

    # --- the API server's part

    async def user(self, token: str, audience: str | None = None) -> User | None:
        """Who a token is of."""
        return User("alice", ()) if token == "t-alice" and self.known else None

    async def may_read(self, user: User, namespace: str | None, name: str = "") -> bool:
        """Whether alice may read there."""
        return self.may is None or namespace in self.may

    async def why(self, namespace: str, pod: str) -> object:
        """Why a pod is in its state."""
        if pod.endswith("g7"):
            bare = f"{pod} is bare, without an agent: the webhook did not answer when it was created"
            return Why(namespace, pod, ["newsfeed"], "bare", "WebhookUnavailable", bare, "restart it to have it monitored")
        return Why(namespace, pod, ["newsfeed"], "serving", None, f"{pod} is serving", "")

    # --- services

    def service(self, namespace: str, name: str, desired: int | None = None) -> Fleet:
        """A MonitoredService appears."""
        fleet = Fleet(namespace, name)
        fleet.desired = desired
        fleet.labels = {"team": namespace}
        fleet.slots.open({})
        self.roll.add(fleet)
        return fleet

    def pod(self, fleet: Fleet, suffix: str, *, injected: bool = True, **behaviour: object) -> Pod:
        """A pod of it."""
        now_s, unix_s = time.monotonic(), time.time()
        told = PodFacts(
            uid=f"{fleet.name}-{suffix}", name=f"{fleet.name}-5d8f7c-{suffix}", namespace=fleet.namespace, node="node-2",
            created_at=unix_s - 4000, started_at=unix_s - 3990, running=True, ready=True, injected=injected,
            revision="5d8f7c", workload=f"Deployment/{fleet.name}", cpu_limit_millis=500, cpu_request_millis=250,
            labels=LABELS | {"app": fleet.name},
        )  # fmt: skip
        pod = Pod(fleet, told, **behaviour)  # type: ignore[arg-type]
        if injected:
            pod.begin(now_s)
            self.pods.append(pod)
        else:
            fleet.upsert(told)
        return pod

    def populate(self) -> None:
        """The usual three."""
        feed = self.service("shop", "newsfeed", 11)
        for suffix in ("a1", "b2", "c3", "d4", "h8", "i9", "j0", "k1"):
            self.pod(feed, suffix, visited=True)
        names = ("id", "endpoint", "elapsed_ms", "step", "step_ms", "worker")
        slow: list[dict[str, object]] = [
            dict(zip(names, values, strict=True))
            for values in (
                ("r1", "GET /photos/{id}", 41_000, "recv photos.py:88", 40_500, 17),
                ("r2", "GET /feed", 6200, "dynamodb newsfeed", 6100, 19),
            )
        ]
        self.pod(feed, "e5", median_s=0.9, failing=0.08, in_flight=(3, 2, 2, 1), hung=slow)
        self.pod(feed, "f6", silent=True)
        self.pod(feed, "g7", injected=False)
        ledger = self.service("bank", "ledger", 3)
        for suffix in ("a1", "b2", "c3"):
            self.pod(ledger, suffix, rate=8.0, failing=0.0, median_s=0.02, in_flight=(1, 0, 0, 0))
        mail = self.service("shop", "mail", 2)
        for suffix in ("a1", "b2"):
            self.pod(mail, suffix, injected=True, silent=True)
        ledger_of = feed.ledger
        for place, (suffix, cause, evidence) in enumerate(
            [
                ("y8", Cause.OOM_KILLED, "the kernel killed it: 512 MiB were not enough"),
                ("z9", Cause.SCALE_IN, "the HorizontalPodAutoscaler wanted 11 instead of 12"),
            ]
        ):
            unix_s = time.time()
            gone = PodFacts(uid=f"gone-{suffix}", name=f"newsfeed-5d8f7c-{suffix}", namespace="shop", created_at=unix_s - 900)
            ledger_of.left(gone, Verdict(cause, evidence, sure=True), unix_s - 90 + 50 * place)

    def neighbours(self) -> None:
        """Six more, as different as services are, so that a wall looks like one."""
        for namespace, name, pods, rate, median_s, failing, in_flight in (
            ("shop", "search", 8, 55.0, 0.012, 0.0, (2, 0, 0, 0)),
            ("shop", "media", 5, 14.0, 0.35, 0.004, (4, 1, 0, 0)),
            ("shop", "push", 12, 90.0, 0.006, 0.0, (1, 0, 0, 0)),
            ("bank", "login", 4, 21.0, 0.09, 0.006, (1, 0, 0, 0)),
            ("bank", "rates", 2, 3.0, 0.04, 0.0, (0, 0, 0, 0)),
            ("school", "timetable", 6, 33.0, 0.05, 0.001, (2, 0, 0, 0)),
        ):
            fleet = self.service(namespace, name, pods)
            for place in range(pods):
                self.pod(
                    fleet, f"q{place}", rate=rate, median_s=median_s, failing=failing, in_flight=in_flight, visited=place == 0
                )

    def past(self, seconds: int) -> None:
        """Let so many seconds have gone by until now; the last minute is told dot by dot."""
        now_s, unix_s = time.monotonic(), time.time()
        for step in range(2 * seconds, -1, -1):
            if step == seconds // 2 and len(self.pods) > 7:  # the last but few minutes have a deployment
                self.deploy(self.pods[7], "7c9b2d")
            self.step(now_s - step * STEP_S, unix_s - step * STEP_S, tell_points=step < 120)
        while (late_s := time.monotonic() - now_s) > STEP_S:  # this took its time, too
            self.step(now_s := now_s + STEP_S, time.time() - late_s + STEP_S)

    def step(self, now_s: float | None = None, unix_s: float | None = None, *, tell_points: bool = True) -> None:
        """Half a second."""
        now_s = time.monotonic() if now_s is None else now_s
        for pod in self.pods:
            pod.step(self.chance, now_s, tell_points=tell_points)
        self.roll.fold(now_s, time.time() if unix_s is None else unix_s)
        self.publisher.turn()
        for fleet in self.roll:
            picture(fleet, with_roll=False, with_lists=True)  # as the status of each service is made

    def deploy(self, pod: Pod, revision: str) -> None:
        """A pod is of another revision now."""
        labels = pod.facts.labels | {"pod-template-hash": revision, "track": "canary"}
        pod.facts = replace(pod.facts, revision=revision, labels=labels)
        pod.fleet.upsert(pod.facts)

    def error(self, message: str, endpoint: str = "GET /feed") -> None:
        """A sample of an error of the first pod."""
        pod = self.pods[8] if len(self.pods) > 8 else self.pods[0]
        event = {
            "type": "error", "error": ERROR, "message": message, "function": "read_feed", "file": "feed/store.py", "line": 88,
            "endpoint": endpoint, "age_ms": 0,
        }  # fmt: skip
        pod.fleet.accept_event(pod.facts.uid, event, time.monotonic())
