"""Turns additions into numbered FACTS, keeps what is not acknowledged, and remembers both across a crash of this process.

What waits to be told (`_pending`), what was told and not acknowledged (`_log`), and how far each file was read (`cursors`) are
saved together, before a frame is sent and before a dead worker's file is removed. A process that finds them goes on exactly
there; see `wire.facts` for the numbers.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator
from typing import Any

from .additions import Additions
from .log import say
from .sources.harvest import Cursor
from .wire import facts

VERSION = 2
FRESH_MS = 5000
"""Facts that an agent younger than this counted before it was first welcomed are traffic of now."""
LATE_S = 1.5
"""What was counted while no facts could be sent for longer than this (three reports) is of the past."""
MAX_LOG = 64
"""Frames that may wait for their acknowledgement; one comes at least every few seconds."""
MINUTE_S = 60.0
MAX_VISITORS = 4096
Record = tuple[int, int, int, int]


class FactsLog:
    """See the module's docstring. Times are CLOCK_MONOTONIC in seconds."""

    def __init__(self, folder: str) -> None:
        self.path = os.path.join(folder, "facts")
        self.cursors: dict[str, Cursor] = {}
        self._pending = Additions()
        self._log: list[tuple[int, bytes]] = []
        self._number = 0
        self._sent = 0
        self._endpoints = Names(facts.ENDPOINT_NAMES, facts.OTHER_ENDPOINT)
        self._errors = Names(facts.ERROR_NAMES, facts.OTHER_ERROR)
        self._dependencies = Names(facts.DEPENDENCY_NAMES, facts.OTHER_DEPENDENCY)
        self._ever = Additions()
        """All that was ever counted, without what is of a window."""
        self._able_s: float | None = None
        self._wanted = self._unsaved = False
        self._minute_s = 0.0
        self._registers: dict[int, int] = {}

    # --- across processes

    def load(self, epoch: str) -> None:
        """Take over what an earlier process of the same epoch saved; what cannot be read is left, and said."""
        try:
            with open(self.path, "rb") as file:
                value = json.loads(file.read())
            if value["version"] != VERSION or value["epoch"] != epoch:
                return
            pending, ever = Additions.from_json(value["pending"]), Additions.from_json(value["ever"])
            cursors = {str(name): Cursor.from_json(cursor) for name, cursor in value["cursors"].items()}
            log = [(int(number), base64.b64decode(body)) for number, body in value["log"]]
            names = [[str(name) for name in table] for table in value["names"]]
            if len(names) != len(self._tables):
                raise ValueError(f"{len(names)} tables of names")
            number = int(value["number"])
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            say(f"facts cannot be read, endpoints are counted from now on: {error!r}")
            return
        self._pending, self.cursors, self._log, self._number = pending, cursors, log, number
        self._ever = ever
        for table, known in zip(self._tables, names, strict=True):
            table.known = {name: index for index, name in enumerate(known)}

    @property
    def _tables(self) -> tuple[Names, ...]:
        return self._endpoints, self._errors, self._dependencies

    def save(self, epoch: str) -> None:
        """Replace the file; raises OSError."""
        value: dict[str, Any] = {
            "version": VERSION,
            "epoch": epoch,
            "number": self._number,
            "pending": self._pending.to_json(),
            "ever": self._ever.to_json(),
            "cursors": {name: cursor.to_json() for name, cursor in self.cursors.items()},
            "log": [(number, base64.b64encode(body).decode()) for number, body in self._log],
            "names": [list(table.known) for table in self._tables],
        }
        temporary = self.path + ".new"
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(json.dumps(value, separators=(",", ":")))
        os.replace(temporary, self.path)
        self._unsaved = False

    # --- in

    def take(self, found: Additions) -> None:
        """Something was counted."""
        self._pending.add(found)
        self._ever.add_lasting(found)
        if not self._wanted and len(self._pending.visits) > MAX_VISITORS:
            del self._pending.visits[:-MAX_VISITORS]

    # --- the operator's word

    def welcomed(self, known: int | None, age_ms: int, *, new: bool) -> None:
        """The operator has taken the facts up to number `known`; None when it wants none. `new`: over a new connection, which
        knows no names and has not got what is in the log."""
        if new:
            for table in self._tables:
                table.told = 0
        anew = new or not self._wanted
        self._wanted = known is not None
        if known is None:
            return
        first = self._log[0][0] - 1 if self._log else self._number
        if known > self._number:
            self._forgotten(known)
        elif known and first <= known:
            self.acknowledged(known)
            if new:
                self._sent = known
        elif known == 0 and self._number == 0:
            if age_ms > FRESH_MS and self._able_s is None:
                self._begin_again()
        elif anew:  # else it was said before our first facts arrived
            self._begin_again()

    def _forgotten(self, known: int) -> None:
        """The operator has more than we remember of (what we had saved is gone): nothing shall be counted twice, so what was
        counted until now is taken as told."""
        say("facts were forgotten, endpoints are counted from now on")
        self._log.clear()
        self._number = self._sent = known
        self._pending = Additions()
        self._unsaved = True

    def _begin_again(self) -> None:
        """To an operator that knows nothing of this epoch: everything ever counted, as of the past."""
        self._log.clear()
        self._number = self._sent = 0
        visits = self._pending.visits
        self._pending = Additions()
        self._pending.visits = visits
        self._registers.clear()
        if self._ever:
            self._append(self._records(self._ever, 0.0, cells=False), facts.FLAG_PAST)

    def acknowledged(self, number: int) -> None:
        """The operator has taken the facts up to this number."""
        self._log = [entry for entry in self._log if entry[0] > number]

    # --- out

    def frames(self, now: float, epoch: str) -> Iterator[tuple[int, bytes]]:
        """(table or 0, body) to send now: names (DEFINE) before the facts that use them. Only while the connection takes them.

        Raises OSError when what is about to be sent cannot be remembered: then nothing is sent.
        """
        if not self._wanted:
            return
        late = self._able_s is not None and now - self._able_s > LATE_S
        self._able_s = now
        if self._pending and len(self._log) < MAX_LOG:
            pending, self._pending = self._pending, Additions()
            self._append(self._records(pending, now, cells=not late), facts.FLAG_PAST if late else 0)
        if self._unsaved:
            self.save(epoch)
        yield from self.names()
        for number, body in self._log:
            if number > self._sent:
                self._sent = number
                yield 0, body

    def names(self) -> Iterator[tuple[int, bytes]]:
        """(table, body) of each DEFINE that the connection has not got yet."""
        for table in self._tables:
            if table.told < len(table.known):
                fresh = list(table.known.items())[table.told :]
                table.told = len(table.known)
                yield table.number, facts.pack_names(table.number, ((index, name) for name, index in fresh))

    @property
    def wanted(self) -> bool:
        """Whether the operator takes facts, and points with them."""
        return self._wanted

    def endpoint(self, name: str) -> int:
        """The id of an endpoint, for points; 0 where there is no place."""
        return self._endpoints.id_of(name)

    def error(self, name: str) -> int:
        """The same for a type of error."""
        return self._errors.id_of(name)

    def dependency(self, name: str) -> int:
        """The same for a dependency."""
        return self._dependencies.id_of(name)

    @property
    def first(self) -> int:
        """Of the facts that are still there to be told again."""
        return self._log[0][0] if self._log else self._number + 1

    @property
    def number(self) -> int:
        """Of the newest facts."""
        return self._number

    def _append(self, records: list[Record], flags: int) -> None:
        for at in range(0, len(records), facts.MAX_RECORDS):
            self._number += 1
            body = facts.pack_facts(self._number, flags, records[at : at + facts.MAX_RECORDS])
            self._log.append((self._number, body))
            self._unsaved = True

    def _records(self, found: Additions, now: float, *, cells: bool) -> list[Record]:
        records: list[Record] = []
        for name, (requests, failures, duration_us) in found.rows.items():
            index = self._endpoints.id_of(name)
            if not index and name != facts.OTHER_ENDPOINT:
                records.append((facts.FOLDED, 0, 0, 1))
            counts = ((facts.REQUESTS, requests), (facts.FAILURES, failures), (facts.DURATION, duration_us))
            records += [(kind, index, 0, value) for kind, value in counts if value]
        records += [(facts.ERRORS, self._errors.id_of(name), 0, count) for name, count in found.errors.items() if count]
        records += self._calls(found)
        for (name, signal), count in found.unanswered.items():
            records.append((facts.UNANSWERED, self._endpoints.id_of(name), signal, count))
        records += [(facts.DEATHS, 0, signal, count) for signal, count in found.deaths.items()]
        if cells:
            endpoint, dependency = self._endpoints.id_of, self._dependencies.id_of
            records += [(facts.CELL, endpoint(name), bucket, n) for (name, bucket), n in found.cells.items()]
            records += [(facts.CALL_CELL, dependency(name), bucket, n) for (name, bucket), n in found.call_cells.items()]
        if found.folded:
            records.append((facts.FOLDED, 0, 0, found.folded))
        if found.visits:
            records += self._visitors(found.visits, now)
        return records

    def _calls(self, found: Additions) -> Iterator[Record]:
        for name, (calls, *failures, duration_us, waited_us) in found.calls.items():
            index = self._dependencies.id_of(name)
            counts = ((facts.CALLS, calls), (facts.CALL_DURATION, duration_us), (facts.WAITED, waited_us))
            yield from ((kind, index, 0, value) for kind, value in counts if value)
            yield from ((facts.CALL_FAILURES, index, reason, value) for reason, value in enumerate(failures) if value)

    def _visitors(self, visits: list[int], now: float) -> list[Record]:
        """Each register at most once a minute, unless it grows; each sighting of the few that are followed."""
        if now - self._minute_s >= MINUTE_S:
            self._minute_s = now
            self._registers.clear()
        records: list[Record] = []
        for hashed in visits:
            register, rank = facts.register_and_rank(hashed)
            if rank > self._registers.get(register, 0):
                self._registers[register] = rank
                records.append((facts.VISITOR, 0, register << 8 | rank, 1))
            if facts.is_sighted(hashed):
                records.append((facts.SIGHTING, 0, hashed & facts.MAX_VALUE, 0))
        return records


class Names:
    """One table of names with their ids, in the order in which they came; `told` of them are known to the connection."""

    def __init__(self, number: int, other: str) -> None:
        self.number = number
        self.known: dict[str, int] = {other: 0}
        self.told = 0

    def id_of(self, name: str) -> int:
        """The id of a name, a new one if need be; 0 when there is no place."""
        if name not in self.known and len(self.known) < facts.MAX_IDS:
            self.known[name] = len(self.known)
        return self.known.get(name, 0)
