"""Whether the probe is at fault when injected pods crash: evidence first, and no verdict where there is none.

A crash alone accuses nobody: applications crash by themselves, and mostly right after a roll-out. So after the second crash of
injected pods of one release (revision and agent image) the probe is taken out of half of the crashing pods, at least one, and
Kubernetes, which restarts them anyway, makes the experiment. Compared are lives of containers, with and without the probe:

    without the probe it crashes too                                             the application; never again for this release
    with the probe, too, one lives                                               the application, or what it waited for
    without it lives `need`, and with it one crashes that started later and      the probe: taken back
      was not restarted less often
    without it lives `need`, no other pod to compare with, and the agent is      the probe: taken back
      all that is new (older pods were fine), or was never seen to work
    the same, but the agent works elsewhere                                      nobody; this pod stays without the probe

The third line tells a broken probe from what comes right with time, a dependency that was late or a neighbour in the pod: then
whatever starts later, or as often, lives. `need` is so long that chance does not explain it: if the probe did not matter, lives
would be of one distribution, and for n of exponential length one more is r times longer than all of them with probability
n!/((r+1)...(r+n)). See docs/injection.md. Pure: times are Unix seconds by the clocks of nodes, which agree with ours within a
second or two, as Kubernetes asks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

WINDOW_S = 600.0
"""Crashes longer ago than this are of another story."""
FRESH_S = 300.0
"""A container that lived for longer was not killed by being injected."""
SETTLE_S = 4.0
"""An agent is told with the next acknowledgement (2 s) and then moves files; what starts in between is not judged."""
LEAST_NEED_S = 15.0
FINE_S = 60.0
"""An older pod that lived for so long was fine."""
LONE_S = 5.0
"""So much longer a pod without siblings must live: time in which a roll-out goes on and brings some."""
ENOUGH_CRASHES = 2
MOST_LIVES = 200


@dataclass(frozen=True, slots=True)
class Release:
    """What stands accused: one revision of a workload with one image of the agent (None: bare)."""

    revision: str | None
    agent: str | None


@dataclass(frozen=True, slots=True)
class Ended:
    """One life of an application container that is over."""

    started_at: float
    ended_at: float


@dataclass(frozen=True, slots=True)
class Sight:
    """A pod as the API shows it. `started_at` is of the life that goes on, None while nothing runs."""

    uid: str
    workload: str
    release: Release
    started_at: float | None
    ready: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """The probe is at fault in this workload: since when, with which agent, and why, in a sentence."""

    workload: str
    since: float
    agent: str
    reason: str


@dataclass(frozen=True, slots=True)
class Crash:
    """A life that ended, the `number`th of its pod; `probe` is None when it began while the probe was taken out or put back."""

    release: Release
    number: int
    probe: bool | None
    started_at: float
    ended_at: float

    @property
    def length_s(self) -> float:
        return self.ended_at - self.started_at


@dataclass(slots=True)
class _Pod:
    sight: Sight
    switches: list[tuple[float, bool]] = field(default_factory=list)
    """When its agent was told to take the probe out (True) or to put it back (False)."""
    ends: deque[float] = field(default_factory=lambda: deque(maxlen=2))
    """When its last two lives ended."""
    crashes: int = 0

    def rests(self, now: float) -> bool:
        """Whether it crashed twice lately: only then Kubernetes waits for 10 s and more, time enough to be told."""
        return len(self.ends) == 2 and now - self.ends[0] < WINDOW_S

    def has_probe(self, started_at: float) -> bool | None:
        """Whether a life that began then has the probe; None when that is not sure."""
        if self.sight.release.agent is None:
            return False
        with_probe: bool | None = True
        for at, off in self.switches:
            if started_at >= at:
                with_probe = not off if started_at >= at + SETTLE_S else None
        return with_probe


@dataclass(slots=True)
class _Case:
    """What is known of one workload."""

    pods: dict[str, _Pod] = field(default_factory=dict)
    crashes: deque[Crash] = field(default_factory=lambda: deque(maxlen=MOST_LIVES))
    off: set[str] = field(default_factory=set)
    acquitted: set[Release] = field(default_factory=set)
    left: dict[str | None, float] = field(default_factory=dict)
    """Of pods that left and had been fine: their agent, and when the last of them left."""


@dataclass(frozen=True, slots=True)
class _Evidence:
    """The lives that count, for one suspect at one moment."""

    crashes: list[Crash]
    need_s: float
    alike: bool
    died_without: bool
    lives_with: bool
    lives_without: list[tuple[float, int]]
    """Of the lives without the probe that last long enough by now: their start, and how many lives their pod had before."""

    @property
    def crashed_later(self) -> bool:
        """Whether one with the probe started after one without it, after as many attempts, and crashed."""
        wanted = 1 if self.alike else 2
        return any(
            sum(crash.started_at >= started_at and crash.number > attempts for crash in self.crashes) >= wanted
            for started_at, attempts in self.lives_without
        )

    @property
    def first(self) -> float:
        return min(crash.started_at for crash in self.crashes)

    def age_s(self, now: float) -> float:
        """How long the oldest life without the probe lasts."""
        return now - min(started_at for started_at, _ in self.lives_without)


class Blame:
    """The workloads of one service. Tell it what the API shows, `step` once a second, and tell agents what `off` says."""

    def __init__(self, verdicts: Iterable[Verdict] = ()) -> None:
        self.verdicts = {verdict.workload: verdict for verdict in verdicts}
        self._cases: dict[str, _Case] = {}
        self._workload: dict[str, str] = {}

    def see(self, sight: Sight, ended: Sequence[Ended] = ()) -> None:
        """A pod as it is now, and the lives of its application that ended since it was seen last."""
        case = self._cases.setdefault(sight.workload, _Case())
        pod = case.pods.get(sight.uid)
        if pod is None:
            pod = case.pods[sight.uid] = _Pod(sight)
            self._workload[sight.uid] = sight.workload
        pod.sight = sight
        for life in ended:
            pod.ends.append(life.ended_at)
            pod.crashes += 1
            case.crashes.append(
                Crash(sight.release, pod.crashes, pod.has_probe(life.started_at), life.started_at, life.ended_at)
            )

    def gone(self, uid: str, now: float) -> None:
        """A pod left, or is about to."""
        workload = self._workload.pop(uid, None)
        if workload is None:
            return
        case = self._cases[workload]
        sight = case.pods.pop(uid).sight
        case.off.discard(uid)
        if sight.ready and sight.started_at is not None and now - sight.started_at >= FINE_S:
            case.left[sight.release.agent] = now

    @property
    def off(self) -> set[str]:
        """UIDs of the pods whose probe is to be out."""
        found = {uid for case in self._cases.values() for uid in case.off}
        for workload in self.verdicts.keys() & self._cases.keys():
            found |= {uid for uid, pod in self._cases[workload].pods.items() if pod.sight.release.agent is not None}
        return found

    @property
    def busy(self) -> bool:
        """Whether there are crashes to think about."""
        return any(case.crashes for case in self._cases.values())

    @property
    def trying(self) -> dict[str, int]:
        """Workloads in which it is being tried whether the probe is at fault: in how many pods it is out."""
        cases = ((name, case) for name, case in self._cases.items() if case.crashes and name not in self.verdicts)
        return {name: len(case.off) for name, case in cases if case.off}

    def lift(self, workload: str, now: float, *, spare: str | None = None) -> None:
        """Forget a verdict and what led to it: the workload is injected again, and judged anew. Pods with the agent `spare`
        go on without the probe."""
        if self.verdicts.pop(workload, None) is None or workload not in self._cases:
            return
        case = self._cases[workload]
        for uid, pod in case.pods.items():
            agent = pod.sight.release.agent
            if agent is not None:
                _tell(case, uid, now, off=agent == spare)
        case.crashes.clear()
        case.acquitted.clear()

    def step(self, now: float, heard: Collection[str], proven: Mapping[str, float]) -> list[Verdict]:
        """Go on with what is being tried; the verdicts that were reached just now.

        `heard` are the UIDs of pods whose agents report, for only they can be told. `proven` says of each agent image how long,
        in seconds, some pod of the cluster has lived with it, its probe in place.
        """
        found = []
        for workload, case in list(self._cases.items()):
            _forget(case, now)
            if not case.pods and not case.left:
                del self._cases[workload]
            if workload not in self.verdicts and (verdict := _judge(workload, case, now, heard, proven)) is not None:
                self.verdicts[workload] = verdict
                case.off.clear()
                found.append(verdict)
        return found


def _forget(case: _Case, now: float) -> None:
    while case.crashes and now - case.crashes[0].ended_at > WINDOW_S:
        case.crashes.popleft()
    case.left = {agent: at for agent, at in case.left.items() if now - at <= WINDOW_S}


def _judge(workload: str, case: _Case, now: float, heard: Collection[str], proven: Mapping[str, float]) -> Verdict | None:
    suspect = _suspect(case)
    if suspect is None:
        return None
    evidence = _evidence(case, suspect, now)
    if evidence.died_without or evidence.lives_with:
        _acquit(case, suspect, now)
        return None
    _experiment(case, suspect, evidence, now, heard)
    if not evidence.lives_without:
        return None
    agent = suspect.agent or ""
    lone = evidence.alike and not _has_siblings(case, suspect) and evidence.age_s(now) >= evidence.need_s + LONE_S
    if lone and proven.get(agent, 0.0) >= evidence.need_s:
        lone = _older_were_fine(case, suspect, evidence)
    if evidence.crashed_later or lone:
        return Verdict(workload, now, agent, _reason(evidence, now))
    return None


def _acquit(case: _Case, suspect: Release, now: float) -> None:
    """The probe goes back into its pods, with the next start of each."""
    known = {pod.sight.release for pod in case.pods.values()} | {crash.release for crash in case.crashes}
    case.acquitted = (case.acquitted | {suspect}) & known
    for uid in list(case.off):
        _tell(case, uid, now, off=False)


def _suspect(case: _Case) -> Release | None:
    """The release with the newest of enough crashes that nothing has acquitted."""
    count: dict[Release, int] = {}
    newest: Release | None = None
    for crash in case.crashes:
        if crash.probe and crash.length_s < FRESH_S and crash.release not in case.acquitted:
            count[crash.release] = count.get(crash.release, 0) + 1
            if count[crash.release] >= ENOUGH_CRASHES:
                newest = crash.release
    return newest


def _evidence(case: _Case, suspect: Release, now: float) -> _Evidence:
    crashes = [crash for crash in case.crashes if crash.release == suspect and crash.probe and crash.length_s < FRESH_S]
    lengths = [max(1.0, crash.length_s) for crash in crashes]
    longest, first = max(lengths), min(crash.started_at for crash in crashes)
    alike = longest - min(lengths) <= max(1.5, 0.25 * longest)
    need_s = max(LEAST_NEED_S, (4 if alike else 10) * longest)
    lives_with = False
    lives_without: list[tuple[float, int]] = []
    for pod, started_at in _lives(case):
        if not pod.sight.ready or now - started_at < need_s:
            continue
        with_probe = pod.has_probe(started_at)
        if with_probe and pod.sight.release == suspect:
            lives_with = True
        elif with_probe is False and pod.sight.release.revision == suspect.revision and started_at >= first:
            lives_without.append((started_at, pod.crashes))
    died = any(crash.probe is False and crash.ended_at >= first for crash in case.crashes)
    return _Evidence(crashes, need_s, alike, died, lives_with, lives_without)


def _lives(case: _Case) -> Iterator[tuple[_Pod, float]]:
    for pod in case.pods.values():
        if pod.sight.started_at is not None:
            yield pod, pod.sight.started_at


def _older_were_fine(case: _Case, suspect: Release, evidence: _Evidence) -> bool:
    """Whether pods of before, without this agent, went on while those with it crashed, or left in good health."""
    if any(crash.release.agent != suspect.agent and crash.ended_at >= evidence.first for crash in case.crashes):
        return False
    return any(agent != suspect.agent for agent in case.left) or any(
        pod.sight.ready and pod.sight.release.agent != suspect.agent and started_at < evidence.first
        for pod, started_at in _lives(case)
    )


def _has_siblings(case: _Case, suspect: Release) -> bool:
    """Whether there are pods with the probe that have started, and whose fate will tell."""
    return any(
        pod.sight.release == suspect and uid not in case.off and (pod.sight.started_at is not None or pod.crashes > 0)
        for uid, pod in case.pods.items()
    )


def _experiment(case: _Case, suspect: Release, evidence: _Evidence, now: float, heard: Collection[str]) -> None:
    """Take the probe out of half of the pods that crash, at least one."""
    crashing = [
        uid
        for uid, pod in case.pods.items()
        if pod.sight.release == suspect and pod.rests(now) and (uid in case.off or not _lasts(pod, evidence, now))
    ]
    lacking = max(1, len(crashing) // 2) - sum(uid in case.off for uid in crashing)
    for uid in sorted(crashing):
        if uid not in case.off and uid in heard and lacking > 0:
            _tell(case, uid, now, off=True)
            lacking -= 1


def _lasts(pod: _Pod, evidence: _Evidence, now: float) -> bool:
    started_at = pod.sight.started_at
    return started_at is not None and now - started_at >= evidence.need_s


def _tell(case: _Case, uid: str, now: float, *, off: bool) -> None:
    case.pods[uid].switches.append((now, off))
    (case.off.add if off else case.off.discard)(uid)


def _reason(evidence: _Evidence, now: float) -> str:
    longest = max(crash.length_s for crash in evidence.crashes)
    return (
        f"with the probe {len(evidence.crashes)} crashes, at most {max(1.0, longest):.0f} s after the start; "
        f"without it the application has been running for {evidence.age_s(now):.0f} s"
    )
