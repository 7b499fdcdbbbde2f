"""One stream: events as they come, over a connection that breaks, is refused, or says nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from rollcall.cli.connection import CliError
from rollcall.cli.top import feed
from rollcall.cli.top.feed import Link, Told, follow

PATH = "/v1/services/shop/newsfeed/stream?rate=4&with=seconds"


class Api:
    """Answers in their order, the last one again and again; an answer is chunks, an exception, or None: silence."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.paths: list[str] = []
        self.opened = 0

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Any]:
        self.opened += 1
        yield self

    @asynccontextmanager
    async def get(self, path: str) -> AsyncIterator[Any]:
        answer = self.answers[min(len(self.paths), len(self.answers) - 1)]
        self.paths.append(path)
        if isinstance(answer, Exception):
            raise answer

        async def chunks() -> AsyncIterator[bytes]:
            if answer is None:
                await asyncio.Event().wait()
            for chunk in answer or ():
                yield chunk

        yield SimpleNamespace(content=SimpleNamespace(iter_any=chunks))


async def take(api: Api, count: int) -> list[Told]:
    found: list[Told] = []
    async with asyncio.timeout(30):
        async for told in follow(Link(api.connect), PATH, (0.0,)):  # type: ignore[arg-type]
            found.append(told)
            if len(found) == count:
                return found
    return found


def seconds(*at: int) -> bytes:
    return b"event: seconds\ndata: " + json.dumps({"at": list(at)}).encode() + b"\n\n"


async def test_events_by_their_kind_however_they_are_cut() -> None:
    whole = seconds(7, 8) + b'id: 9\ndata: {"a": 1}\n\n'
    api = Api([whole[:5], whole[5:30], whole[30:]])
    first, second = await take(api, 2)
    assert (first.kind, json.loads(first.data)) == ("seconds", {"at": [7, 8]})
    assert (second.kind, second.data) == ("message", b'{"a": 1}')


async def test_it_goes_on_after_the_last_second_that_came() -> None:
    api = Api([seconds(7, 8)], [seconds(9)])
    told = await take(api, 4)
    assert [each.kind for each in told] == ["seconds", "trouble", "seconds", "trouble"]
    assert api.paths == [f"{PATH}&since=0", f"{PATH}&since=8"]
    assert api.opened == 2, "a connection that broke is opened again"


async def test_the_end_of_a_service_is_trouble() -> None:
    told = await take(Api([b"event: end\ndata: {}\n\n"]), 1)
    assert told == [Told("trouble", sentence="the operator ended the stream")]


async def test_a_refusal_is_final_and_the_connection_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "REFUSED_S", 0.0)
    api = Api(CliError("you may not", final=True), [b"data: {}\n\n"])
    refused, shown = await take(api, 2)
    assert (refused.sentence, refused.final, shown.kind) == ("you may not", True, "message")
    assert api.opened == 1


async def test_silence_is_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "SILENT_S", 0.05)
    (told,) = await take(Api(None), 1)
    assert "has said nothing" in told.sentence


@pytest.mark.parametrize("data", [b"[]", b"{", b'{"at": []}', b'{"at": ["x"]}'])
async def test_seconds_that_cannot_be_read_are_passed_on(data: bytes) -> None:
    api = Api([b"event: seconds\ndata: " + data + b"\n\n"])
    await take(api, 3)
    assert api.paths[-1] == f"{PATH}&since=0"


async def test_an_answer_that_does_not_come_is_none() -> None:
    link = Link(Api(CliError("no")).connect)  # type: ignore[arg-type]
    assert await link.ask("/v1/why/shop/x") is None
