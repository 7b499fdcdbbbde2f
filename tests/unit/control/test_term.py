"""When a term begins and ends, and the label by which its leader is found."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, cast

import pytest

from rollcall.control import term as module
from rollcall.control.term import LEADER_LABEL, LeaderLabel, Term
from rollcall.kube.client import KubeError
from tests.unit.control.fakes import FakeClient

POD = "/api/v1/namespaces/rollcall-system/pods/rollcall-a"


async def test_the_label_goes_as_soon_as_the_api_server_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica that lost its lease while the API server was away could not take its label off: somebody else has it by now."""
    monkeypatch.setattr(module, "LABEL_AGAIN_S", 0.01)
    client = FakeClient()
    client.objects[POD] = {"metadata": {"labels": {LEADER_LABEL: "true"}}}
    client.fail[POD] = KubeError(503, "ServiceUnavailable", POD)
    label = LeaderLabel(cast("Any", client), "rollcall-system", "rollcall-a")
    unused = cast("Any", None)
    term = Term(unused, unused, unused, unused, (), unused, label, unused, unused, unused)
    running = asyncio.create_task(term.run())
    try:
        await _until(lambda: len(client.writes) >= 3)
        assert label.shown is None
        client.fail.clear()
        await _until(lambda: label.shown is False)
        assert client.objects[POD]["metadata"]["labels"] == {LEADER_LABEL: None}
        told = len(client.writes)
        await asyncio.sleep(0.05)
        assert len(client.writes) == told, "what was told is not told again"
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def _until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)
