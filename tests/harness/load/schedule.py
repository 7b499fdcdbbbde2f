"""When each request starts: steps of a fixed rate, as offsets from the start, never relative to the request before."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """A fixed rate in requests per second, held for `seconds`."""

    rate: float
    seconds: float


def parse_steps(text: str) -> list[Step]:
    """Steps from `RATE:SECONDS,RATE:SECONDS`, for example `100:10,300:60`; a rate of 0 is a pause.

    Raises ValueError that names the part which is wrong.
    """
    steps = []
    for part in text.split(","):
        rate, colon, seconds = part.partition(":")
        try:
            step = Step(float(rate), float(seconds))
        except ValueError:
            raise ValueError(f"not RATE:SECONDS: {part!r}") from None
        if not colon or step.rate < 0 or step.seconds <= 0:
            raise ValueError(f"a rate is 0 or more, seconds are more than 0: {part!r}")
        steps.append(step)
    return steps


def offsets(steps: Sequence[Step]) -> Iterator[float]:
    """Seconds from the start at which each request is due; ascending.

    Each is computed from its number within its step, so rounding never adds up to a drift.
    """
    begin = 0.0
    for step in steps:
        for number in range(round(step.rate * step.seconds)):
            yield begin + number / step.rate
        begin += step.seconds


async def on_time(
    due: Iterator[float],
    sleep: Callable[[float], Awaitable[object]],
    clock: Callable[[], float] = time.perf_counter,
) -> AsyncIterator[float]:
    """Yield each offset of `due` as a time of `clock`, when that time has come.

    After a delay, whoever caused it, the overdue ones come at once: the schedule is made up for, never moved.
    """
    start = clock()
    for offset in due:
        scheduled = start + offset
        while (wait_s := scheduled - clock()) > 0:
            await sleep(wait_s)
        yield scheduled
