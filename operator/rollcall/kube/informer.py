"""A live list of one kind of object: the state of the API server as a dictionary that follows it.

Own code, because kopf's index of 4,000 pods takes 104 s to fill and keeps what was deleted during a gap. Objects are decoded
partly (msgspec structs name the fields that matter), pages hold 500, the watch resumes from bookmarks, and a relist is
compared with what is known, so that a deletion in a gap is still told as a deletion, and before what is new, as it would have
been.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from http import HTTPStatus
from typing import Generic, Protocol, TypeVar

import aiohttp
import msgspec

from rollcall.kube.client import Client, KubeError
from rollcall.kube.objects import Metadata

PAGE = "250"
"""Pods of a page: 2 MB, which take 3 ms to be told apart."""
SLICE = 100
"""So many objects are taken in at a time, in about five milliseconds; then it is others' turn."""
WATCH_S = 290
IDLE_S = 150.0
"""Bookmarks come about once a minute, or in the second; a watch that is silent for longer is dead."""
BACKOFF_S = (0.2, 10.0)
LASTED_S = 5.0
"""A watch that lasted so long was a good one, also when nothing happened in it; the next one begins without a pause."""
_log = logging.getLogger(__name__)


class Named(Protocol):
    """What every decoded object has."""

    @property
    def metadata(self) -> Metadata: ...


T = TypeVar("T", bound=Named)
E = TypeVar("E")


class _ExpiredError(Exception):
    """The server no longer knows our resource version (410): list again."""


class _ListMeta(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class _Page(msgspec.Struct):
    metadata: _ListMeta
    items: list[msgspec.Raw] = []


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Bookmark(msgspec.Struct):
    metadata: Metadata


class _Status(msgspec.Struct):
    code: int = 0
    message: str = ""


class Informer(Generic[T]):
    """Follows `path` (narrowed by a label selector, if any). `on_change(object)` and `on_delete(object)` are called in order;
    `synced` is set after the first complete list."""

    def __init__(
        self,
        client: Client,
        path: str,
        kind: type[T],
        *,
        on_change: Callable[[T], None],
        on_delete: Callable[[T], None],
        selector: str = "",
    ) -> None:
        self.objects: dict[str, T] = {}
        self.synced = asyncio.Event()
        self.watching = asyncio.Event()
        """Set when the first watch was answered: from then on nothing is told late."""
        self.relists = 0
        self.following = False
        """Whether a watch is open: what is known is as of now."""
        self.catching_up = False
        """Whether what `on_delete` is called for was deleted while nobody looked, and is told as it was known before."""
        self._client = client
        self._path = path
        self._selector = {"labelSelector": selector} if selector else {}
        self._decode: Callable[[bytes | msgspec.Raw], T] = msgspec.json.Decoder(kind).decode
        self._on_change = on_change
        self._on_delete = on_delete
        self._version = ""
        """The resource version to go on from; empty when everything must be listed again."""

    async def run(self) -> None:
        """Follow until cancelled; failures are retried with a growing, jittered pause."""
        pause_s = BACKOFF_S[0]
        while True:
            before, began_s = self._version, time.monotonic()
            try:
                if not self._version:
                    await self._list()
                await self._watch()
            except (_ExpiredError, KubeError, msgspec.DecodeError, UnicodeDecodeError) as error:
                self._version = ""
                _log.warning("informer %s: listing again: %s", self._path, error or "the resource version has expired")
            except (aiohttp.ClientError, OSError, TimeoutError) as error:  # the next watch goes on where this one broke off
                _log.warning("informer %s: %s", self._path, error or type(error).__name__)
            if self._version and (self._version != before or time.monotonic() - began_s > LASTED_S):
                pause_s = BACKOFF_S[0]
                continue
            await asyncio.sleep(random.uniform(pause_s / 2, pause_s))  # noqa: S311 (jitter)
            pause_s = min(2 * pause_s, BACKOFF_S[1])

    async def _list(self) -> None:
        self.relists += 1
        found: dict[str, T] = {}
        first, token = not self.objects, ""
        while True:
            params: Mapping[str, str] = self._selector | {"limit": PAGE} | ({"continue": token} if token else {})
            async with self._client.open("GET", self._path, params=params) as response:
                page = msgspec.json.decode(await response.read(), type=_Page)
            async with self._client.turn:
                async for raw in _in_slices(page.items):
                    item = self._decode(raw)
                    found[item.metadata.uid] = item
                    if first:
                        self._take(item)
            token = page.metadata.continue_
            if not token:
                break
        self.catching_up = True
        for uid in self.objects.keys() - found.keys():
            self._on_delete(self.objects.pop(uid))
        self.catching_up = False
        if not first:
            async with self._client.turn:
                async for item in _in_slices(found.values()):
                    self._take(item)
        self.synced.set()
        self._version = page.metadata.resource_version

    def _take(self, item: T) -> None:
        uid = item.metadata.uid
        known = self.objects.get(uid)
        if known is None or known.metadata.resource_version != item.metadata.resource_version:
            self.objects[uid] = item
            self._on_change(item)

    async def _watch(self) -> None:
        """One watch request, from where the last one ended."""
        params = self._selector | {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(WATCH_S),
        }
        limits = aiohttp.ClientTimeout(total=None, connect=10, sock_read=IDLE_S)
        async with self._client.open("GET", self._path, params=params, timeout=limits) as response:
            self.watching.set()
            self.following = True
            try:
                await self._read(response)
            finally:
                self.following = False

    async def _read(self, response: aiohttp.ClientResponse) -> None:
        buffer = b""
        async for chunk in response.content.iter_any():
            lines = (buffer + chunk).split(b"\n")
            buffer = lines.pop()
            async for line in _in_slices(lines):
                if line:
                    self._version = self._event(line) or self._version

    def _event(self, line: bytes) -> str:
        event = msgspec.json.decode(line, type=_Event)
        if event.type == "ERROR":
            status = msgspec.json.decode(event.object, type=_Status)
            if status.code == HTTPStatus.GONE:
                raise _ExpiredError
            raise KubeError(status.code, "WatchError", status.message)
        if event.type == "BOOKMARK":
            return msgspec.json.decode(event.object, type=_Bookmark).metadata.resource_version
        item = self._decode(event.object)
        if event.type == "DELETED":
            self.objects.pop(item.metadata.uid, None)
            self._on_delete(item)
        else:
            self._take(item)
        return item.metadata.resource_version


async def _in_slices(things: Iterable[E]) -> AsyncIterator[E]:
    """All of them, with a pause for others after each slice."""
    for number, thing in enumerate(things, 1):
        yield thing
        if number % SLICE == 0:
            await asyncio.sleep(0)
