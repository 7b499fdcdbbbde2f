"""The body of a report: fixed layout, round trip, and readers of other versions."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollcall_agent.wire import report
from rollcall_agent.wire.grid import BUCKETS


def _values(field: report.Field) -> st.SearchStrategy[Any]:
    one = st.integers(0, 2 ** (64 if field.code == "Q" else 32) - 1)
    if field.size == 1:
        return one
    if field.size == BUCKETS:  # sparse, as histograms are
        return st.dictionaries(st.integers(0, BUCKETS - 1), one, max_size=10).map(
            lambda found: tuple(found.get(i, 0) for i in range(BUCKETS))
        )
    return st.tuples(*[one] * field.size)


REPORTS = st.fixed_dictionaries({field.name: _values(field) for field in report.FIELDS})


@settings(max_examples=40, deadline=None)
@given(REPORTS)
def test_round_trip(values: dict[str, Any]) -> None:
    body = report.pack(values)
    assert len(body) == report.SIZE
    assert report.unpack(body) == values


@given(st.binary(max_size=3 * report.SIZE))
def test_any_bytes_are_taken_as_far_as_known(body: bytes) -> None:
    values = report.unpack(body)
    assert set(values) == {field.name for field in report.FIELDS}
    assert report.pack(values) == body[: report.SIZE].ljust(report.SIZE, b"\0")


@settings(max_examples=30, deadline=None)
@given(REPORTS, st.binary(min_size=1, max_size=64))
def test_a_newer_reports_appended_fields_are_ignored(values: dict[str, Any], appended: bytes) -> None:
    assert report.unpack(report.pack(values) + appended) == values


def test_what_is_left_out_is_zero_and_what_is_unknown_is_refused() -> None:
    assert report.pack({}) == bytes(report.SIZE)
    with pytest.raises(KeyError, match="visitors"):
        report.pack({"visitors": 1})
    with pytest.raises(struct.error):
        report.pack({"workers": 2**32})
