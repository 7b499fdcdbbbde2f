"""What the probe adds to a call of a dependency, library by library, with a real server on loopback.

    python benchmarks/dependency_calls.py [--rounds 40] [--calls 200] [LIBRARY ...]

Three processes per library (bare, with the native recorder, with that in Python) take turns, round by round, so that the
machine's moods hit all alike; each makes its calls within a request. The table shows the CPU time of the calling process per
call (waiting for the server costs none), as medians, and the added cost as the median of the rounds' differences. `nothing`
is a function that does nothing behind the hook: the hook's own cost. Bound: 3 µs per call.
"""

from __future__ import annotations

import argparse
import asyncio
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
VARIANTS = ("bare", "native", "pure")
Call = Callable[[], Any]


def _nothing(port: int) -> Call:
    class Library:
        def call(self) -> None:
            return None

    if "_rollcall_probe" in sys.modules:
        from _rollcall_probe.dependencies.hook import Hook  # type: ignore[import-not-found]

        Hook("nothing").patch(Library, lambda *_: "http nothing", "call")
    return Library().call


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

    connection = sqlalchemy.create_engine(f"postgresql+psycopg2://postgres@127.0.0.1:{port}/orders").connect()
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
    """Several calls per run of the loop, so that starting it does not count."""
    import aiohttp

    loop = asyncio.new_event_loop()
    url = f"http://127.0.0.1:{port}/status/200"

    async def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession()

    client = loop.run_until_complete(session())

    async def get() -> None:
        async with client.get(url) as response:
            await response.read()

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


def _make_rounds(variant: str, library: str, port: int, orders: Connection, run_dir: str) -> None:
    """In a child: make the client, then a round of calls, in one request, whenever told to."""
    os.environ["ROLLCALL_RUN"] = run_dir
    os.environ["ROLLCALL_NATIVE"] = "on" if variant == "native" else "off"
    recorder = None
    if variant != "bare":
        sys.path.insert(0, str(PROBE))
        from _rollcall_probe import hooks, recorder  # type: ignore[import-not-found,no-redef]

        hooks.arm()
    call = LIBRARIES[library][1](port)

    def run(calls: int) -> float:
        request = recorder.begin("GET") if recorder is not None else None
        began = time.process_time()
        for _ in range(calls):
            call()
        took = time.process_time() - began
        if request is not None:
            request.finish()
        return took

    run(100)
    orders.send(None)
    while (calls := orders.recv()) is not None:
        orders.send(run(calls))


def compare(library: str, port: int, rounds: int, calls: int, run_dir: str) -> dict[str, list[float]]:
    """µs per call of each round, by variant."""
    context = multiprocessing.get_context("spawn")
    children = {}
    for variant in VARIANTS:
        ours, theirs = context.Pipe()
        process = context.Process(target=_make_rounds, args=(variant, library, port, theirs, run_dir), daemon=True)
        process.start()
        children[variant] = (ours, process)
    for orders, _ in children.values():
        orders.recv()
    times: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for number in range(rounds):
        turn = number % len(VARIANTS)
        for variant in VARIANTS[turn:] + VARIANTS[:turn]:
            orders = children[variant][0]
            orders.send(calls)
            times[variant].append(orders.recv() / calls * 1e6)
    for orders, process in children.values():
        orders.send(None)
        process.join()
    return times


def main() -> int:
    """Measure, print the table; exit code 1 when the bound is broken."""
    from tests.unit.probes import backends

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--calls", type=int, default=200, help="calls per round")
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
            calls = options.calls * (50 if library == "nothing" else 10 if library == "sqlite3" else 1)
            times = compare(library, ports[server], options.rounds, calls, run_dir)
            added = {
                variant: statistics.median(a - b for a, b in zip(times[variant], times["bare"], strict=True))
                for variant in VARIANTS
            }
            print(
                f"{library:12}{statistics.median(times['bare']):>14.1f}{added['native']:>17.2f}{added['pure']:>15.2f}",
                flush=True,
            )
            held = held and added["native"] <= BOUND_US
    print(f"bound (<= {BOUND_US:.0f} µs, native):", "held" if held else "BROKEN")
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
