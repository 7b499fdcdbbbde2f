"""What is put around a library's functions, native and in Python: it counts, and whoever looks at it sees the function."""

from __future__ import annotations

import asyncio
import copy
import inspect
import pickle
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Self

import pytest
import yarl

from tests.unit.probes.test_calls import settle, worker
from tests.unit.probes.test_recorder import fresh

NAME = "http api.example.com"


@pytest.fixture(params=["native", "pure"])
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """Each kind of recorder, begun in no request."""
    from _rollcall_probe.pure_calls import here  # type: ignore[import-not-found]

    token = here.set(None)
    yield from fresh(tmp_path, monkeypatch, request.param)
    here.reset(token)


class Answer:
    def __init__(self, status: object) -> None:
        self.status = status
        self.headers: dict[str, str] = {}


class Library:
    """A library's class, made anew for each test."""

    def ask(self, question: object = 200, *, loudly: bool = False) -> Answer:
        """Ask it."""
        if isinstance(question, BaseException):
            raise question
        return Answer(question)

    async def ask_slowly(self, question: object = 200) -> Answer:
        await asyncio.sleep(0)
        return self.ask.__wrapped__(self, question)  # type: ignore[attr-defined, no-any-return]

    @classmethod
    def connect(cls, address: str = "") -> Self:
        return cls()


ORIGINALS = dict(vars(Library))


@pytest.fixture
def hook(recorder: ModuleType) -> Iterator[Any]:
    """A hook that is put around all functions of Library."""
    from _rollcall_probe.dependencies import hook as module

    made = module.Hook("library")
    name_of, answered = module.remembered(lambda _: NAME), module.Answered("status")
    made.patch(Library, name_of, "ask", settle=answered)
    made.patch_async(Library, name_of, "ask_slowly", settle=answered)
    Library.connect = classmethod(
        made.around(ORIGINALS["connect"].__func__, lambda cls, *_: "http " + cls.__name__, module.waited)
    )  # type: ignore[method-assign, assignment]
    yield made
    for name in ("ask", "ask_slowly", "connect"):
        setattr(Library, name, ORIGINALS[name])


def counted(recorder: ModuleType, folder: Path) -> dict[str, tuple[int, dict[str, int]]]:
    settle(recorder)
    return {name: (row.calls, row.failed) for name, row in worker(folder).dependencies().items() if row.calls}


def test_calls_are_counted_by_how_they_end(recorder: ModuleType, hook: Any, tmp_path: Path) -> None:
    library = Library()
    assert library.ask().status == 200, "no request yet: nothing is counted"
    recorder.begin("GET")
    for question in (200, 404, 500, 429, "odd"):
        assert library.ask(question, loudly=True).status == question
        assert Library.ask(library, question).status == question
        assert asyncio.run(library.ask_slowly(question)).status == question
    for _ in range(2):
        with pytest.raises(TimeoutError, match="late") as caught:
            library.ask(TimeoutError("late"))
        assert caught.traceback[-1].name == "ask"
    with pytest.raises(TimeoutError, match="late"):
        asyncio.run(library.ask_slowly(TimeoutError("late")))
    assert (hook.on, counted(recorder, tmp_path)[NAME][0] > 12) == (False, True), "an odd status has turned it off"


def test_reasons(recorder: ModuleType, hook: Any, tmp_path: Path) -> None:
    recorder.begin("GET")
    library = Library()
    for question in (200, 404, 500, 429):
        library.ask(question)
        asyncio.run(library.ask_slowly(question))
    with pytest.raises(TimeoutError):
        library.ask(TimeoutError())
    assert counted(recorder, tmp_path) == {NAME: (9, {"error": 2, "throttled": 2, "timeout": 1})}


def test_what_was_waited_for_is_no_call(recorder: ModuleType, hook: Any, tmp_path: Path) -> None:
    request = recorder.begin("GET")
    assert isinstance(Library.connect("here"), Library)
    request.finish()
    settle(recorder)
    assert {name: row.calls for name, row in worker(tmp_path).dependencies().items()} == {"http Library": 0}


