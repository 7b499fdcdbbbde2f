"""The rare things in a worker file: types of errors and samples of them, visitors, what requests are at, and resources.

Part of `ledger`, which owns the file. Same rules: Python 3.8, standard library only, one writer at a time.
"""

from __future__ import annotations

import json
from struct import Struct
from typing import Any

from .wire import facts, layout
from .wire.facts import cut

_NOTED = layout.OFF_ERRORS_NOTED // 8
_SAMPLES_WRITTEN = layout.OFF_SAMPLES_WRITTEN // 8
_VISITS_WRITTEN = layout.OFF_VISITS_WRITTEN // 8
_ERRORS_USED = layout.OFF_ERRORS_USED // 4
_STEPS_USED = layout.OFF_STEPS_USED // 4
_VISITS = layout.OFF_VISITS // 8
_VISITS_MASK = layout.VISITS - 1
_STEP_AT = layout.SLOT.size - 8
_ERROR_BYTES = 118
_STEP_BYTES = 126
_SAMPLE_BYTES = 1022


class Notes:
    """Methods of `Ledger`; `memory`, `_u64` and `_u32` are views of the file."""

    memory: memoryview
    _u64: memoryview
    _u32: memoryview

    @staticmethod
    def write_header(memory: Any) -> None:
        """What a new file begins with: error 0 and step 0."""
        name = facts.OTHER_ERROR.encode()
        layout.ERROR.pack_into(memory, layout.OFF_ERRORS, 0, len(name), name)
        layout.COUNTERS.pack_into(memory, layout.OFF_JOURNAL_WRITTEN, 0, 0, 0, 0, 1, 1)

    def resume_notes(self) -> None:
        """Take the tables from the file."""
        self._errors: dict[str, int] = {}
        self._error_counts: list[int] = []
        for index in range(min(self._u32[_ERRORS_USED], layout.ERRORS)):
            count, length, name = layout.ERROR.unpack_from(self.memory, layout.OFF_ERRORS + index * layout.ERROR.size)
            self._errors[name[:length].decode("utf-8", "replace")] = index
            self._error_counts.append(count)
        self._steps: dict[str, int] = {}
        self._kept_steps: set[int] = set()
        for index in range(min(self._u32[_STEPS_USED], layout.STEPS)):
            length, text = layout.STEP.unpack_from(self.memory, layout.OFF_STEPS + index * layout.STEP.size)
            self._steps[text[:length].decode("utf-8", "replace")] = index

    def error(self, name: str, count: int = 1) -> int:
        """Count an error by its name: a kind of `facts.ERROR_KINDS`, a space, and the type. Returns its index."""
        index = self._errors.get(name)
        if index is None:
            index = self._new_error(name)
        self._error_counts[index] += count
        at = layout.OFF_ERRORS + index * layout.ERROR.size
        self._u64[at // 8] = self._error_counts[index]
        self._u64[_NOTED] += count
        return index

    def _new_error(self, name: str) -> int:
        index = len(self._error_counts)
        if index >= layout.ERRORS:
            return 0
        encoded = cut(name, _ERROR_BYTES)
        known = self._errors.get(encoded.decode())
        if known is not None:
            return known
        layout.ERROR.pack_into(self.memory, layout.OFF_ERRORS + index * layout.ERROR.size, 0, len(encoded), encoded)
        self._errors[encoded.decode()] = index
        self._error_counts.append(0)
        self._u32[_ERRORS_USED] = index + 1
        return index

    def sample(self, fields: dict[str, Any]) -> None:
        """Keep a sample of an error, with the keys of `facts.SAMPLE_FIELDS`. One that is too long loses most of its message."""
        encoded = json.dumps(fields, separators=(",", ":")).encode("utf-8", "replace")
        if len(encoded) > _SAMPLE_BYTES:
            fields = {**fields, "message": str(fields.get("message", ""))[:50]}
            encoded = json.dumps(fields, separators=(",", ":")).encode("utf-8", "replace")
            if len(encoded) > _SAMPLE_BYTES:
                return
        written = self._u64[_SAMPLES_WRITTEN]
        at = layout.OFF_SAMPLES + written % layout.SAMPLES * layout.SAMPLE.size
        layout.SAMPLE.pack_into(self.memory, at, len(encoded), encoded)
        self._u64[_SAMPLES_WRITTEN] = written + 1

    def visit(self, hashed: int) -> None:
        """A visitor, by the keyed hash, was here."""
        written = self._u64[_VISITS_WRITTEN]
        self._u64[_VISITS + (written & _VISITS_MASK)] = hashed
        self._u64[_VISITS_WRITTEN] = written + 1

    def step(self, text: str) -> int:
        """The index of a step's text, entered into the table when it is new.

        A full table begins anew with steps that no request in flight is at; 0 (not known) when all of them are in use.
        """
        index = self._steps.get(text)
        if index is not None:
            return index
        index = len(self._steps)
        if index >= layout.STEPS:
            free = self._unused_step()
            if free is None:
                return 0
            text_of = {value: key for key, value in self._steps.items()}
            del self._steps[text_of[free]]
            index = free
        encoded = cut(text, _STEP_BYTES)
        layout.STEP.pack_into(self.memory, layout.OFF_STEPS + index * layout.STEP.size, len(encoded), encoded)
        self._steps[text] = index
        if index >= self._u32[_STEPS_USED]:
            self._u32[_STEPS_USED] = index + 1
        return index

    def kept_step(self, text: str) -> int:
        """The same, of a step whose index the caller remembers: its place is never given to another."""
        index = self.step(text)
        self._kept_steps.add(index)
        return index

    def _unused_step(self) -> int | None:
        mask = layout.STEPS - 1
        used = {
            self._u64[at // 8] & mask for at in range(layout.OFF_SLOTS + _STEP_AT, layout.OFF_JOURNAL_WRITTEN, layout.SLOT.size)
        }
        return next((index for index in range(1, layout.STEPS) if index not in used | self._kept_steps), None)

    def step_slot(self, slot: int, step: int, since_us: int) -> None:
        """The request in `slot` is at `step` since `since_us` (CLOCK_MONOTONIC)."""
        self._u64[(layout.OFF_SLOTS + slot * layout.SLOT.size + _STEP_AT) // 8] = since_us << layout.STEP_BITS | step

    def resources(
        self,
        read_at_us: int,
        cpu_us: int,
        throttled_us: int,
        memory_bytes: int,
        memory_limit_bytes: int,
        cpu_quota_millis: int,
        oom_kills: int,
    ) -> None:
        """What the container's cgroup says; the time is written last, because it says that the rest is new."""
        values = (cpu_us, throttled_us, memory_bytes, memory_limit_bytes, cpu_quota_millis, oom_kills)
        _RESOURCES_BODY.pack_into(self.memory, layout.OFF_RESOURCES + 8, *values)
        self._u64[layout.OFF_RESOURCES // 8] = read_at_us


_RESOURCES_BODY = Struct("@QQQQII")
