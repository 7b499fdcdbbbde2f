"""Frames of the live API as they come. A broken connection is opened again; the reader knows how old its picture is."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from rollcall.cli.connection import Caller, CliError, live_api

PAUSES_S = (0.3, 0.5, 1.0, 2.0)
_DATA = b"data: "


@dataclass(frozen=True)
class Frame:
    """The newest picture, and the trouble that keeps it from being renewed, if any. `at_s` is monotonic."""

    picture: dict[str, Any] | None
    at_s: float
    trouble: str | None = None


async def frames(caller: Caller, path: str) -> AsyncIterator[Frame]:
    """Frames without end. Refusals (forbidden, no such service) on the first connection are raised as CliError."""
    newest: Frame | None = None
    failures = 0
    while True:
        try:
            async with live_api(caller) as api, api.get(path) as response:
                async for line in pieces(response.content.iter_any()):
                    if line.startswith(_DATA) and line != b"data: {}":
                        newest = Frame(json.loads(line[len(_DATA) :]), time.monotonic())
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