def test_a_call_within_a_call_is_the_outer_ones(recorder: ModuleType, hook: Any, tmp_path: Path) -> None:
    recorder.begin("GET")
    outer = recorder.current.begin_call("postgresql orders")
    Library().ask()
    asyncio.run(Library().ask_slowly())
    outer.end(None)
    assert counted(recorder, tmp_path) == {"postgresql orders": (1, {})}


def test_it_looks_like_the_function(recorder: ModuleType, hook: Any) -> None:
    original = ORIGINALS["ask"]
    found: Any = Library.ask
    assert (found.__name__, found.__qualname__, found.__doc__) == ("ask", "Library.ask", "Ask it.")
    assert (found.__module__, found.__wrapped__) == (__name__, original)
    assert inspect.signature(found) == inspect.signature(original)
    assert list(inspect.signature(Library().ask).parameters) == ["question", "loudly"]
    assert inspect.iscoroutinefunction(Library.ask_slowly)
    assert weakref.ref(found)() is found
    assert copy.deepcopy(found) is found
    assert pickle.loads(pickle.dumps(found)) is found
    found.mark = 1
    assert found.mark == 1
    with pytest.raises(TypeError, match="ask"):
        Library().ask(1, 2)  # type: ignore[misc]
    with pytest.raises(TypeError):
        found()


def test_a_name_that_cannot_be_told_turns_the_hook_off(
    recorder: ModuleType, hook: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def odd(*_: object) -> str:
        raise ValueError("no name")

    wrapped = hook.around(ORIGINALS["ask"], odd)
    recorder.begin("GET")
    assert [wrapped(Library()).status for _ in range(3)] == [200] * 3
    assert (hook.on, counted(recorder, tmp_path)) == (False, {})
    assert capfd.readouterr().err.count("calls by library are not counted any more") == 1


def test_an_interrupt_while_a_name_is_told_is_the_applications(recorder: ModuleType, hook: Any) -> None:
    def stopped(*_: object) -> str:
        raise KeyboardInterrupt

    recorder.begin("GET")
    with pytest.raises(KeyboardInterrupt):
        hook.around(ORIGINALS["ask"], stopped)(Library())
    assert hook.on


def test_a_name_that_is_none_is_no_call(recorder: ModuleType, hook: Any, tmp_path: Path) -> None:
    recorder.begin("GET")
    assert hook.around(ORIGINALS["ask"], lambda *_: None)(Library()).status == 200
    assert (hook.on, counted(recorder, tmp_path)) == (True, {})


URLS = {
    "http://a/b": "http a",
    "http://a/c?next=http://b/": "http a",
    "http://A:80/": "http a",
    "https://a:8443/x": "http a:8443",
    "https://a:443": "http a",
    "http://c?x=/y": "http c",
    "http://d#x=/y": "http d",
    "http://user:secret@e/f": "http e",
    "http://[::1]:81/": "http [::1]:81",
    "ws://f/g/h": "http f",
    "http://x/y": "http x",
}


@pytest.mark.parametrize("kind", [str, yarl.URL])
def test_a_host_has_the_same_name_however_its_url_is_written(recorder: ModuleType, tmp_path: Path, kind: Any) -> None:
    """Also when it is asked for again, by what is remembered of the first time."""
    from _rollcall_probe.dependencies import http

    class ClientSession:
        async def _request(self, method: str, str_or_url: Any) -> Answer:
            return Answer(200)

    http._names.clear()
    http.aiohttp(SimpleNamespace(URL=yarl.URL, ClientSession=ClientSession))
    recorder.begin("GET")
    session = ClientSession()
    for _ in range(3):
        for url in URLS:
            asyncio.run(session._request("GET", kind(url)))
    expected = {name: (3 * list(URLS.values()).count(name), {}) for name in URLS.values()}
    assert counted(recorder, tmp_path) == expected
