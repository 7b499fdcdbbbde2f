"""`rollcall top` at a terminal: what it costs, and how soon what somebody does is seen.

    python benchmarks/terminal.py [--pods 500 5000] [--seconds 8] [--keys 60]

The app runs in a process of its own at a pseudo-terminal of 160×45, and reads a stream over TLS, gzipped, four pictures
a second, of a service with so many pods among twenty others. Everything is measured at the terminal's end: a key is
written, and what it changes is waited for in the bytes that come back. CPU is the kernel's count of the app's process.
Pictures are those of the operator's own code; their times go on. Beside it, in the same run, because machines differ: a
Python process that imports what the command imports and ends, one that only echoes keys, and the bare decoding of the
same pictures by the standard library.

Bounds: 10 % of a core with 500 pods; with 5,000 the first paint within 1 s of the start, a key within 50 ms (p95), drilling in
within 200 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import multiprocessing
import os
import random
import re
import ssl
import statistics
import subprocess
import sys
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "operator"), str(ROOT / "agent_sidecar")]

from tests.harness.terminal import Terminal  # noqa: E402

SERVICES = 20
RATE_S = 0.25
_AT = re.compile(rb'"at":\d+\.\d+')
_GZIP = bytes.fromhex("1f8b0800000000000003")
BOUNDS = {"core": 0.10, "first": 1.0, "key": 0.05, "drill": 0.2}


# --- the operator's part, in a process of its own


def build(pods: int) -> tuple[list[bytes], list[bytes], bytes]:
    """Some pictures of all services and of the big one, and its history."""
    from tests.web.world import World

    world = World()
    big = world.service("shop", "big", pods)
    for place in range(pods):
        world.pod(big, f"p{place:05d}", rate=2.0 if pods > 1000 else 10.0)
    for number in range(SERVICES):
        fleet = world.service("shop", f"service-{number:02d}", 3)
        for place in range(3):
            world.pod(fleet, f"q{place}", rate=10.0)
    world.past(2)
    fleets, wholes = [], []
    for _ in range(4):
        world.step()
        fleets.append(world.publisher.frame_of_all(None) or b"")
        wholes.append(world.publisher.frame(("shop", "big")) or b"")
    return fleets, wholes, world.publisher.seconds(big, 0)


async def serve(pipe: Connection, pods: int) -> None:
    """Streams of pictures whose time goes on, packed once for all who look."""
    from aiohttp import web

    from rollcall.control.certificates import load_into, renewed

    fleets, wholes, seconds = build(pods)

    def packed(data: bytes) -> bytes:
        squeezer = zlib.compressobj(1, zlib.DEFLATED, -15)
        return squeezer.compress(data) + squeezer.flush(zlib.Z_FULL_FLUSH)

    async def stream(request: web.Request) -> web.StreamResponse:
        pictures = wholes if "big" in request.path else fleets
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Content-Encoding": "gzip"})
        await response.prepare(request)
        await response.write(_GZIP)
        if pictures is wholes:
            await response.write(packed(b"event: seconds\ndata: " + seconds + b"\n\n"))
        with contextlib.suppress(ConnectionError):
            for picture in itertools.cycle(pictures):
                began_s = time.monotonic()
                told = _AT.sub(b'"at":%.3f' % time.time(), picture, count=1)
                await response.write(packed(b"data: " + told + b"\n\n"))
                await asyncio.sleep(max(0.0, began_s + RATE_S - time.monotonic()))
        return response

    async def other(request: web.Request) -> web.Response:
        found: dict[str, object] = {"sentence": "it is serving", "remedy": "", "at": [], "requestsPerSecond": [], "p95": []}
        return web.json_response(found)

    app = web.Application()
    app.router.add_get("/v1/services/stream", stream)
    app.router.add_get("/v1/services/{namespace}/{name}/stream", stream)
    app.router.add_get("/{tail:.*}", other)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    made = renewed(None, ["localhost"], datetime.now(UTC))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_into(tls, made)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    pipe.send((runner.addresses[0][1], made.bundle.decode(), wholes[0]))
    await asyncio.get_running_loop().run_in_executor(None, pipe.recv)


def child(pipe: Connection, pods: int) -> None:
    """The server's process."""
    asyncio.run(serve(pipe, pods))


