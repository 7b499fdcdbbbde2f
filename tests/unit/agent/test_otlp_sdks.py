"""OpenTelemetry's own SDKs, each in a real process, against the real agent."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rollcall_agent.wire import facts
from rollcall_agent.wire.report import FLAG_NO_IN_FLIGHT, FLAG_PROBE
from tests.harness import sdks
from tests.unit.agent.fake_operator import FakeOperator
from tests.unit.agent.pod import Pod, free_port

APPS = Path(__file__).parent / "otlp"
THROTTLED = facts.CALL_FAILURES * 100 + facts.REASONS.index("throttled")


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def pod(tmp_path: Path, operator: FakeOperator, certificate: tuple[Path, Path], port: int) -> Iterator[Pod]:
    """A pod whose agent takes OTLP and is not started yet."""
    with Pod(tmp_path, f"localhost:{operator.port}", certificate[0], ROLLCALL_OTLP_PORT=str(port)) as made:
        yield made


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("native", ["on", "off"])
def test_python(pod: Pod, operator: FakeOperator, port: int, compression: str, native: str) -> None:
    pod._env["ROLLCALL_NATIVE"] = native
    pod.start_agent()
    operator.wait_for_report(seq=1)
    assert operator.last["flags"] & FLAG_PROBE == 0, "nothing has told of a request"
    env = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_COMPRESSION": compression,
        "OTEL_SERVICE_NAME": "newsfeed",
    }
    app = pod.start([sys.executable, str(APPS / "flask_app.py")], **env)
    assert app.wait(timeout=30) == 0, pod.log(app)
    seen = operator.wait_for_report(finished=29)
    assert (seen["started"], seen["errors"], seen["lost"]) == (29, 5, 0)
    assert seen["responses"] == (0, 20, 0, 4, 5)
    assert seen["flags"] & FLAG_PROBE
    assert seen["flags"] & FLAG_NO_IN_FLIGHT, "spans tell of their end"
    counted = operator.wait_for(lambda: len(operator.facts.counted()) >= 4 and operator.facts.counted(), "endpoints")
    assert {name: row[:2] for name, row in counted.items()} == {
        "GET /feed/<int:user>": (20, 0),
        "GET /fail": (3, 3),
        "GET /throttled": (2, 2),
        "GET *": (4, 0),
    }
    assert 20 * 20_000 <= counted["GET /feed/<int:user>"][2] < 20 * 100_000
    calls = operator.facts.calls
    assert set(calls) == {"postgresql orders", "dynamodb newsfeed"}
    assert calls["postgresql orders"][facts.CALLS] == 20
    waited = calls["postgresql orders"][facts.WAITED]
    assert abs(waited - calls["postgresql orders"][facts.CALL_DURATION]) <= 20, "what was called was waited for"
    assert calls["dynamodb newsfeed"][THROTTLED] == 2
    assert operator.facts.errors == {"exception RuntimeError": 3, "http 503": 2}
    assert any("no feed for <email>" in event["message"] for event in operator.events if event["type"] == "error")
    assert {"type": "sources", "sources": ["otlp"]} in operator.events
    slowest = {(endpoint, dependency) for endpoint, dependency, _, _ in operator.points}
    assert ("GET /feed/<int:user>", "postgresql orders") in slowest


def environment(port: int, protocol: str = "http/protobuf") -> dict[str, str]:
    """What the webhook gives an application, and what keeps its SDK quiet."""
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_SERVICE_NAME": "newsfeed",
        "OTEL_BSP_SCHEDULE_DELAY": "1000",
    }


@pytest.mark.parametrize(
    ("protocol", "compression"),
    [("http/protobuf", "none"), ("http/protobuf", "gzip"), ("http/json", "none"), ("http/json", "gzip")],
)
def test_node(pod: Pod, operator: FakeOperator, port: int, protocol: str, compression: str) -> None:
    pod.start_agent()
    operator.wait_for_report(seq=1)
    env = {
        **environment(port, protocol),
        "OTEL_EXPORTER_OTLP_COMPRESSION": compression,
        "NODE_PATH": str(sdks.node_modules()),
        "OTEL_NODE_ENABLED_INSTRUMENTATIONS": "http,express",
    }
    app = pod.start(["node", "--require", "@opentelemetry/auto-instrumentations-node/register", str(APPS / "app.js")], **env)
    app.wait(timeout=60)
    seen = operator.wait_for_report(finished=24)
    assert (seen["errors"], seen["responses"]) == (3, (0, 20, 0, 1, 3)), pod.log(app)
    counted = operator.wait_for(lambda: len(operator.facts.counted()) >= 3 and operator.facts.counted(), "endpoints")
    assert {name: row[:2] for name, row in counted.items()} == {
        "GET /feed/:user": (20, 0),
        "GET /fail": (3, 3),
        "GET *": (1, 0),
    }
    [(dependency, calls)] = operator.facts.calls.items()
    assert dependency.startswith("http localhost:")
    assert (calls[facts.CALLS], calls[THROTTLED]) == (20, 20)
    assert 20 * 19_000 < calls[facts.WAITED] <= counted["GET /feed/:user"][2]
    assert {"type": "sources", "sources": ["otlp"]} in operator.events


def test_java(pod: Pod, operator: FakeOperator, port: int) -> None:
    """The application and a neighbour that it calls are one process here, in one trace."""
    pod.start_agent()
    operator.wait_for_report(seq=1)
    app = pod.start(["java", f"-javaagent:{sdks.java_agent()}", str(APPS / "App.java")], **environment(port))
    assert app.wait(timeout=90) == 0, pod.log(app)
    seen = operator.wait_for_report(finished=43)
    assert (seen["errors"], seen["responses"]) == (3, (0, 40, 0, 0, 3)), pod.log(app)
    counted = operator.wait_for(lambda: len(operator.facts.counted()) >= 3 and operator.facts.counted(), "endpoints")
    assert {name: row[:2] for name, row in counted.items()} == {"GET /feed/": (20, 0), "GET /fail": (3, 3), "GET /": (20, 0)}
    [(dependency, calls)] = operator.facts.calls.items()
    assert dependency.startswith("http localhost:")
    assert calls[facts.CALLS] == 20
    assert 20 * 20_000 < calls[facts.WAITED] <= counted["GET /feed/"][2], "the neighbour's requests wait for nothing"
    assert operator.facts.errors == {"http 503": 3}
