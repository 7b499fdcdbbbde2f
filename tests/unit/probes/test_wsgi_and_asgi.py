"""What servers get from an application is the same with the probe in front; what the probe notes is when and how it ended."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from typing import Any

import pytest
from _rollcall_probe import asgi, recorder, wsgi  # type: ignore[import-not-found]


class Noted:
    """Stands in for a request's record."""

    def __init__(self) -> None:
        self.status: Any = None
        self.error: str | None = None
        self.task: object = None
        self.ends: list[bool] = []
        self.endpoint = 0

    @property
    def in_flight(self) -> bool:
        return not self.ends

    def finish(self) -> None:
        self.ends.append(False)

    def crash(self) -> None:
        self.ends.append(True)

    @property
    def end(self) -> bool | None:
        """How the request ended, None while it has not."""
        return self.ends[0] if self.ends else None


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> Noted:
    made = Noted()
    monkeypatch.setattr(recorder, "current", None)
    for name in ("begin", "begin_task"):
        monkeypatch.setattr(recorder, name, lambda _: made)
    return made


class FileWrapper:
    def __init__(self, file: io.BytesIO) -> None:
        self.file = file
        self.close = file.close

    def __iter__(self) -> Any:
        return iter(self.file)


class Chunks:
    """An iterable with neither length nor close."""

    def __iter__(self) -> Any:
        return iter([b"a", b"b"])


class Closing(Chunks):
    closed = False

    def close(self) -> None:
        self.closed = True


def call(app: Callable[..., Any], **environ: Any) -> tuple[Any, list[Any]]:
    heads: list[Any] = []

    def start_response(*arguments: Any) -> str:
        heads.append(arguments)
        return "the write callable"

    return wsgi.wrap(app)({"REQUEST_METHOD": "GET", **environ}, start_response), heads


def answer(body: Any, status: str = "200 OK") -> Callable[..., Any]:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        assert start_response(status, [("X", "y")]) == "the write callable"
        return body

    return app


@pytest.mark.parametrize("body", [[b"a"], (b"a", b"b"), []])
def test_lists_and_tuples_stay_what_they_are(noted: Noted, body: Any) -> None:
    got, heads = call(answer(body))
    assert got is body
    assert heads == [("200 OK", [("X", "y")])]
    assert (noted.end, noted.status) == (False, "200 OK")


def test_a_body_ends_when_it_is_closed(noted: Noted) -> None:
    body = Closing()
    got, _ = call(answer(body))
    assert list(got) == [b"a", b"b"]
    assert noted.end is None
    got.close()
    assert noted.end is False
    assert body.closed


def test_a_body_with_a_length_keeps_it_and_one_without_gets_none(noted: Noted) -> None:
    class Sized(Chunks):
        def __len__(self) -> int:
            return 2

    assert len(call(answer(Sized()))[0]) == 2
    with pytest.raises(TypeError):
        len(call(answer(Chunks()))[0])


def test_the_servers_file_wrapper_keeps_its_type(noted: Noted) -> None:
    file = io.BytesIO(b"content")
    wrapper = FileWrapper(file)
    got, _ = call(answer(wrapper), **{"wsgi.file_wrapper": FileWrapper})
    assert got is wrapper
    assert noted.end is None
    got.close()
    assert file.closed
    assert noted.end is False


def test_an_object_that_only_the_server_understands_is_handed_through(noted: Noted) -> None:
    marker = object()
    assert call(answer(marker))[0] is marker
    assert noted.end is False


def test_exc_info_reaches_the_server(noted: Noted) -> None:
    info = (ValueError, ValueError("x"), None)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("200 OK", [])
        start_response("500 Oops", [], info)
        return [b""]

    _, heads = call(app)
    assert heads == [("200 OK", []), ("500 Oops", [], info)]
    assert noted.status == "500 Oops"


def test_an_exception_of_the_application_is_its_own_and_is_noted(noted: Noted) -> None:
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        call(app)
    assert noted.end is True
    assert noted.error == "exception KeyError"


