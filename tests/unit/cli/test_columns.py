"""Tables at terminals of several widths."""

from __future__ import annotations

import pytest
from rich.console import Console

from rollcall.cli.columns import Columns
from rollcall.cli.parts import print_table

ROW = ("newsfeed-7db6844744-n9zfk", "Rollout", "Deployment/newsfeed has a newer revision", "12", "100m", "node-1")


def lines_of(width: int) -> list[str]:
    table = Columns("POD CAUSE EVIDENCE~ >IN_FLIGHT >LIMIT? NODE")
    table.add_row(*ROW)
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]


@pytest.mark.parametrize(
    ("width", "head", "left_out"),
    [
        (160, ["POD", "CAUSE", "EVIDENCE", "IN FLIGHT", "LIMIT", "NODE"], None),
        (90, ["POD", "CAUSE", "EVIDENCE", "IN FLIGHT", "LIMIT", "NODE"], None),
        (80, ["POD", "CAUSE", "EVIDENCE", "IN FLIGHT", "NODE"], "LIMIT"),
        (60, ["POD", "CAUSE", "EVIDENCE"], "IN FLIGHT, LIMIT, NODE"),
        (20, ["POD"], "CAUSE, EVIDENCE"),
    ],
)
def test_columns_that_have_no_room_are_left_out_and_named(width: int, head: list[str], left_out: str | None) -> None:
    header, row, *rest = lines_of(width)
    assert [name for name in ("POD", "CAUSE", "EVIDENCE", "IN FLIGHT", "LIMIT", "NODE") if name in header] == head
    assert all(len(line) <= width for line in (header, row))
    if width >= len(ROW[0]):
        assert row.startswith(ROW[0]), "names are for copying"
    assert bool(rest) == (left_out is not None)
    if left_out is not None:
        assert left_out.replace(" ", "") in "".join(rest).replace(" ", "")


def test_wide_is_as_wide_as_it_has_to_be(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"C{number}" for number in range(60)]
    table = Columns(" ".join(names))
    table.add_row(*("x" * 12 for _ in names))
    monkeypatch.setattr("rollcall.cli.parts.wide_console", lambda: Console(width=80, force_terminal=True))
    print_table(table, "wide")
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) == 2
    assert "C59" in printed
    print_table(table, "table")
    assert "C59" not in capsys.readouterr().out.splitlines()[0]
