"""What people and scrapers see of the operator: its live API and its metrics, asked from beside it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import ssl
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any, Self

import aiohttp
import msgspec
import numpy as np

LIVE, METRICS = "https://127.0.0.1:10252", "http://127.0.0.1:8080"


class PodRow(msgspec.Struct):
    """A row of the roll, as far as it is looked at here."""

    uid: str
    name: str
    node: str | None = None
    revision: str | None = None
    slot: str | None = None
    requests: int | None = None


class _Frame(msgspec.Struct):
    roll: list[PodRow] = []


class Live:
    """`tls` has the client certificate of somebody who may read everything; the operator is known by its address here."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
        self._tls = tls

    async def __aenter__(self) -> Self:
        limits = aiohttp.ClientTimeout(total=None, connect=5, sock_read=20)
        self._http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self._tls), timeout=limits)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def services(self) -> list[dict[str, Any]]:
        """The summaries; none while nobody answers."""
        with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with self._http.get(f"{LIVE}/v1/services") as response:
                if response.status == 200:
                    return list(msgspec.json.decode(await response.read())["services"])
        return []

    async def pods(self) -> dict[str, int]:
        """Pods of all services by state."""
        counted: dict[str, int] = {}
        for service in await self.services():
            for state, count in service["pods"].items():
                if state != "desired":
                    counted[state] = counted.get(state, 0) + count
        return counted

    async def until(self, wanted: dict[str, int], within_s: float) -> float:
        """Seconds until the pods' states are these; infinite when they do not become so, which is told."""
        began_s, counted = time.monotonic(), {}
        while time.monotonic() - began_s < within_s:
            counted = await self.pods()
            if counted.items() >= wanted.items():
                return time.monotonic() - began_s
            await asyncio.sleep(0.1)
        print(f"   wanted {wanted}, the live API shows {counted}", flush=True)
        return math.inf

    async def ages_ms(self, namespace: str, name: str, seconds: float) -> np.ndarray:
        """How old what a viewer of one service sees is, for each pod of each frame (`agents` says how it is known)."""
        ages: list[int] = []
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
                ages += await self._watch(namespace, name, until_s)
        return np.array(ages)

    async def _watch(self, namespace: str, name: str, until_s: float) -> list[int]:
        """One connection's worth of that."""
        ages: list[int] = []
        async for roll in self.rolls(namespace, name):
            now_ms = time.monotonic_ns() // 1_000_000
            ages += [now_ms - pod.requests for pod in roll if pod.requests]
            if time.monotonic() > until_s:
                break
        return ages

    async def rolls(self, namespace: str, name: str) -> AsyncIterator[list[PodRow]]:
        """The roll of a service in each frame that a viewer gets."""
        async with self._http.get(f"{LIVE}/v1/services/{namespace}/{name}/stream") as response:
            async for line in _lines(response.content):
                if line.startswith(b"data: "):
                    yield msgspec.json.decode(line[6:], type=_Frame).roll

    async def metrics(self) -> tuple[str, float]:
        """The operator's metrics, and the milliseconds that they took."""
        began_s = time.monotonic()
        async with self._http.get(f"{METRICS}/metrics") as response:
            return await response.text(), (time.monotonic() - began_s) * 1000


async def _lines(content: aiohttp.StreamReader) -> Any:
    """Lines of any length."""
    buffer = b""
    async for chunk in content.iter_any():
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            yield line


def total(text: str, name: str, **labels: str) -> float:
    """The sum of a metric's samples that have these labels."""
    return sum(value for found, value in _samples(text, name) if found.items() >= labels.items())


def buckets(before: str, after: str, name: str, **labels: str) -> dict[str, float]:
    """What a histogram's buckets counted in between, summed over other labels, by upper bound."""
    found: dict[str, float] = {}
    for sign, text in ((-1, before), (1, after)):
        for labelled, value in _samples(text, f"{name}_bucket"):
            if labelled.items() >= labels.items():
                found[labelled["le"]] = found.get(labelled["le"], 0.0) + sign * value
    return found


def _samples(text: str, name: str) -> Iterable[tuple[dict[str, str], float]]:
    for line in text.splitlines():
        if line.startswith(name) and line[len(name)] in "{ ":
            labels, _, value = line[len(name) :].rpartition(" ")
            yield dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value)
