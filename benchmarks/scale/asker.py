"""Asks the webhook as the API server does, in a process of its own, so that no other work of the benchmark is in the figures.

A line of JSON on standard input: {"count": 500, "per_second": 16.7, "body": "…"}; the answer is a line with the milliseconds of
each question. Questions are begun on time, whether those before were answered or not; null is one that was not.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from typing import Any

import aiohttp
import uvloop

URL = "https://127.0.0.1:10250/inject"
HEADERS = {"Content-Type": "application/json"}


async def ask(http: aiohttp.ClientSession, body: bytes) -> float | None:
    """One question."""
    began_s = time.monotonic()
    try:
        async with http.post(URL, data=body, headers=HEADERS) as response:
            answer = json.loads(await response.read())
    except (aiohttp.ClientError, OSError, TimeoutError):
        return None
    took_ms = (time.monotonic() - began_s) * 1000
    assert "patch" in answer["response"], answer
    return took_ms


async def evenly(http: aiohttp.ClientSession, order: dict[str, Any]) -> list[float | None]:
    """All of an order."""
    began_s, asking, body = time.monotonic(), [], order["body"].encode()
    for number in range(order["count"]):
        await asyncio.sleep(began_s + number / order["per_second"] - time.monotonic())
        asking.append(asyncio.ensure_future(ask(http, body)))
    return list(await asyncio.gather(*asking))


async def run() -> None:
    """Until the end of input."""
    tls = ssl.create_default_context()
    tls.check_hostname = False
    tls.verify_mode = ssl.CERT_NONE
    limits = aiohttp.ClientTimeout(total=10)
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls), timeout=limits) as http:
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            print(json.dumps(await evenly(http, json.loads(line))), flush=True)


if __name__ == "__main__":
    uvloop.run(run())
