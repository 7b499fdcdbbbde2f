"""From the live API to frames: of any size, over broken connections, with the operator's own words when it refuses."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes import client as kube

from rollcall.cli import connection, stream
from rollcall.cli.connection import Caller, CliError, LiveApi, Target, port_forward
from rollcall.cli.stream import Frame, frames
from tests.unit.cli.pictures import picture, pod

CALLER = Caller(Target(), ssl.create_default_context(), {"Authorization": "Bearer t"}, kube.Configuration())


class Operator:
    """A live API whose answers a test gives; the port-forward is left out."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.calls = 0
        self.server: TestServer | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        assert request.headers["Authorization"] == "Bearer t"
        answer = self.answers[min(self.calls, len(self.answers) - 1)]
        self.calls += 1
        if isinstance(answer, web.Response):
            return answer
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for data in answer:
            await response.write(data)
        return response

    @asynccontextmanager
    async def live_api(self, caller: Caller) -> AsyncIterator[LiveApi]:
        if self.server is None:
            raise CliError("the operator cannot be reached: no pods")
        async with aiohttp.ClientSession() as session:
            yield LiveApi(session, f"http://127.0.0.1:{self.server.port}", caller)


@pytest.fixture
async def operator(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Operator]:
    made = Operator()
    app = web.Application()
    app.router.add_get("/{tail:.*}", made.handle)
    made.server = TestServer(app)
    await made.server.start_server()
    monkeypatch.setattr(stream, "live_api", made.live_api)
    monkeypatch.setattr(stream, "PAUSES_S", (0.0, 0.0))
    yield made
    if made.server is not None:
        await made.server.close()


def event(shown: Any) -> bytes:
    return b"data: " + json.dumps(shown).encode() + b"\n\n"


async def take(count: int) -> list[Frame]:
    found: list[Frame] = []
    newest = frames(CALLER, "/v1/services/stream")
    async with asyncio.timeout(10):
        async for frame in newest:
            found.append(frame)
            if len(found) == count:
                await newest.aclose()  # type: ignore[attr-defined]
                break
    return found


async def test_frames_come_one_by_one(operator: Operator) -> None:
    operator.answers = [[event({"n": 1}), event({"n": 2})[:9], event({"n": 2})[9:], b": comment\n\n", event({"n": 3})]]
    assert [frame.picture for frame in await take(3)] == [{"n": 1}, {"n": 2}, {"n": 3}]


async def test_a_frame_of_five_thousand_pods_is_one_line(operator: Operator) -> None:
    large = picture([pod(f"newsfeed-{number:04}") for number in range(5000)])
    assert len(event(large)) > 1_000_000
    operator.answers = [[event(large)] * 2]
    for frame in await take(2):
        assert frame.picture is not None
        assert len(frame.picture["roll"]) == 5000


async def test_after_a_break_the_old_picture_stays_with_the_trouble_beside_it(operator: Operator) -> None:
    operator.answers = [
        [event({"n": 1})],
        web.json_response({"error": "this replica does not lead"}, status=503),
        [event({"n": 2})],
    ]
    first, ended, refused, again = await take(4)
    assert (first.picture, first.trouble) == ({"n": 1}, None)
    assert (ended.picture, ended.trouble, ended.at_s) == ({"n": 1}, "the operator ended the stream", first.at_s)
    assert (refused.picture, refused.trouble) == ({"n": 1}, "this replica does not lead")
    assert (again.picture, again.trouble) == ({"n": 2}, None)
    assert again.at_s > first.at_s