# --- the app, at its terminal


def look(port: int, bundle: Path, service: str, counted: Path) -> None:
    """What the command does, without a cluster to ask for the way."""
    import rollcall.cli.main  # noqa: F401 - the command has imported this before anything is seen
    from rollcall.cli.connection import LiveApi
    from rollcall.cli.top.app import TopApp
    from rollcall.cli.top.session import Place, Session

    import aiohttp  # isort: skip

    tls = ssl.create_default_context(cadata=bundle.read_text())
    caller = SimpleNamespace(target=SimpleNamespace(server_name="localhost"), tls=tls, headers={})

    @asynccontextmanager
    async def connect() -> AsyncIterator[LiveApi]:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
            yield LiveApi(session, f"https://127.0.0.1:{port}", caller)  # type: ignore[arg-type]

    app = TopApp(Session(Place("shop", service)), connect)
    taken = 0
    take = app.session.take

    def count(shown: object) -> None:
        nonlocal taken
        taken += 1
        take(shown)  # type: ignore[arg-type]
        counted.write_text(str(taken))

    app.session.take = count  # type: ignore[method-assign,assignment]
    app.run()


_ECHO = """
import os, tty
tty.setraw(0)
os.write(1, b"ready")
while (key := os.read(0, 1)) != b"q":
    os.write(1, b"<" + key + b">")
"""


def echoing(keys: int) -> float:
    """p95 of a key at a process that does nothing but echo: what a busy machine adds by itself."""
    chance = random.Random(3)
    terminal = Terminal([sys.executable, "-S", "-c", _ECHO])
    terminal.wait(b"ready")
    took = []
    for _ in range(keys):
        terminal.rest(chance.uniform(0.02, 0.3))
        terminal.press(b"j")
        pressed_s = time.monotonic()
        took.append(terminal.wait(b"<j>") - pressed_s)
    terminal.end()
    return statistics.quantiles(took, n=20)[18]


def importing() -> float:
    """How long a process takes that imports what the command does, and ends."""
    began_s = time.monotonic()
    subprocess.run([sys.executable, "-c", "import rollcall.cli.main, rollcall.cli.top.app"], check=True, cwd=ROOT)
    return time.monotonic() - began_s


