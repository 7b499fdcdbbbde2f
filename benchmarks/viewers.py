"""What people who look cost the operator: viewers of the live API over TLS, each at four pictures a second.

    python benchmarks/viewers.py [--viewers 500] [--seconds 8] [--rounds 5] [--services 20] [--pods 20]

The server runs in a process of its own, with services of so many simulated pods that report once a second, and folds twice a
second. It is measured without and with viewers of the wall (all services) and of one service with seconds and points, half
and half; the viewers run in this process and read as fast as bytes come. CPU is the kernel's count for the server's process,
TLS and the encoding included, without the steps of the simulation: its pods, a fold and statuses, the same with viewers and
without. Bound: 500 viewers cost 5 % of a core more. What a server costs differs by a point from one moment to the next, so each
round measures it without viewers, too, and what is judged is the median of the rounds. Beside it, because machines differ: a
bare server, which does nothing at all but write as many bytes of its own to as many viewers over TLS, in the same event loop.
No server in it can cost less.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import resource
import ssl
import statistics
import sys
import time
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "operator"), str(ROOT / "agent_sidecar")]

import uvloop  # noqa: E402
from aiohttp import web  # noqa: E402

from rollcall.control.certificates import load_into, renewed  # noqa: E402
from rollcall.serve.access import Access  # noqa: E402
from rollcall.serve.live import make_live_app  # noqa: E402
from tests.web.world import World  # noqa: E402

BOUND = 0.05
FOLD_S = 0.25
FLUSHED = b"\0\0\xff\xff\r\n"
"""How each turn ends: what deflate flushes, and the end of the chunk."""


def cpu_s() -> float:
    """Of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def build(services: int, pods: int) -> World:
    """Services whose pods answer ten requests a second."""
    world = World()
    for number in range(services):
        fleet = world.service("shop", f"service-{number:02d}", pods)
        for place in range(pods):
            world.pod(fleet, f"p{place:03d}", rate=10.0)
    world.past(20)
    return world


async def serve(pipe: Connection, services: int, pods: int) -> None:
    """The server: answers `cpu` on the pipe, until `end`. Its pods report only once a measurement asks for it."""
    world = build(services, pods)
    loop = asyncio.get_running_loop()
    app = make_live_app(world.publisher, Access(world), dict, world.why)  # type: ignore[arg-type]
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    made = renewed(None, ["localhost"], datetime.now(UTC))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_into(tls, made)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls, backlog=2048).start()
    pipe.send((runner.addresses[0][1], made.bundle.decode()))
    simulated_s = [0.0]
    going = asyncio.create_task(fold(world, simulated_s))
    while (word := await loop.run_in_executor(None, pipe.recv)) != "end":
        assert word == "cpu"
        pipe.send(cpu_s() - simulated_s[0])
    going.cancel()


async def fold(world: World, simulated_s: list[float]) -> None:
    """Half a second of the pods, whose CPU is added up, and two folds of it."""
    while True:
        began_s = time.thread_time()
        world.step()
        simulated_s[0] += time.thread_time() - began_s
        await asyncio.sleep(FOLD_S)
        world.roll.fold(time.monotonic(), time.time())
        world.publisher.turn()
        await asyncio.sleep(FOLD_S)


async def view(port: int, tls: ssl.SSLContext, path: str, seen: list[int], until_s: float) -> None:
    """One viewer: counts bytes and pictures until the time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname="localhost", limit=2**16)
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer t-alice\r\nAccept-Encoding: gzip\r\n\r\n".encode()
    )
    try:
        while (left_s := until_s - time.monotonic()) > 0:
            async with asyncio.timeout(left_s):
                data = await reader.read(2**16)
            if not data:
                raise SystemExit("the server ended a stream")
            seen[0] += len(data)
            seen[1] += data.count(FLUSHED)
    except TimeoutError:
        pass
    writer.transport.abort()


async def measure(pipe: Connection, port: int, tls: ssl.SSLContext, paths: list[str], seconds: float) -> tuple[float, int, int]:
    """CPU of the server ÷ time, bytes and pictures per second."""
    until_s = time.monotonic() + 10 + 2 * seconds
    seen = [0, 0]
    viewers = [asyncio.create_task(view(port, tls, path, seen, until_s)) for path in paths]
    await asyncio.sleep(3 + len(paths) / 200)  # all are connected, and have had what comes first
    before, began_s, bytes_before, pictures_before = ask(pipe), time.monotonic(), *seen
    await asyncio.sleep(seconds)
    after, ended_s, bytes_after, pictures_after = ask(pipe), time.monotonic(), *seen
    for viewer in viewers:
        viewer.cancel()
    await asyncio.gather(*viewers, return_exceptions=True)
    span_s = ended_s - began_s
    return (
        (after - before) / span_s,
        round((bytes_after - bytes_before) / span_s),
        round((pictures_after - pictures_before) / span_s),
    )


def ask(pipe: Connection) -> float:
    """The server's CPU so far."""
    pipe.send("cpu")
    return float(pipe.recv())


