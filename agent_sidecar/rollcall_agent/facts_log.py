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

from .additions import Additions, Row
from .log import say
from .sources.harvest import Cursor
from .wire import facts

VERSION = 1
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
        self._told = {facts.ENDPOINT_NAMES: 0, facts.ERROR_NAMES: 0}
        self._endpoints: dict[str, int] = {facts.OTHER_ENDPOINT: 0}
        self._errors: dict[str, int] = {facts.OTHER_ERROR: 0}
        self._rows: dict[str, Row] = {}
        self._error_totals: dict[str, int] = {}
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
            pending = Additions()
            pending.rows = {str(name): _row(row) for name, row in value["rows"]}
            pending.cells = {(str(name), int(bucket)): int(count) for name, bucket, count in value["cells"]}
            pending.errors = {str(name): int(count) for name, count in value["errors"]}
            cursors = {str(name): Cursor.from_json(cursor) for name, cursor in value["cursors"].items()}
            log = [(int(number), base64.b64decode(body)) for number, body in value["log"]]
            totals = {str(name): _row(row) for name, row in value["totals"]}
            error_totals = {str(name): int(count) for name, count in value["error_totals"]}
            names = [str(name) for name in value["endpoints"]], [str(name) for name in value["error_names"]]
            number = int(value["number"])
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            say(f"facts cannot be read, endpoints are counted from now on: {error!r}")
            return
        self._pending, self.cursors, self._log, self._number = pending, cursors, log, number
        self._rows, self._error_totals = totals, error_totals
        self._endpoints, self._errors = ({name: i for i, name in enumerate(table)} for table in names)

    def save(self, epoch: str) -> None:
        """Replace the file; raises OSError."""
        pending = self._pending
        value: dict[str, Any] = {
            "version": VERSION,
            "epoch": epoch,
            "number": self._number,
            "rows": list(pending.rows.items()),
            "cells": [(name, bucket, count) for (name, bucket), count in pending.cells.items()],
            "errors": list(pending.errors.items()),
            "cursors": {name: cursor.to_json() for name, cursor in self.cursors.items()},
            "log": [(number, base64.b64encode(body).decode()) for number, body in self._log],
            "totals": list(self._rows.items()),
            "error_totals": list(self._error_totals.items()),
            "endpoints": list(self._endpoints),
            "error_names": list(self._errors),
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
        for endpoint, row in found.rows.items():
            before = self._rows.get(endpoint, (0, 0, 0))
            self._rows[endpoint] = (before[0] + row[0], before[1] + row[1], before[2] + row[2])
        for name, count in found.errors.items():
            self._error_totals[name] = self._error_totals.get(name, 0) + count
        if not self._wanted and len(self._pending.visits) > MAX_VISITORS:
            del self._pending.visits[:-MAX_VISITORS]

    # --- the operator's word

    def welcomed(self, known: int | None, age_ms: int, *, new: bool) -> None:
        """The operator has taken the facts up to number `known`; None when it wants none. `new`: over a new connection, which
        knows no names and has not got what is in the log."""
        if new:
            self._told = dict.fromkeys(self._told, 0)
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
        past = Additions()
        past.rows, past.errors = self._rows, self._error_totals
        if past:
            self._append(self._records(past, 0.0, cells=False), facts.FLAG_PAST)

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
        for table, names in ((facts.ENDPOINT_NAMES, self._endpoints), (facts.ERROR_NAMES, self._errors)):
            if self._told[table] < len(names):
                fresh = list(names.items())[self._told[table] :]
                self._told[table] = len(names)
                yield table, facts.pack_names(table, ((index, name) for name, index in fresh))
        for number, body in self._log:
            if number > self._sent:
                self._sent = number
                yield 0, body

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
        endpoint = self._endpoint
        records: list[Record] = []
        for name, (requests, failures, duration_us) in found.rows.items():
            index = endpoint(name, found)
            counts = ((facts.REQUESTS, requests), (facts.FAILURES, failures), (facts.DURATION, duration_us))
            records += [(kind, index, 0, value) for kind, value in counts if value]
        if cells:
            records += [(facts.CELL, endpoint(name, found), bucket, n) for (name, bucket), n in found.cells.items()]
        records += [(facts.ERRORS, self._error(name), 0, count) for name, count in found.errors.items() if count]
        if found.folded:
            records.append((facts.FOLDED, 0, 0, found.folded))
        if found.visits:
            records += self._visitors(found.visits, now)
        return records

    def _endpoint(self, name: str, found: Additions) -> int:
        index = self._endpoints.get(name)
        if index is not None:
            return index
        if len(self._endpoints) >= facts.MAX_IDS:
            found.folded += 1
            return 0
        self._endpoints[name] = len(self._endpoints)
        return self._endpoints[name]

    def _error(self, name: str) -> int:
        if name not in self._errors and len(self._errors) < facts.MAX_IDS:
            self._errors[name] = len(self._errors)
        return self._errors.get(name, 0)

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


def _row(value: Any) -> Row:
    requests, failures, duration_us = (int(n) for n in value)
    return requests, failures, duration_us
