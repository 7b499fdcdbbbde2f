"""What a document shows is found in what is printed, whatever its numbers; what is missing is missed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.errors import HarnessError
from tests.harness.guide import Step, shape, steps_of

SHOWN = "  14s  GET /hang/<int:seconds>  code hang (newsfeed.py:39)  14s  newsfeed-88b489d4-fhphd  newsfeed-03  88b489d4"
PRINTED = "8.1s  GET /hang/<int:seconds>  code hang (newsfeed.py:39)  8.1s  newsfeed-7db6844744-8svfp  newsfeed-12  7db6844744"


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        (SHOWN, PRINTED, True),
        (SHOWN, PRINTED.replace("code hang", "code fail"), False),
        ("2/2  Degraded  96  98ms  5 ▮▮▮▮▮", "4/6   Degraded  1,240  1.2s  31 ▮▮▮", True),
        ("2/2  Degraded  96", "2/2  Healthy  96", False),
        ("2/2  Degraded  96", "2/2  Degraded  –", False),
        ("left 1m20s ago", "left 3s ago", True),
        ("9c88ddf7b9  me-node2", "7db6844744  rollcall-gw1-node1", True),
    ],
)
def test_shape(shown: str, printed: str, same: bool) -> None:
    assert (shape(shown) == shape(printed)) is same


def test_lines_are_looked_for_in_their_order() -> None:
    step = Step("look", ["first 1", "…", "last"])
    assert step.is_seen("before\nfirst 22\nbetween\nlast\nafter")
    assert not step.is_seen("last\nfirst 22")
    assert not step.is_seen("first 22")
    assert Step("look", ["…"]).is_seen("")


def test_commands_of_a_document(tmp_path: Path) -> None:
    document = tmp_path / "guide.md"
    document.write_text(
        "```console\n$ one \\\n    --more\nsaid\n$ two\n```\ntext\n```sh\nmake it\n```\n```console\n$ three\n…\n```\n"
    )
    assert steps_of(document) == [Step("one \\\n    --more", ["said"]), Step("two"), Step("three", ["…"])]
    document.write_text("```console\nsaid\n```\n")
    with pytest.raises(HarnessError, match=r"guide\.md: a block of console begins with no command: said"):
        steps_of(document)
