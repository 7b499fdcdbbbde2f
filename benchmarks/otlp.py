"""What the agent's OTLP receiver costs: CPU and memory at 5,000 spans a second, by encoding.

    python benchmarks/otlp.py [--seconds 15] [--rate 5000] [--python /usr/bin/python3]

Exports are made beforehand by OpenTelemetry's own encoder: 512 spans, of which one in four is a request with twelve attributes,
two in four are calls of a database, and one is internal; in JSON the same. They are sent over one kept connection, as an SDK
does. The agent reports to a sink, as in agent_cost.py. Bound: 30 millicores.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import multiprocessing
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SIDECAR = Path(__file__).parents[1] / "agent_sidecar"
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1]), str(SIDECAR)]

from agent_cost import cpu_us, memory_kib, only_child, sink  # noqa: E402
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans  # noqa: E402
from opentelemetry.sdk.trace import TracerProvider  # noqa: E402
from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: E402
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: E402
from opentelemetry.trace import SpanKind  # noqa: E402

from tests.unit.agent.fake_operator import make_certificate  # noqa: E402
from tests.unit.agent.pod import free_port  # noqa: E402

SPANS = 512
DATABASE = {
    "db.system.name": "postgresql",
    "db.namespace": "orders",
    "db.query.text": "SELECT * FROM orders WHERE id = ?",
    "server.address": "db.shop.svc",
    "server.port": 5432,
    "db.operation.name": "SELECT",
    "db.collection.name": "orders",
}


def request(number: int) -> dict[str, Any]:
    """The attributes that a server's instrumentation gives a request."""
    return {
        "http.request.method": "GET",
        "http.route": f"/feed/{number % 20}/{{user}}",
        "url.path": f"/feed/{number % 20}/{number}",
        "url.scheme": "http",
        "http.response.status_code": 500 if number % 100 == 0 else 200,
        "network.protocol.version": "1.1",
        "server.address": "newsfeed.shop.svc",
        "server.port": 8080,
        "client.address": f"10.0.0.{number % 250}",
        "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64)",
        "network.peer.address": "10.0.0.1",
        "network.peer.port": 30000 + number,
    }


def export() -> tuple[bytes, bytes]:
    """One export in protobuf and in JSON."""
    memory, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("benchmark")
    for number in range(SPANS // 4):
        with (
            tracer.start_as_current_span("GET /feed", kind=SpanKind.SERVER, attributes=request(number)),
            tracer.start_as_current_span("handler"),
        ):
            for _ in range(2):
                with tracer.start_as_current_span("SELECT orders", kind=SpanKind.CLIENT, attributes=DATABASE):
                    pass
    message = encode_spans(memory.get_finished_spans())
    return message.SerializeToString(), to_json(message)


def to_json(message: Any) -> bytes:
    """OTLP's JSON: protobuf's, with ids in hex and kinds as numbers."""
    from google.protobuf.json_format import MessageToDict

    value = MessageToDict(message, use_integers_for_enums=True)
    spans = [each for resource in value["resourceSpans"] for scope in resource["scopeSpans"] for each in scope["spans"]]
    originals = [each for resource in message.resource_spans for scope in resource.scope_spans for each in scope.spans]
    for span, original in zip(spans, originals, strict=True):
        span["traceId"], span["spanId"] = original.trace_id.hex(), original.span_id.hex()
        if original.parent_span_id:
            span["parentSpanId"] = original.parent_span_id.hex()
    return json.dumps(value, separators=(",", ":")).encode()


def send(port: int, headers: dict[str, str], body: bytes, rate: float) -> None:
    """`rate` spans a second, for ever."""
    connection, due = http.client.HTTPConnection("127.0.0.1", port), time.monotonic()
    while True:
        connection.request("POST", "/v1/traces", body, headers)
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
        due += SPANS / rate
        time.sleep(max(0.0, due - time.monotonic()))


def measure(name: str, load: tuple[dict[str, str], bytes] | None, options: argparse.Namespace, folder: Path) -> list[float]:
    """(millicores, PSS in MiB) of one agent under one load."""
    run, port = folder / name, free_port()
    run.mkdir()
    (folder / "token").write_text("token")
    environment = {
        "ROLLCALL_RUN": str(run),
        "ROLLCALL_OPERATOR": f"localhost:{options.port}",
        "ROLLCALL_CA_FILE": str(options.certificate),
        "ROLLCALL_TOKEN_FILE": str(folder / "token"),
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_TRIM_THRESHOLD_": "65536",
    }
    if name != "without":
        environment["ROLLCALL_OTLP_PORT"] = str(port)
    command = [options.python, "-S", "-I", str(SIDECAR / "start.py"), "run"]
    agent = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)
    time.sleep(1.5)
    sender = None
    if load is not None:
        sender = multiprocessing.get_context("fork").Process(target=send, args=(port, *load, options.rate), daemon=True)
        sender.start()
    time.sleep(2)
    worker = only_child(agent.pid)
    before, since = cpu_us(agent.pid, worker), time.monotonic()
    time.sleep(options.seconds)
    used, elapsed = cpu_us(agent.pid, worker) - before, time.monotonic() - since
    memory = (memory_kib(agent.pid) + memory_kib(worker)) / 1024
    if sender is not None:
        assert sender.is_alive(), "the sender was refused"
        sender.kill()
    agent.terminate()
    agent.wait()
    return [used / elapsed / 1000, memory]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15.0, help="measured time per row")
    parser.add_argument("--rate", type=float, default=5000.0, help="spans a second")
    other = "/usr/bin/python3"
    parser.add_argument("--python", default=other if os.path.exists(other) else sys.executable, help="runs the agent")
    options = parser.parse_args()
    protobuf, text = export()
    kinds = {"Content-Type": "application/x-protobuf"}, {"Content-Type": "application/json"}
    packed = {"Content-Encoding": "gzip"}
    loads = {
        "without": None,
        "idle": None,
        "protobuf": (kinds[0], protobuf),
        "protobuf, gzip": ({**kinds[0], **packed}, gzip.compress(protobuf)),
        "JSON": (kinds[1], text),
        "JSON, gzip": ({**kinds[1], **packed}, gzip.compress(text)),
    }
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        folder = Path(name)
        certificate = make_certificate(folder)
        listener = socket.create_server(("127.0.0.1", 0))
        options.port, options.certificate = listener.getsockname()[1], certificate[0]
        context = multiprocessing.get_context("fork")
        operator = context.Process(target=sink, args=(listener, certificate, context.Queue()), daemon=True)
        operator.start()
        print(
            f"{options.rate:.0f} spans/s, {len(protobuf) / SPANS:.0f} bytes each in protobuf, {len(text) / SPANS:.0f} in JSON"
        )
        print(f"{'OTLP':20}{'millicores':>11}{'bound':>7}{'µs per span':>13}{'PSS together':>14}  MiB")
        idle = 0.0
        for title, load in loads.items():
            millicores, memory = measure(title, load, options, folder)
            idle = millicores if load is None else idle
            each = f"{(millicores - idle) * 1000 / options.rate:.2f}" if load is not None else ""
            bound = "30" if title.startswith("protobuf") else ""
            print(f"{title:20}{millicores:>11.2f}{bound:>7}{each:>13}{memory:>14.1f}")
        operator.terminate()


if __name__ == "__main__":
    main()
