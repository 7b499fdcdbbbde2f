"""The longest requests in flight: which endpoint, for how long, and what each is at. The application owns the files: nothing in
them is trusted."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import Any

from ..wire import facts, layout
from .worker_file import WorkerFile

MOST = 20
AFTER_MS = 500
"""Requests younger than this, or than the first band's bound, are not listed one by one."""


def longest(files: Iterable[WorkerFile], now_us: int, bounds_ms: Sequence[int]) -> dict[str, Any]:
    """The body of a REQUESTS frame; see `docs/wire.md`."""
    before_us = now_us - min(AFTER_MS, bounds_ms[0]) * 1000
    old = [
        (slot[0], number, file, slot)
        for file in files
        for number, slot in enumerate(file.slots)
        if not slot[3] and slot[0] <= before_us
    ]
    oldest = heapq.nsmallest(MOST, old, key=lambda entry: entry[0])
    return {"requests": [_describe(file, slot, now_us) for _, _, file, slot in oldest], "more": len(old) - len(oldest)}


def _describe(file: WorkerFile, slot: tuple[int, int, int, int, int], now_us: int) -> dict[str, Any]:
    started_us, endpoint, worker, _, step = slot
    worker = worker if file.runtime == layout.RUNTIME_PHP else file.pid
    since_us, text = step >> layout.STEP_BITS, step_text(file, step)
    return {
        "id": f"{worker}-{started_us}",
        "endpoint": _endpoint(file, endpoint),
        "elapsed_ms": max(0, now_us - started_us) // 1000,
        "step": text,
        "step_ms": max(0, now_us - since_us) // 1000 if text and since_us else None,
        "worker": worker,
    }


def step_text(file: WorkerFile, step: int) -> str:
    """What a request is at, by the step in its slot; "" when that is not known."""
    index = step & (layout.STEPS - 1)
    return _text(file, layout.OFF_STEPS, layout.STEP, index) if index else ""


def error_text(file: WorkerFile, index: int) -> str:
    """The name of an error by its index."""
    return _text(file, layout.OFF_ERRORS, layout.ERROR, index) if 0 < index < layout.ERRORS else ""


def _endpoint(file: WorkerFile, index: int) -> str:
    if not 0 < index < layout.ENDPOINTS:
        return facts.OTHER_ENDPOINT
    return _text(file, layout.OFF_ENDPOINTS, layout.ENDPOINT, index) or facts.OTHER_ENDPOINT


def _text(file: WorkerFile, table: int, entry: Any, index: int) -> str:
    """The text at the end of an entry of a table, after its length."""
    content = file.part(table + index * entry.size, entry.size)
    if len(content) < entry.size:
        return ""
    *_, length, text = entry.unpack(content)
    return str(text[:length].decode("utf-8", "replace"))
