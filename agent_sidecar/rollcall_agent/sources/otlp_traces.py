"""Counts spans in a worker file: SERVER and CONSUMER spans are requests, CLIENT and PRODUCER spans calls of dependencies.

What a request has waited for are the calls of its trace in this pod, cut to its own time. Children end before their parent, so
they are in the same export or an earlier one: those are kept by trace id until the parent comes, a bounded number of them. A
call whose parent is a call too (an HTTP request below one of the AWS SDK) is part of that one, and is not counted by itself.
"""

from __future__ import annotations

import time
from itertools import pairwise

from ..ledger import Ledger
from ..redact import redact
from ..wire import facts, layout
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
        requests = []
        # Most spans are alike: the native decoder gives one object for attributes that came in the same bytes.
        targets: dict[int, int] = {}
        nested = {span[2] for span in spans if span[0] in (CLIENT, PRODUCER)}
        for span in spans:
            kind, trace, _, parent, _, start, end, _, _, _ = span
            if not trace or not 0 < start <= end or end - start > _MAX_ELAPSED_NS:
                rejected += 1
            elif kind in (SERVER, CONSUMER):
                requests.append(span)
            elif parent not in nested:
                self._call(span, targets)
        offset_us = time.time_ns() // 1000 - now_us
        for span in requests:
            self._request(span, now_us, offset_us)
        for span in requests:
            self._calls.pop(span[1], None)
        self.requests += len(requests)
        return rejected

    def _age(self, now_s: float) -> None:
        """Forget calls whose request has not come: those that were there at the turn before this one."""
        if now_s - self._turned_s >= MOST_AGE_S or self._kept > MOST_KEPT // 2:
            self._turned_s, self._kept = now_s, 0
            self._old, self._calls = self._calls, {}

    def _call(self, span: Span, targets: dict[int, int]) -> None:
        trace, start, end, found = span[1], span[5], span[6], span[8]
        index = targets.get(id(found))
        if index is None:
            name = names.dependency(found)
            index = self._dependencies.get(name)
            if index is None:
                index = _remember(self._dependencies, name, self._ledger.dependency(name))
            targets[id(found)] = index
        self._ledger.called(index, end - start, names.reason(span))
        self._kept += 1
        known = self._calls.get(trace)
        if known is None:
            self._calls[trace] = [(index, start, end)]
        elif len(known) < MOST_CALLS:
            known.append((index, start, end))

    def _request(self, span: Span, now_us: int, offset_us: int) -> None:
        _, trace, _, _, _, start, end, failed, found, _ = span
        ledger = self._ledger
        name = names.endpoint(span)
        endpoint = self._endpoints.get(name)
        if endpoint is None:
            endpoint = _remember(self._endpoints, name, ledger.endpoint(name))
        code = names.status(found)
        failed = failed or code >= 500
        error = self._error(span, code, name, now_us) if failed else 0
        calls = self._calls.get(trace)
        if self._old and trace in self._old:
            calls = self._old[trace] + (calls or [])
        waited_us, longest = self._waited(calls, start, end) if calls else (0, 0)
        ended_us = min(max(end // 1000 - offset_us, 0), now_us)
        outcome = code // 100 | (layout.OUTCOME_ERROR if failed else 0)
        ledger.point(ended_us, (end - start) // 1000, waited_us, layout.CPU_UNKNOWN, endpoint, longest, error, outcome)
        ledger.finished(endpoint, code // 100, failed, end - start)

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
