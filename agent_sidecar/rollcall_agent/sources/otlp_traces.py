"""Counts spans in a worker file: SERVER and CONSUMER spans are requests, CLIENT and PRODUCER spans calls of dependencies.

What a request has waited for are the calls of its trace in this pod, cut to its own time. Children end before their parent, so
they are in the same export or an earlier one: those are kept by trace id until the parent comes, a bounded number of them. A
call whose parent is a call too (an HTTP request below one of the AWS SDK) is part of that one, and is not counted by itself.
"""

from __future__ import annotations

import time
from itertools import pairwise
from math import ceil, log2

from ..ledger import Ledger
from ..redact import redact
from ..wire import facts, grid, layout
from . import otlp_names as names
from .otlp_spans import CLIENT, CONSUMER, PRODUCER, SERVER, Attributes, Span

MOST_KEPT = 8192
"""Calls that wait for their request; then the older half of them is forgotten."""
MOST_CALLS = 64
"""The same of one trace."""
MOST_AGE_S = 60.0
"""For how long a request may go on after a call of it was told."""
_MAX_ELAPSED_NS = 7 * 86_400 * 1_000_000_000
_MOST_NAMES = 1024
_SAMPLE_EVERY_US = 1_000_000
_MOST_MESSAGE = 200
_U32 = 0xFFFFFFFF
_pack_point = layout.POINT.pack
Call = tuple[int, int, int]
"""Index of the dependency, start and end (ns of Unix time)."""


