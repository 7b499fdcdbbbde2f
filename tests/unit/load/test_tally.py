"""Counts that add up and quantiles that are exact."""

from __future__ import annotations

from tests.harness.load.tally import Outcome, Tally, latency_summary, quantile


def test_quantile_is_the_nearest_rank() -> None:
    values = list(range(1, 101))
    assert [quantile(values, q) for q in (0.0, 0.01, 0.5, 0.95, 0.99, 1.0)] == [1, 1, 50, 95, 99, 100]
    assert quantile([7], 0.5) == 7


def test_no_latency_is_not_zero() -> None:
    assert latency_summary([]) == {}
    assert latency_summary([30, 10, 20]) == {"count": 3, "mean": 20, "p50": 20, "p90": 30, "p95": 30, "p99": 30, "max": 30}


def test_sent_is_answered_plus_errors() -> None:
    tally = Tally(sent=3)
    tally.add(Outcome("/", 1.0, 1.5, 2.0, status=200))
    tally.add(Outcome("/", 2.0, 2.0, 2.25, status=503))
    tally.add(Outcome("/", 3.0, 3.0, 9.0, error="Timeout"))
    summary = tally.summary()
    assert summary["sent"] == summary["answered"] + sum(summary["errors"].values())
    assert summary["statuses"] == {"200": 1, "503": 1}
    assert summary["errors"] == {"Timeout": 1}
    assert summary["latency_us"]["from_start"]["max"] == 500_000
    assert summary["latency_us"]["from_schedule"]["max"] == 1_000_000
