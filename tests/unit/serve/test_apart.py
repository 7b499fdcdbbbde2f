"""The webhook's thread: it answers while the loop of everything else does not get on."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator

import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port

from rollcall.serve.apart import Apart, across


@pytest.fixture(autouse=True)
def _switching() -> Iterator[None]:
    before_s = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before_s)


@pytest.fixture
async def apart() -> AsyncIterator[Apart]:
    apart = Apart("apart")
    apart.start()
    yield apart
    await apart.stop()


async def test_answers_while_the_other_loop_is_held_up(apart: Apart) -> None:
    async def hello(_: web.Request) -> web.Response:
        return web.Response(text=threading.current_thread().name)

    app, port = web.Application(), unused_port()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app)

    async def listen() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()

    await apart.do(listen())
    answered: list[tuple[str, float]] = []

    def ask() -> None:
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/").read().decode()
        answered.append((text, time.monotonic()))

    asking = threading.Thread(target=ask)
    asking.start()
    while asking.is_alive():
        time.sleep(0.001)  # this loop does nothing else meanwhile
    assert answered
    assert answered[0][0] == "apart"
    await apart.do(runner.cleanup())


async def test_calls_are_made_there_and_what_they_raise_comes_back(apart: Apart) -> None:
    assert await apart.call(lambda: threading.current_thread().name) == "apart"
    with pytest.raises(ZeroDivisionError):
        await apart.call(lambda: 1 // 0)


async def test_who_is_there_may_have_things_done_here(apart: Apart) -> None:
    here = asyncio.get_running_loop()

    async def ask() -> tuple[str, str]:
        async def answer() -> str:
            return threading.current_thread().name

        return await across(here, answer()), threading.current_thread().name

    assert await apart.do(ask()) == (threading.current_thread().name, "apart")


async def test_stops_for_good() -> None:
    apart = Apart("apart")
    apart.start()
    await apart.stop()
    await asyncio.sleep(0)
    assert "apart" not in {thread.name for thread in threading.enumerate()}
