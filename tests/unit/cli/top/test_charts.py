"""Bars: nothing known is nothing drawn, whatever is there is seen, and pods keep their columns."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rollcall.cli.top.charts import Equalizer, bars, spark
from rollcall.cli.top.lines import Line
from rollcall.cli.top.picture import Pod, decode
from rollcall.model.picture import InFlight
from tests.unit.cli import pictures


def pods(*bands: list[int] | None, **changes: Any) -> list[Pod]:
    roll = [
        pictures.pod(f"p{n:03d}", in_flight=None if each is None else InFlight(sum(each), each, 1.0), **changes)
        for n, each in enumerate(bands)
    ]
    shown = decode(json.dumps(pictures.picture(roll)).encode())
    found: list[Pod] = shown.roll  # type: ignore[union-attr]
    return found


def equalizer(roll: list[Pod], width: int, height: int, *, shaded: bool = False) -> list[Line]:
    return Equalizer(roll, width, height, shaded=shaded).lines()


@pytest.mark.parametrize(
    ("values", "height", "rows"),
    [
        ([0, 4, None, 8], 1, ["▁▄ █"]),
        ([8, 4], 2, ["█ ", "██"]),
        ([16, 12, 1], 2, ["█▄ ", "██▁"]),
        ([0, 0], 1, ["▁▁"]),
        ([None], 2, [" ", " "]),
        ([], 1, [""]),
    ],
)
def test_a_sparkline(values: list[float | None], height: int, rows: list[str]) -> None:
    assert spark(values, height) == rows


def test_a_sparkline_against_a_top_of_its_own() -> None:
    assert spark([5, 20], 1, top=10) == ["▄█"]


def test_requests_of_a_row() -> None:
    assert [(cell.text, cell.role) for cell in bars([2, 0, 1, 0], 8)] == [("▇▇", "band0"), ("▇", "band2")]
    assert bars(None, 8) == []


def test_one_hung_request_is_seen_among_a_thousand() -> None:
    cells = bars([1000, 0, 0, 1], 8)
    assert sum(len(cell.text) for cell in cells) <= 8
    assert cells[-1].role == "band3"


def test_the_equalizer_has_a_column_for_each_pod_with_the_oldest_on_top() -> None:
    rows = equalizer(pods([1, 0, 0, 1], [2, 0, 0, 0]), 4, 3)
    assert [row.text.rstrip() for row in rows] == ["", "▇ ▇", "▇ ▇", "● ●"]
    top = rows[1].spans
    assert top[0].role == "band3"
    assert rows[2].spans[0].role == "band0"


def test_a_pod_that_nothing_is_known_of_has_no_bar() -> None:
    rows = equalizer(pods(None, [1, 0, 0, 0]), 2, 1)
    assert rows[0].text == " ▇"


def test_more_requests_than_rows_are_told_by_blocks_of_several() -> None:
    roll = pods([9, 0, 0, 1], [0, 0, 0, 0])
    assert Equalizer(roll, 10, 5).unit == 2
    rows = equalizer(roll, 2, 5)
    assert rows[0].spans[0].role == "band3", "what is oldest is never cut"


def test_more_pods_than_columns_share_them() -> None:
    roll = pods(*[[1, 0, 0, 0]] * 10)
    assert Equalizer(roll, 4, 3).group == 3
    rows = equalizer(roll, 4, 3)
    assert len(rows[-1].text) == 4


def test_the_worst_state_is_the_sign_of_a_shared_column() -> None:
    serving, silent = pods([1, 0, 0, 0]), pods(None, state="silent")
    assert equalizer(serving + silent, 1, 1)[-1].text == "✕"


def test_without_colours_bands_have_shades() -> None:
    assert equalizer(pods([1, 0, 0, 1]), 1, 2, shaded=True)[0].text == "█"


def test_five_thousand_pods_fit() -> None:
    roll = pods(*[[1, 0, 0, 0]] * 5000)
    assert all(len(row.text) <= 78 for row in equalizer(roll, 78, 4))
