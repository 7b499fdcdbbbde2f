"""Pods on their way out: each gets one cause, once, when enough is known.

A pod begins to leave when its deletion is asked for, when it finishes, or when it is gone without warning; it has left when it
has finished or is gone. News of its owner come by another stream than its own and may be a moment behind, so a cause that later
news could change is kept open for `PATIENCE_S`, and shown as preliminary. A pod that stays as an object after it has finished
was counted then, and is not counted again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from .departures import Verdict

PATIENCE_S = 2.0
MISSED_PATIENCE_S = 12.0
"""After a gap in which the API could not be watched, each stream comes back in its own time."""
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Leaver(Generic[T]):
    """One of them. Times are monotonic seconds; `pod` is what the API said last."""

    uid: str
    pod: T
    since_s: float
    present: int
    """Pods of its owner that stayed until then, with it."""
    asked_first: bool = False
    """Its deletion was asked for before it had finished: what its containers do then is no cause."""
    gone_s: float | None = None
    object_gone: bool = False
    held: bool = False
    """It may not have left at all: somebody is asking."""
    missed: bool = False
    verdict: Verdict | None = None
    settled: bool = False


class Settled(NamedTuple, Generic[T]):
    """What a step has found: `decided` have their cause from now on, `left` have it and are gone."""

    decided: list[Leaver[T]]
    left: list[Leaver[T]]


class Leavers(Generic[T]):
    """Tell it of every version of every pod by `stays`, `leaves` and `gone`, then `step`."""

    def __init__(self) -> None:
        self._staying: dict[str, set[str]] = {}
        self._owner: dict[str, str] = {}
        self._leaving: dict[str, Leaver[T]] = {}
        self._done: set[str] = set()
        """UIDs of pods that have left, and are still there as objects."""

    def __len__(self) -> int:
        return len(self._leaving)

    def stays(self, uid: str, owner: str) -> None:
        """A pod that neither leaves nor has finished; `owner` is the UID of what controls it, or empty."""
        if uid in self._leaving or uid in self._done:
            return  # nobody comes back from there; what says so is late
        self._owner[uid] = owner
        self._staying.setdefault(owner, set()).add(uid)

    def leaves(
        self,
        uid: str,
        owner: str,
        pod: T,
        now_s: float,
        *,
        finished: bool = False,
        asked_first: bool = False,
        ours: bool = False,
    ) -> None:
        """A version of a pod that is being deleted or has finished. One that had finished before it was ever seen is none of
        ours, it left in another time; unless with `ours` it is known to be younger than our looking."""
        if uid in self._done:
            return
        leaver = self._leaving.get(uid)
        if leaver is None:
            if finished and uid not in self._owner and not ours:
                self._done.add(uid)
                return
            leaver = self._begin(uid, owner, pod, now_s)
            leaver.asked_first = asked_first
        leaver.pod = pod
        if finished and leaver.gone_s is None:
            leaver.gone_s = now_s

    def gone(
        self, uid: str, owner: str, pod: T, now_s: float, *, missed: bool = False, held: bool = False, asked_first: bool = False
    ) -> None:
        """The object is not there any more. With `held`, perhaps it is: then `confirm` or `forget` follows."""
        if uid in self._done:
            self._done.discard(uid)
            return
        leaver = self._leaving.get(uid)
        if leaver is None:
            leaver = self._begin(uid, owner, pod, now_s)
            leaver.asked_first = asked_first
        leaver.pod = pod
        leaver.missed = leaver.missed or missed
        leaver.object_gone = True
        leaver.held = held
        if leaver.gone_s is None:
            leaver.gone_s = now_s

    def confirm(self, uid: str) -> None:
        """It has left indeed."""
        leaver = self._leaving.get(uid)
        if leaver is not None:
            leaver.held = False

    def begun(self, uid: str) -> bool:
        """Whether a pod is known to leave or to have left."""
        return uid in self._leaving or uid in self._done

    def forget(self, uid: str) -> None:
        """It did not leave: its labels or the selector changed."""
        self._unstay(uid)
        self._leaving.pop(uid, None)
        self._done.discard(uid)

    def _begin(self, uid: str, owner: str, pod: T, now_s: float) -> Leaver[T]:
        self._owner.setdefault(uid, owner)
        staying = self._staying.get(owner, set())
        present = len(staying) + (uid not in staying)
        self._unstay(uid)
        leaver = self._leaving[uid] = Leaver(uid, pod, now_s, present)
        return leaver

    def _unstay(self, uid: str) -> None:
        owner = self._owner.pop(uid, None)
        if owner is None:
            return
        staying = self._staying.get(owner)
        if staying is not None:
            staying.discard(uid)
            if not staying:
                del self._staying[owner]

    def verdict(self, uid: str) -> Verdict | None:
        """Why a pod leaves, as far as is known now."""
        leaver = self._leaving.get(uid)
        return leaver.verdict if leaver is not None else None

    def step(self, now_s: float, judge: Callable[[Leaver[T]], Verdict], *, current: bool = True) -> Settled[T]:
        """Judge those that are open; not `current` is when owners cannot be watched at this moment."""
        found: Settled[T] = Settled([], [])
        for uid, leaver in list(self._leaving.items()):
            if not leaver.settled:
                leaver.verdict = judge(leaver)
                patience_s = MISSED_PATIENCE_S if leaver.missed or not current else PATIENCE_S
                if leaver.held:
                    continue
                if leaver.verdict.sure or now_s - leaver.since_s >= patience_s:
                    leaver.settled = True
                    found.decided.append(leaver)
            if leaver.settled and leaver.gone_s is not None:
                del self._leaving[uid]
                if not leaver.object_gone:
                    self._done.add(uid)
                found.left.append(leaver)
        return found