def measure(pods: int, seconds: float, keys: int) -> dict[str, float]:
    """All figures for one size of the service."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=child, args=(theirs, pods))
    server.start()
    folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"rollcall-terminal-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    bundle, counted = folder / "ca.crt", folder / "taken"
    try:
        port, text, picture = ours.recv()
        bundle.write_text(text)
        command = [sys.executable, str(ROOT / "benchmarks/terminal.py"), "--look", str(port), str(bundle), str(counted)]
        found = {"import": importing(), "echo": echoing(keys), "decode": decoding(picture), "bytes": float(len(picture))}
        found |= one_run(command, pods, seconds, keys, counted)
        return found
    finally:
        ours.send("end")
        server.join(10)
        server.kill()
        for path in (bundle, counted):
            path.unlink(missing_ok=True)
        folder.rmdir()


def decoding(picture: bytes) -> float:
    """Seconds for one picture by the standard library."""
    began_s = time.process_time()
    json.loads(picture)
    return time.process_time() - began_s


def one_run(command: list[str], pods: int, seconds: float, keys: int, counted: Path) -> dict[str, float]:
    """The app, from its start to its end."""
    chance = random.Random(3)
    whole = b" pods %d " % pods
    terminal = Terminal([*command, "big"])
    first_s = terminal.wait(whole) - terminal.began_s
    terminal.rest(3.0)
    taken, cpu_s, bytes_, began_s = int(counted.read_text()), terminal.cpu_s(), terminal.bytes, time.monotonic()
    terminal.rest(seconds)
    span_s = time.monotonic() - began_s
    found = {
        "first": first_s,
        "core": (terminal.cpu_s() - cpu_s) / span_s,
        "frames": (int(counted.read_text()) - taken) / span_s,
        "kbytes": (terminal.bytes - bytes_) / span_s / 1000,
    }
    took = []
    for place in range(2, keys + 2):
        terminal.rest(chance.uniform(0.02, 0.3))
        terminal.press(b"j")
        pressed_s = time.monotonic()
        took.append(terminal.wait(b"m%d/%d " % (place, pods)) - pressed_s)
    drilled, opened = [], []
    for _ in range(10):
        terminal.rest(chance.uniform(0.1, 0.4))
        terminal.press(b"\r")
        pressed_s = time.monotonic()
        drilled.append(terminal.wait(b"told by") - pressed_s)
        terminal.rest(0.3)
        terminal.press(b"\x1b")
        terminal.wait(whole)
    for _ in range(5):
        terminal.rest(0.5)
        terminal.press(b"\x1b")
        terminal.wait(b"service-07")
        terminal.rest(chance.uniform(0.6, 1.0))
        terminal.press(b"\r")
        pressed_s = time.monotonic()
        opened.append(terminal.wait(whole) - pressed_s)
    found |= {"memory": terminal.memory_mib()}
    terminal.end()
    ranks = statistics.quantiles(took, n=20)
    return found | {
        "key50": statistics.median(took), "key": ranks[18], "keymax": max(took),
        "pod": max(drilled), "drill": max(opened), "drill50": statistics.median(opened),
    }  # fmt: skip


def judged(found: dict[str, float], name: str, pods: int) -> str:
    """Whether a bound holds that is set for this size."""
    applies = pods == 500 if name == "core" else pods == 5000
    if not applies:
        return ""
    return "  ok" if found[name] <= BOUNDS[name] else f"  above {BOUNDS[name]:g}"


def main() -> None:
    """Prints the table."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--pods", type=int, nargs="+", default=[500, 5000])
    arguments.add_argument("--seconds", type=float, default=8)
    arguments.add_argument("--keys", type=int, default=60)
    given = arguments.parse_args()
    failed = False
    for pods in given.pods:
        found = measure(pods, given.seconds, given.keys)
        rows = [
            ("CPU of the app", f"{found['core']:.1%} of a core", "core"),
            ("pictures shown", f"{found['frames']:.1f} a second", ""),
            ("bytes to the terminal", f"{found['kbytes']:.1f} kB/s", ""),
            ("memory", f"{found['memory']:.0f} MiB", ""),
            ("first paint of the pods, from the start", f"{found['first']:.2f} s", "first"),
            ("  of it, a process that imports the same and ends", f"{found['import']:.2f} s", ""),
            ("key → paint, p50", f"{found['key50'] * 1000:.0f} ms", ""),
            ("key → paint, p95", f"{found['key'] * 1000:.0f} ms", "key"),
            ("  of it, a process that only echoes, p95", f"{found['echo'] * 1000:.0f} ms", ""),
            ("key → paint, longest", f"{found['keymax'] * 1000:.0f} ms", ""),
            ("pods → one pod, longest of 10", f"{found['pod'] * 1000:.0f} ms", ""),
            ("services → pods, median of 5", f"{found['drill50'] * 1000:.0f} ms", ""),
            ("services → pods, longest of 5", f"{found['drill'] * 1000:.0f} ms", "drill"),
        ]
        picture = f"{found['bytes'] / 1e6:.2f} MB, json.loads takes {found['decode'] * 1000:.0f} ms"
        print(f"\n{pods} pods; a picture is {picture}")
        for name, value, bound in rows:
            verdict = judged(found, bound, pods) if bound else ""
            failed = failed or "above" in verdict
            print(f"  {name:52} {value:>16}{verdict}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    if "--look" in sys.argv:
        look(int(sys.argv[2]), Path(sys.argv[3]), sys.argv[5], Path(sys.argv[4]))
    else:
        main()
