"""Durations, percentages and quantities: what is read, what is refused, and how it is shown."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollcall.api.durations import LONGEST_MS, DurationError, format_duration_ms, parse_duration_ms
from rollcall.api.percentages import PercentageError, format_ratio, parse_ratio
from rollcall.api.quantities import QuantityError, parse_quantity


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("1ms", 1),
        ("300ms", 300),
        ("1s", 1000),
        ("2.3s", 2300),
        ("1.5m", 90_000),
        ("1m30s", 90_000),
        ("1h", LONGEST_MS),
        ("59m59s999ms", LONGEST_MS - 1),
        ("2.9ms", 2),
    ],
)
def test_durations(text: str, milliseconds: int) -> None:
    assert parse_duration_ms(text) == milliseconds


@pytest.mark.parametrize(
    "text", ["", "1", "s", "fast", "1d", "-1s", "+1s", "1 s", "0s", "0.9ms", "1h1ms", "1e3ms", "1.s", ".5s", "1s\n"]
)
def test_no_durations(text: str) -> None:
    with pytest.raises(DurationError):
        parse_duration_ms(text)


@given(st.integers(1, LONGEST_MS))
def test_every_millisecond_can_be_written(milliseconds: int) -> None:
    assert parse_duration_ms(f"{milliseconds}ms") == milliseconds
    seconds, rest = divmod(milliseconds, 1000)
    assert parse_duration_ms(f"{seconds}s{rest}ms") == milliseconds


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "0ms"),
        (0.04, "0ms"),
        (3.44, "3.4ms"),
        (9.0, "9ms"),
        (9.96, "10ms"),
        (87.4, "87ms"),
        (999.4, "999ms"),
        (999.6, "1s"),
        (1250, "1.25s"),
        (59_900, "59.9s"),
        (60_000, "1m"),
        (125_400, "2m5s"),
    ],
)
def test_durations_shown(milliseconds: float, text: str) -> None:
    assert format_duration_ms(milliseconds) == text


@pytest.mark.parametrize(
    ("text", "ratio"), [("0%", 0), ("0.1%", 0.001), ("80%", 0.8), ("99.99%", 0.9999), ("100%", 1), ("100.0%", 1)]
)
def test_percentages(text: str, ratio: float) -> None:
    assert parse_ratio(text) == pytest.approx(ratio)


@pytest.mark.parametrize("text", ["", "%", "1", "-1%", "101%", "100.1%", "1 %", "a%", ".5%", "1%%"])
def test_no_percentages(text: str) -> None:
    with pytest.raises(PercentageError):
        parse_ratio(text)


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(0, "0%"), (0.00001, "0.1%"), (0.001, "0.1%"), (0.125, "12.5%"), (0.9999, "99.9%"), (1, "100%")],
)
def test_ratios_shown(ratio: float, text: str) -> None:
    assert format_ratio(ratio) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5m", "0.005"),
        ("0.5", "0.5"),
        (1, "1"),
        (0.5, "0.5"),
        ("24Mi", str(24 * 2**20)),
        ("1e3", "1000"),
        ("1E", "1e18"),
        ("2k", "2000"),
    ],
)
def test_quantities(text: str | float, value: str) -> None:
    assert parse_quantity(text) == Decimal(value)


@pytest.mark.parametrize("text", ["", "m", "many", "1 Mi", "1MB", "1e", "--1"])
def test_no_quantities(text: str) -> None:
    with pytest.raises(QuantityError):
        parse_quantity(text)