@pytest.mark.parametrize(("error", "crashed"), [(RuntimeError("half-way"), True), (BrokenPipeError(), False)])
def test_an_exception_in_the_body_is_noted_when_the_server_closes_it(noted: Noted, error: Exception, crashed: bool) -> None:
    def chunks() -> Any:
        yield b"a"
        raise error

    def serve(body: Any) -> None:
        try:
            for _ in body:
                pass
        finally:
            body.close()

    got, _ = call(answer(chunks()))
    with pytest.raises(type(error)):
        serve(got)
    assert noted.end is crashed
    assert noted.error == ("exception RuntimeError" if crashed else "abort client")


def test_a_request_is_counted_once_however_many_probes_it_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []
    for name in ("begin", "begin_task"):
        monkeypatch.setattr(recorder, name, lambda _: begun.append(1) or Noted())
    inner = wsgi.wrap(answer([b"a"]))
    assert call(inner)[0] == [b"a"]
    assert len(begun) == 1


def test_an_exporter_of_metrics_is_no_application() -> None:
    def app() -> None:
        return None

    app.__module__ = "prometheus_client.exposition"
    assert wsgi.is_foreign(app)
    assert wsgi.is_foreign(wsgi.wrap(answer([])))
    assert not wsgi.is_foreign(answer([]))


def run_asgi(app: Callable[..., Any], kind: str = "http", send: Callable[..., Any] | None = None) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    async def collect(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(asgi.wrap(app)({"type": kind, "method": "GET"}, receive, send or collect))
    return sent


START = {"type": "http.response.start", "status": 201, "headers": []}
MORE = {"type": "http.response.body", "body": b"a", "more_body": True}
LAST = {"type": "http.response.body", "body": b"b"}


def test_an_asgi_request_ends_with_its_last_body_message(noted: Noted) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(MORE)
        assert noted.end is None
        await send(LAST)
        assert noted.end is False

    assert run_asgi(app) == [START, MORE, LAST]
    assert noted.status == 201


def test_an_asgi_application_that_raises_is_noted(noted: Noted) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run_asgi(app)
    assert noted.end is True


def test_a_client_that_leaves_ends_the_request_without_an_error(noted: Noted) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        run_asgi(app)
    assert noted.end is False
    assert noted.error == "abort client"


def test_an_answer_of_5xx_is_followed_to_the_exception_behind_it(noted: Noted) -> None:
    """As Starlette does: it answers 500, then raises again for the server's log."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START | {"status": 500})
        await send(LAST)
        assert noted.end is None
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run_asgi(app)
    assert (noted.ends, noted.error) == ([True], "exception KeyError")


def test_an_application_that_returns_in_the_middle_of_its_answer_was_left(noted: Noted) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(MORE)

    run_asgi(app)
    assert (noted.ends, noted.error) == ([False], "abort client")


@pytest.mark.parametrize("kind", ["lifespan", "websocket"])
def test_other_scopes_pass_untouched(noted: Noted, kind: str) -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope, send))

    async def send(message: Any) -> None:
        return None

    run_asgi(app, kind, send)
    assert seen == [({"type": kind, "method": "GET"}, send)]
    assert noted.end is None


def test_a_probe_that_is_off_calls_the_application_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("begin", "begin_task"):
        monkeypatch.setattr(recorder, name, lambda _: None)
    environ = {"REQUEST_METHOD": "GET"}

    def start_response() -> None:
        return None

    assert wsgi.wrap(lambda *arguments: arguments)(environ, start_response) == (environ, start_response)
    assert environ == {"REQUEST_METHOD": "GET"}


@pytest.mark.parametrize("error", [None, RuntimeError("half-way"), BrokenPipeError()])
def test_a_body_of_werkzeug_is_itself_and_says_when_it_is_closed(
    noted: Noted, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    from werkzeug.wsgi import ClosingIterator

    monkeypatch.setattr(wsgi, "closing_iterator", ClosingIterator)
    closed: list[bool] = []
    body = ClosingIterator([b"a"], lambda: closed.append(True))
    got, _ = call(answer(body))
    assert got is body

    def serve() -> None:
        try:
            assert list(got) == [b"a"]
            if error is not None:
                raise error
        finally:
            got.close()

    if error is None:
        serve()
    else:
        with pytest.raises(type(error)):
            serve()
    assert closed == [True]
    assert noted.ends == [isinstance(error, RuntimeError)]
