"""What the probe adds to a call of a dependency, library by library, with a real server on loopback.

    python benchmarks/dependency_calls.py [--rounds 100] [--calls 20] [--repeat 5] [LIBRARY ...]

Each process makes some calls with the recorder and some without, turn by turn, within a request: the hooks stay where they
are, and do nothing while there is no recorder. So both halves have the same objects at the same places in memory, which alone
is worth several percent of a call from process to process, and the moods of the machine and of the server hit both alike. What
is added is the median of the differences of all turns, and the cost of a hook that does nothing (`idle`: of `nothing`, a
function that does nothing, compared with a process without hooks). Calls take the CPU time of the calling thread: waiting for
the server costs none. The server has another processor. `without` is a process without the probe, its first decile.

`own` is what the library's way of telling of calls costs if whoever is told does nothing, where that is how the hook works; it
is part of what is added, and compared from process to process. Bound: 3 µs per call beside `own`, native.
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
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).parents[1]
PROBE = ROOT / "agent_sidecar" / "probes" / "python"
sys.path.insert(0, str(ROOT))
BOUND_US = 3.0
PROCESSORS = sorted(os.sched_getaffinity(0))
MODES = {"bare": False, "own": False, "native": True, "pure": True}
"""What processes there are, and whether they have the probe."""
TELLING = ("pymongo",)
"""Libraries that tell of their calls themselves."""
FIRST, LAST = {PROCESSORS[0]}, {PROCESSORS[-1]}
Call = Callable[[], Any]


def _nothing(port: int) -> Call:
    class Library:
        def call(self) -> None:
            return None

    if MODES[os.environ["MODE"]]:
        from _rollcall_probe.dependencies.hook import Hook, remembered  # type: ignore[import-not-found]

        Hook("nothing").patch(Library, remembered(lambda _: "http nothing"), "call")
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

    if os.environ["MODE"] == "own":
        from pymongo import monitoring

        class Idle(monitoring.CommandListener):
            def started(self, event: Any) -> None: ...
            def succeeded(self, event: Any) -> None: ...
            def failed(self, event: Any) -> None: ...

        monitoring.register(Idle())
    database = pymongo.MongoClient(f"mongodb://127.0.0.1:{port}/")["feed"]
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


def _serve(mode: str, library: str, port: int, calls: int, run_dir: str, turns: Connection) -> None:
    """In a child: for each turn, send the µs of one call as it is, and with the recorder (the same where there is no probe)."""
    os.environ.update(MODE=mode, ROLLCALL_RUN=run_dir, ROLLCALL_NATIVE="off" if mode == "pure" else "on")
    os.sched_setaffinity(0, FIRST)
    recorder: Any = SimpleNamespace(current=None)
    if MODES[mode]:
        sys.path.insert(0, str(PROBE))
        from _rollcall_probe import hooks, recorder  # type: ignore[import-not-found,no-redef]

        hooks.arm()
        request = recorder.begin("GET")
    present = recorder.current
    call = LIBRARIES[library][1](port)
    for _ in range(10 * calls):
        call()

    def timed(current: Any) -> float:
        recorder.current = current
        for _ in range(3):
            call()
        began = time.thread_time()
        for _ in range(calls):
            call()
        took = time.thread_time() - began
        recorder.current = present
        return took / calls * 1e6

    while number := turns.recv():
        took = {current: timed(current) for current in ((None, present) if number % 2 else (present, None))}
        turns.send((took[None], took[present]))
    if MODES[mode]:
        request.finish()


def compare(library: str, port: int, rounds: int, calls: int) -> dict[str, list[tuple[float, float]]]:
    """µs of a call by mode and turn, without and with the recorder."""
    context = multiprocessing.get_context("spawn")
    modes = [mode for mode in MODES if mode != "own" or library in TELLING]
    with tempfile.TemporaryDirectory(dir="/dev/shm") as run_dir:
        turns, processes = {}, []
        for mode in modes:
            turns[mode], theirs = context.Pipe()
            arguments = (mode, library, port, calls, run_dir, theirs)
            processes.append(context.Process(target=_serve, args=arguments, daemon=True))
            processes[-1].start()
            theirs.close()
        times: dict[str, list[tuple[float, float]]] = {mode: [] for mode in modes}
        for number in range(1, rounds + 1):
            for mode in modes if number % 2 else modes[::-1]:
                turns[mode].send(number)
                times[mode].append(turns[mode].recv())
        for mode, process in zip(modes, processes, strict=True):
            turns[mode].send(0)
            process.join()
    return times


def decile(times: list[tuple[float, float]], which: int) -> float:
    """The first, without (0) or with (1) the recorder."""
    return statistics.quantiles((took[which] for took in times), n=10)[0]


class Idle:
    """What hooks cost that do nothing, by mode: of `nothing`, which is measured first."""

    def __init__(self) -> None:
        self.us = dict.fromkeys(MODES, 0.0)

    def learn(self, sets: list[dict[str, list[tuple[float, float]]]]) -> None:
        for mode in ("native", "pure"):
            self.us[mode] = statistics.median(decile(times[mode], 0) - decile(times["bare"], 0) for times in sets)

    def added(self, sets: list[dict[str, list[tuple[float, float]]]], mode: str) -> float:
        """What the probe adds to a call."""
        differences = (on - off for times in sets for off, on in times[mode])
        return statistics.median(differences) + self.us[mode]


def main() -> int:
    """Measure, print the table; exit code 1 when the bound is broken."""
    from tests.unit.probes import backends

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100, help="turns of each process")
    parser.add_argument("--calls", type=int, default=20, help="calls with and without the recorder per turn")
    parser.add_argument("--repeat", type=int, default=5, help="sets of processes")
    parser.add_argument("libraries", nargs="*", choices=[*LIBRARIES, []], metavar="LIBRARY")
    options = parser.parse_args()
    os.sched_setaffinity(0, LAST)
    held = True
    ports: dict[str, int] = {"": 0}
    print(f"{'library':12}{'without µs/call':>14}{'native added µs':>17}{'of which own':>14}{'pure added µs':>15}")
    with ExitStack() as stack:
        idle = Idle()
        for library in dict.fromkeys(["nothing", *(options.libraries or LIBRARIES)]):
            server = LIBRARIES[library][0]
            if server not in ports:
                ports[server] = stack.enter_context(getattr(backends, server)())
            calls = options.calls * (50 if library == "nothing" else 5 if library == "sqlite3" else 1)
            sets = [compare(library, ports[server], options.rounds, calls) for _ in range(options.repeat)]
            if library == "nothing":
                idle.learn(sets)
            native, pure = idle.added(sets, "native"), idle.added(sets, "pure")
            own = 0.0
            if library in TELLING:
                own = statistics.median(decile(times["own"], 0) - decile(times["bare"], 0) for times in sets)
            bare = statistics.median(decile(times["bare"], 0) for times in sets)
            print(f"{library:12}{bare:>14.1f}{native + own:>17.2f}{own or '':>14.5}{pure + own:>15.2f}", flush=True)
            held = held and native <= BOUND_US
        print(f"a hook that does nothing: native {idle.us['native']:.2f} µs, in Python {idle.us['pure']:.2f} µs")
    print(f"bound (<= {BOUND_US:.0f} µs, native, beside own):", "held" if held else "BROKEN")
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
