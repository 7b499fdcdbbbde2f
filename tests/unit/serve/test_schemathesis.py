"""The document against the server: schemathesis makes requests from it, right and wrong ones, and looks at every answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode

from rollcall.facts import ProcessFacts
from rollcall.serve import openapi
from rollcall.serve.access import Access
from rollcall.serve.live import make_live_app
from rollcall.serve.openapi import Why
from rollcall.serve.stream import Streams
from tests.unit.serve.conftest import Live, Rights

ALICE = {"Authorization": "Bearer t-alice"}
THERE = {"namespace": "shop", "name": "newsfeed", "pod": "pod-a"}
EXAMPLES = 12


async def why(namespace: str, pod: str) -> object:
    return Why(namespace, pod, ["newsfeed"], "serving", None, f"{pod} is serving", "") if pod == "pod-a" else None


@pytest.fixture(scope="module")
def document() -> Iterator[Any]:
    """The schema as a server in a thread tells it. Its streams end after their first picture."""

    async def end(*_: object) -> None: ...

    live = Live()
    for _ in range(24):
        live.serve("newsfeed", "uid-a", [0.1] * 5, errors=1, in_flight=1, bands=(1, 0, 0, 0))
        live.turn()
    app = make_live_app(live.publisher, Access(Rights()), ProcessFacts().read, why)  # type: ignore[arg-type]
    runner, loop = web.AppRunner(app, access_log=None), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def listen() -> int:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return int(runner.addresses[0][1])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Streams, "_follow", end)
        port = asyncio.run_coroutine_threadsafe(listen(), loop).result(10)
        yield schemathesis.openapi.from_url(f"http://127.0.0.1:{port}/v1/openapi.json")
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["right", "wrong"])
@pytest.mark.parametrize("path", sorted(openapi.document()["paths"]))
def test_every_answer_is_as_the_document_says(document: Any, path: str, mode: GenerationMode) -> None:
    @given(case=document[path]["GET"].as_strategy(generation_mode=mode))
    @settings(max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def asked(case: schemathesis.Case) -> None:
        if mode is GenerationMode.POSITIVE:  # no chance finds the names of what is there
            case.path_parameters = {name: THERE[name] for name in case.path_parameters}
        case.call_and_validate(headers=ALICE)

    asked()
