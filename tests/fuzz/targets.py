"""What is fuzzed: functions of any bytes that raise nothing but what is wrong with us. Each comes with bytes to begin from."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jsonpatch
import msgspec
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from rollcall.api.monitoredservice import InvalidMonitoredServiceError, MonitoredService
from rollcall.ingest.agent import SMALLEST_REPORT
from rollcall.inject.patch import inject
from rollcall.model.fleet import Fleet
from rollcall.model.roll import Roll
from rollcall.model.show import picture
from rollcall_agent.sources import access_log_lines, otlp_json, otlp_protobuf
from rollcall_agent.wire import facts, frames, points, report
from tests.golden.injection import SERVICES, SETTINGS, cases
from tests.unit.model.agents import facts as pod_facts


@dataclass(frozen=True)
class Target:
    """`run(data)` returns for all bytes; `seeds` are some that go deep."""

    run: Callable[[bytes], None]
    seeds: list[bytes]


def _agent(data: bytes) -> None:
    """What an agent says after its HELLO, in two pieces: a frame that is none ends it, and there is a picture after all."""
    roll, fleet = Roll(), Fleet("shop", "newsfeed")
    roll.add(fleet)
    fleet.upsert(pod_facts("uid-a"))
    session = roll.open("uid-a", "shop", "pod-a", "e1", 0, 1000.0)
    accept: dict[int, Callable[[bytes], object]] = {
        frames.REPORT: lambda body: session.accept(body, 1000.0) if len(body) >= SMALLEST_REPORT else None,
        frames.FACTS: lambda body: session.accept_facts(body, 1000.0),
        frames.DEFINE: session.define,
        frames.POINTS: lambda body: session.accept_points(body, 1000.0),
        frames.REQUESTS: lambda body: session.accept_requests(body, 1000.0),
        frames.EVENT: lambda body: session.accept_event(frames.decode_json(body), 1000.0),
    }
    decoder = frames.Decoder()
    half = len(data) // 2
    try:
        for piece in (data[:half], data[half:]):
            for kind, body in decoder.feed(piece):
                accept.get(kind, frames.decode_json)(body)
    except frames.FrameError:
        pass
    roll.fold(1000.25, 1_700_000_000.0)
    roll.fold(1000.5, 1_700_000_000.25)
    view = picture(fleet, with_roll=True)
    assert view.pods.total == 1
    msgspec.json.encode(view)


def _agent_seeds() -> list[bytes]:
    names = frames.encode(frames.DEFINE, facts.pack_names(facts.ENDPOINT_NAMES, [(1, "GET /feed")]))
    counted = facts.pack_facts(1, 0, [(facts.VISITOR, 0, 7 << 8 | 3, 1), (facts.REQUESTS, 1, 0, 9)])
    values: dict[str, Any] = {field.name: 1 for field in report.FIELDS if field.size == 1}
    event = {"type": "death", "signal": 11, "worker": "7", "module": "/feed.so", "offset": 1, "endpoint": "GET /feed"}
    longest = [{"id": "1-2-3", "endpoint": "GET /feed", "elapsed_ms": 9000, "step": "code feed"}]
    return [
        names + frames.encode(frames.FACTS, counted),
        frames.encode(frames.REPORT, report.pack(values)),
        frames.encode_json(frames.EVENT, event),
        frames.encode_json(frames.EVENT, {"type": "error", "error": "exception E", "message": "m", "file": "f", "line": 3}),
        frames.encode_json(frames.REQUESTS, {"requests": longest}),
        frames.encode(frames.POINTS, points.pack_points([points.Point(*[1] * len(points.Point._fields))])),
    ]


def _admission(data: bytes) -> None:
    """A pod in an AdmissionReview; a patch that comes can be applied."""
    try:
        pod = json.loads(data)
    except (ValueError, RecursionError):
        return
    found = inject(pod, SERVICES, SETTINGS)
    if found.patch:
        jsonpatch.apply_patch(pod, [dict(operation) for operation in found.patch])


def _service(data: bytes) -> None:
    """A MonitoredService that another version of the schema let in."""
    try:
        manifest = json.loads(data)
    except (ValueError, RecursionError):
        return
    if isinstance(manifest, dict):
        with contextlib.suppress(InvalidMonitoredServiceError):
            MonitoredService.from_object(manifest)


def _manifest() -> dict[str, Any]:
    metadata = {
        "name": "newsfeed",
        "namespace": "shop",
        "uid": "u",
        "generation": 1,
        "creationTimestamp": "2026-01-01T00:00:00Z",
    }
    spec = {
        "selector": {"matchLabels": {"app": "newsfeed"}},
        "objectives": {"p95": "300ms", "errorRatio": "1%", "bands": ["1s", "3s"]},
        "signals": {"visitors": {"from": "cookie:sid"}},
    }
    return {"apiVersion": "rollcall.dev/v1alpha1", "kind": "MonitoredService", "metadata": metadata, "spec": spec}


def _outcome(decode: Callable[..., None], data: bytes) -> object:
    taken: list[object] = []
    try:
        decode(data, lambda *what: taken.append(what))
    except ValueError:
        return "refused", repr(taken)  # by its text: a NaN is not equal to itself
    return "read", repr(taken)


def _otlp(data: bytes) -> None:
    """An export of spans: the native decoder and the one in Python take the same; of several faults they may name another."""
    assert _outcome(otlp_protobuf.decoder(), data) == _outcome(otlp_protobuf.traces, data)


def _otlp_json(data: bytes) -> None:
    _outcome(otlp_json.traces, data)


def _otlp_seeds() -> list[ExportTraceServiceRequest]:
    made = ExportTraceServiceRequest()
    spans = made.resource_spans.add()
    spans.resource.attributes.add(key="service.name").value.string_value = "catalog"
    span = spans.scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="GET /", start_time_unix_nano=1)
    span.kind, span.end_time_unix_nano = span.SPAN_KIND_SERVER, 5_000_000
    span.attributes.add(key="http.route").value.string_value = "/goods/:id"
    span.attributes.add(key="http.response.status_code").value.int_value = 500
    span.events.add(name="exception").attributes.add(key="exception.type").value.string_value = "TypeError"
    return [made]


def _log(data: bytes) -> None:
    for line in data.split(b"\n"):
        for read in (access_log_lines.rollcall, access_log_lines.combined):
            if found := read(line):
                list(access_log_lines.upstreams(*found[5:]))


def targets() -> dict[str, Target]:
    """All of them, by name."""
    from google.protobuf.json_format import MessageToJson

    lines = [
        b'10.0.0.1 - - [26/Nov/2026:01:02:03 +0000] "GET /feed/7 HTTP/1.1" 200 512 "-" "curl/8"',
        b"\t".join(b"rollcall1 GET 200 0.012 feed 10.0.0.2:80,10.0.0.3:80 0.011,- 502,200 /feed/7".split()),
    ]
    return {
        "agent": Target(_agent, _agent_seeds()),
        "admission": Target(_admission, [json.dumps(case.pod).encode() for case in cases()]),
        "service": Target(_service, [json.dumps(_manifest()).encode()]),
        "otlp": Target(_otlp, [each.SerializeToString() for each in _otlp_seeds()]),
        "otlp-json": Target(_otlp_json, [MessageToJson(each).encode() for each in _otlp_seeds()]),
        "log": Target(_log, lines),
    }
