"""What one agent costs: memory of both processes and CPU, idle at 2 reports a second and with 500 requests a second, over TLS.

    python benchmarks/agent_cost.py [--seconds 20] [--python /usr/bin/python3]

The operator is a sink in another process that acknowledges every 2 s and wants everything: 50 endpoints, errors, visitors,
dependencies and points. Requests are real: written by the probe's own recorder (Python), and sent on 8 streams (PHP); in the
row with dependencies each makes two calls, of 20 in turn. Bounds: 20 MiB resident for the whole container, 2 millicores idle,
10 at 500 requests/s.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIDECAR = Path(__file__).parents[1] / "agent_sidecar"
sys.path[:0] = [str(Path(__file__).parents[1]), str(SIDECAR), str(SIDECAR / "probes" / "python")]

from rollcall_agent.sources.cost import memory_kib  # noqa: E402
from rollcall_agent.wire import facts, frames, points, report  # noqa: E402
from tests.unit.agent.fake_operator import make_certificate  # noqa: E402

WELCOME = {
    "wire": 1,
    "operator": "sink",
    "interval_ms": 500,
    "bands_ms": [1000, 3000, 8000],
    "max_frame": 65536,
    "facts": 0,
    "visitors": {"from": "cookie:sid", "key": "ab" * 32},
    "points": points.MAX_POINTS,
}
ENDPOINTS = 50
DEPENDENCIES = 20
RATE = 500
PHP_STREAMS = 8
VISITORS = 1000


def sink(listener: socket.socket, certificate: tuple[Path, Path], received: multiprocessing.Queue[int]) -> None:
    """Welcome one agent after the other, acknowledge every fourth report, tell how many came."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    while True:
        connection = context.wrap_socket(listener.accept()[0], server_side=True)
        decoder, number = frames.Decoder(), 0
        while data := connection.recv(65536):
            for kind, body in decoder.feed(data):
                if kind == frames.HELLO:
                    connection.sendall(frames.encode_json(frames.WELCOME, WELCOME))
                elif kind == frames.FACTS:
                    number = facts.HEAD.unpack_from(body)[0]
                elif kind == frames.REPORT:
                    values = report.unpack(body)
                    seq = values["seq"]
                    received.put(values["finished"])
                    if seq % 4 == 0 or values["flags"] & report.FLAG_FINAL:
                        connection.sendall(frames.encode(frames.ACK, frames.ACK_BODY.pack(seq, number)))


def python_load(run: str, workers: int, calls: int) -> None:
    """RATE requests a second, each 5 ms in flight and with so many calls of dependencies, counted by the probe's recorder in
    `workers` processes."""
    os.environ["ROLLCALL_RUN"] = run

    def work() -> None:
        from _rollcall_probe import recorder, visitors

        number = 0
        pause = workers / RATE
        due = time.monotonic()
        while True:
            request = recorder.begin("GET")
            request.name(f"/feed/{number % ENDPOINTS}/<user>")
            if visitors.see_environ is not None:
                visitors.see_environ({"HTTP_COOKIE": f"sid={number % VISITORS}"})
            for call in range(calls):
                called = recorder.current.begin_call(f"http api-{(number + call) % DEPENDENCIES}.example.com")
                time.sleep(min(0.005, pause / 2) / calls)
                called.end(None if number % 100 else 0)
            if not calls:
                time.sleep(min(0.005, pause / 2))
            request.status = 500 if number % 100 == 0 else 200
            request.finish()
            number += 1
            due += pause
            time.sleep(max(0.0, due - time.monotonic()))

    for _ in range(workers):
        multiprocessing.get_context("fork").Process(target=work, daemon=True).start()
    signal.pause()


