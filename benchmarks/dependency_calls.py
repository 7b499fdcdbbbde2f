"""What the probe adds to a call of a dependency, library by library, with a real server on loopback.

    python benchmarks/dependency_calls.py [--rounds 200] [--calls 10] [LIBRARY ...]

One process per library and recorder (native, in Python) has two clients, one whose calls are counted and one whose calls are
not, and calls them by turns, a few calls each, within a request: so the moods of the machine and of the server hit both alike.
The table shows the CPU time of the process per call (waiting for the server costs none) and what is added to it, as the first
decile of the rounds: other processes that take the processor's caches away between two calls can make either several times
as long. `nothing` is a function that does nothing: the hook's own cost. Bound: 3 µs per call.
"""

from __future__ import annotations

import argparse
import asyncio
import atexit
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PROBE = ROOT / "agent_sidecar" / "probes" / "python"
sys.path.insert(0, str(ROOT))
BOUND_US = 3.0
VARIANTS = ("native", "pure")
Call = Callable[[], Any]


def _nothing(port: int) -> Call:
    from _rollcall_probe.dependencies.hook import Hook  # type: ignore[import-not-found]

    class Library:
        def call(self) -> None:
            return None

    Hook("nothing").patch(Library, lambda *_: "http nothing", "call")
    library = Library()
    return lambda: library.call()


def _sqlite3(port: int) -> Call:
    import sqlite3

    cursor = sqlite3.connect(":memory:").cursor()
    return lambda: cursor.execute("select 1")


def _psycopg(port: int) -> Call:
    import psycopg

    cursor = psycopg.connect(f"postgresql://postgres@127.0.0.1:{port}/orders").cursor()
    return lambda: cursor.execute("select 1")


def _psycopg2(port: int) -> Call:
    import psycopg2

    cursor = psycopg2.connect(f"postgresql://postgres@127.0.0.1:{port}/orders").cursor()
    return lambda: cursor.execute("select 1")


def _sqlalchemy(port: int) -> Call:
    import sqlalchemy

    engine = sqlalchemy.create_engine(f"postgresql+psycopg2://postgres@127.0.0.1:{port}/orders")
    if not Switch.on:
        for method in ("do_execute", "do_executemany", "do_execute_no_params", "do_commit"):
            delattr(engine.dialect, method)
    connection = engine.connect()
    statement = sqlalchemy.text("select 1")
    return lambda: connection.execute(statement)


def _pymysql(port: int) -> Call:
    import pymysql

    cursor = pymysql.connect(host="127.0.0.1", port=port, user="app", database="shop").cursor()
    return lambda: cursor.execute("select 1")


def _redis(port: int) -> Call:
    import redis

    client = redis.Redis(host="127.0.0.1", port=port)
    return lambda: client.get("key")


def _pymongo(port: int) -> Call:
    import pymongo
    from pymongo import monitoring

    listeners = monitoring._LISTENERS.command_listeners
    kept = listeners[:]
    if not Switch.on:
        listeners.clear()
    database = pymongo.MongoClient(f"mongodb://127.0.0.1:{port}/")["feed"]
    listeners[:] = kept
    return lambda: database.command("ping")


def _urllib3(port: int) -> Call:
    import urllib3

    pool = urllib3.HTTPConnectionPool("127.0.0.1", port)
    return lambda: pool.request("GET", "/status/200")


def _httpx(port: int) -> Call:
    import httpx

    client = httpx.Client()
    url = f"http://127.0.0.1:{port}/status/200"
    return lambda: client.get(url)


def _aiohttp(port: int) -> Call:
    import aiohttp

    loop = asyncio.new_event_loop()
    url = f"http://127.0.0.1:{port}/status/200"

    async def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    client = loop.run_until_complete(session())

    async def get() -> None:
        async with client.get(url) as response:
            await response.read()

    atexit.register(lambda: loop.run_until_complete(client.close()))
    return lambda: loop.run_until_complete(get())


LIBRARIES: dict[str, tuple[str, Callable[[int], Call]]] = {
    "nothing": ("", _nothing),
    "sqlite3": ("", _sqlite3),
    "psycopg": ("postgresql", _psycopg),
    "psycopg2": ("postgresql", _psycopg2),
    "sqlalchemy": ("postgresql", _sqlalchemy),
    "pymysql": ("mariadb", _pymysql),
    "redis": ("redis", _redis),
    "pymongo": ("mongodb", _pymongo),
    "urllib3": ("http", _urllib3),
    "httpx": ("http", _httpx),
    "aiohttp": ("http", _aiohttp),
}


