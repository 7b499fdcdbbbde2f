"""What the probe adds to a request of Flask (WSGI) and FastAPI (ASGI), next to OpenTelemetry's instrumentation of the same.

    python benchmarks/probe_overhead.py [--rounds 40] [--requests 500]

The application is called in-process as a server would call it, so nothing but application and instrument is measured. Three
processes per framework (bare, probe, OpenTelemetry) take turns, round by round, so that the machine's moods hit all alike; the
table shows medians, and the added cost as the median of the rounds' differences. OpenTelemetry is as `opentelemetry-instrument`
sets it up, with a batch processor and an exporter that drops the spans.
Bounds: 5 µs per request, and 1/20 of what OpenTelemetry adds.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

PROBE = Path(__file__).parents[1] / "agent_sidecar" / "probes" / "python"
VARIANTS = ("bare", "probe", "opentelemetry")
FRAMEWORKS = ("Flask", "FastAPI")


def _arm(variant: str, framework: str) -> None:
    """Put the instrument in before the framework is imported."""
    if variant == "probe":
        sys.path.insert(0, str(PROBE))
        from _rollcall_probe import hooks

        hooks.arm()
    elif variant == "opentelemetry":
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

        class Drop(SpanExporter):
            def export(self, spans: Any) -> SpanExportResult:
                return SpanExportResult.SUCCESS

        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(Drop()))
        trace.set_tracer_provider(provider)
        if framework == "Flask":
            from opentelemetry.instrumentation.flask import FlaskInstrumentor

            FlaskInstrumentor().instrument()
        else:
            from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor

            FastAPIInstrumentor().instrument()


def _flask(variant: str) -> Callable[[int], float]:
    """A function that serves a number of requests and returns the CPU seconds that it took."""
    import flask

    app = flask.Flask("benchmark")

    @app.get("/feed/<user>")
    def feed(user: str) -> str:
        return "hello"

    served: Any = app
    if variant == "probe":
        from _rollcall_probe import servers

        served = servers.wrapped_wsgi(app)

    def start_response(status: str, headers: Any, exc_info: Any = None) -> None:
        return None

    def run(requests: int) -> float:
        environs = [_environ() for _ in range(requests)]
        began = time.process_time()
        for environ in environs:
            body = served(environ, start_response)
            for _ in body:
                pass
            body.close()
        return time.process_time() - began

    return run


def _environ() -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/feed/anna",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "SCRIPT_NAME": "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def _fastapi(variant: str) -> Callable[[int], float]:
    """The same for FastAPI."""
    import fastapi

    app = fastapi.FastAPI()

    @app.get("/feed/{user}")
    async def feed(user: str) -> dict[str, str]:
        return {"hello": user}

    served: Any = app
    if variant == "probe":
        from _rollcall_probe import servers

        served = servers.wrapped_asgi(app)
    loop = asyncio.new_event_loop()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        return None

    async def serve(scopes: list[dict[str, Any]]) -> float:
        began = time.process_time()
        for scope in scopes:
            await served(scope, receive, send)
        return time.process_time() - began

    return lambda requests: loop.run_until_complete(serve([_scope() for _ in range(requests)]))


def _scope() -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": "/feed/anna",
        "raw_path": b"/feed/anna",
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }


def _serve_rounds(variant: str, framework: str, orders: Connection, run_dir: str) -> None:
    """In a child: arm, make the application, and serve a round whenever told to."""
    os.environ["ROLLCALL_RUN"] = run_dir
    _arm(variant, framework)
    run = (_flask if framework == "Flask" else _fastapi)(variant)
    run(200)
    orders.send(None)
    while (requests := orders.recv()) is not None:
        orders.send(run(requests))


def compare(framework: str, rounds: int, requests: int, run_dir: str) -> dict[str, list[float]]:
    """µs per request of each round, by variant."""
    context = multiprocessing.get_context("spawn")
    children = {}
    for variant in VARIANTS:
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve_rounds, args=(variant, framework, theirs, run_dir), daemon=True)
        process.start()
        children[variant] = (ours, process)
    for orders, _ in children.values():
        orders.recv()
    times: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for number in range(rounds):
        turn = number % len(VARIANTS)
        for variant in VARIANTS[turn:] + VARIANTS[:turn]:
            orders = children[variant][0]
            orders.send(requests)
            times[variant].append(orders.recv() / requests * 1e6)
    for orders, process in children.values():
        orders.send(None)
        process.join()
    return times


def main() -> int:
    """Measure, print the table; exit code 1 when a bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--requests", type=int, default=500, help="requests per round")
    options = parser.parse_args()
    held = True
    print(f"{'framework':12}{'variant':16}{'µs/request':>11}{'added µs':>10}{'of OpenTelemetry':>18}")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as run_dir:
        for framework in FRAMEWORKS:
            times = compare(framework, options.rounds, options.requests, run_dir)
            added = {
                variant: statistics.median(a - b for a, b in zip(times[variant], times["bare"], strict=True))
                for variant in VARIANTS
            }
            for variant in VARIANTS:
                share = f"1/{added['opentelemetry'] / added[variant]:.0f}" if variant == "probe" and added[variant] > 0 else ""
                median = statistics.median(times[variant])
                print(f"{framework:12}{variant:16}{median:>11.1f}{added[variant]:>10.2f}{share:>18}")
            held = held and added["probe"] <= 5 and added["probe"] <= added["opentelemetry"] / 20
    print("bounds (<= 5 µs and <= 1/20):", "held" if held else "BROKEN")
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
