"""Durations as people write them in a MonitoredService: "300ms", "1s", "1m30s".

The same grammar as Go's time.ParseDuration without signs and without units below a millisecond, so that the CEL function
duration() in the CRD's rules and this parser agree on every accepted text.
"""

from __future__ import annotations

import re
from decimal import Decimal

LONGEST_MS = 3_600_000
PATTERN = r"^([0-9]+([.][0-9]+)?(ms|s|m|h))+$"

_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_WHOLE = re.compile(PATTERN)
_PART = re.compile(r"([0-9]+(?:[.][0-9]+)?)(ms|s|m|h)")


class DurationError(ValueError):
    """A text that is no duration between 1 ms and 1 h."""


def parse_duration_ms(text: str) -> int:
    """Whole milliseconds of a duration text; a fraction of a millisecond is cut off.

    >>> parse_duration_ms("1m30s")
    90000

    Raises DurationError when the text is malformed or outside 1 ms to 1 h.
    """
    if not _WHOLE.fullmatch(text):
        raise DurationError(f'{text!r} is not a duration; write it like "300ms", "1s" or "1m30s"')
    total_ms = int(sum(Decimal(number) * _UNITS_MS[unit] for number, unit in _PART.findall(text)))
    if not 1 <= total_ms <= LONGEST_MS:
        raise DurationError(f"{text!r} is outside the range 1ms to 1h")
    return total_ms


def format_duration_ms(duration_ms: float) -> str:
    """The shortest text for a screen with at most three digits: "87ms", "1.25s", "2m5s".

    Below 10 ms one decimal is kept ("3.4ms"), because a fast service lives there.
    """
    if duration_ms < 9.95:
        return f"{duration_ms:.1f}".removesuffix(".0") + "ms"
    if duration_ms < 999.5:
        return f"{duration_ms:.0f}ms"
    if duration_ms < 59_995:
        return f"{duration_ms / 1000:.3g}s"
    minutes, seconds = divmod(round(duration_ms / 1000), 60)
    return f"{minutes}m{seconds}s" if seconds else f"{minutes}m"
