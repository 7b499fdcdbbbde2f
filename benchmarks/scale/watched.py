"""The operator under a watch: what holds its event loop is written down, with where it was. `--watch` runs it so.

A thread looks at the main thread every other millisecond. Of a beat of the loop that is overdue it tells how much CPU time of
the main thread went into it: what is more of wall time is time without a processor, or without the interpreter's lock. The
places where the main thread was seen meanwhile are counted, and told at the end of the process. What C code holds is told of
the line that called it.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import os
import sys
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path
from types import FrameType
from typing import Any

LOOK_S, BEAT_S, HELD_S = 0.002, 0.001, 0.006
DEEP = 14


class Watch:
    """`beat` in the loop, `look` in a thread."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._main = threading.main_thread().ident or 0
        self._beaten = (time.monotonic(), 0.0)
        self._holds: dict[str, list[tuple[float, float]]] = defaultdict(list)
        self._deep: dict[str, Counter[str]] = defaultdict(Counter)
        self._collected: dict[int, list[float]] = defaultdict(list)
        self._collecting_s = 0.0

    async def beat(self) -> None:
        """For ever."""
        while True:
            self._beaten = time.monotonic(), time.thread_time()
            await asyncio.sleep(BEAT_S)

    def collecting(self, phase: str, told: dict[str, Any]) -> None:
        """The garbage collector begins or ends."""
        if phase == "start":
            self._collecting_s = time.thread_time()
        else:
            self._collected[told["generation"]].append(time.thread_time() - self._collecting_s)

    def look(self) -> None:
        """For ever."""
        seen: Counter[str] = Counter()
        deep: dict[str, str] = {}
        beaten = self._beaten
        while True:
            time.sleep(LOOK_S)
            if self._beaten != beaten:
                if seen:
                    self._note(self._beaten[0] - beaten[0], self._beaten[1] - beaten[1], seen, deep)
                seen, deep, beaten = Counter(), {}, self._beaten
            elif time.monotonic() - beaten[0] > HELD_S:
                place, stack = _place(sys._current_frames().get(self._main))
                seen[place] += 1
                deep[place] = stack

    def _note(self, held_s: float, cpu_s: float, seen: Counter[str], deep: dict[str, str]) -> None:
        if cpu_s > HELD_S:
            place = seen.most_common(1)[0][0]
            self._holds[place].append((cpu_s, held_s))
            self._deep[place][deep[place]] += 1

    def write(self) -> None:
        """What was found, the longest in all first."""
        lines = []
        for generation, took in sorted(self._collected.items()):
            told = f"{len(took)} times, {sum(took) * 1000:.0f} ms, {max(took) * 1000:.1f} at most"
            lines.append(f"garbage, generation {generation}: {told}")
        every = sorted(cpu for held in self._holds.values() for cpu, _ in held)
        longest = [round(one * 1000) for one in every[-20:]]
        lines.append(f"{len(every)} holds of more than {HELD_S * 1000:g} ms of CPU, the longest {longest}")
        for place, held in sorted(self._holds.items(), key=lambda each: -sum(cpu for cpu, _ in each[1])):
            cpu, wall = [sum(one) * 1000 for one in zip(*held, strict=True)]
            most = max(cpu for cpu, _ in held) * 1000
            lines.append(f"{len(held):6} × {cpu:7.0f} ms of CPU, {wall:7.0f} ms, longest {most:5.0f} ms of CPU  {place}")
            lines += [f"          {count:5} × {stack}" for stack, count in self._deep[place].most_common(2)]
        self._file.write_text("\n".join(lines) + "\n")


def _place(frame: FrameType | None) -> tuple[str, str]:
    """The innermost function of ours, and the way to where it was."""
    stack, ours = [], ""
    while frame is not None and len(stack) < DEEP:
        code = frame.f_code
        name = f"{Path(code.co_filename).parent.name}/{Path(code.co_filename).name}"
        if not ours and "/rollcall/" in code.co_filename:
            ours = f"{name} {code.co_name}"
        stack.append(f"{name}:{frame.f_lineno} {code.co_name}")
        frame = frame.f_back
    return ours or (stack[0] if stack else "?"), " < ".join(stack)


def main() -> None:
    """Run the operator."""
    from rollcall import operator
    from rollcall.__main__ import main as run

    watch = Watch(Path(os.environ["ROLLCALL_WATCH"]))
    serve = operator.serve

    async def watched(*given: Any) -> None:
        beating = asyncio.get_running_loop().create_task(watch.beat())
        threading.Thread(target=watch.look, daemon=True).start()
        gc.callbacks.append(watch.collecting)
        try:
            await serve(*given)
        finally:
            beating.cancel()

    operator.serve = watched
    atexit.register(watch.write)
    run()


if __name__ == "__main__":
    main()