class TraceCounter:
    """Applies exports to `ledger`; its owner sees to it that one is applied after the other."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._calls: dict[bytes, list[Call]] = {}
        """By trace id: calls that wait for their request. Those of the export at hand are in it too."""
        self._kept = 0
        self._turned_s = 0.0
        self._old: dict[bytes, list[Call]] = {}
        self._endpoints: dict[str, int] = {}
        self._dependencies: dict[str, int] = {}
        self._sampled: dict[str, int] = {}
        self.requests = 0
        """Requests that were counted by this process."""

    def count(self, spans: list[Span], now_us: int) -> int:
        """Count spans of one export; returns how many could not be: they end before they begin, or have no id."""
        rejected = 0
        self._age(now_us / 1e6)
        requests, calls = [], []
        nested = {span[2] for span in spans if span[0] in (CLIENT, PRODUCER)}
        for span in spans:
            kind, trace, _, parent, _, start, end, _, _, _ = span
            if not trace or not 0 < start <= end or end - start > _MAX_ELAPSED_NS:
                rejected += 1
            elif kind in (SERVER, CONSUMER):
                requests.append(span)
            elif parent not in nested:
                calls.append(span)
        if calls:
            self._take_calls(calls)
        if requests:
            self._take_requests(requests, now_us)
        return rejected

    def _age(self, now_s: float) -> None:
        """Forget calls whose request has not come: those that were there at the turn before this one."""
        if now_s - self._turned_s >= MOST_AGE_S or self._kept > MOST_KEPT // 2:
            self._turned_s, self._kept = now_s, 0
            self._old, self._calls = self._calls, {}

    def _take_calls(self, spans: list[Span]) -> None:
        # Most spans are alike: the native decoder gives one object for attributes that came in the same bytes.
        targets: dict[int, tuple[int, bool, list[int]]] = {}
        sums: dict[int, list[int]] = {}
        cells, waiting = [], self._calls
        for _, trace, _, _, _, start, end, failed, found, exceptions in spans:
            target = targets.get(id(found))
            if target is None:
                index = self._dependency(found)
                target = targets[id(found)] = index, names.is_plain(found), sums.setdefault(index, [0] * 8)
            index, plain, added = target
            elapsed_ns = end - start
            added[0] += 1
            added[6] += elapsed_ns // 1000
            if failed or not plain:
                reason = names.reason(failed, found, exceptions)
                if reason is not None:
                    added[1 + reason] += 1
            cells.append(index << 16 | _bucket(elapsed_ns))
            known = waiting.get(trace)
            if known is None:
                waiting[trace] = [(index, start, end)]
            elif len(known) < MOST_CALLS:
                known.append((index, start, end))
        self._kept += len(spans)
        self._ledger.called_all(sums, cells)

    def _dependency(self, found: Attributes) -> int:
        name = names.dependency(found)
        index = self._dependencies.get(name)
        return _remember(self._dependencies, name, self._ledger.dependency(name)) if index is None else index

    def _endpoint(self, span: Span) -> tuple[str, int, int]:
        """(name, index, status) of a request."""
        name = names.endpoint(span)
        index = self._endpoints.get(name)
        if index is None:
            index = _remember(self._endpoints, name, self._ledger.endpoint(name))
        return name, index, names.status(span[8])

    def _take_requests(self, spans: list[Span], now_us: int) -> None:
        offset_us = time.time_ns() // 1000 - now_us
        known: dict[int, tuple[str, int, int]] = {}
        finished, points, old = [], [], self._old
        for span in spans:
            kind, trace, _, _, _, start, end, failed, found, _ = span
            what = known.get(id(found)) if kind == SERVER else None
            if what is None:
                what = self._endpoint(span)
                if kind == SERVER and "http.route" in found:  # else it is of the span's name
                    known[id(found)] = what
            name, endpoint, code = what
            failed = failed or code >= 500
            error = self._error(span, code, name, now_us) if failed else 0
            calls = self._calls.get(trace)
            if old and trace in old:
                calls = old[trace] + (calls or [])
            waited_us, longest = self._waited(calls, start, end) if calls else (0, 0)
            elapsed_ns, ended_us = end - start, end // 1000 - offset_us
            ended_us = 0 if ended_us < 0 else ended_us if ended_us < now_us else now_us
            outcome = code // 100 | (layout.OUTCOME_ERROR if failed else 0)
            times = ended_us, min(elapsed_ns // 1000, _U32), min(waited_us, _U32), layout.CPU_UNKNOWN
            points.append(_pack_point(*times, endpoint, longest, error, outcome, 0, 0))
            finished.append((endpoint, code // 100, failed, elapsed_ns))
        self._ledger.points_all(points)
        self._ledger.finished_all(finished)
        for span in spans:
            self._calls.pop(span[1], None)
        self.requests += len(spans)

    def _waited(self, calls: list[Call], start: int, end: int) -> tuple[int, int]:
        """(µs that a request has waited, the dependency that took most of it): the time in which at least one of its calls was
        under way, divided among them in proportion to what each took of it."""
        shares: dict[int, int] = {}
        covered, reached, ordered = 0, start, calls
        if any(begin < end_before for (_, _, end_before), (_, begin, _) in pairwise(calls)):
            ordered = sorted(calls, key=_begin)
        for index, begin, finish in ordered:
            if finish > end:
                finish = end
            if begin < start or finish <= begin:
                continue  # what has begun before is rather the call that this request answers
            shares[index] = shares.get(index, 0) + finish - begin
            if finish > reached:
                covered += finish - (begin if begin > reached else reached)
                reached = finish
        if not covered:
            return 0, 0
        if len(shares) == 1:
            self._ledger.waited(index := next(iter(shares)), covered // 1000)
            return covered // 1000, index
        whole = sum(shares.values())
        for index, share in shares.items():
            self._ledger.waited(index, share * covered // whole // 1000)
        return covered // 1000, max(shares, key=lambda index: shares[index])

    def _error(self, span: Span, code: int, endpoint: str, now_us: int) -> int:
        name = names.error(span, code)
        index = self._ledger.error(name)
        exceptions = span[9]
        if exceptions and now_us - self._sampled.get(name, -_SAMPLE_EVERY_US) >= _SAMPLE_EVERY_US:
            if len(self._sampled) >= _MOST_NAMES:
                self._sampled.clear()
            self._sampled[name] = now_us
            self._ledger.sample(_sample(name, exceptions[-1], endpoint, now_us))
        return index


def _bucket(elapsed_ns: int) -> int:
    """`grid.bucket_of_ns` of a call, which may have taken no time that its clock could tell."""
    index = ceil(log2(elapsed_ns or 1) * grid.PER_OCTAVE - grid.NS_OFFSET)
    return 0 if index < 0 else index if index < grid.BUCKETS else grid.BUCKETS - 1


def _begin(call: Call) -> int:
    return call[1]


def _remember(known: dict[str, int], name: str, index: int) -> int:
    if len(known) >= _MOST_NAMES:
        known.clear()
    known[name] = index
    return index


def _sample(name: str, exception: Attributes, endpoint: str, now_us: int) -> dict[str, object]:
    message = redact(str(exception.get("exception.message", "")))[:_MOST_MESSAGE]
    return dict(zip(facts.SAMPLE_FIELDS, (name, message, "", "", 0, endpoint, now_us), strict=True))
