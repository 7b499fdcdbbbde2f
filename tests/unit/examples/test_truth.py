"""The load generator against the real samples: its truth and the application's own log are the same, to the request."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.harness.load.mix import parse_mix
from tests.harness.load.run import Plan, Run
from tests.harness.load.schedule import Step
from tests.unit.examples.conftest import StartSample

SAMPLES = ["newsfeed", "newsfeed-async"]
MIX = "/=6,/feed/{user}=3,/slow=0.2,/fail=0.1,/nowhere=0.1"
STATUS = {"/": 200, "/feed/{user}": 200, "/slow": 200, "/fail": 500, "/nowhere": 404}


@pytest.mark.parametrize("sample", SAMPLES)
async def test_rate_is_held_and_counts_equal_the_log_of_the_application(sample: str, start_sample: StartSample) -> None:
    server = start_sample(sample)
    # The first request waits until the server is up.
    await Run(Plan(server.url, [Step(1, 1)], parse_mix("/"))).run()
    raw = io.StringIO()
    summary = await Run(Plan(server.url, [Step(200, 3)], parse_mix(MIX), seed=5), raw).run()
    log = {entry["id"]: entry for entry in server.stop() if entry["id"] != "1-1"}
    sent = [json.loads(line) for line in raw.getvalue().splitlines()]

    assert summary["complete"]
    assert summary["rate_held"] == pytest.approx(200, rel=0.02)
    assert summary["errors"] == {}
    assert summary["sent"] == summary["answered"] == len(sent) == len(log) == 600
    assert summary["statuses"] == Counter(str(entry["status"]) for entry in log.values())
    for template, endpoint in summary["endpoints"].items():
        assert endpoint["statuses"] == {str(STATUS[template]): endpoint["sent"]}
    assert {request["id"]: request["status"] for request in sent} == {name: entry["status"] for name, entry in log.items()}
    # Connecting and waiting for a worker come on top for the client. Only the median: one answer can arrive before the
    # application has returned from sending it.
    assert median(entry["latency_us"] for entry in log.values()) < summary["latency_us"]["from_start"]["p50"]


async def test_the_schedule_does_not_wait_for_answers(start_sample: StartSample) -> None:
    """Both workers hang: a closed loop would stop there, this one sends on."""
    server = start_sample("newsfeed")
    summary = await Run(Plan(server.url, [Step(100, 0.5)], parse_mix("/hang/2"), timeout_s=0.5)).run()
    assert summary["sent"] == 50
    assert summary["errors"] == {"Timeout": 50}
    assert summary["latency_us"]["from_start"] == {}


@pytest.mark.parametrize("sample", SAMPLES)
async def test_routes(sample: str, start_sample: StartSample, tmp_path: Path) -> None:
    server = start_sample(sample)
    requests = {
        "/healthz": 200,
        "/feed/7": 200,
        "/feed/x": 404 if sample == "newsfeed" else 422,
        "/hang/0.2": 200,
        "/hang/0": 200,
    }
    for path in requests:
        await Run(Plan(server.url, [Step(1, 1)], parse_mix(path))).run()
    log: list[dict[str, Any]] = server.stop()
    assert {entry["path"]: entry["status"] for entry in log} == requests
    assert 200_000 <= next(entry["latency_us"] for entry in log if entry["path"] == "/hang/0.2") < 1_000_000
    assert (tmp_path / "newsfeed.db").is_file()
