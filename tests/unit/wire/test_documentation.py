"""The bytes and tables of docs/wire.md are those of the code."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from rollcall_agent.ledger import Ledger
from rollcall_agent.sources.php import PhpSource
from rollcall_agent.sources.worker_file import WorkerFile
from rollcall_agent.wire import facts, frames, layout, points, report
from rollcall_agent.wire.grid import BUCKETS, bucket_of_ns, upper_bound_s

TEXT = (Path(__file__).parents[3] / "docs" / "wire.md").read_text()


def documented_bytes(name: str) -> bytes:
    match = re.search(rf"<!-- bytes:{name} -->\n```\n(.*?)```", TEXT, re.DOTALL)
    assert match, name
    return bytes.fromhex(match[1])


def only_frame(name: str) -> tuple[int, bytes]:
    [frame] = frames.Decoder().feed(documented_bytes(name))
    return frame


def test_the_hello() -> None:
    kind, body = only_frame("hello")
    hello = frames.decode_json(body)
    assert (kind, set(hello)) == (
        frames.HELLO,
        {"wire", "agent", "epoch", "token", "pod_uid", "runtimes", "uptime_ms", "facts_from"},
    )
    assert frames.encode_json(frames.HELLO, hello) == documented_bytes("hello")


def test_the_welcome() -> None:
    kind, body = only_frame("welcome")
    assert kind == frames.WELCOME
    assert frames.decode_json(body) == {
        "wire": 1,
        "operator": "0.1.0",
        "interval_ms": 500,
        "bands_ms": [1000, 3000, 8000],
        "max_frame": frames.MAX_FRAME_BYTES,
    }


def test_the_report() -> None:
    histogram = [0] * BUCKETS
    histogram[133] = 3
    assert bucket_of_ns(2_500_000) == 133
    body = report.pack(
        {
            "seq": 1,
            "window_end_us": 1_000_000,
            "started": 4,
            "finished": 3,
            "errors": 1,
            "duration_us": 7500,
            "responses": (0, 2, 0, 0, 1),
            "agent_cpu_us": 20_000,
            "in_flight": 1,
            "bands": (0, 1, 0, 0),
            "oldest_ms": 1200,
            "workers": 2,
            "agent_rss_kib": 15974,
            "flags": report.FLAG_PROBE,
            "histogram": histogram,
        }
    )
    documented = documented_bytes("report")
    assert frames.encode(frames.REPORT, body)[: len(documented)] == documented
    assert len(documented) == frames.PREFIX.size + report.offset("histogram")


def test_the_table_of_the_report() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \| (?:(\d+) × )?u(32|64) \|", TEXT, re.MULTILINE)
    documented = [(name, "Q" if bits == "64" else "I", int(count or 1), int(at)) for at, name, count, bits in rows]
    assert documented == [(field.name, field.code, field.size, report.offset(field.name)) for field in report.FIELDS]
    assert f"{report.SIZE} bytes." in TEXT


def test_the_histograms_bounds() -> None:
    assert upper_bound_s(0) == 2 ** (-271 / 16)
    assert upper_bound_s(415) == 512


def test_acknowledgement_and_goodbye() -> None:
    assert only_frame("ack") == (frames.ACK, frames.ACK_BODY.pack(1, 1))
    kind, body = only_frame("goodbye")
    assert (kind, frames.decode_json(body)) == (frames.GOODBYE, {"code": "Shutdown", "message": "bye"})


def test_the_worker_files_offsets() -> None:
    for at in (
        layout.OFF_STARTED,
        layout.OFF_UNTRACKED,
        layout.OFF_SETTLING,
        layout.OFF_HISTOGRAM,
        layout.OFF_ENDPOINTS,
        layout.OFF_SLOTS,
        layout.OFF_JOURNAL_WRITTEN,
        layout.OFF_RESOURCES,
        layout.OFF_JOURNAL,
        layout.OFF_ERRORS,
        layout.OFF_STEPS,
        layout.OFF_SAMPLES,
        layout.OFF_VISITS,
        layout.OFF_CALLS_WRITTEN,
        layout.OFF_DEPENDENCIES,
        layout.OFF_CALLS,
        layout.OFF_POINTS,
        layout.OFF_CRASH,
    ):
        assert re.search(rf"^\| {at} \|", TEXT, re.MULTILINE), at
    assert f"{layout.FILE_BYTES} bytes" in TEXT
    assert f"{layout.ENDPOINTS} endpoints of {layout.ENDPOINT.size} bytes" in TEXT
    assert f"{layout.SLOTS} slots of {layout.SLOT.size} bytes" in TEXT
    assert f"{layout.DEPENDENCIES} dependencies of {layout.DEPENDENCY.size} bytes" in TEXT
    assert f"{layout.POINTS} points of {layout.POINT.size} bytes" in TEXT


def test_names_and_facts() -> None:
    assert only_frame("define") == (frames.DEFINE, facts.pack_names(facts.ENDPOINT_NAMES, [(0, "other"), (1, "GET /a")]))
    kinds = {
        name: int(kind)
        for kind, name in re.findall(r"^\| (\d+) \| ([A-Z_]+) \| [a-z0-9 ]+ \| [^|]+ \| [^|]+ \|$", TEXT, re.MULTILINE)
    }
    assert len(kinds) == 15
    assert all(getattr(facts, name) == kind for name, kind in kinds.items())
    records = [(facts.REQUESTS, 1, 0, 3), (facts.FAILURES, 1, 0, 1), (facts.DURATION, 1, 0, 7500), (facts.CELL, 1, 133, 3)]
    assert only_frame("facts") == (frames.FACTS, facts.pack_facts(1, 0, records))


def test_points() -> None:
    assert f"records of {points.RECORD.size} bytes" in TEXT
    assert f"{points.DEFAULT_POINTS} when left out" in TEXT


def test_the_php_messages(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path), layout.RUNTIME_PHP, "php")
    source = PhpSource(ledger, lambda _: None, "")
    probe, agent = socket.socketpair()
    source.add(0, agent)
    probe.sendall(documented_bytes("php"))
    source.read(2_000_000)
    file = WorkerFile(ledger.path)
    file.read(2_000_000, (1, 2, 3))
    assert (file.totals.started, file.totals.finished, file.totals.duration_us) == (1, 1, 2500)
    assert dict(file.endpoints())["GET /index.php"] == [1, 0, 2500]
    file.close()
    probe.close()
