"""Reading the truth from logs, among the lines that are something else."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from tests.harness.errors import HarnessError
from tests.harness.load.mix import parse_mix
from tests.harness.load.run import Plan, Run
from tests.harness.load.schedule import Step
from tests.harness.truth import Served, parse_log, parse_summary

LOG = """\
2026-01-01T00:00:00.5Z [2026-01-01 00:00:00 +0000] [1] [INFO] Starting gunicorn
2026-01-01T00:00:01.123456789Z {"at":1.5,"id":"1-7","method":"GET","path":"/slow","status":200,"latency_us":110250}
2026-01-01T00:00:02Z Traceback (most recent call last):
2026-01-01T00:00:02Z
2026-01-01T00:00:02Z {"slept": 1}
2026-01-01T00:00:03.25Z {"id":"-","method":"GET","path":"/fail.php","status":500,"latency_us":310}
"""


def test_requests_are_read_from_a_log_with_other_lines() -> None:
    assert parse_log("newsfeed-x", LOG.splitlines()) == [
        Served("newsfeed-x", datetime(2026, 1, 1, 0, 0, 1, 123456, UTC), "1-7", "/slow", 200, 110250),
        Served("newsfeed-x", datetime(2026, 1, 1, 0, 0, 3, 250000, UTC), "-", "/fail.php", 500, 310),
    ]


async def test_the_summary_of_a_real_run_is_read_back() -> None:
    # Port 1 of loopback: nobody listens there, so each request is refused and counted as such.
    summary = await Run(Plan("http://127.0.0.1:1", [Step(100, 0.05)], parse_mix("/"))).run()
    truth = parse_summary(f"a line before\n{json.dumps(summary, separators=(',', ':'))}\n")
    assert (truth.sent, truth.answered, truth.errors) == (5, 0, {"ConnectRefused": 5})
    assert truth.endpoints["/"]["sent"] == 5
    assert truth.summary == summary


def test_a_run_without_a_summary_is_an_error_that_shows_its_output() -> None:
    with pytest.raises(HarnessError, match="no address for http://nowhere"):
        parse_summary("load: no address for http://nowhere\n")
