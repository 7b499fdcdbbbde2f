"""A command that comes while the operator changes hands."""

from __future__ import annotations

import pytest

from rollcall.cli import connection
from rollcall.cli.connection import CliError, settle


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_AGAIN_S", 0.0)


async def test_what_passes_is_waited_for_and_nothing_else() -> None:
    asked: list[int] = []

    async def ask() -> str:
        asked.append(1)
        if len(asked) < 3:
            raise CliError("this replica does not lead", passing=True)
        return "picture"

    assert await settle(ask) == "picture"

    async def refuse() -> str:
        asked.append(1)
        raise CliError("you may not", final=True)

    asked.clear()
    with pytest.raises(CliError, match="you may not"):
        await settle(refuse)
    assert len(asked) == 1


async def test_what_lasts_is_said() -> None:
    async def never() -> str:
        raise CliError("this replica does not lead", passing=True)

    with pytest.raises(CliError, match="does not lead"):
        await settle(never, within_s=0.01)
