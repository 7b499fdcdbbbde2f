"""The shared folder's worker files: finds new ones, reads the live ones, folds the dead ones into the agent's state.

Folding is exactly once: state with the file's name is written first, then the file is unlinked; whoever finds a file whose name
is in the state only unlinks it. What a file adds to the facts is saved before that.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from ..additions import Additions
from ..facts_log import FactsLog
from ..log import say
from ..state import State
from ..totals import Totals
from ..wire import layout, points
from .deaths import Death, take_crash
from .harvest import Harvest
from .longest import longest
from .points import choose
from .worker_file import BadWorkerFileError, InFlight, WorkerFile

MAX_FILES = 512
MAX_SAMPLES = 20
"""Samples of errors, or deaths of workers, that wait to be told."""
ORPHAN_S = 2.0
"""The last words of a PHP worker that are so old belong to no connection that could still tell of them."""
Resources = tuple[int, ...]
RUNTIMES = {
    layout.RUNTIME_PYTHON: "python",
    layout.RUNTIME_PHP: "php",
    layout.RUNTIME_OTLP: "otlp",
    layout.RUNTIME_ACCESS_LOG: "accessLog",
}
"""As HELLO names them."""
TOLD = (layout.RUNTIME_OTLP, layout.RUNTIME_ACCESS_LOG)
"""Those that have no probe, and are there once they have told of a request."""
IN_FLIGHT = ("python", "php")
"""Those that tell of requests before they end."""


def worker_files(run_dir: str) -> list[str]:
    """Names, relative to the shared folder, of all worker files that are complete: `x.worker` and `workers/x.worker`.

    Raises OSError when the shared folder cannot be listed.
    """
    found = os.listdir(run_dir)
    inner = layout.worker_dir(run_dir)
    if inner != run_dir:
        found += [f"{os.path.basename(inner)}/{name}" for name in os.listdir(inner)]
    return sorted(name for name in found if name.endswith(layout.SUFFIX) and not os.path.basename(name).startswith("."))


class WorkerFolder:
    """All worker files of a pod."""

    def __init__(self, folder: str, state: State, facts: FactsLog) -> None:
        self._folder = folder
        self._state = state
        self._facts = facts
        self._live: dict[str, WorkerFile] = {}
        self._harvests: dict[str, Harvest] = {}
        self.samples: list[dict[str, Any]] = []
        """Samples of errors that were found since the caller last cleared this, the oldest first."""
        self.deaths: list[Death] = []
        """The same of workers that ended by a signal or with requests in flight."""
        self._ignored: set[str] = set()
        self._unremovable: set[str] = set()
        self._seen: set[int] = set()
        self._finish_earlier_folds()

    def _finish_earlier_folds(self) -> None:
        for name in set(self._state.folded).intersection(worker_files(self._folder)):
            self._unlink(name)
        self._state.folded = sorted(self._unremovable)

    def scan(self, now_us: int, bounds_ms: Sequence[int]) -> None:
        """Bring everything up to date; `now_us` is CLOCK_MONOTONIC in µs."""
        self._find_new()
        dead = []
        for name, file in list(self._live.items()):
            try:
                is_dead = file.is_dead()  # before reading, so that nothing can be written after what is read
                file.read(now_us, bounds_ms)
                self._note_probe(file)
            except (OSError, BadWorkerFileError) as error:
                self._ignore(name, error)
                self._drop(file)
                continue
            self._harvest(name)
            if is_dead:
                self._bury(name)
                dead.append(file)
        if dead:
            self._fold(dead)

    def _bury(self, name: str) -> None:
        found, death = self._harvests[name].bury()
        if found:
            self._facts.take(found)
        if death is not None:
            self.died(death)

    def died(self, death: Death) -> None:
        """A worker ended in a way that is to be told."""
        self.deaths = [*self.deaths, death][-MAX_SAMPLES:]

    def count_death(self, death: Death) -> None:
        """A worker without a file of its own (PHP) ended by a signal, or with requests in flight."""
        found, signal = Additions(), death.crash.signal if death.crash is not None else 0
        if death.unanswered:
            found.add_unanswered(death.endpoint, signal, death.unanswered)
        if signal:
            found.add_death(signal)
        self._facts.take(found)
        self.died(death)

    def orphans(self, now_s: float) -> None:
        """Take in what PHP workers that had no request in flight left behind when a signal ended them.

        `now_s` is the wall clock, by which files are dated.
        """
        folder = layout.worker_dir(self._folder)
        try:
            names = [name for name in os.listdir(folder) if name.endswith(layout.CRASH_SUFFIX) and name[0] != "."]
            for name in names:
                path = os.path.join(folder, name)
                if now_s - os.lstat(path).st_mtime < ORPHAN_S:
                    continue
                crash = take_crash(path)
                if crash is not None:
                    pid = name[: -len(layout.CRASH_SUFFIX)]
                    self.count_death(Death("php", int(pid) if pid.isdecimal() else 0, crash, 0, "", 0, ""))
        except OSError as error:
            say(f"cannot read what a signal left behind: {error}", "crash")

    def _harvest(self, name: str) -> None:
        harvest = self._harvests[name]
        found = harvest.take()
        if found is not None:
            self._facts.cursors[name] = harvest.cursor
            if found:
                self._facts.take(found)
        if harvest.samples:
            self.samples = (self.samples + harvest.samples)[-MAX_SAMPLES:]
            harvest.samples.clear()

    def _drop(self, file: WorkerFile) -> None:
        file.close()
        del self._live[file.name], self._harvests[file.name]
        self._facts.cursors.pop(file.name, None)

    def _find_new(self) -> None:
        try:
            names = worker_files(self._folder)
        except OSError as error:
            say(f"cannot list {self._folder}: {error}", "folder")
            return
        self._ignored.intersection_update(names)
        for name in names:
            if name in self._live or name in self._ignored:
                continue
            if len(self._live) >= MAX_FILES:
                say(f"more than {MAX_FILES} worker files, the rest is not read", "folder")
                return
            try:
                file = WorkerFile(os.path.join(self._folder, name), name)
                self._live[name], self._harvests[name] = file, Harvest(file, self._facts.cursors.get(name))
            except (OSError, BadWorkerFileError) as error:
                self._ignore(name, error)

    def _note_probe(self, file: WorkerFile) -> None:
        if file.runtime == layout.RUNTIME_PYTHON or (file.runtime in TOLD and file.totals.finished):
            self._state.probe_seen = True

    def _ignore(self, name: str, error: Exception) -> None:
        self._ignored.add(name)
        say(f"worker file {name[:100]!r} is ignored: {error}", "file " + name[:40])

    def _fold(self, dead: list[WorkerFile]) -> None:
        """Move the totals of `dead` files into the state; when that cannot be written they stay as they are for now."""
        state = self._state
        before = state.totals, state.folded, state.endpoints
        state.totals = state.totals.copy()
        state.endpoints = dict(state.endpoints)
        for file in dead:
            state.totals.add(file.final())
            state.add_endpoints({name: counts for name, counts in file.endpoints() if counts[0]})
        state.folded = [file.name for file in dead] + sorted(self._unremovable)
        try:
            self._facts.save(state.epoch)
            state.save()
        except OSError as error:
            state.totals, state.folded, state.endpoints = before
            say(f"cannot write the state file: {error}", "state")
            return
        for file in dead:
            self._unlink(file.name)
            self._drop(file)

    def _unlink(self, name: str) -> None:
        try:
            os.unlink(os.path.join(self._folder, name))
        except FileNotFoundError:
            return
        except OSError as error:
            self._ignored.add(name)
            self._unremovable.add(name)  # stays in the state, or the next process would fold it again
            say(f"cannot remove {name!r}: {error}", "folder")

    @property
    def workers(self) -> int:
        """Live application workers that write a file of their own."""
        return sum(1 for file in self._live.values() if file.runtime not in layout.OWN_RUNTIMES)

    @property
    def busy(self) -> int:
        """Of the live workers of all runtimes, those that have a request in flight."""
        python = (file for file in self._live.values() if file.runtime not in layout.OWN_RUNTIMES)
        php = sum(file.in_flight.total for file in self._live.values() if file.runtime == layout.RUNTIME_PHP)
        return sum(1 for file in python if file.in_flight.total) + php  # a PHP worker has one request at a time

    def longest(self, now_us: int, bounds_ms: Sequence[int]) -> dict[str, Any]:
        """The body of a REQUESTS frame."""
        return longest(self._live.values(), now_us, bounds_ms)

    def points(self, now_us: int, slow_us: int, room: int) -> bytes:
        """The body of POINTS: what finished since the last call. The names of its ids are then known to `facts`."""
        found = [(point, harvest) for harvest in self._harvests.values() for point in harvest.points]
        for harvest in self._harvests.values():
            harvest.points.clear()
        told = []
        for (ended_us, elapsed_us, waited_us, cpu_us, endpoint, dependency, error, outcome, *_), names, weight in choose(
            found, slow_us, room
        ):
            age_ms = min(max(0, now_us - ended_us) // 1000, points.MAX_AGE_MS)
            ids = (
                self._facts.endpoint(names.endpoint(endpoint)),
                self._facts.dependency(names.dependency(dependency)) if dependency else 0,
                self._facts.error(names.error(error)) if error else 0,
            )
            told.append(points.Point(age_ms, weight, elapsed_us, waited_us, cpu_us, *ids, outcome))
        return points.pack_points(told)

    def resources(self) -> Resources | None:
        """The newest reading of the application container's cgroup, as in `layout.RESOURCES`; None without one."""
        newest = max((file.resources for file in self._live.values()), default=None)
        return newest if newest is not None and newest[0] else None

    def runtimes(self) -> list[str]:
        """What tells of requests: the runtimes of workers, and what has told the agent of any. One that was seen stays, for
        between the end of a worker and the start of the next there may be none."""
        self._seen |= {
            file.runtime for file in self._live.values() if file.runtime not in layout.OWN_RUNTIMES or file.totals.finished
        }
        return [name for runtime, name in RUNTIMES.items() if runtime in self._seen]

    def sum(self) -> tuple[Totals, InFlight]:
        """Totals since the epoch, dead workers included, and what is in flight now."""
        totals = self._state.totals.copy()
        in_flight = InFlight()
        for file in self._live.values():
            totals.add(file.totals)
            in_flight.add(file.in_flight)
        return totals, in_flight
