"""An application that traces itself with OpenTelemetry's own SDK and knows nothing of Rollcall: it serves requests, sends them
to itself, and prints what it did as JSON; in a pod, which gives it a port, it serves those of others."""

import contextlib
import http.client
import json
import os
import signal
import sys
import threading
import time

from flask import Flask
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.flask import FlaskInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from werkzeug.serving import make_server

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
tracer = trace.get_tracer("newsfeed")
app = Flask("newsfeed")
FlaskInstrumentor().instrument_app(app)
served: list[tuple[str, float]] = []


@app.get("/feed/<int:user>")
def feed(user: int) -> str:
    with tracer.start_as_current_span(
        "SELECT orders", kind=SpanKind.CLIENT, attributes={"db.system": "postgresql", "db.name": "orders"}
    ):
        time.sleep(0.02)
    return str(user)


@app.get("/fail")
def fail() -> str:
    raise RuntimeError("no feed for alice@example.com")


@app.get("/throttled")
def throttled() -> str:
    with tracer.start_as_current_span(
        "DynamoDB.GetItem",
        kind=SpanKind.CLIENT,
        attributes={"rpc.system": "aws-api", "rpc.service": "DynamoDB", "aws.dynamodb.table_names": ["newsfeed"]},
    ) as span:
        span.set_status(Status(StatusCode.ERROR))
        span.set_attribute("error.type", "ProvisionedThroughputExceededException")
    return "later", 503


def main() -> None:
    """Serve, ask, and end as any application does: by flushing."""
    if "PORT" in os.environ:
        serve(int(os.environ["PORT"]))
    else:
        ask_itself()
    provider.shutdown()


def serve(port: int) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with contextlib.suppress(SystemExit):
        make_server("0.0.0.0", port, app, threaded=True).serve_forever()


def ask_itself() -> None:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for path, times in (("/feed/{}", 20), ("/fail", 3), ("/throttled", 2), ("/nothing/here", 4)):
        for number in range(times):
            connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
            connection.request("GET", path.format(number))
            connection.getresponse().read()
            connection.close()
    server.shutdown()
    print(json.dumps({"sent": 29}))


main()