def php_load(run: str) -> None:
    """The messages of RATE requests a second of VISITORS on PHP_STREAMS streams, each request 5 ms in flight."""
    streams = []
    for _ in range(PHP_STREAMS):
        stream = socket.socket(socket.AF_UNIX)
        stream.connect(run + "/php.sock")
        streams.append(stream)
    due, number = time.monotonic(), 0
    while True:
        stream = streams[number % PHP_STREAMS]
        name = b"GET /page%d.php" % (number % ENDPOINTS)
        visitor = (number % VISITORS + 1) * 0x9E3779B97F4A7C15 % 2**64  # spread as hashes are
        stream.sendall(struct.pack("<HBQIQ", 21 + len(name), 1, time.monotonic_ns() // 1000, 7, visitor) + name)
        time.sleep(min(0.005, 0.5 / RATE))
        stream.sendall(struct.pack("<HBQHBI", 16, 2, 5000, 200, 0, 1000 if number % 8 == 0 else 0xFFFFFFFF))
        number += 1
        due += 1 / RATE
        time.sleep(max(0.0, due - time.monotonic()))


def rss_kib(pid: int) -> int:
    """Resident set size, pages shared with others included."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def only_child(pid: int) -> int:
    """The one child of a process."""
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


def cpu_us(supervisor: int, worker: int) -> float:
    """CPU of both processes so far, finer than the kernel's ticks."""
    schedstats = (Path(f"/proc/{pid}/schedstat").read_text().split()[0] for pid in (supervisor, worker))
    return sum(int(nanoseconds) for nanoseconds in schedstats) / 1000


def measure(
    load: str, seconds: float, python: str, folder: Path, certificate: tuple[Path, Path], port: int
) -> dict[str, float]:
    """One agent under one load; a row of the table."""
    run = folder / load
    run.mkdir()
    (folder / "token").write_text("token")
    env = {
        "ROLLCALL_RUN": str(run),
        "ROLLCALL_OPERATOR": f"localhost:{port}",
        "ROLLCALL_CA_FILE": str(certificate[0]),
        "ROLLCALL_TOKEN_FILE": str(folder / "token"),
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_TRIM_THRESHOLD_": "65536",
    }
    agent = subprocess.Popen([python, "-S", "-I", str(SIDECAR / "start.py"), "run"], env=env, stderr=subprocess.DEVNULL)
    time.sleep(1.5)
    context = multiprocessing.get_context("fork")
    loads = {
        "idle": lambda: None,
        "python": lambda: python_load(str(run), 2, 0),
        "dependencies": lambda: python_load(str(run), 2, 2),
        "php": lambda: php_load(str(run)),
    }

    def generate() -> None:
        os.setpgrp()  # so that its own children end with it
        loads[load]()

    generator = context.Process(target=generate)
    generator.start()
    time.sleep(2)
    worker = only_child(agent.pid)
    before, since = cpu_us(agent.pid, worker), time.monotonic()
    time.sleep(seconds)
    used, elapsed = cpu_us(agent.pid, worker) - before, time.monotonic() - since
    row = {
        "millicores": used / elapsed / 1000,
        "rss_supervisor": rss_kib(agent.pid) / 1024,
        "rss_worker": rss_kib(worker) / 1024,
        "pss_together": (memory_kib(agent.pid) + memory_kib(worker)) / 1024,
    }
    if generator.is_alive():
        os.killpg(generator.pid, signal.SIGKILL)  # type: ignore[arg-type]
    agent.terminate()
    agent.wait()
    return row


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="measured time per row")
    other = "/usr/bin/python3"
    default = other if os.path.exists(other) else sys.executable
    parser.add_argument("--python", default=default, help="runs the agent; PSS is honest when nothing else here runs it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name)
        certificate = make_certificate(folder)
        listener = socket.create_server(("127.0.0.1", 0))
        received: multiprocessing.Queue[int] = multiprocessing.get_context("fork").Queue()
        operator = multiprocessing.get_context("fork").Process(target=sink, args=(listener, certificate, received), daemon=True)
        operator.start()
        port = listener.getsockname()[1]
        print(f"{'load':28}{'millicores':>11}{'bound':>7}", end="")
        print(f"{'RSS superv.':>13}{'RSS worker':>12}{'PSS together':>14}{'bound':>7}  MiB")
        rows = (
            ("idle", "idle", 2),
            ("python", f"Python {RATE}/s", 10),
            ("dependencies", f"Python {RATE}/s, {2 * RATE} calls", 10),
            ("php", f"PHP {RATE}/s", 10),
        )
        for load, title, bound in rows:
            row = measure(load, options.seconds, options.python, folder, certificate, port)
            print(
                f"{title:28}{row['millicores']:>11.2f}{bound:>7}{row['rss_supervisor']:>13.1f}{row['rss_worker']:>12.1f}"
                f"{row['pss_together']:>14.1f}{20:>7}"
            )
        operator.terminate()


if __name__ == "__main__":
    main()