class Bare(asyncio.Protocol):
    """Whoever sends anything is a viewer."""

    def __init__(self, viewers: set[asyncio.Transport]) -> None:
        self._viewers = viewers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is known by its transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """It asks."""
        self._viewers.add(self._transport)

    def connection_lost(self, error: Exception | None) -> None:
        """It went."""
        self._viewers.discard(self._transport)


async def serve_bare(pipe: Connection) -> None:
    """As `serve`, with nothing behind it: a number on the pipe is the size of what is written from now on."""
    loop, viewers, size = asyncio.get_running_loop(), set[asyncio.Transport](), len(FLUSHED)
    made = renewed(None, ["localhost"], datetime.now(UTC))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_into(tls, made)
    server = await loop.create_server(lambda: Bare(viewers), "127.0.0.1", 0, ssl=tls, backlog=2048)
    pipe.send((server.sockets[0].getsockname()[1], made.bundle.decode()))

    async def write() -> None:
        while True:
            await asyncio.sleep(FOLD_S)
            picture = bytes(size - len(FLUSHED)) + FLUSHED
            for viewer in viewers:
                viewer.write(picture)

    going = asyncio.create_task(write())
    while (word := await loop.run_in_executor(None, pipe.recv)) != "end":
        if word == "cpu":
            pipe.send(cpu_s())
        else:
            size = int(word)
    going.cancel()


def child(pipe: Connection, services: int, pods: int) -> None:
    """The server's process."""
    uvloop.run(serve(pipe, services, pods) if services else serve_bare(pipe))


class Server:
    """A process with a server; with no services, the bare one."""

    def __init__(self, services: int, pods: int) -> None:
        self.pipe, theirs = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(target=child, args=(theirs, services, pods))
        self._process.start()
        self.port, bundle = self.pipe.recv()
        self.tls = ssl.create_default_context(cadata=bundle)

    def measure(self, paths: list[str], seconds: float) -> tuple[float, int, int]:
        """CPU of the server ÷ time, bytes and pictures per second."""
        return uvloop.run(measure(self.pipe, self.port, self.tls, paths, seconds))

    def close(self) -> None:
        """The end."""
        self.pipe.send("end")
        self._process.join(10)
        self._process.kill()


def rounds(server: Server, bare: Server, runs: dict[str, list[str]], count: int, seconds: float) -> None:
    """Measures all by turns and prints a line for each that has viewers."""
    more: dict[str, list[float]] = {name: [] for name in runs}
    read: dict[str, tuple[int, int]] = {}
    for _ in range(count):
        idle = server.measure([], seconds)[0]
        for name, paths in runs.items():
            core, bytes_per_s, pictures_per_s = server.measure(paths, seconds)
            read[name] = bytes_per_s, pictures_per_s
            more[name].append(core - idle)
    for name, paths in runs.items():
        bytes_per_s, pictures_per_s = read[name]
        bare.pipe.send(str(bytes_per_s // pictures_per_s))
        least, middle = bare.measure(paths, seconds)[0], statistics.median(more[name])
        print(
            f"{name:40} {middle:7.1%} {min(more[name]):6.1%} to {max(more[name]):5.1%} {bytes_per_s / 1e6:7.1f} "
            f"{pictures_per_s:11d} {least:7.1%}  {'ok' if middle <= BOUND else f'above {BOUND:.0%}'}",
            flush=True,
        )


def main() -> None:
    """Prints the table."""
    arguments = argparse.ArgumentParser()
    for name, default in (("viewers", 500), ("seconds", 8), ("rounds", 5), ("services", 20), ("pods", 20)):
        arguments.add_argument(f"--{name}", type=int, default=default)
    given = arguments.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    server, bare = Server(given.services, given.pods), Server(0, 0)
    half = given.viewers // 2
    one = "/v1/services/shop/service-00/stream?rate=4&with=seconds,points"
    runs = {
        f"{given.viewers} at one service": ["/v1/services/shop/service-00/stream?rate=4"] * given.viewers,
        f"{given.viewers} at the wall": ["/v1/services/stream?rate=4"] * given.viewers,
        f"{half} at the wall, {half} at a service": ["/v1/services/stream?rate=4"] * half + [one] * half,
    }
    print(f"{given.services} services of {given.pods} pods; % of a core more than without viewers, {given.rounds} rounds")
    print(f"{'':40} {'median':>7} {'min to max':>15} {'MB/s':>7} {'pictures/s':>11} {'bare':>7}")
    try:
        rounds(server, bare, runs, given.rounds, given.seconds)
    finally:
        server.close()
        bare.close()


if __name__ == "__main__":
    main()
