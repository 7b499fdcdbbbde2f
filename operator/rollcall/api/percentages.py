"""Percentages as people write them in a MonitoredService: "1%", "0.1%", "80%".

In memory a percentage is a ratio, 0.0 to 1.0; as text it always carries its sign, so that 1 and 1% cannot be confused.
"""

from __future__ import annotations

import re

PATTERN = r"^(100([.]0+)?|[0-9]{1,2}([.][0-9]+)?)%$"

_WHOLE = re.compile(PATTERN)


class PercentageError(ValueError):
    """A text that is no percentage between 0% and 100%."""


def parse_ratio(text: str) -> float:
    """The ratio, 0.0 to 1.0, of a percentage text.

    >>> parse_ratio("80%")
    0.8

    Raises PercentageError when the text is malformed or outside 0% to 100%.
    """
    if not _WHOLE.fullmatch(text):
        raise PercentageError(f'{text!r} is not a percentage from 0% to 100%; write it like "1%" or "0.1%"')
    return float(text[:-1]) / 100


def format_ratio(ratio: float) -> str:
    """A ratio as a percentage for a screen: "0%", "0.1%", "12.5%", "100%".

    Rounding never makes a partial value whole: what is above 0 shows at least "0.1%", what is below 1 at most "99.9%".
    """
    tenths = round(ratio * 1000)
    if ratio > 0:
        tenths = max(tenths, 1)
    if ratio < 1:
        tenths = min(tenths, 999)
    return f"{tenths / 10:.1f}".removesuffix(".0") + "%"
