"""The metrics page's text is what Prometheus' own client writes and reads, whatever is in labels."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from rollcall.serve import exposition
from rollcall.serve.exposition import CounterFamily, Family, GaugeFamily, HistogramFamily

LABELS = ("service", "endpoint")
VALUES = [("newsfeed", "GET /feed"), ("newsfeed", 'GET /"<\\x>\n"'), ("ledger", "")]
BUCKETS = [("0.5", 1.0), ("1", 4.0), ("+Inf", 9.0)]


class One(Collector):
    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> list[Metric]:
        return [self._family]


def theirs(family: Metric) -> tuple[str, str]:
    registry = CollectorRegistry()
    registry.register(One(family))
    return generate_latest(registry).decode(), generate_openmetrics(registry).decode().removesuffix("# EOF\n")


def ours(family: Family) -> tuple[str, str]:
    return family.encode(open_metrics=False).decode(), family.encode(open_metrics=True).decode()


@pytest.mark.parametrize(
    ("kind", "reference"), [(CounterFamily, CounterMetricFamily), (GaugeFamily, GaugeMetricFamily)], ids=["counter", "gauge"]
)
def test_plain_families(kind: type[Family], reference: type[CounterMetricFamily]) -> None:
    made, expected = (
        kind("requests", "Requests \\ that\nended", LABELS),
        reference("requests", "Requests \\ that\nended", labels=LABELS),
    )
    for values, number in zip(VALUES, (3, 0.25, math.inf), strict=True):
        made.add(values, number)
        expected.add_metric(values, number)
    assert ours(made) == theirs(expected)


def test_histograms() -> None:
    made = HistogramFamily("seconds", "Response times", LABELS)
    expected = HistogramMetricFamily("seconds", "Response times", labels=LABELS)
    for values in VALUES:
        made.add_histogram(values, BUCKETS, 7.5)
        expected.add_metric(values, BUCKETS, 7.5)
    assert ours(made) == theirs(expected)


def test_a_family_without_labels_or_series() -> None:
    made = GaugeFamily("leader", "1 while this replica leads")
    assert made.encode(open_metrics=False) == b"# HELP leader 1 while this replica leads\n# TYPE leader gauge\n"
    made.add((), math.nan)
    assert made.encode(open_metrics=False).endswith(b"leader NaN\n")


@given(st.lists(st.text(max_size=30).filter(lambda text: "\r" not in text), min_size=2, max_size=2), st.floats())
def test_whatever_labels_and_values_are_they_are_read_back(values: list[str], number: float) -> None:
    made = GaugeFamily("one", "One", LABELS)
    made.add((values[0], values[1]), number)
    (family,) = text_string_to_metric_families(made.encode(open_metrics=False).decode("utf-8", "surrogatepass"))
    (sample,) = family.samples
    assert sample.labels == dict(zip(LABELS, values, strict=True))
    assert sample.value == number or (math.isnan(number) and math.isnan(sample.value))


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exposition, "MOST_TEXTS", 10)
    monkeypatch.setattr(exposition, "_texts", {})
    made = GaugeFamily("one", "One", ("a",))
    for number in range(50):
        made.add((str(number),), number)
        assert sum(map(len, exposition._texts.values())) <= 10
    assert len(made.lines) == 50