class Switch:
    """Puts hooks out and in again: what they have replaced in classes, and whether they are on when a client is made."""

    on = True

    def __init__(self, hook: Any) -> None:
        self._replaced: list[tuple[Any, str, Any, Any]] = []
        self._hooks: list[Any] = []
        init, patch = hook.Hook.__init__, hook.Hook._patch

        def noted_init(made: Any, library: str) -> None:
            init(made, library)
            self._hooks.append(made)

        def noted_patch(made: Any, around: Any, owner: Any, name_of: Any, methods: Any, settle: Any) -> None:
            before = {method: vars(owner).get(method) for method in methods}
            patch(made, around, owner, name_of, methods, settle)
            self._replaced += [(owner, method, old, vars(owner)[method]) for method, old in before.items() if old is not None]

        hook.Hook.__init__, hook.Hook._patch = noted_init, noted_patch

    def turn(self, on: bool) -> None:
        Switch.on = on
        for made in self._hooks:
            made.on = on
        for owner, method, old, new in self._replaced:
            setattr(owner, method, new if on else old)


def _measure(variant: str, library: str, port: int, rounds: int, calls: int, run_dir: str, answer: Connection) -> None:
    """In a child: send (µs per call that is not counted, added µs)."""
    os.environ["ROLLCALL_RUN"] = run_dir
    os.environ["ROLLCALL_NATIVE"] = "on" if variant == "native" else "off"
    sys.path.insert(0, str(PROBE))
    from _rollcall_probe import hooks, recorder
    from _rollcall_probe.dependencies import hook

    switch = Switch(hook)
    hooks.arm()
    make = LIBRARIES[library][1]
    clients = {True: make(port)}
    switch.turn(False)
    clients[False] = clients[True] if library == "nothing" else make(port)
    request = recorder.begin("GET")
    times: dict[bool, list[float]] = {True: [], False: []}
    for number in range(-2, 2 * rounds):
        on = number % 4 in (0, 3)
        switch.turn(on)
        call = clients[on]
        call()
        began = time.process_time()
        for _ in range(calls):
            call()
        took = (time.process_time() - began) / calls * 1e6
        if number >= 0:
            times[on].append(took)
    request.finish()
    quick = {on: statistics.quantiles(took, n=10)[0] for on, took in times.items()}
    answer.send((quick[False], quick[True] - quick[False]))


def compare(library: str, port: int, rounds: int, calls: int, run_dir: str) -> dict[str, tuple[float, float]]:
    """(µs per call, added µs) by variant."""
    context = multiprocessing.get_context("spawn")
    found = {}
    for variant in VARIANTS:
        ours, theirs = context.Pipe()
        process = context.Process(target=_measure, args=(variant, library, port, rounds, calls, run_dir, theirs), daemon=True)
        process.start()
        theirs.close()
        found[variant] = ours.recv()
        process.join()
    return found


def main() -> int:
    """Measure, print the table; exit code 1 when the bound is broken."""
    from tests.unit.probes import backends

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--calls", type=int, default=10, help="calls of each per round")
    parser.add_argument("libraries", nargs="*", choices=[*LIBRARIES, []], metavar="LIBRARY")
    options = parser.parse_args()
    held = True
    ports: dict[str, int] = {"": 0}
    print(f"{'library':12}{'bare µs/call':>14}{'native added µs':>17}{'pure added µs':>15}")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as run_dir, ExitStack() as stack:
        for library in options.libraries or LIBRARIES:
            server = LIBRARIES[library][0]
            if server not in ports:
                ports[server] = stack.enter_context(getattr(backends, server)())
            calls = options.calls * (100 if library == "nothing" else 10 if library == "sqlite3" else 1)
            found = compare(library, ports[server], options.rounds, calls, run_dir)
            (bare, native), (_, pure) = found["native"], found["pure"]
            print(f"{library:12}{bare:>14.1f}{native:>17.2f}{pure:>15.2f}", flush=True)
            held = held and native <= BOUND_US
    print(f"bound (<= {BOUND_US:.0f} µs, native):", "held" if held else "BROKEN")
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
