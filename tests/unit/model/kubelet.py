"""A small Kubernetes for crashes: pods that a kubelet restarts with its back-off, roll-outs that wait for Ready, and agents
that are told with a delay. Only what `rollcall.model.blame` can see of it: ends of lives, whole seconds, no causes."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rollcall.model.blame import Blame, Ended, Release, Sight, Verdict

BACKOFF_S = (1, 10, 20, 40, 80, 160, 300)
NEVER = float("inf")
Behaviour = Callable[["Start"], tuple[float, float]]
"""How long a life lasts, and after how long it is Ready, in seconds; NEVER for neither."""


@dataclass(frozen=True)
class Start:
    """What an application's start depends on."""

    at: float
    probe: bool
    number: int
    """How often it crashed before."""
    age: float
    """Of the pod, in seconds since its first start."""
    random: random.Random


@dataclass
class Pod:
    uid: str
    release: Release
    behaviour: Behaviour
    next_start: float
    first_start: float = NEVER
    crashes: int = 0
    started: float | None = None
    ends: float = NEVER
    ready_at: float = NEVER
    off: bool = False
    told: tuple[float, bool] | None = None
    """When the agent will have done what it was told."""


OLD, NEW = Release("r1", "agent:1"), Release("r2", "agent:1")


@dataclass
class World:
    """One workload. `old` pods run since long ago, `replicas` new ones come at once, or one by one for a roll-out."""

    seed: int
    behaviour: Behaviour
    replicas: int
    rolling: bool = False
    old: Release = OLD
    new: Release = NEW
    old_behaviour: Behaviour = lambda start: (NEVER, 0.0)
    proven: Mapping[str, float] = field(default_factory=lambda: {"agent:1": 9e9})
    now: float = 1000.0
    pods: dict[str, Pod] = field(default_factory=dict)
    second_crash: float | None = None
    verdict: Verdict | None = None

    def __post_init__(self) -> None:
        self.random, self.blame, self._count, self._ended = random.Random(self.seed), Blame(), 0, 0
        self.now += self.random.random()
        if self.rolling:
            for _ in range(self.replicas):
                pod = self._create(self.old, self.old_behaviour)
                pod.next_start = self.now - 3600
                self._start(pod, self.now - 3600)
        for _ in range(1 if self.rolling else self.replicas):
            self._create(self.new, self.behaviour)

    def _create(self, release: Release, behaviour: Behaviour) -> Pod:
        self._count += 1
        pod = Pod(f"uid-{self._count}", release, behaviour, self.now + self.random.uniform(1, 4))
        self.pods[pod.uid] = pod
        return pod

    def _start(self, pod: Pod, at: float) -> None:
        probe = pod.release.agent is not None and not pod.off
        pod.first_start = min(at, pod.first_start)
        lasts, ready_after = pod.behaviour(Start(at, probe, pod.crashes, at - pod.first_start, self.random))
        pod.started, pod.ends, pod.ready_at = at, at + lasts, at + ready_after

    def _end(self, pod: Pod) -> Ended:
        assert pod.started is not None
        ended = Ended(int(pod.started), int(pod.ends))
        pod.next_start = pod.ends + BACKOFF_S[min(pod.crashes, len(BACKOFF_S) - 1)] + self.random.uniform(0, 1)
        pod.crashes += 1
        pod.started, pod.ends, pod.ready_at = None, NEVER, NEVER
        if pod.release == self.new:
            self._ended += 1
            if self._ended == 2:
                self.second_crash = self.now
        return ended

    def tick(self, dt_s: float = 0.5) -> None:
        """Half a second of life; then the operator looks."""
        self.now += dt_s
        for pod in list(self.pods.values()):
            ended = []
            if pod.told is not None and self.now >= pod.told[0]:
                pod.off, pod.told = pod.told[1], None
            if pod.started is None and self.now >= pod.next_start:
                self._start(pod, self.now)
            if self.now >= pod.ends:
                ended.append(self._end(pod))
            self.blame.see(self._sight(pod), ended)
        self._roll_on()
        for verdict in self.blame.step(self.now, set(self.pods), self.proven):
            self.verdict = self.verdict or verdict
        for pod in self.pods.values():
            wanted = pod.uid in self.blame.off
            if wanted != (pod.told[1] if pod.told else pod.off):
                pod.told = (self.now + self.random.uniform(0, 2.7), wanted)

    def _sight(self, pod: Pod) -> Sight:
        started = None if pod.started is None else float(int(pod.started))
        return Sight(pod.uid, "Deployment/web", pod.release, started, self.now >= pod.ready_at)

    def _roll_on(self) -> None:
        old = [pod for pod in self.pods.values() if pod.release == self.old]
        new = [pod for pod in self.pods.values() if pod.release == self.new]
        if self.rolling and old and all(self.now >= pod.ready_at for pod in new):
            del self.pods[old[0].uid]
            self.blame.gone(old[0].uid, self.now)
            if len(new) < self.replicas:
                self._create(self.new if self.verdict is None else Release("r2", None), self.behaviour)

    def run(self, seconds: float = 200.0) -> World:
        """Until there is a verdict, or for so long."""
        for _ in range(int(seconds * 2)):
            self.tick()
            if self.verdict is not None:
                break
        return self
