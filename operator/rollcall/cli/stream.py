"""Frames of the live API as they come. A broken connection is opened again; the reader knows how old its picture is."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from rollcall.cli.connection import Caller, CliError, LiveApi, live_api

PAUSES_S = (0.3, 0.5, 1.0, 2.0)
_DATA = b"data: "


@dataclass(frozen=True)
class Frame:
    """The newest picture, and the trouble that keeps it from being renewed, if any. `at_s` is monotonic."""

    picture: dict[str, Any] | None
    at_s: float
    trouble: str | None = None


def frames(caller: Caller, path: str) -> AsyncIterator[Frame]:
    """Frames without end, as the live API tells them. Refusals (forbidden, no such service) on the first connection are raised
    as CliError."""

    async def pictures(api: LiveApi) -> AsyncIterator[dict[str, Any]]:
        async with api.get(path) as response:
            async for line in pieces(response.content.iter_any()):
                if line.startswith(_DATA) and line != b"data: {}":
                    yield json.loads(line[len(_DATA) :])

    return _again_and_again(caller, pictures)


def frames_of_each(caller: Caller, path: str, every_s: float = 0.5) -> AsyncIterator[Frame]:
    """Frames without end of all services that `path` lists, each whole, with its pods; raises as `frames` does."""

    async def pictures(api: LiveApi) -> AsyncIterator[dict[str, Any]]:
        while True:
            began_s = time.monotonic()
            yield await each_of(api, path)
            await asyncio.sleep(max(0.0, began_s + every_s - time.monotonic()))

    return _again_and_again(caller, pictures)


async def each_of(api: LiveApi, path: str) -> dict[str, Any]:
    """All services that a path lists, each whole; one that is deleted meanwhile is left out."""
    found = []
    for service in (await api.json(path))["services"]:
        try:
            found.append(await api.json(f"/v1/services/{service['namespace']}/{service['name']}"))
        except CliError as error:
            if not error.final or error.code != 1:
                raise
    return {"services": found}


async def _again_and_again(
    caller: Caller, pictures: Callable[[LiveApi], AsyncIterator[dict[str, Any]]]
) -> AsyncIterator[Frame]:
    newest: Frame | None = None
    failures = 0
    while True:
        try:
            async with live_api(caller) as api:
                async for picture in pictures(api):
                    newest = Frame(picture, time.monotonic())
                    failures = 0
                    yield newest
            trouble = "the operator ended the stream"
        except CliError as error:
            if newest is None and (error.final or failures >= len(PAUSES_S)):
                raise
            trouble = str(error)
        yield Frame(newest.picture if newest else None, newest.at_s if newest else time.monotonic(), trouble)
        await asyncio.sleep(PAUSES_S[min(failures, len(PAUSES_S) - 1)])
        failures += 1


async def pieces(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Lines without their end, of any length: a frame is one line, and aiohttp's reader refuses those of 300 pods."""
    parts: list[bytes] = []
    async for chunk in chunks:
        first, *others = chunk.split(b"\n")
        parts.append(first)
        for part in others:
            yield b"".join(parts)
            parts = [part]
