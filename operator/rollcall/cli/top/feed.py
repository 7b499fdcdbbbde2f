"""One stream of the live API per place, over one connection that all places share.

Nothing else is asked for: no list and no watch at the API server. A broken connection is opened again and goes on with the
seconds that were missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from rollcall.cli.connection import CliError, LiveApi
from rollcall.cli.stream import PAUSES_S, pieces

Connect = Callable[[], AbstractAsyncContextManager[LiveApi]]
REFUSED_S = 10.0
"""After a refusal it is tried again so seldom: each time somebody's rights are looked up."""
SILENT_S = 8.0
"""A stream that says nothing for so long is opened again."""


@dataclass(frozen=True)
class Told:
    """An event of a stream: `message` is a picture, `seconds` are of its past, `trouble` is a sentence; `final` is what will
    not be better in a moment."""

    kind: str
    data: bytes = b""
    sentence: str = ""
    final: bool = False


class Link:
    """The connection to the live API: opened when it is first needed, and again after it broke."""

    def __init__(self, connect: Connect) -> None:
        self._connect = connect
        self._open: contextlib.AsyncExitStack | None = None
        self._api: LiveApi | None = None
        self._opening = asyncio.Lock()

    async def api(self) -> LiveApi:
        """The live API; raises CliError when it cannot be reached."""
        async with self._opening:
            if self._api is None:
                stack = contextlib.AsyncExitStack()
                self._api = await stack.enter_async_context(self._connect())
                self._open = stack
            return self._api

    async def close(self) -> None:
        """It is of no use any more."""
        async with self._opening:
            stack, self._open, self._api = self._open, None, None
        if stack is not None:
            with contextlib.suppress(Exception):
                await stack.aclose()

    async def read(self, path: str) -> bytes | None:
        """One answer; None when there is none."""
        with contextlib.suppress(CliError):
            async with (await self.api()).get(path) as response:
                return await response.read()
        return None

    async def ask(self, path: str) -> dict[str, Any] | None:
        """One answer, decoded."""
        data = await self.read(path)
        found: dict[str, Any] | None = None if data is None else json.loads(data)
        return found


async def follow(link: Link, path: str, pauses_s: tuple[float, ...] = PAUSES_S) -> AsyncIterator[Told]:
    """Events without end. After a refusal it is tried again, too, but seldom: rights are given, services are made."""
    failures, since = 0, 0
    while True:
        final = False
        try:
            api = await link.api()
            # all seconds that are kept at first, then those that were missed
            query = f"&since={since}" if "with=" in path else ""
            async with api.get(path + query) as response:
                async for told in _events(response.content.iter_any()):
                    failures = 0
                    if told.kind == "seconds":
                        since = max(since, _last_of(told.data))
                    yield told
            sentence = "the operator ended the stream"
        except CliError as error:
            sentence, final = str(error), error.final
        if not final:
            await link.close()
        yield Told("trouble", sentence=sentence, final=final)
        await asyncio.sleep(REFUSED_S if final else pauses_s[min(failures, len(pauses_s) - 1)])
        failures += 1


def _last_of(seconds: bytes) -> int:
    """The last second that was told; 0 for none."""
    try:
        return int(json.loads(seconds)["at"][-1])
    except (ValueError, KeyError, IndexError, TypeError):
        return 0


async def _events(chunks: AsyncIterator[bytes]) -> AsyncIterator[Told]:
    """Events of a stream as they come; raises CliError when nothing does."""
    kind = "message"
    parts = pieces(chunks)
    while True:
        try:
            async with asyncio.timeout(SILENT_S):
                line = await anext(parts, None)
        except TimeoutError:
            raise CliError(f"the operator has said nothing for {SILENT_S:.0f} s") from None
        if line is None:
            return
        if line.startswith(b"event: "):
            kind = line[7:].decode(errors="replace").strip()
        elif line.startswith(b"data: "):
            if kind == "end":
                return
            yield Told(kind, line[6:])
        elif not line:
            kind = "message"