async def test_the_word_at_the_end_is_no_picture(operator: Operator) -> None:
    operator.answers = [[event({"n": 1}), b"event: end\ndata: {}\n\n"]]
    assert [frame.picture for frame in await take(2)] == [{"n": 1}, {"n": 1}]


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (web.json_response({"error": "you may not"}, status=403), 4, "you may not"),
        (web.json_response({"error": "who are you"}, status=401), 4, "who are you"),
        (web.json_response({"error": 'there is no MonitoredService "x"'}, status=404), 1, "there is no MonitoredService"),
        (web.Response(status=502, text="<html>"), 1, "the operator answered 502"),
    ],
)
async def test_a_refusal_at_the_beginning_ends_the_command(
    operator: Operator, answer: web.Response, code: int, words: str
) -> None:
    # one response object serves one request
    operator.answers = [
        web.Response(status=answer.status, body=answer.body, content_type=answer.content_type) for _ in range(9)
    ]

    async def follow() -> None:
        async for frame in frames(CALLER, "/v1/services/stream"):
            assert frame.picture is None

    with pytest.raises(CliError, match=words) as caught:
        await asyncio.wait_for(follow(), 5)
    assert caught.value.code == code
    assert operator.calls == (3 if answer.status == 502 else 1), "what cannot change is not tried again"


async def test_an_operator_that_is_gone_is_waited_for(operator: Operator) -> None:
    operator.answers = [[event({"n": 1})]]
    newest = frames(CALLER, "/v1/services/stream")
    assert (await anext(newest)).picture == {"n": 1}
    server, operator.server = operator.server, None
    await anext(newest)
    for _ in range(10):
        frame = await anext(newest)
        assert (frame.picture, frame.trouble) == ({"n": 1}, "the operator cannot be reached: no pods")
    operator.server = server
    while (await anext(newest)).trouble:
        pass
    await newest.aclose()  # type: ignore[attr-defined]


async def test_without_kubectl_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection.shutil, "which", lambda _: None)
    with pytest.raises(CliError, match="kubectl is not in PATH"):
        async with port_forward(Target()):
            pass


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (
            "echo 'Error from server (NotFound): services \"rollcall-api\" not found' >&2; exit 1",
            "the operator cannot be reached: Error from server",
        ),
        ("exit 0", "kubectl port-forward ended"),
        ("echo hello; exec sleep 60", "the operator cannot be reached"),
    ],
)
async def test_a_port_forward_that_fails(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, script: str, words: str) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f"#!/bin/sh\n{script}\n")
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(CliError, match=words):
        await asyncio.wait_for(port_forward(Target()).__aenter__(), 5)


async def test_a_port_forward_ends_with_its_context(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(
        f'#!/bin/sh\necho $$ $KUBECONFIG "$@" > {tmp_path}/called\n'
        'echo "Forwarding from 127.0.0.1:34567 -> 443"\nexec sleep 60\n'
    )
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    async with port_forward(Target(context="c", kubeconfig="k:l")) as port:
        assert port == 34567
        pid, *args = (tmp_path / "called").read_text().split()
        assert args == [
            "k:l",
            "--context=c",
            "port-forward",
            "-n",
            "rollcall-system",
            "svc/rollcall-api",
            ":443",
            "--address=127.0.0.1",
        ]
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


async def test_frames_of_each_service(operator: Operator) -> None:
    """One that is deleted between the list and its picture is left out."""
    listed = [{"namespace": "shop", "name": name} for name in ("feed", "gone", "mail")]

    def answer(body: object, status: int = 200) -> web.Response:
        return web.json_response(body, status=status)

    operator.answers = [answer({"services": listed}), answer({"n": 1}), answer({"error": "no such"}, 404), answer({"n": 2})]
    newest = stream.frames_of_each(CALLER, "/v1/services", every_s=0.0)
    frame = await anext(newest)
    await newest.aclose()  # type: ignore[attr-defined]
    assert frame.picture == {"services": [{"n": 1}, {"n": 2}]}


async def test_frames_of_each_service_that_may_not_be_read(operator: Operator) -> None:
    operator.answers = [web.json_response({"error": "you may not"}, status=403)]
    with pytest.raises(CliError, match="you may not"):
        await anext(stream.frames_of_each(CALLER, "/v1/services"))
